//! `tamis-sim`: runs schedules until the time is up or a promise breaks; exit 1 with the seed and a short trace.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;
use tamis_sim::{Campaign, Mutant};

const USAGE: &str = "\
tamis-sim [--seconds N] [--seed N] [--mutant NAME]

  --seconds N    how long (60)
  --seed N       the run's seed; printed, random when not given
  --mutant NAME  with a deliberate break; `--mutant list` names them

SIM_SEED=N runs the one schedule of that seed and prints its trace.";

fn main() -> ExitCode {
    match arguments() {
        Ok(Some(campaign)) => {
            let report = campaign.run();
            print!("{report}");
            if report.failed.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What to run; nothing when all was said already.
fn arguments() -> Result<Option<Campaign>, String> {
    let mut campaign = Campaign::from_environment()?;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seconds" => campaign.limit = Duration::from_secs(number(&value()?)?),
            "--seed" => campaign.seed = number(&value()?)?,
            "--mutant" => {
                let name = value()?;
                if name == "list" {
                    for mutant in Mutant::ALL {
                        println!("{}\t{}\t{}", mutant.name(), mutant.text(), mutant.breaks());
                    }
                    return Ok(None);
                }
                let found = Mutant::ALL.iter().copied().find(|mutant| mutant.name() == name);
                campaign.mutant = Some(found.ok_or_else(|| format!("there is no mutant {name}"))?);
            }
            other => return Err(format!("{other} is not understood")),
        }
    }
    Ok(Some(campaign))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}
