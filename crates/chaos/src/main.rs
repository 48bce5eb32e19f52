//! `tamis-chaos --minutes N --seed S [--retries] [--only KIND]`: a soak, and its report. `cargo xtask soak` runs it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tamis_chaos::nemesis::Kind;
use tamis_chaos::soak::{self, Options};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every promise was kept.
fn run() -> Result<bool> {
    let mut options =
        Options { minutes: 10, seed: soak::random_seed()?, retries: false, only: None, verbose: true };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64> {
            let number = arguments.next().with_context(|| format!("{argument} wants a number"))?;
            number.parse().with_context(|| format!("{argument} wants a number"))
        };
        match argument.as_str() {
            "--minutes" => options.minutes = number()?,
            "--seed" => options.seed = number()?,
            "--retries" => options.retries = true,
            "--only" => {
                let kind =
                    arguments.next().context("--only wants a kind of fault, as the report names it")?;
                let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
                options.only = Some(known.with_context(|| format!("there is no fault called {kind}"))?);
            }
            other => bail!("soak takes no {other}: --minutes N, --seed S, --retries, --only KIND"),
        }
    }
    println!("seed {}, {} minutes", options.seed, options.minutes);
    let report = soak::run(&options)?;
    println!("\n{report}");
    if !report.is_clean() {
        println!("brokers, processes and their logs are in {}", soak::folder(options.seed).display());
    }
    Ok(report.is_clean())
}
