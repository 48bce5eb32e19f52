//! The parsers of the API, of the command and of the key file, for fuzzing.
//!
//! Their sources are taken in by path, not their crates: those would bring librdkafka and OpenSSL, whose C would be
//! compiled anew for every fuzz build. What is fuzzed is the code that ships, to the byte.

// Each source is used in part.
#![allow(dead_code, unreachable_pub, unused_imports, clippy::all)]

#[path = "../../crates/intake/src/answer.rs"]
mod answer;
#[path = "../../crates/intake/src/ask.rs"]
mod ask;
#[path = "../../crates/tamis/src/job_json.rs"]
mod job_json;
#[path = "../../crates/subject/src/key.rs"]
mod key;
#[path = "../../crates/intake/src/keys.rs"]
mod keys;
#[path = "../../crates/tamis/src/lines.rs"]
mod lines;
#[path = "../../crates/tamis/src/mask.rs"]
mod mask;
#[path = "../../crates/intake/src/problems.rs"]
mod problems;
#[path = "../../crates/subject/src/redacted.rs"]
mod redacted;
#[path = "../../crates/intake/src/replies/reading.rs"]
mod reading;
#[path = "../../crates/intake/src/rows.rs"]
mod rows;
#[path = "../../crates/intake/src/scopes.rs"]
mod scopes;
#[path = "../../crates/intake/src/shape.rs"]
mod shape;

/// Of intake's `webhooks` the readers.
#[path = "."]
mod webhooks {
    #[path = "../../crates/intake/src/webhooks/event.rs"]
    pub(crate) mod event;
    #[path = "../../crates/intake/src/webhooks/infobip.rs"]
    pub(crate) mod infobip;
    #[path = "../../crates/intake/src/webhooks/report.rs"]
    pub(crate) mod report;
    #[path = "../../crates/intake/src/webhooks/signature.rs"]
    pub(crate) mod signature;
    #[path = "../../crates/intake/src/webhooks/twilio.rs"]
    pub(crate) mod twilio;
}

/// The reader of imports, without what runs them.
#[path = "../../crates/intake/src/imports"]
mod imports {
    #[path = "columns.rs"]
    mod columns;
    #[path = "layouts.rs"]
    pub mod layouts;
    #[path = "plan.rs"]
    pub mod plan;
    #[path = "reading.rs"]
    pub mod reading;
    #[path = "rows.rs"]
    pub mod rows;
    #[path = "text.rs"]
    pub mod text;
    #[path = "values.rs"]
    mod values;

    /// Every row of `bytes` that come in pieces of `piece`: its line, and whether it is somebody's or the code it is rejected with.
    pub fn rows(
        bytes: &[u8],
        piece: usize,
        plan: &plan::Plan,
        subjects: &tamis_subject::Subjects,
    ) -> Result<Vec<(u64, Result<(), &'static str>)>, String> {
        use reading::{Next, Reader, Row};
        let opened = Reader::open(Pieces(bytes, piece.max(1)), plan.hint).map_err(|_| "broke off")?;
        let mut reader = opened.map_err(|not| format!("{not:?}"))?;
        let (mut decoder, mut row) = (text::Decoder::new(plan.hint.encoding), Row::default());
        let mut header = None;
        if matches!(reader.format(), reading::Format::Csv { .. }) {
            if reader.next(&mut row).map_err(|broken| broken.to_string())? != Next::Row {
                return Err("no header".to_owned());
            }
            decoder.decode(&mut row).map_err(|code| code.as_str().to_owned())?;
            header = Some(layouts::Header::read(&row, plan).map_err(|unfit| unfit.expected)?);
        }
        let (first, evidence) = (subjects.first(), "import:fuzz".into());
        let maker = rows::Maker { plan, header: header.as_ref(), subjects: subjects.clone(), first, evidence };
        let mut all = Vec::new();
        loop {
            let read = match reader.next(&mut row).map_err(|broken| broken.to_string())? {
                Next::End => return Ok(all),
                Next::TooLong => Err(rows::Code::LineTooLong),
                Next::TooManyColumns => Err(rows::Code::TooManyColumns),
                Next::Row => decoder.decode(&mut row),
            };
            assert!(row.all().len() <= reading::ROW_BYTES_MAX * 3 + 3 && row.columns() <= reading::COLUMNS_MAX + 1);
            let made = read.and_then(|()| maker.draft(&row)).map_err(rows::Code::as_str);
            all.push((row.line, made.map(|draft| assert_eq!(draft.record.state, tamis_wire::record::State::InForce))));
        }
    }

    struct Pieces<'a>(&'a [u8], usize);

    impl std::io::Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let length = self.0.len().min(self.1).min(into.len());
            let (piece, rest) = self.0.split_at(length);
            into[..length].copy_from_slice(piece);
            self.0 = rest;
            Ok(length)
        }
    }
}

/// Of intake's `access` only what the parsers see: who calls.
mod access {
    pub(crate) struct Caller {
        pub(crate) owner: crate::keys::Owner,
    }
}

use access::Caller;
use keys::Owner;
use tamis_subject::Subjects;
use tamis_wire::proto::campaign::v1::{Delivery, SendJob};

/// The wall clock, Unix ms: as in intake.
fn now_ms() -> tamis_campaign::UnixMs {
    0
}

/// A body of `/v1/suppressions`, `…/lift` or `…/lookup`, by `door`, in the name of a caller: how many rows it has and how
/// many of them are somebody, or the words that it is refused with.
pub fn ask(body: &[u8], door: u8, caller: u8, subjects: &Subjects) -> Result<(usize, usize), String> {
    let owner = match caller % 3 {
        0 => Owner::Tenant("acme".to_owned()),
        1 => Owner::Gateway("sms-paris".to_owned()),
        _ => Owner::Operator,
    };
    let caller = Caller { owner };
    let told = |refusal: answer::Refusal| format!("{refusal:?}");
    let count = |rows: &rows::Rows, tenant: Option<tamis_campaign::Tenant<'_>>| {
        let all: Vec<_> = rows.subjects(subjects, tenant).collect();
        (all.len(), all.iter().filter(|row| row.subject.is_ok()).count())
    };
    match door % 3 {
        0 | 1 => {
            let door = if door % 3 == 0 { ask::Door::Add } else { ask::Door::Lift };
            let ask = ask::Ask::read(body, door, &caller).map_err(told)?;
            assert!(!ask.evidence.contains('@'), "evidence is never an address");
            Ok(count(&ask.rows, ask.tenant()))
        }
        _ => {
            let ask = ask::LookUp::read(body, &caller).map_err(told)?;
            Ok(count(&ask.rows, tamis_campaign::Tenant::parse(&ask.tenant).ok()))
        }
    }
}

/// The steps of the identity key of a key file's text; `None` when it is not one.
pub fn key(text: &[u8]) -> Option<Vec<[u8; 32]>> {
    key::parse(text).map(|key| key.steps().to_vec())
}

/// How many keys a keys file's text has; `None` when it is not one.
pub fn keys(text: &str) -> Option<usize> {
    keys::parse(text).map(|keys| keys.len())
}

/// A line of `jobs send` as a job, or the words that it is refused with.
pub fn job(line: &str) -> Result<SendJob, String> {
    job_json::parse(line).map_err(|bad| bad.to_string())
}

/// A delivery as `deliveries tail` shows it.
pub fn shown(delivery: &Delivery, reveal: bool) -> String {
    job_json::delivery(delivery, reveal).to_string()
}

/// A file's lines: `None` for one that is too long, or is no text.
pub fn lines(bytes: &[u8], bytes_max: usize, buffer: usize) -> Vec<(usize, Option<String>)> {
    let from = std::io::BufReader::with_capacity(buffer, bytes);
    let read = lines::Lines::new(from, bytes_max).map(|line| line.expect("memory can be read"));
    read.map(|(number, line)| match line {
        lines::Line::Text(text) => (number, Some(text)),
        lines::Line::TooLong | lines::Line::NotText => (number, None),
    })
    .collect()
}

/// What a reply says to a tenant with this word of its own: 0 stop, 1 start, 2 nothing.
pub fn reply(text: &str, own: &str) -> u8 {
    let own = [Box::from(own)];
    match reading::read(text, &own, &[]) {
        reading::Meaning::Stop => 0,
        reading::Meaning::Start => 1,
        reading::Meaning::Nothing => 2,
    }
}

/// A feedback report: its recipients and what may be tokens; `None` for what is none.
pub fn report(body: &[u8], content_type: &str) -> Option<(Vec<String>, Vec<String>)> {
    let report = webhooks::report::Report::read(body, content_type)?;
    let recipients = report.recipients.iter().map(|address| address.to_string()).collect();
    Some((recipients, report.tokens().map(str::to_owned).collect()))
}

/// The body of a gateway's call, by `door`: how many events it has, or the words that it is refused with.
pub fn webhook(body: &[u8], door: u8) -> Result<usize, String> {
    let told = |refusal: answer::Refusal| format!("{refusal:?}");
    match door % 4 {
        0 => webhooks::event::read(body).map(|_| 1).map_err(told),
        1 => {
            let events = webhooks::infobip::events(body, "g", 1).map_err(told)?;
            Ok(events.into_iter().filter_map(Result::ok).count())
        }
        2 => webhooks::twilio::Form::read(body).and_then(|form| form.event("g", 1)).map(|_| 1).map_err(told),
        _ => {
            let header = String::from_utf8_lossy(body);
            let signature = webhooks::signature::Signature::parse(&header).ok_or("no signature")?;
            assert!(signature.proves("key", b"nobody signed this").is_none());
            Ok(0)
        }
    }
}

/// A file of opt-outs, in pieces: every row's line and fate, or the words that it is refused with.
pub fn import(
    bytes: &[u8],
    piece: usize,
    caller: u8,
    defaults: bool,
    subjects: &Subjects,
) -> Result<Vec<(u64, Result<(), &'static str>)>, String> {
    let owner = if caller % 2 == 0 { Owner::Tenant("acme".to_owned()) } else { Owner::Operator };
    let mut plan = imports::plan::Plan::new("fuzz".to_owned(), owner);
    if defaults {
        for (name, value) in [("tenant", "acme"), ("channel", "sms"), ("reason", "objected")] {
            plan.set(name, value).expect("they are good");
        }
    }
    imports::rows(bytes, piece, &plan, subjects)
}
