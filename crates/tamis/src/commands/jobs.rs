//! `tamis jobs`: what a campaign scheduler does, from a file.

use serde_json::json;
use tamis_campaign::Channel;
use tamis_wire::Message as _;

use crate::cli::Global;
use crate::context::{self, Context};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::lines::{Line, Lines};
use crate::{input, job_json, output};

/// A line's greatest length in bytes, for each byte of the greatest message: base64 and the names of fields make JSON
/// longer than what it stands for, a recipient about twice.
const LINE_TIMES: usize = 4;

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
    let bytes_max = context.settings.topics().max_message_bytes();
    let lines = Lines::new(input::open(file)?, bytes_max.saturating_mul(LINE_TIMES));
    let sender = context.sender()?;
    let (mut sent, mut refused) = (0_u64, 0_u64);
    for line in lines {
        let (number, line) = line.or_exit(ExitCode::Refused, "read lines")?;
        match job(&line, bytes_max) {
            Ok(None) => {}
            Ok(Some((job_id, value))) => {
                sender.send(&job_id, value)?;
                sent += 1;
            }
            Err(bad) => {
                refused += 1;
                output::note(format!("line {number}: {bad}"));
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

/// A line's job, id and bytes; `None` for a blank line. An error says nothing of what stands there.
fn job(line: &Line, bytes_max: usize) -> Result<Option<(String, Vec<u8>)>, String> {
    let text = match line {
        Line::Text(text) if text.trim().is_empty() => return Ok(None),
        Line::Text(text) => text,
        Line::TooLong => return Err(format!("longer than {} bytes", bytes_max.saturating_mul(LINE_TIMES))),
        Line::NotText => return Err("not UTF-8".to_owned()),
    };
    let job = job_json::parse(text).map_err(|bad| bad.to_string())?;
    let value = job.encode_to_vec();
    if value.len() > bytes_max {
        return Err(format!(
            "the job has {} bytes, topics.max_message_bytes is {bytes_max}: send its recipients in several",
            value.len()
        ));
    }
    Ok(Some((job.job_id, value)))
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

    /// Guarantees: a job of the greatest size is sent, one byte more is refused with both sizes, and neither stops the rest.
    /// Fails when: the size is left to the log, whose refusal ends the command.
    #[test]
    fn a_job_that_is_no_message_is_refused_with_its_size() {
        let line = Line::Text(example(Channel::Sms).to_string());
        let size = job(&line, usize::MAX).unwrap().unwrap().1.len();
        assert!(job(&line, size).unwrap().is_some());
        let told = job(&line, size - 1).unwrap_err();
        assert!(told.starts_with(&format!("the job has {size} bytes")), "{told}");
        assert_eq!(job(&Line::TooLong, 1_000), Err("longer than 4000 bytes".to_owned()));
        assert_eq!(job(&Line::Text(" ".to_owned()), 1_000), Ok(None));
    }
}
