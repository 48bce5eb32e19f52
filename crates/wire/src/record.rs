//! Suppression records: keys, values, and tamis's own control records.
//!
//! A record's key is `0x01 ‖ subject (16) ‖ scope ‖ channel ‖ reason ‖ tenant ‖ 0x00 ‖ list`, a byte each where no length
//! is given, so that the compacted log keeps the latest for each (subject, scope, tenant, list, channel, reason). A
//! control record's key is `0x00 ‖ kind`, and for the key check the scheme (4 bytes, big-endian) after it.

mod raw;

use prost::Message as _;
use tamis_campaign::{Channel, Identity, RecordReason, Source, Tenant, is_identifier};
use tamis_subject::{SCHEME, SCHEME_MAX, Subject};

use self::raw::Raw;
use crate::proto::suppression::v1 as proto;
use crate::put;

/// How far a record reaches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every tenant.
    Platform,
    /// One tenant.
    Tenant(Box<str>),
    /// One list of a tenant.
    List {
        /// The tenant.
        tenant: Box<str>,
        /// The list.
        list: Box<str>,
    },
}

impl Scope {
    const fn number(&self) -> u8 {
        match self {
            Self::Platform => 1,
            Self::Tenant(_) => 2,
            Self::List { .. } => 3,
        }
    }

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Tenant(_) => "tenant",
            Self::List { .. } => "list",
        }
    }

    /// Tenant and list; empty where it has none.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        match self {
            Self::Platform => ("", ""),
            Self::Tenant(tenant) => (tenant, ""),
            Self::List { tenant, list } => (tenant, list),
        }
    }
}

/// Whether a record counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It counts.
    InForce,
    /// It was lifted.
    Lifted,
}

/// One opt-out, or consent, of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub subject: Subject,
    /// What the subject was made from.
    pub identity: Identity,
    /// How far it reaches.
    pub scope: Scope,
    /// Which channel; `None` is every one.
    pub channel: Option<Channel>,
    /// Why.
    pub reason: RecordReason,
    /// Whether it counts.
    pub state: State,
    /// From when on, Unix ms; 0 = at once.
    pub effective_at_ms: i64,
    /// Until when, Unix ms; 0 = for good.
    pub expires_at_ms: i64,
    /// Which door it came in by.
    pub source: Source,
    /// An opaque id.
    pub evidence: Box<str>,
    /// The version of normalisation and key, 1 to [`SCHEME_MAX`].
    pub scheme: u32,
}

impl Record {
    /// The plainest opt-out there is: a telephone's, of every channel, in force at once and for good, by the API, under the first
    /// scheme. Tests and benches begin from it; doors say every field.
    #[must_use]
    pub fn plain(subject: Subject, scope: Scope) -> Self {
        Self {
            subject,
            identity: Identity::Phone,
            scope,
            channel: None,
            reason: RecordReason::Unsubscribed,
            state: State::InForce,
            effective_at_ms: 0,
            expires_at_ms: 0,
            source: Source::Api,
            evidence: "".into(),
            scheme: SCHEME,
        }
    }
}

/// What a record of the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An opt-out or consent.
    Record(Record),
    /// One that a rotation of the key has written again under a later scheme.
    Copy {
        /// The record.
        record: Record,
        /// When the log took the first of its line, Unix ms.
        recorded_at_ms: i64,
    },
    /// A sign of life.
    Heartbeat,
    /// Which key the log is written with.
    KeyCheck {
        /// The scheme.
        scheme: u32,
        /// The key's check value.
        value: [u8; 16],
    },
}

/// Why a record of the log can't be read. It names fields, never values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not well-formed protobuf.
    #[error("the value is not a well-formed record")]
    Malformed,
    /// A field out of range.
    #[error("field {0} is out of range")]
    OutOfRange(&'static str),
    /// Made under rules that this version doesn't know.
    #[error("scheme {0} is not known to this version")]
    UnknownScheme(u32),
    /// The key is not the value's.
    #[error("the key does not fit the value")]
    KeyMismatch,
}

/// Greatest length of `evidence`, in characters: an id, not a document.
pub const EVIDENCE_MOST: usize = 256;

/// Whether a text may be kept as `evidence`: short, printable, and no e-mail address. It goes into a log that is kept for
/// years, so whoever writes a record asks this first.
#[must_use]
pub fn is_evidence(text: &str) -> bool {
    text.chars().count() <= EVIDENCE_MOST && !text.chars().any(|c| c.is_control() || c == '@')
}

/// What stands before the names in a key: version, subject, scope, channel, reason.
const KEY_FIXED: usize = 20;
const CONTROL: u8 = 0;
const VERSION: u8 = 1;
const HEARTBEAT: u8 = 1;
const KEY_CHECK: u8 = 2;
/// Greatest length of a list's name: as the contract gives `campaign`; a list has no length of its own there.
pub const LIST_MOST: usize = 128;

/// The record's key.
#[must_use]
pub fn key(record: &Record) -> Vec<u8> {
    let (tenant, list) = record.scope.names();
    let mut key = Vec::with_capacity(21 + tenant.len() + list.len());
    key.push(VERSION);
    key.extend_from_slice(&record.subject.to_bytes());
    key.push(record.scope.number());
    key.push(record.channel.map_or(0, |c| c as u8));
    key.push(record.reason as u8);
    key.extend_from_slice(tenant.as_bytes());
    key.push(0);
    key.extend_from_slice(list.as_bytes());
    key
}

/// The record's value.
#[must_use]
pub fn encode(record: &Record) -> Vec<u8> {
    encode_with(record, 0)
}

/// The value of a record that a rotation writes again; the log took it first at `recorded_at_ms`, Unix ms.
#[must_use]
pub fn encode_copy(record: &Record, recorded_at_ms: i64) -> Vec<u8> {
    // 0 says that it is no copy, and a log without timestamps says 0.
    encode_with(record, recorded_at_ms.max(1))
}

fn encode_with(record: &Record, recorded_at_ms: i64) -> Vec<u8> {
    let (tenant, list) = record.scope.names();
    // The fixed fields take 64 at most where no moment is told: an import makes hundreds of thousands a second.
    let mut out = Vec::with_capacity(64 + tenant.len() + list.len() + record.evidence.len());
    put::bytes(&mut out, 1, &record.subject.to_bytes());
    put::signed(&mut out, 2, record.identity.number().into());
    put::number(&mut out, 3, record.scope.number().into());
    put::bytes(&mut out, 4, tenant.as_bytes());
    put::bytes(&mut out, 5, list.as_bytes());
    put::signed(&mut out, 6, record.channel.map_or(0, Channel::number).into());
    put::signed(&mut out, 7, record.reason.number().into());
    put::number(
        &mut out,
        8,
        match record.state {
            State::InForce => 1,
            State::Lifted => 2,
        },
    );
    put::signed(&mut out, 9, record.effective_at_ms);
    put::signed(&mut out, 10, record.expires_at_ms);
    put::signed(&mut out, 11, record.source.number().into());
    put::bytes(&mut out, 12, record.evidence.as_bytes());
    put::number(&mut out, 13, record.scheme.into());
    put::signed(&mut out, 14, recorded_at_ms);
    out
}

/// Reads a record of the log.
///
/// # Errors
/// [`Unreadable`]; the filter must not go past such a record as if it knew it (G5).
pub fn decode(record_key: &[u8], value: &[u8]) -> Result<Entry, Unreadable> {
    if record_key.first() == Some(&CONTROL) {
        return control(record_key, value);
    }
    let raw = Raw::read(value).ok_or(Unreadable::Malformed)?;
    let recorded_at_ms = raw.recorded_at_ms;
    let record = checked(&raw)?;
    if !is_key(record_key, &record) {
        return Err(Unreadable::KeyMismatch);
    }
    match recorded_at_ms {
        0 => Ok(Entry::Record(record)),
        1.. => Ok(Entry::Copy { record, recorded_at_ms }),
        ..0 => Err(Unreadable::OutOfRange("recorded_at_ms")),
    }
}

/// Reads the value of a record as [`encode`] writes it, where its key is not at hand: it can be made again of the record.
///
/// # Errors
/// As [`decode`].
pub fn decode_value(value: &[u8]) -> Result<Record, Unreadable> {
    checked(&Raw::read(value).ok_or(Unreadable::Malformed)?)
}

/// Whether `found` is the key of `record`, without making it.
fn is_key(found: &[u8], record: &Record) -> bool {
    let (tenant, list) = record.scope.names();
    let fixed = |rest: &[u8; KEY_FIXED]| {
        let [version, subject @ .., scope, channel, reason] = rest;
        *version == VERSION
            && *subject == record.subject.to_bytes()
            && *scope == record.scope.number()
            && *channel == record.channel.map_or(0, |c| c as u8)
            && *reason == record.reason as u8
    };
    found.split_first_chunk().is_some_and(|(rest, names)| {
        fixed(rest)
            && names.strip_prefix(tenant.as_bytes()).and_then(|names| names.strip_prefix(&[0]))
                == Some(list.as_bytes())
    })
}

fn checked(raw: &Raw<'_>) -> Result<Record, Unreadable> {
    if !(SCHEME..=SCHEME_MAX).contains(&raw.scheme) {
        return Err(Unreadable::UnknownScheme(raw.scheme));
    }
    let out = Unreadable::OutOfRange;
    let subject = <[u8; 16]>::try_from(raw.subject).map_err(|_| out("subject"))?;
    if raw.scope != 1 {
        Tenant::parse(raw.tenant).map_err(|_| out("tenant"))?;
    }
    let scope = match raw.scope {
        1 => Scope::Platform,
        2 => Scope::Tenant(raw.tenant.into()),
        3 if is_identifier(raw.list.as_bytes(), LIST_MOST) => {
            Scope::List { tenant: raw.tenant.into(), list: raw.list.into() }
        }
        3 => return Err(out("list")),
        _ => return Err(out("scope")),
    };
    let channel = match raw.channel {
        0 => None,
        number => Some(Channel::from_number(number).ok_or(out("channel"))?),
    };
    Ok(Record {
        subject: Subject::from_bytes(subject),
        identity: Identity::from_number(raw.identity).ok_or(out("identity"))?,
        scope,
        channel,
        reason: RecordReason::from_number(raw.reason).ok_or(out("reason"))?,
        state: match raw.state {
            1 => State::InForce,
            2 => State::Lifted,
            _ => return Err(out("state")),
        },
        effective_at_ms: raw.effective_at_ms,
        expires_at_ms: raw.expires_at_ms,
        source: Source::from_number(raw.source).ok_or(out("source"))?,
        evidence: raw.evidence.into(),
        scheme: raw.scheme,
    })
}

fn control(key: &[u8], value: &[u8]) -> Result<Entry, Unreadable> {
    match key {
        [CONTROL, HEARTBEAT] => Ok(Entry::Heartbeat),
        [CONTROL, KEY_CHECK, scheme @ ..] => {
            let scheme = <[u8; 4]>::try_from(scheme).map_err(|_| Unreadable::KeyMismatch)?;
            let raw = Raw::read(value).ok_or(Unreadable::Malformed)?;
            let value = <[u8; 16]>::try_from(raw.subject).map_err(|_| Unreadable::OutOfRange("subject"))?;
            Ok(Entry::KeyCheck { scheme: u32::from_be_bytes(scheme), value })
        }
        _ => Err(Unreadable::KeyMismatch),
    }
}

/// Key and value of a heartbeat.
#[must_use]
pub fn heartbeat() -> (Vec<u8>, Vec<u8>) {
    let value = proto::SuppressionRecord { scheme: SCHEME, ..Default::default() };
    (vec![CONTROL, HEARTBEAT], value.encode_to_vec())
}

/// Key and value of the key check of `scheme`.
#[must_use]
pub fn key_check(scheme: u32, check: [u8; 16]) -> (Vec<u8>, Vec<u8>) {
    let mut key = vec![CONTROL, KEY_CHECK];
    key.extend_from_slice(&scheme.to_be_bytes());
    let value = proto::SuppressionRecord { subject: check.to_vec(), scheme, ..Default::default() };
    (key, value.encode_to_vec())
}

/// The partition of a person's records, of `partitions`: chosen by the subject of the *first* scheme
/// ([`tamis_subject::Subjects::first`]) whatever the record's own is, so that all of one person are in one partition and their
/// order is kept through rotations of the key.
#[must_use]
pub fn partition_of(first: &Subject, partitions: u32) -> i32 {
    let hash = xxhash_rust::xxh3::xxh3_64(&first.to_bytes());
    i32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
}
