//! `tamis topics`: what Kafka must have, and what it has.

use std::time::Duration;

use serde_json::json;
use tamis_bus::kafka::topics::{self, Finding, Severity};

use crate::cli::Global;
use crate::context::Context;
use crate::exit_code::{ExitCode, Failure, Outcome};
use crate::output;

/// How long the brokers may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Plan, create or check the topics on Kafka.
#[derive(Debug, clap::Args)]
pub(crate) struct Topics {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, clap::Subcommand)]
enum Command {
    /// Print what `apply` would do, and what it leaves to you. Changes nothing.
    #[command(after_help = "Example:\n  tamis topics plan --json")]
    Plan,
    /// Create what is missing and strengthen what is weaker; never delete or weaken.
    #[command(after_help = "Example:\n  tamis topics apply && tamis run")]
    Apply,
    /// Compare, and exit 3 if tamis could not run with what is there.
    #[command(after_help = "Example:\n  tamis topics check || tamis topics apply")]
    Check,
}

impl Topics {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let context = Context::open(global)?;
        let Some(config) = context.kafka_config() else {
            output::note("bus.kind is \"embedded\": its topics are made by itself");
            return if global.json { report(&[], &[]) } else { Ok(()) };
        };
        let done = match self.command {
            Command::Apply => topics::apply(&config, TIMEOUT)?,
            Command::Plan | Command::Check => Vec::new(),
        };
        let cluster = topics::read(&config, TIMEOUT)?;
        let findings = topics::plan(&topics::wanted(&config), &cluster);
        if global.json {
            report(&done, &findings)?;
        } else {
            for line in &done {
                output::line(format!("done   {line}"))?;
            }
            for finding in &findings {
                output::line(format!(
                    "{} {}: {}",
                    severity(finding, "refuse", "note  "),
                    finding.topic,
                    finding.text
                ))?;
            }
            if findings.is_empty() {
                output::line("every topic is as it should be")?;
            }
        }
        let refused = findings.iter().filter(|finding| finding.severity == Severity::Refuse).count();
        match self.command {
            Command::Apply | Command::Check if refused > 0 => Err(Failure::say(
                ExitCode::Refused,
                format!("{refused} of the topics' differences stand in the way of tamis run: see above"),
            )),
            Command::Plan | Command::Apply | Command::Check => Ok(()),
        }
    }
}

fn severity(finding: &Finding, refuse: &'static str, note: &'static str) -> &'static str {
    match finding.severity {
        Severity::Refuse => refuse,
        Severity::Note => note,
    }
}

fn report(done: &[String], findings: &[Finding]) -> Outcome {
    let findings: Vec<_> = findings
        .iter()
        .map(|one| json!({ "topic": one.topic, "severity": severity(one, "refuse", "note"), "text": one.text }))
        .collect();
    output::json(&json!({ "done": done, "findings": findings }))
}
