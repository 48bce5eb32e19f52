//! `tamis suppress`: opt-outs recorded and lifted by an operator, under the same rules as through the API.

mod import;

use serde_json::json;
use tamis_campaign::{Channel, Reason, is_identifier};
use tamis_wire::record::{EVIDENCE_MOST, is_evidence};

use crate::cli::Global;
use crate::commands::export::Export;
use crate::context::{self, Context, Log};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::input;
use crate::job_json::names;
use crate::lines::{Line, Lines};
use crate::loaded::Loaded;
use crate::output;
use crate::suppressing::{Ask, Reach, Rows, write};

/// Rows of one call: the limit of the API (contract, section 6).
const ROWS_MAX: usize = 10_000;
/// A line is an address: a postal one in JSON has some hundred bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Record, lift or export opt-outs.
#[derive(Debug, clap::Args)]
pub(crate) struct Suppress {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Record opt-outs: each is in force for every job written after this command has ended.
    #[command(
        after_help = "Example:\n  tamis suppress add --tenant acme --channel sms --reason stop_reply < numbers.txt"
    )]
    Add(Args),
    /// Lift exactly the records named. Erased and blocked ones need --reason-text.
    #[command(
        after_help = "Example:\n  tamis suppress lift --tenant acme --channel sms --reason stop_reply < numbers.txt"
    )]
    Lift(Args),
    /// Print what is on record: who (a keyed digest), of which tenant, list and channel, why, since when, by what evidence.
    ///
    /// Lifted and expired records are not told; one that comes into force later is. No address is printed: to find people again, give
    /// their addresses or contacts with --match.
    #[command(
        after_help = "Example:\n  tamis suppress export --tenant acme --format csv -o acme.csv\n  tamis suppress export --tenant acme --contacts --match ids.txt"
    )]
    Export(Box<Export>),
    Import(Box<import::Import>),
}

/// What every row has in common.
#[derive(Debug, clap::Args)]
struct Args {
    /// The file, or - for stdin. A line is a phone number, an e-mail address, or a postal address as a JSON
    /// object; with --contacts it is a contact id. Never an argument: those are seen by everybody on the machine.
    #[arg(default_value = "-")]
    file: String,
    /// The tenant; not needed with --scope platform.
    #[arg(long, default_value = "", value_parser = tenant)]
    tenant: String,
    /// tenant or platform; a --list makes it that list alone.
    #[arg(long, default_value = "tenant", value_parser = ["tenant", "platform"])]
    scope: String,
    /// The subscription list.
    #[arg(long)]
    list: Option<String>,
    /// The channel, or all.
    #[arg(long, value_parser = channel_or_all)]
    channel: ChannelOrAll,
    /// Why.
    #[arg(long, value_parser = reason)]
    reason: Reason,
    /// An opaque id of what proves it; no personal data.
    #[arg(long, default_value = "")]
    evidence: String,
    /// When it ends, Unix ms; 0 is never.
    #[arg(long, default_value_t = 0)]
    expires_at_ms: i64,
    /// Why an erased or blocked record is lifted; goes into the record's evidence.
    #[arg(long)]
    reason_text: Option<String>,
    /// Lines are contact ids.
    #[arg(long)]
    contacts: bool,
}

/// A channel, or every one.
#[derive(Debug, Clone, Copy)]
struct ChannelOrAll(Option<Channel>);

fn channel_or_all(text: &str) -> Result<ChannelOrAll, String> {
    if text == "all" {
        return Ok(ChannelOrAll(None));
    }
    context::channel(text)
        .map(|channel| ChannelOrAll(Some(channel)))
        .map_err(|error| format!("{error}, or all"))
}

fn reason(text: &str) -> Result<Reason, String> {
    let all: Vec<Reason> =
        Reason::ALL.iter().copied().filter(|reason| *reason != Reason::NoConsent).collect();
    all.iter()
        .copied()
        .find(|reason| reason.as_str() == text)
        .ok_or_else(|| format!("must be one of {}", names(&all)))
}

fn tenant(text: &str) -> Result<String, String> {
    if text.is_empty() || is_identifier(text.as_bytes(), 64) {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 64 characters of A-Z a-z 0-9 . _ : -".to_owned())
}

impl Suppress {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let (args, lift) = match self.command {
            Command::Add(args) => (args, false),
            Command::Lift(args) => (args, true),
            Command::Export(export) => return export.run(global),
            Command::Import(import) => return import.run(global),
        };
        let ask = args.ask(lift)?;
        let context = Context::open(global)?;
        let subjects = context.subjects()?;
        let lines = Lines::new(input::open(&args.file)?, LINE_BYTES_MAX);
        let mut total = Total { accepted: 0, rejected: Vec::new() };
        match context.log()? {
            Log::Service(service) => total.take(lines, |rows| service.suppress(&ask, rows))?,
            Log::Kafka(bus) => {
                let loaded = Loaded::from(bus, subjects, &context)?;
                total.take(lines, |rows| write(&loaded, &ask, rows))?;
                loaded.end();
            }
            Log::Embedded(bus) => {
                let loaded = Loaded::from(bus, subjects, &context)?;
                total.take(lines, |rows| write(&loaded, &ask, rows))?;
                loaded.end();
            }
        }
        total.tell(global, lift)
    }
}

impl Args {
    /// What is asked for, checked as far as it can be without the rows.
    fn ask(&self, lift: bool) -> Outcome<Ask> {
        let usage = |text: &str| Err(Failure::say(ExitCode::Usage, text));
        let reach = match (self.scope.as_str(), &self.list) {
            ("platform", Some(_)) => return usage("--list and --scope platform exclude each other"),
            ("platform", None) if self.contacts => {
                return usage(
                    "a contact belongs to its tenant: --contacts and --scope platform exclude each other",
                );
            }
            ("platform", None) => Reach::Platform,
            (_, _) if self.tenant.is_empty() => return usage("--tenant is needed, but for --scope platform"),
            (_, Some(list)) if !is_identifier(list.as_bytes(), 128) => {
                return usage("--list must be 1 to 128 characters of A-Z a-z 0-9 . _ : -");
            }
            (_, Some(list)) => Reach::List(list.clone()),
            (_, None) => Reach::Tenant,
        };
        let hard = matches!(self.reason, Reason::Erased | Reason::Blocked);
        if lift && hard && self.reason_text.as_deref().is_none_or(|text| text.trim().is_empty()) {
            return Err(Failure::say(
                ExitCode::Unsafe,
                "an erased or blocked record is lifted only with --reason-text, which says why",
            ));
        }
        for (name, text) in
            [("--evidence", Some(&self.evidence)), ("--reason-text", self.reason_text.as_ref())]
        {
            if text.is_some_and(|text| !is_evidence(text)) {
                return usage(&format!(
                    "{name} must be {EVIDENCE_MOST} printable characters at most, and no @: it is never an address"
                ));
            }
        }
        if self.expires_at_ms != 0 && self.expires_at_ms <= context::now_ms() {
            return Err(Failure::say(ExitCode::Refused, "--expires-at-ms is in the past (EXPIRED)"));
        }
        Ok(Ask {
            lift,
            tenant: self.tenant.clone(),
            reach,
            channel: self.channel.0,
            reason: self.reason,
            evidence: self.evidence.clone(),
            expires_at_ms: self.expires_at_ms,
            reason_text: self.reason_text.clone(),
            contacts: self.contacts,
        })
    }
}

/// What became of all lines.
struct Total {
    accepted: u64,
    rejected: Vec<(usize, String)>,
}

impl Total {
    /// Reads lines and has them written, some thousands at a time.
    fn take(
        &mut self,
        lines: Lines<input::Input>,
        mut write: impl FnMut(&Rows) -> Outcome<Vec<(usize, String)>>,
    ) -> Outcome {
        let mut rows = Rows::default();
        for line in lines {
            let (number, line) = line.or_exit(ExitCode::Refused, "read lines")?;
            match line {
                Line::Text(text) if text.trim().is_empty() => {}
                Line::Text(text) => rows.push(number, text.trim()),
                Line::TooLong => self.rejected.push((number, "LINE_TOO_LONG".to_owned())),
                Line::NotText => self.rejected.push((number, "NOT_UTF8".to_owned())),
            }
            if rows.len() == ROWS_MAX {
                self.add(&rows, write(&rows)?);
                rows = Rows::default();
            }
        }
        if rows.len() > 0 {
            self.add(&rows, write(&rows)?);
        }
        Ok(())
    }

    fn add(&mut self, rows: &Rows, rejected: Vec<(usize, String)>) {
        self.accepted += (rows.len() - rejected.len()) as u64;
        self.rejected.extend(rejected);
    }

    fn tell(self, global: &Global, lift: bool) -> Outcome {
        let Self { accepted, rejected } = self;
        if global.json {
            let lines: Vec<_> =
                rejected.iter().map(|(line, code)| json!({ "line": line, "code": code })).collect();
            output::json(&json!({ "accepted": accepted, "rejected": lines }))?;
        } else {
            output::line(format!(
                "{} {accepted}, rejected {}",
                if lift { "lifted" } else { "recorded" },
                rejected.len()
            ))?;
            for (line, code) in &rejected {
                output::note(format!("line {line}: {code}"));
            }
        }
        if rejected.is_empty() {
            return Ok(());
        }
        Err(Failure::say(
            ExitCode::Refused,
            format!("{} lines were rejected; the others are durable", rejected.len()),
        ))
    }
}
