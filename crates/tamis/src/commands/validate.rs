//! `tamis validate`: whether the settings are good.

use std::time::Duration;

use serde_json::json;
use tamis_bus::kafka::{Kafka, topics};

use crate::cli::Global;
use crate::context::Context;
use crate::exit_code::{ExitCode, Failure, Outcome};
use crate::output;

/// How long the brokers may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Check the settings and the key; with --connect the brokers and their topics too.
///
/// What is wrong is told with file and line, and exit code 3.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tamis validate\n  tamis validate --connect --config /etc/tamis/tamis.toml"
)]
pub(crate) struct Validate {
    /// Ask the brokers too.
    #[arg(long)]
    connect: bool,
}

impl Validate {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let context = Context::open(global)?;
        // The key is read, and let go of again.
        context.subjects()?;
        let policy = context.policy()?;
        let mut notes = context.notes();
        if !policy.version().is_empty() {
            notes.push(format!("policy version {}", policy.version()));
        }
        let mut refused = 0;
        if let Some(config) = context.kafka_config() {
            // Properties that librdkafka does not know are found without a broker.
            let kafka = Kafka::new(config)?;
            if self.connect {
                kafka.probe(TIMEOUT)?;
                for finding in topics::check_needed(kafka.config(), TIMEOUT)? {
                    refused += usize::from(finding.severity == topics::Severity::Refuse);
                    notes.push(format!("{}: {}", finding.topic, finding.text));
                }
            }
        }
        if global.json {
            output::json(&json!({ "ok": refused == 0, "notes": notes }))?;
        } else {
            for note in &notes {
                output::line(format!("note  {note}"))?;
            }
            if refused == 0 {
                output::line("the settings are good")?;
            }
        }
        if refused == 0 {
            return Ok(());
        }
        Err(Failure::say(
            ExitCode::Refused,
            format!("{refused} of the topics' differences stand in the way of tamis run"),
        ))
    }
}
