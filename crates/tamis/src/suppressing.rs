//! Opt-outs made of lines and written to the log, where no service does it.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tamis_bus::KeyedRecord;
use tamis_campaign::{Channel, Identity, Reason, RecordReason, Source, Tenant};
use tamis_subject::{Invalid, Postal, SCHEME, Subject, Subjects};
use tamis_wire::record::{self, Record, Scope, State};

use crate::exit_code::{ExitCode, OrExit as _, Outcome};
use crate::loaded::Loaded;

/// How long the log may take to make a call's records durable.
const ACK_TIMEOUT: Duration = Duration::from_secs(60);

/// How far an opt-out reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Every tenant.
    Platform,
    /// The tenant.
    Tenant,
    /// One of the tenant's lists.
    List(String),
}

/// What is asked for each row.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// Lift it; record it otherwise.
    pub(crate) lift: bool,
    /// The tenant; empty for the platform.
    pub(crate) tenant: String,
    /// How far.
    pub(crate) reach: Reach,
    /// The channel, `None` for every one.
    pub(crate) channel: Option<Channel>,
    /// Why.
    pub(crate) reason: Reason,
    /// An opaque id.
    pub(crate) evidence: String,
    /// Unix ms; 0 is never.
    pub(crate) expires_at_ms: i64,
    /// Why a hard record is lifted.
    pub(crate) reason_text: Option<String>,
    /// Rows are contact ids.
    pub(crate) contacts: bool,
}

/// Lines with their numbers. Their text is personal data: no `Debug`.
#[derive(Default)]
pub(crate) struct Rows(Vec<(usize, String)>);

impl Rows {
    /// Adds a line.
    pub(crate) fn push(&mut self, number: usize, text: &str) {
        self.0.push((number, text.to_owned()));
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The lines.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().map(|(number, text)| (*number, text.as_str()))
    }
}

/// Writes the rows' records and waits until all are durable. Answers the lines rejected, each with a code.
pub(crate) fn write(loaded: &Loaded, ask: &Ask, rows: &Rows) -> Outcome<Vec<(usize, String)>> {
    let (recorder, subjects) = (loaded.recorder(), loaded.filter().doors());
    let mut rejected = Vec::new();
    let mut records = Vec::new();
    for (number, text) in rows.iter() {
        match subject(&subjects.first(), &ask.tenant, ask.contacts, text) {
            Err(code) => rejected.push((number, code.to_owned())),
            Ok((first, identity)) => {
                let record = record_of(ask, &subjects, first, identity);
                let partition = record::partition_of(&first, recorder.partitions());
                records.push(KeyedRecord::new(partition, record::key(&record), record::encode(&record)));
            }
        }
    }
    if records.is_empty() {
        return Ok(rejected);
    }
    let (told, answer) = mpsc::channel();
    // Nobody listens any more only after the time-out below.
    recorder.submit(records, Box::new(move |acked| drop(told.send(acked))));
    answer
        .recv_timeout(ACK_TIMEOUT)
        .or_exit(ExitCode::Unreachable, "record opt-outs: the log does not answer")??;
    Ok(rejected)
}

/// The subject of a row, which is a contact of `tenant` or an address. An error is a code.
pub(crate) fn subject(
    subjects: &Subjects,
    tenant: &str,
    contacts: bool,
    text: &str,
) -> Result<(Subject, Identity), &'static str> {
    let code = |invalid: Invalid| match invalid {
        Invalid::Missing => "MISSING_ADDRESS",
        Invalid::NotAnAddress => "INVALID_ADDRESS",
    };
    if contacts {
        let tenant = Tenant::parse(tenant).map_err(|_| "INVALID_TENANT")?;
        return Ok((subjects.contact(tenant, text.as_bytes()), Identity::Contact));
    }
    if text.starts_with('{') {
        let value: Value = serde_json::from_str(text).map_err(|_| "INVALID_ADDRESS")?;
        let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let fields = ["name", "street", "extra", "postal_code", "city", "country"].map(field);
        let [name, street, extra, postal_code, city, country] = &fields;
        let postal = Postal { name, street, extra, postal_code, city, country };
        return Ok((subjects.postal(&postal).map_err(code)?, Identity::Postal));
    }
    if text.contains('@') {
        return Ok((subjects.email(text).map_err(code)?, Identity::Email));
    }
    Ok((subjects.phone(text).map_err(code)?, Identity::Phone))
}

/// The record of whoever is `first` under the first scheme.
fn record_of(ask: &Ask, subjects: &Subjects, first: Subject, identity: Identity) -> Record {
    let tenant = ask.tenant.as_str();
    Record {
        subject: subjects.advance(first, SCHEME),
        identity,
        scope: match &ask.reach {
            Reach::Platform => Scope::Platform,
            Reach::Tenant => Scope::Tenant(tenant.into()),
            Reach::List(list) => Scope::List { tenant: tenant.into(), list: list.as_str().into() },
        },
        channel: ask.channel,
        reason: RecordReason::from_number(ask.reason.number()).expect("NO_CONSENT is refused as an argument"),
        state: if ask.lift { State::Lifted } else { State::InForce },
        effective_at_ms: 0,
        expires_at_ms: ask.expires_at_ms,
        source: Source::Operator,
        evidence: ask.reason_text.as_deref().unwrap_or(&ask.evidence).into(),
        scheme: subjects.scheme(),
    }
}
