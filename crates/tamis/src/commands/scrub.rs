//! `tamis scrub`: a list, cleaned in place of a campaign, and a report of it.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use tamis_campaign::{Channel, Purpose, Reason, Tenant, is_identifier};
use tamis_pipeline::Filter;
use tamis_scrub::{Ask, Format, Report, What};
use tamis_subject::{Subject, Subjects};

use crate::cli::Global;
use crate::context::{self, Context, Log};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::job_json::names;
use crate::loaded::Loaded;
use crate::progress::Progress;
use crate::service::Service;
use crate::sink::Sink;
use crate::{input, output};

/// Clean a list of those who must not be written to.
///
/// Reads CSV (separated by , ; tab or |, with a first row that names the columns in French or English) or NDJSON, and writes the same
/// rows, byte for byte and in order, without those that the line would drop: suppressed, without the consent that the policy asks
/// for, no address, or there before. A row that can't be read with certainty is dropped too, and told.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  tamis scrub clients.csv --tenant acme --channel sms -o clean.csv --report report.json\n  tamis scrub - --tenant acme --channel email --column address=2 --no-header < list.txt"
)]
pub(crate) struct Scrub {
    /// The list, or - for stdin.
    file: String,
    /// Whose list it is.
    #[arg(long, value_parser = tenant)]
    tenant: String,
    /// What it is for.
    #[arg(long, value_parser = context::channel)]
    channel: Channel,
    /// The subscription list whose opt-outs apply as well.
    #[arg(long, default_value = "", hide_default_value = true, value_parser = list)]
    list: String,
    /// marketing or service.
    #[arg(long, default_value = "marketing", value_parser = purpose)]
    purpose: Purpose,
    /// csv or ndjson [default: as it begins].
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Where in a row it says who it is: address, contact, name, street, postal_code or country, and the column's name, or its
    /// number from 1. May be given again.
    #[arg(long = "column", value_name = "WHAT=NAME", value_parser = column)]
    columns: Vec<(What, String)>,
    /// The first row of the CSV is somebody, and names no columns; the address is in the first one.
    #[arg(long)]
    no_header: bool,
    /// Keep rows whose address was kept before. Without it, memory holds 20 to 30 bytes for each row that is kept, and 50
    /// while the table of them grows.
    #[arg(long)]
    keep_duplicates: bool,
    /// Put an apostrophe before cells of the CSV that a spreadsheet would take for formulas. Without it rows are as they came, since
    /// a changed cell is no longer what whoever made the list has.
    #[arg(long)]
    escape: bool,
    /// The file to write [default: stdout].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A file for the report: how many were dropped, why, and at which rows, counted from 0 without the row of names and blank
    /// lines. Nobody is in it.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn tenant(text: &str) -> Result<String, String> {
    Tenant::parse(text).map(|tenant| tenant.as_str().to_owned()).map_err(|error| error.to_string())
}

fn list(text: &str) -> Result<String, String> {
    if text.is_empty() || is_identifier(text.as_bytes(), 128) {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 128 characters of A-Z a-z 0-9 . _ : -".to_owned())
}

fn purpose(text: &str) -> Result<Purpose, String> {
    Purpose::from_name(text).ok_or_else(|| format!("must be one of {}", names(Purpose::ALL)))
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "csv" => Ok(Format::Csv),
        "ndjson" => Ok(Format::Ndjson),
        _ => Err("must be csv or ndjson".to_owned()),
    }
}

fn column(text: &str) -> Result<(What, String), String> {
    let known = text.split_once('=').and_then(|(what, name)| {
        let what = What::ALL.into_iter().find(|known| known.as_str() == what)?;
        (!name.is_empty()).then(|| (what, name.to_owned()))
    });
    known.ok_or_else(|| {
        let all: Vec<_> = What::ALL.iter().map(|what| what.as_str()).collect();
        format!("must be WHAT=NAME, where WHAT is one of {}", all.join(", "))
    })
}

impl Scrub {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        if global.json && self.output.is_none() {
            return Err(Failure::say(ExitCode::Usage, "--json tells of a file: name it with -o"));
        }
        let context = Context::open(global)?;
        let subjects = context.subjects()?;
        let rules = self.rules(&context)?;
        let list = input::open(&self.file)?;
        let to = Sink::open(self.output.as_deref(), &Vec::new())?;
        let report_to = self.report.as_deref().map(|file| Sink::open(Some(file), &Vec::new())).transpose()?;
        let (report, filter) = match context.log()? {
            Log::Service(service) => {
                let filter = Known::begin(Who::Service(service, subjects.scheme()), &self, &rules)?;
                self.clean(&subjects, filter, list, to)?
            }
            Log::Kafka(bus) => self.clean_here(Loaded::from(bus, subjects, &context)?, &rules, list, to)?,
            Log::Embedded(bus) => {
                self.clean_here(Loaded::from(bus, subjects, &context)?, &rules, list, to)?
            }
        };
        let told = self.told(&report, &filter, &rules);
        if let Some(mut to) = report_to {
            let text = format!("{told:#}\n");
            to.write_all(text.as_bytes()).map_err(|error| Failure::new(ExitCode::Failed, error))?;
            to.finish()?;
        }
        if global.json {
            return output::json(&told);
        }
        let words = in_words(&report, self.escape);
        if self.output.is_some() {
            return output::line(words);
        }
        output::note(words);
        Ok(())
    }

    /// A list is not cleaned for a tenant whose jobs the line would refuse.
    fn rules(&self, context: &Context) -> Outcome<Rules> {
        let policy = context.policy()?;
        let allowed = policy.judge(&self.tenant, self.channel, "", context::now_ms());
        let tenant = allowed.map_err(|denied| {
            let text = format!("refused, as a job would be: {} ({})", denied.message, denied.rule);
            Failure::say(ExitCode::Unsafe, text)
        })?;
        let needs_consent = tenant.needs_consent(self.channel) && Reason::NoConsent.drops(self.purpose);
        Ok(Rules { needs_consent, version: policy.version().to_owned() })
    }

    /// With a filter of our own.
    fn clean_here(
        &self,
        loaded: Loaded,
        rules: &Rules,
        list: input::Input,
        to: Sink,
    ) -> Outcome<(Report, Seen)> {
        let filter = loaded.filter();
        let subjects = filter.read().key().clone();
        let cleaned = self.clean(&subjects, Known::begin(Who::Filter(filter), self, rules)?, list, to);
        loaded.end();
        cleaned
    }

    fn clean(
        &self,
        subjects: &Subjects,
        mut filter: Known<'_>,
        list: input::Input,
        mut to: Sink,
    ) -> Outcome<(Report, Seen)> {
        let ask = Ask {
            tenant: Tenant::parse(&self.tenant).or_exit(ExitCode::Usage, "--tenant")?,
            channel: self.channel,
            format: self.format,
            header: !self.no_header,
            named: &self.columns,
            keep_duplicates: self.keep_duplicates,
            escape: self.escape,
        };
        let bytes = std::fs::metadata(&self.file).ok().filter(std::fs::Metadata::is_file);
        let progress = Progress::new(bytes.map(|file| file.len()), !to.is_shown());
        let cleaned = tamis_scrub::scrub(&ask, subjects, &mut filter, progress.reading(list), &mut to);
        drop(progress);
        let report = cleaned.map_err(stopped)?;
        to.finish()?;
        Ok((report, filter.seen))
    }

    /// The report, with what it is of.
    fn told(&self, report: &Report, seen: &Seen, rules: &Rules) -> Value {
        let mut told = json!({
            "tenant": self.tenant,
            "list": self.list,
            "channel": self.channel.as_str(),
            "purpose": self.purpose.as_str(),
            "policy_version": rules.version,
            "needs_consent": rules.needs_consent,
            "decided_at_ms": seen.decided_at_ms,
            "filter_position": seen.position,
        });
        if let (Some(told), Value::Object(report)) = (told.as_object_mut(), report.json()) {
            told.extend(report);
        }
        told
    }
}

fn stopped(error: tamis_scrub::Error<Failure>) -> Failure {
    use tamis_scrub::Error;
    match error {
        Error::Read(error) => {
            Failure::new(ExitCode::Refused, anyhow::Error::from(error).context("read the list"))
        }
        Error::Bad(bad) => Failure::new(ExitCode::Refused, bad),
        Error::Write(error) => Failure::new(ExitCode::Failed, error),
        Error::Filter(failure) => failure,
    }
}

/// What the policy says of a list.
struct Rules {
    /// Whether nobody is kept without a consent in force.
    needs_consent: bool,
    /// Of the policy; empty without one.
    version: String,
}

/// Who knows who is suppressed.
enum Who {
    Filter(Filter),
    /// A running service, and the scheme of the subjects that it is asked about.
    Service(Service, u32),
}

/// The same, for one list.
struct Known<'a> {
    who: Who,
    of: &'a Scrub,
    needs_consent: bool,
    seen: Seen,
}

/// What the filter was at the first look; at later ones it was that and more.
#[derive(Default)]
struct Seen {
    position: Vec<i64>,
    decided_at_ms: i64,
}

impl<'a> Known<'a> {
    fn begin(who: Who, of: &'a Scrub, rules: &Rules) -> Outcome<Self> {
        let mut known = Self { who, of, needs_consent: rules.needs_consent, seen: Seen::default() };
        known.seen = known.look(&[], &mut Vec::new())?;
        Ok(known)
    }

    fn look(&self, subjects: &[Subject], reasons: &mut Vec<Option<Reason>>) -> Outcome<Seen> {
        let Scrub { tenant, list, channel, purpose, .. } = self.of;
        match &self.who {
            Who::Filter(filter) => {
                let decided_at_ms = context::now_ms();
                let view = filter.read();
                let selection = view.selection(tenant, list, *channel, *purpose, self.needs_consent);
                selection.reasons(subjects, decided_at_ms, reasons);
                Ok(Seen { position: view.position().to_vec(), decided_at_ms })
            }
            Who::Service(service, scheme) => {
                let told = service.judge(&json!({
                    "tenant": tenant,
                    "list": list,
                    "channel": channel.as_str(),
                    "purpose": purpose.as_str(),
                    "needs_consent": self.needs_consent,
                    "of": Service::subjects(subjects, *scheme),
                }));
                let (told, position, decided_at_ms) = told?;
                if told.len() != subjects.len() {
                    return Err(Failure::say(ExitCode::Failed, "the running service's answer is not whole"));
                }
                reasons.extend(told);
                Ok(Seen { position, decided_at_ms })
            }
        }
    }
}

impl tamis_scrub::Filter for Known<'_> {
    type Error = Failure;

    fn reasons(&mut self, subjects: &[Subject], reasons: &mut Vec<Option<Reason>>) -> Outcome {
        if subjects.is_empty() { Ok(()) } else { self.look(subjects, reasons).map(drop) }
    }
}

fn in_words(report: &Report, escaped: bool) -> String {
    let mut text = format!("kept {} of {} rows", report.kept, report.rows);
    let suppressed = report.suppressed.iter().map(|(reason, places)| (reason.as_str(), places.count()));
    let rejected = report.rejected.iter().map(|(reason, places)| (reason.as_str(), places.count()));
    for (reason, count) in suppressed.chain(rejected) {
        text.push_str(&format!("\n  {count:>10}  {reason}"));
    }
    if report.formulas > 0 && !escaped {
        let rows = report.formulas;
        text.push_str(&format!(
            "\n{rows} kept rows have cells that a spreadsheet takes for formulas: --escape makes texts of them"
        ));
    }
    if let Some(bad) = &report.first_malformed {
        text.push_str(&format!("\nthe first malformed row: {bad}"));
    }
    text
}
