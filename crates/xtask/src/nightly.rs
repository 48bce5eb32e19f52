//! The nightly toolchain, for fuzzing and for Miri; nothing that ships is built with it.

use crate::tools;
use anyhow::{Context as _, Result};
use std::ffi::OsString;
use std::process::{Command, Stdio};

/// `cargo` of the nightly toolchain, which finds our own tools.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut nightly = tools::command("rustup", &[&["run", "nightly", "cargo"], arguments].concat());
    // Set by the cargo that runs this, for its own toolchain.
    nightly.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    let mut path = OsString::from(tools::tools().join("bin"));
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    nightly.env("PATH", path);
    nightly
}

/// Whether there is one.
pub(crate) fn is_there() -> bool {
    command(&["--version"]).output().is_ok_and(|output| output.status.success())
}

/// Whether it has `component`, installed now if it can be.
///
/// # Errors
/// When rustup can't be started.
pub(crate) fn has(component: &str) -> Result<bool> {
    let list = ["component", "list", "--toolchain", "nightly", "--installed"];
    let listed = tools::command("rustup", &list).output().context("ask rustup for its components")?;
    if String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.starts_with(component)) {
        return Ok(true);
    }
    let add = ["component", "add", "--toolchain", "nightly", component];
    let added = tools::command("rustup", &add).stderr(Stdio::null()).status().context("start rustup")?;
    Ok(added.success())
}
