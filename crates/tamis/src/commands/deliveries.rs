//! `tamis deliveries tail`: what a gateway reads.

use std::time::Duration;

use serde_json::Value;
use tamis_campaign::{Channel, is_identifier};
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1::Delivery;

use crate::cli::Global;
use crate::context::{self, Context, TailAsk};
use crate::exit_code::Outcome;
use crate::{job_json, output};

/// Read deliveries as a gateway would.
#[derive(Debug, clap::Args)]
pub(crate) struct Deliveries {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print deliveries as they come; people are masked and content is left out unless --reveal.
    #[command(after_help = "Example:\n  tamis deliveries tail --channel sms --from-beginning --idle-exit 5s")]
    Tail(TailArgs),
}

#[derive(Debug, clap::Args)]
struct TailArgs {
    /// The channel.
    #[arg(long, value_parser = context::channel)]
    channel: Channel,
    /// The reader's name: what it has read is remembered under it.
    #[arg(long, default_value = "tamis-tail", value_parser = group)]
    group: String,
    /// Begin at the oldest delivery if this group has not read before.
    #[arg(long)]
    from_beginning: bool,
    /// End after so many.
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// End when nothing came for so long.
    #[arg(long, value_name = "TIME", value_parser = context::duration)]
    idle_exit: Option<Duration>,
    /// Show people and content.
    #[arg(long)]
    reveal: bool,
}

fn group(text: &str) -> Result<String, String> {
    if is_identifier(text.as_bytes(), 200) {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 200 characters of A-Z a-z 0-9 . _ : -".to_owned())
}

impl Deliveries {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let Command::Tail(args) = self.command;
        let context = Context::open(global)?;
        let ask = TailAsk {
            channel: args.channel,
            group: args.group,
            from_beginning: args.from_beginning,
            max: args.max,
            idle_exit: args.idle_exit,
        };
        context.tail(&ask, &mut |value| match Delivery::decode(value) {
            Ok(delivery) => {
                let shown = job_json::delivery(&delivery, args.reveal);
                if global.json { output::json(&shown) } else { output::line(in_words(&shown)) }
            }
            Err(_) => {
                output::note("a delivery that can't be read was passed over");
                Ok(())
            }
        })
    }
}

/// The text without control characters: what a job says must give no orders to a terminal. (JSON escapes them.)
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A delivery in a few lines, from its JSON: so that both show the same.
fn in_words(shown: &Value) -> String {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let stamp = &shown["stamp"];
    let recipients = shown["recipients"].as_array().map_or(&[][..], Vec::as_slice);
    let mut lines = format!(
        "{}  {}  {}  {} of {} recipients  part {}/{}  gateway {}",
        text(&shown["job_id"]),
        text(&shown["tenant"]),
        text(&shown["channel"]),
        recipients.len(),
        stamp["recipients_in"],
        stamp["part"],
        stamp["parts"],
        text(&stamp["gateway"]),
    );
    for one in recipients {
        let mut parts = vec![text(&one["address"]), text(&one["contact"])];
        for name in ["name", "street", "extra", "postal_code", "city", "country"] {
            parts.push(text(&one["postal"][name]));
        }
        parts.retain(|part| !part.is_empty());
        lines.push_str("\n  ");
        lines.push_str(&parts.join("  "));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: a delivery shown with --reveal gives no orders to a terminal.
    /// Fails when: its texts are printed as they are.
    #[test]
    fn a_delivery_in_words_has_no_control_characters() {
        let one = serde_json::json!({ "address": "a\u{1b}]0;owned\u{7}", "contact": "b\r\nc" });
        let shown = serde_json::json!({ "job_id": "j\u{9b}", "recipients": [one] });
        let words = in_words(&shown);
        assert!(!words.replace('\n', "").contains(char::is_control), "{words:?}");
        assert_eq!(words.lines().count(), 2, "{words:?}");
    }
}
