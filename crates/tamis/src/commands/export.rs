//! `tamis suppress export`: what tamis knows of whom, as rows. Keyed digests, or the contacts that the caller gives; no address.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;
use tamis_campaign::Tenant;
use tamis_intake::{ExportPage, ExportRow};
use tamis_pipeline::Filter;
use tamis_subject::{Subject, Subjects};

use crate::cli::Global;
use crate::context::{self, Context, Log};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::lines::{Line, Lines};
use crate::loaded::Loaded;
use crate::progress::Progress;
use crate::service::Service;
use crate::sink::{self, Sink};
use crate::{input, output, suppressing};

/// Subjects that are looked up together.
const SUBJECTS: usize = 8_192;
/// As of `suppress add`: a postal address in JSON has some hundred bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The columns of a CSV, after those of a match.
const COLUMNS: [&str; 12] = [
    "subject",
    "identity",
    "scope",
    "tenant",
    "list",
    "channel",
    "reason",
    "effective_at_ms",
    "expires_at_ms",
    "source",
    "evidence",
    "recorded_at_ms",
];

/// What of, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The tenant whose own records are wanted: of its scope and its lists.
    #[arg(long, required_unless_present = "all", conflicts_with = "all", value_parser = tenant)]
    tenant: Option<String>,
    /// The records of every tenant, and the platform's.
    #[arg(long)]
    all: bool,
    /// ndjson or csv.
    #[arg(long, default_value = "ndjson", value_parser = ["ndjson", "csv"])]
    format: String,
    /// Only the records of people in this file, or - for stdin: a phone number, an e-mail address, a postal address as a JSON
    /// object, or with --contacts a contact id on each line. Rows stand in its order and tell its lines.
    #[arg(long = "match", value_name = "FILE")]
    matching: Option<String>,
    /// The lines to match are contact ids; rows tell them.
    #[arg(long, requires = "matching", conflicts_with = "all")]
    contacts: bool,
    /// Encrypt for this recipient of age; may be given again.
    #[arg(long = "age-recipient", value_name = "age1…")]
    age_recipients: Vec<String>,
    /// Encrypt for the recipients in this file, one on a line.
    #[arg(long, value_name = "FILE")]
    age_recipients_file: Option<PathBuf>,
    /// The file to write [default: stdout].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn tenant(text: &str) -> Result<String, String> {
    Tenant::parse(text).map(|tenant| tenant.as_str().to_owned()).map_err(|error| error.to_string())
}

/// Who has the records.
enum Source {
    Here(Loaded, Filter),
    Service(Service),
}

impl Export {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        if global.json && self.output.is_none() {
            return Err(Failure::say(ExitCode::Usage, "--json tells of a file: name it with -o"));
        }
        let recipients = sink::recipients(&self.age_recipients, self.age_recipients_file.as_deref())?;
        let context = Context::open(global)?;
        let subjects = context.subjects()?;
        let lines = self.matching.as_deref().map(input::open).transpose()?;
        let source = Source::open(&context, &subjects)?;
        let mut out = Rows::open(&self, Sink::open(self.output.as_deref(), &recipients)?)?;
        let told = match lines {
            None => self.walk(&source, &mut out),
            Some(lines) => self.matched(&source, &subjects, Lines::new(lines, LINE_BYTES_MAX), &mut out),
        };
        source.end();
        let told = told?;
        let records = out.records;
        out.to.finish()?;
        told.say(global, records, self.output.is_some())
    }

    /// Every record, some at a time.
    fn walk(&self, source: &Source, out: &mut Rows) -> Outcome<Told> {
        let progress = Progress::new(Some(1 << 32), !out.to.is_shown());
        let mut told: Option<Told> = None;
        let mut next = Some(0);
        while let Some(from) = next {
            let page = source.page(from, self.tenant.as_deref())?;
            told.get_or_insert_with(|| Told::of(&page)).same_key(&page)?;
            out.put(&page.rows, |_| Ok(()))?;
            next = page.next;
            progress.at(next.map_or(1 << 32, u64::from), format!("{} records", out.records));
        }
        Ok(told.expect("there is one page at least"))
    }

    /// The records of those who stand on the lines.
    fn matched(
        &self,
        source: &Source,
        subjects: &Subjects,
        mut lines: Lines<input::Input>,
        out: &mut Rows,
    ) -> Outcome<Told> {
        let tenant = self.tenant.as_deref();
        let mut told: Option<Told> = None;
        let mut rejected = Vec::new();
        loop {
            let some = Matched::read(self, subjects, &mut lines, &mut rejected)?;
            let page = source.page_of(&some.subjects, subjects.scheme(), tenant)?;
            // Made with another key, nobody would be known.
            Told { scheme: subjects.scheme(), ..Told::of(&page) }.same_key(&page)?;
            told.get_or_insert_with(|| Told::of(&page));
            out.put(&page.rows, |row| {
                let of = row.line.and_then(|number| some.of.get(usize::try_from(number).ok()?));
                let Some((line, contact)) = of else {
                    return Err(Failure::say(ExitCode::Failed, "the answer tells of somebody else"));
                };
                row.line = Some(*line);
                row.contact = contact.clone().map(Into::into);
                Ok(())
            })?;
            if some.subjects.len() < SUBJECTS {
                break;
            }
        }
        Ok(Told { rejected, ..told.expect("there is one page at least") })
    }
}

/// People to look up.
struct Matched {
    subjects: Vec<Subject>,
    /// Each one's line, and the contact on it.
    of: Vec<(u64, Option<String>)>,
}

impl Matched {
    /// Reads lines, as many as are looked up together.
    fn read(
        export: &Export,
        subjects: &Subjects,
        lines: &mut Lines<input::Input>,
        rejected: &mut Vec<(usize, &'static str)>,
    ) -> Outcome<Self> {
        let mut some = Self { subjects: Vec::new(), of: Vec::new() };
        while some.subjects.len() < SUBJECTS {
            let Some(line) = lines.next() else { break };
            let (number, line) = line.or_exit(ExitCode::Refused, "read the lines to match")?;
            let text = match &line {
                Line::Text(text) => text.trim(),
                Line::TooLong => {
                    rejected.push((number, "LINE_TOO_LONG"));
                    continue;
                }
                Line::NotText => {
                    rejected.push((number, "NOT_UTF8"));
                    continue;
                }
            };
            if text.is_empty() {
                continue;
            }
            let tenant = export.tenant.as_deref().unwrap_or_default();
            match suppressing::subject(subjects, tenant, export.contacts, text) {
                Ok((subject, _)) => {
                    some.subjects.push(subject);
                    some.of.push((number as u64, export.contacts.then(|| text.to_owned())));
                }
                Err(code) => rejected.push((number, code)),
            }
        }
        Ok(some)
    }
}

impl Source {
    fn open(context: &Context, subjects: &Subjects) -> Outcome<Self> {
        let here = |loaded: Loaded| {
            let filter = loaded.filter();
            Self::Here(loaded, filter)
        };
        Ok(match context.log()? {
            Log::Service(service) => Self::Service(service),
            Log::Kafka(bus) => here(Loaded::from(bus, subjects.clone(), context)?),
            Log::Embedded(bus) => here(Loaded::from(bus, subjects.clone(), context)?),
        })
    }

    fn page(&self, from: u32, tenant: Option<&str>) -> Outcome<ExportPage> {
        match self {
            Self::Here(_, filter) => ExportPage::of(filter, from, tenant, context::now_ms())
                .or_exit(ExitCode::Failed, "read records"),
            Self::Service(service) => service.export(&json!({ "tenant": tenant, "from": from })),
        }
    }

    fn page_of(&self, subjects: &[Subject], scheme: u32, tenant: Option<&str>) -> Outcome<ExportPage> {
        match self {
            Self::Here(_, filter) => ExportPage::of_subjects(filter, subjects, tenant, context::now_ms())
                .or_exit(ExitCode::Failed, "look up records"),
            Self::Service(service) => {
                let of = Service::subjects(subjects, scheme);
                service.export(&json!({ "tenant": tenant, "of": of }))
            }
        }
    }

    fn end(self) {
        if let Self::Here(loaded, _) = self {
            loaded.end();
        }
    }
}

/// Rows as they are wanted.
struct Rows {
    to: Sink,
    csv: bool,
    matched: bool,
    contacts: bool,
    records: u64,
}

impl Rows {
    fn open(export: &Export, to: Sink) -> Outcome<Self> {
        let (matched, csv) = (export.matching.is_some(), export.format == "csv");
        let mut rows = Self { to, csv, matched, contacts: export.contacts, records: 0 };
        if csv {
            let first = [(matched, "line"), (export.contacts, "contact")];
            let first = first.iter().filter(|(is, _)| *is).map(|(_, name)| *name);
            let names = first.chain(COLUMNS);
            let mut line = Vec::new();
            cells(&mut line, names);
            rows.write(&line)?;
        }
        Ok(rows)
    }

    /// Writes `lines`, each an [`ExportRow`] in JSON, after `change` has seen them.
    fn put(&mut self, lines: &[u8], mut change: impl FnMut(&mut ExportRow<'_>) -> Outcome) -> Outcome {
        if !self.csv && !self.matched {
            self.records += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
            return self.write(lines);
        }
        let mut text = Vec::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let mut row = serde_json::from_slice(line).or_exit(ExitCode::Failed, "read a record")?;
            change(&mut row)?;
            self.records += 1;
            if self.csv {
                self.csv(&row, &mut text);
            } else {
                serde_json::to_writer(&mut text, &row).expect("a Vec takes what is written to it");
                text.push(b'\n');
            }
        }
        self.write(&text)
    }

    fn csv(&self, row: &ExportRow<'_>, text: &mut Vec<u8>) {
        let number = |number: i64| number.to_string();
        let line = row.line.filter(|_| self.matched).map(|line| line.to_string());
        let contact = self.contacts.then(|| row.contact.as_deref().unwrap_or_default());
        let (effective, expires) = (number(row.effective_at_ms), number(row.expires_at_ms));
        let recorded = number(row.recorded_at_ms);
        let told: [&str; COLUMNS.len()] = [
            &row.subject,
            &row.identity,
            &row.scope,
            &row.tenant,
            &row.list,
            &row.channel,
            &row.reason,
            &effective,
            &expires,
            &row.source,
            &row.evidence,
            &recorded,
        ];
        cells(text, line.as_deref().into_iter().chain(contact).chain(told));
    }

    fn write(&mut self, bytes: &[u8]) -> Outcome {
        self.to.write_all(bytes).map_err(|error| Failure::new(ExitCode::Failed, error))
    }
}

/// A row of a CSV (RFC 4180). What a spreadsheet may take for a formula has an apostrophe before it.
fn cells<'c>(out: &mut Vec<u8>, cells: impl Iterator<Item = &'c str>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let apostrophe = if tamis_scrub::is_formula(cell.as_bytes()) { "'" } else { "" };
        if cell.contains(['"', ',', '\r', '\n']) {
            let doubled = cell.replace('"', "\"\"");
            out.extend_from_slice(format!("\"{apostrophe}{doubled}\"").as_bytes());
        } else {
            out.extend_from_slice(apostrophe.as_bytes());
            out.extend_from_slice(cell.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// What is said at the end.
struct Told {
    position: Vec<i64>,
    scheme: u32,
    rejected: Vec<(usize, &'static str)>,
}

impl Told {
    fn of(page: &ExportPage) -> Self {
        Self { position: page.position.clone(), scheme: page.scheme, rejected: Vec::new() }
    }

    /// Subjects before and after a rotation are not the same.
    fn same_key(&self, page: &ExportPage) -> Outcome {
        if page.scheme == self.scheme {
            return Ok(());
        }
        Err(Failure::say(ExitCode::Failed, "the identity key was rotated meanwhile: export again"))
    }

    fn say(self, global: &Global, records: u64, on_stdout: bool) -> Outcome {
        let Self { position, scheme, rejected } = self;
        if global.json {
            let lines: Vec<_> =
                rejected.iter().map(|(line, code)| json!({ "line": line, "code": code })).collect();
            output::json(&json!({
                "records": records, "scheme": scheme, "position": position, "rejected": lines,
            }))?;
        } else {
            let text = format!("{records} records, scheme {scheme}, filter position {position:?}");
            if on_stdout {
                output::line(text)?
            } else {
                output::note(text)
            }
            for (line, code) in &rejected {
                output::note(format!("line {line}: {code}"));
            }
        }
        if rejected.is_empty() {
            return Ok(());
        }
        let text = format!("{} lines are nobody; the others were looked up", rejected.len());
        Err(Failure::say(ExitCode::Refused, text))
    }
}

#[cfg(test)]
mod tests {
    use super::cells;

    /// Guarantees: no cell of an export is a formula, and a CSV reader finds what was put.
    #[test]
    fn cells_are_quoted_and_formulas_are_not_formulas() {
        let mut out = Vec::new();
        cells(&mut out, ["a", "=1+1", "-x", "@x", "\tx", "+33", "\r=", "a,\"b\"", "=\"x\"", ""].into_iter());
        let expected = "a,'=1+1,'-x,'@x,'\tx,'+33,\"'\r=\",\"a,\"\"b\"\"\",\"'=\"\"x\"\"\",\r\n";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }
}
