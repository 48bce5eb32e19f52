//! `tamis jobs`: what a campaign scheduler does, from a file.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};

use serde_json::json;
use tamis_campaign::Channel;
use tamis_wire::Message as _;

use crate::cli::Global;
use crate::context::{self, Context};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::{job_json, output};

/// Send jobs, or print one to begin with.
#[derive(Debug, clap::Args)]
pub(crate) struct Jobs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Send jobs from NDJSON: one a line, with the field names of the reference.
    ///
    /// `content` and the recipients' `fields` are base64; `content_text` is the content as it stands. A line that
    /// is not a job is told with its number and field, and the others are sent.
    #[command(
        after_help = "Example:\n  tamis jobs example --channel sms | tamis jobs send -\n  tamis jobs send jobs.ndjson"
    )]
    Send {
        /// The file, or - for stdin.
        file: String,
    },
    /// Print a job to begin with.
    #[command(after_help = "Example:\n  tamis jobs example --channel mail > job.ndjson")]
    Example {
        /// The channel.
        #[arg(long, default_value = "sms", value_parser = context::channel)]
        channel: Channel,
    },
}

impl Jobs {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        match self.command {
            Command::Send { file } => send(global, &file),
            Command::Example { channel } => output::json(&example(channel)),
        }
    }
}

fn send(global: &Global, file: &str) -> Outcome {
    let context = Context::open(global)?;
    let lines: Box<dyn BufRead> = if file == "-" {
        Box::new(stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).or_exit(ExitCode::Refused, format!("open {file}"))?))
    };
    let sender = context.sender()?;
    let (mut sent, mut refused) = (0_u64, 0_u64);
    for (at, line) in lines.lines().enumerate() {
        let line = line.or_exit(ExitCode::Refused, format!("read {file}"))?;
        if line.trim().is_empty() {
            continue;
        }
        match job_json::parse(&line) {
            Ok(job) => {
                sender.send(&job.job_id, job.encode_to_vec())?;
                sent += 1;
            }
            Err(bad) => {
                refused += 1;
                output::note(format!("line {}: {bad}", at + 1));
            }
        }
    }
    sender.finish()?;
    if global.json {
        output::json(&json!({ "sent": sent, "refused": refused }))?;
    } else {
        output::line(format!("sent {sent}, refused {refused}"))?;
    }
    if refused == 0 {
        Ok(())
    } else {
        Err(Failure::say(ExitCode::Refused, format!("{refused} lines are not jobs; the others were sent")))
    }
}

/// A job that can be sent as it is.
fn example(channel: Channel) -> serde_json::Value {
    let recipients = match channel {
        Channel::Sms | Channel::Voice | Channel::Fax => json!([
            { "address": "06 39 98 12 34", "contact": "client-1" },
            { "address": "+33639981235", "time_zone": "Europe/Paris" },
        ]),
        Channel::Email => json!([
            { "address": "camille@example.org", "contact": "client-1" },
            { "address": "dominique@example.net" },
        ]),
        Channel::Mail => json!([{
            "contact": "client-1",
            "postal": {
                "name": "Camille Exemple", "street": "12 rue des Lilas", "postal_code": "75020",
                "city": "Paris", "country": "FR",
            },
        }]),
    };
    let (sender, text) = match channel {
        Channel::Sms => ("36200", "Bonjour ! STOP au 36200"),
        Channel::Voice | Channel::Fax => ("+33199000000", "Bonjour !"),
        Channel::Email => ("bonjour@acme.example", "Bonjour !"),
        Channel::Mail => ("Acme", "Bonjour !"),
    };
    json!({
        "job_id": format!("example-{channel}-1"),
        "tenant": "acme",
        "campaign": "bonjour",
        "channel": channel.as_str(),
        "purpose": "marketing",
        "sender": sender,
        "content_type": "text/plain",
        "content_text": text,
        "recipients": recipients,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_job_that_can_be_sent() {
        for &channel in Channel::ALL {
            let job = job_json::parse(&example(channel).to_string()).unwrap();
            assert_eq!(job.channel, channel.number());
            assert!(!job.recipients.is_empty());
        }
    }
}
