//! A broker to try things out with.

use crate::tools::java;
use anyhow::{Context as _, Result, bail};
use kafka_harness::Up;

/// `cargo xtask kafka up`: the last line is its address.
pub(crate) fn up(options: &[&str]) -> Result<bool> {
    let mut up = Up::default();
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let mut number = || rest.next().with_context(|| format!("{option} wants a number"));
        match *option {
            "--tmpfs" => up.tmpfs = true,
            "--port" => up.port = Some(number()?.parse()?),
            "--heap-mb" => up.heap_mb = number()?.parse()?,
            "--hours" => up.hours = number()?.parse()?,
            other => bail!("kafka up takes no {other}"),
        }
    }
    java()?;
    println!("{}", kafka_harness::up(&up)?);
    Ok(true)
}

/// `cargo xtask kafka down`.
pub(crate) fn down() -> Result<bool> {
    println!("{}", if kafka_harness::down()? { "ended" } else { "there was none" });
    Ok(true)
}
