//! `cargo xtask`: test, lint, bench, kafka, careful, mutants, tidy, soak.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod careful;
mod kafka;
mod lint;
mod mutants;
mod nightly;
mod soak;
mod tests;
mod tidy;
mod tools;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command>

  test                    builds tamis, runs every test and ten seconds of each fuzz target; sums up in the last line
  lint                    format, clippy, dependencies, messages, metrics, house rules
  bench <name> [args]     line, latency, memory, takeover, purge, size, rebuild, import, counts, or a criterion bench by its file's name
  kafka up [--tmpfs] [--port N] [--heap-mb N] [--hours N]
                          starts a broker that stays, 8 hours at most; its address is the last line
  kafka down              ends it and removes its data
  careful                 the filter and the decoders under Miri and cargo careful; needs nightly
  mutants                 deliberate breaks, each of which the simulator must catch; a table
  tidy                    the house rules alone
  soak [--minutes N] [--seed S] [--retries] [--only KIND]
                          three brokers, three processes, one fault after the other (10 minutes, a random seed)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn run(arguments: &[&str]) -> Result<bool> {
    match arguments {
        ["test"] => tests::test(),
        ["soak", options @ ..] => soak::soak(options),
        ["lint"] => lint::lint(),
        ["careful"] => careful::careful(),
        ["mutants"] => mutants::mutants(),
        ["tidy"] => tidy::tidy(),
        ["bench", name, rest @ ..] => bench::bench(name, rest),
        ["kafka", "up", options @ ..] => kafka::up(options),
        ["kafka", "down"] => kafka::down(),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => bail!("no such command\n\n{USAGE}"),
    }
}
