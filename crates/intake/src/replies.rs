//! What an inbound event does: records to write, or nothing (semantics, sections 2 and 3). Pure; doors and the reader of the topic act on
//! what is said here.
//!
//! *Whose it is*: the gateway's tenant; else the tenant of its job; else every tenant that has the sender it was sent to; else PLATFORM,
//! for that channel. Bounces and complaints go by the same rule: what nobody owns counts for everybody rather than for nobody. Each
//! candidate reads a reply by its own words.
//!
//! *Whom it is about*: the address; and where one tenant is known and the event names its contact, the contact too, since a person
//! objects and not a number. A bounce or returned post is the address's alone: it says nothing of the person's others.

mod reading;

use tamis_bus::KeyedRecord;
use tamis_campaign::{Channel, DAY_MS, Identity, InboundKind, RecordReason, Source, Tenant, UnixMs};
use tamis_pipeline::View;
use tamis_policy::Policy;
use tamis_subject::{Invalid, SCHEME, Subject, Subjects};
use tamis_suppression::Unreadable;
use tamis_wire::DeadLetterCode;
use tamis_wire::inbound::{InboundEvent, Wrong};
use tamis_wire::record::{self, Record, Scope, State, is_evidence};

pub use reading::{Meaning, read};

/// How long a hard bounce counts: numbers and addresses are given out again (semantics, section 2).
const BOUNCE_MS: UnixMs = 180 * DAY_MS;

/// So many of a telephone number's last digits tell whose it is.
const NUMBER_TAIL: usize = 8;

/// What an event does.
#[derive(Debug, PartialEq, Eq)]
pub struct Effect {
    /// What it says, for the answer: a reply's `stop`, `start` or `nothing`, else the kind.
    pub says: &'static str,
    /// The records to write; none for a reply that says nothing.
    pub records: Vec<Made>,
}

impl Effect {
    /// Takes out what an event of `since_ms` lifts although the person said no again afterwards: `view` has a stop of the same scope that
    /// was recorded later. So a start that was held up, or is sent once more, undoes no stop that came after it. Clocks are the gateway's
    /// and the log's: where they differ a start may be needed twice, and no stop is lost that came later by both.
    ///
    /// # Errors
    /// When the filter can't tell.
    pub fn without_outlived(self, view: &View, since_ms: UnixMs, now_ms: UnixMs) -> Result<Self, Unreadable> {
        let mut records = Vec::with_capacity(self.records.len());
        for made in self.records {
            let Made { first, record } = &made;
            let outlived = record.state == State::Lifted
                && view
                    .in_force(record.scope.names().0, &view.key().advance(*first, SCHEME), now_ms)?
                    .iter()
                    .any(|found| {
                        found.recorded_at_ms > since_ms
                            && (found.reason, &found.scope, found.channel)
                                == (record.reason, &record.scope, record.channel)
                    });
            if !outlived {
                records.push(made);
            }
        }
        Ok(Self { records, ..self })
    }

    /// Whether it lifts something.
    #[must_use]
    pub fn lifts(&self) -> bool {
        self.records.iter().any(|made| made.record.state == State::Lifted)
    }
}

/// A record, with what chooses its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    first: Subject,
    /// What to write.
    pub record: Record,
}

impl Made {
    /// A record in force from now on and for good, of the person with the subject `first` of the first scheme.
    #[allow(clippy::too_many_arguments, reason = "the fields of a record")]
    pub(crate) fn adding(
        first: Subject,
        identity: Identity,
        scope: Scope,
        channel: Channel,
        reason: RecordReason,
        source: Source,
        evidence: Box<str>,
        subjects: &Subjects,
    ) -> Self {
        let record = Record {
            subject: subjects.advance(first, SCHEME),
            identity,
            scope,
            channel: Some(channel),
            reason,
            state: State::InForce,
            effective_at_ms: 0,
            expires_at_ms: 0,
            source,
            evidence,
            scheme: subjects.scheme(),
        };
        Self { first, record }
    }

    /// For the log.
    #[must_use]
    pub fn keyed(&self, partitions: u32) -> KeyedRecord {
        let Self { first, record } = self;
        let partition = record::partition_of(first, partitions);
        KeyedRecord::new(partition, record::key(record), record::encode(record))
    }
}

/// What `event` does at `now_ms`. `tenant_of_job` is the tenant of its `job_id`, if the caller knows it; `subjects` are the doors' newest.
///
/// # Errors
/// [`Wrong`] when the address is none of its channel: nobody can be recorded by it.
pub fn records(
    event: &InboundEvent,
    policy: &Policy,
    tenant_of_job: Option<&str>,
    subjects: &Subjects,
    now_ms: UnixMs,
) -> Result<Effect, Wrong> {
    let owners = owners(event, policy, tenant_of_job);
    let judged: Vec<_> = owners.iter().map(|owner| (owner, judge(event, policy, owner.tenant()))).collect();
    // A stop for one of them is what the answer tells.
    let says = judged.iter().map(|(_, (says, _))| *says).min_by_key(|says| rank(says)).unwrap_or("nothing");
    if judged.iter().all(|(_, (_, done))| done.is_none()) {
        return Ok(Effect { says, records: Vec::new() });
    }
    let first = subjects.first();
    let address = address(event, &first)?;
    let evidence = evidence(&event.message_id, &event.address, event.received_at_ms);
    let mut records = Vec::new();
    for (owner, (_, done)) in judged {
        let Some(Done { reason, state, expires, of_person }) = done else { continue };
        let contact = match owner {
            Owner::Tenant(tenant) if of_person && owners.len() == 1 && !event.contact.is_empty() => {
                Tenant::parse(tenant).ok().map(|tenant| first.contact(tenant, event.contact.as_bytes()))
            }
            Owner::Tenant(_) | Owner::Platform => None,
        };
        for (first, identity) in
            [Some(address), contact.map(|c| (c, Identity::Contact))].into_iter().flatten()
        {
            let (scope, evidence, source) = (owner.scope(), evidence.clone(), source(event.kind));
            let mut made =
                Made::adding(first, identity, scope, event.channel, reason, source, evidence, subjects);
            made.record.state = state;
            if expires {
                made.record.expires_at_ms = now_ms.saturating_add(BOUNCE_MS);
            }
            records.push(made);
        }
    }
    Ok(Effect { says, records })
}

/// Whose an event is.
#[derive(Debug, PartialEq, Eq)]
enum Owner<'a> {
    Tenant(&'a str),
    /// Nobody's in particular.
    Platform,
}

impl Owner<'_> {
    fn tenant(&self) -> Option<&str> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Platform => None,
        }
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Tenant(tenant) => Scope::Tenant((*tenant).into()),
            Self::Platform => Scope::Platform,
        }
    }
}

fn owners<'a>(event: &'a InboundEvent, policy: &'a Policy, tenant_of_job: Option<&'a str>) -> Vec<Owner<'a>> {
    if let Some(tenant) = event.tenant.as_deref().or(tenant_of_job) {
        return vec![Owner::Tenant(tenant)];
    }
    let sharing = policy.owners(event.to.trim());
    if sharing.is_empty() {
        return vec![Owner::Platform];
    }
    sharing.iter().map(|tenant| Owner::Tenant(tenant)).collect()
}

/// What an event does to one owner.
struct Done {
    reason: RecordReason,
    state: State,
    expires: bool,
    /// Whether it is the person's doing, and not only the address's.
    of_person: bool,
}

fn judge(event: &InboundEvent, policy: &Policy, tenant: Option<&str>) -> (&'static str, Option<Done>) {
    let adds = |reason| Done { reason, state: State::InForce, expires: false, of_person: true };
    let done = match event.kind {
        InboundKind::Reply => {
            let rules = tenant.and_then(|tenant| policy.tenant(tenant));
            let (stops, starts) =
                rules.map_or((&[][..], &[][..]), |rules| (rules.stop_words(), rules.start_words()));
            return match read(&event.text, stops, starts) {
                Meaning::Stop => ("stop", Some(adds(RecordReason::StopReply))),
                Meaning::Start => {
                    ("start", Some(Done { state: State::Lifted, ..adds(RecordReason::StopReply) }))
                }
                Meaning::Nothing => ("nothing", None),
            };
        }
        InboundKind::HardBounce | InboundKind::ReturnedMail => {
            Done { expires: true, of_person: false, ..adds(RecordReason::HardBounce) }
        }
        InboundKind::Complaint => adds(RecordReason::Complaint),
        // Whatever key: the gateway tells of those that mean no.
        InboundKind::Keypress => adds(RecordReason::Objected),
    };
    (event.kind.as_str(), Some(done))
}

fn rank(says: &str) -> u8 {
    match says {
        "nothing" => 2,
        "start" => 1,
        _ => 0,
    }
}

const fn source(kind: InboundKind) -> Source {
    match kind {
        InboundKind::Reply | InboundKind::Keypress => Source::Reply,
        InboundKind::HardBounce | InboundKind::Complaint | InboundKind::ReturnedMail => Source::Gateway,
    }
}

/// Whose address it is: the subject of the first scheme.
fn address(event: &InboundEvent, first: &Subjects) -> Result<(Subject, Identity), Wrong> {
    let wrong = |field| {
        move |invalid| Wrong {
            code: match invalid {
                Invalid::Missing => DeadLetterCode::MissingAddress,
                Invalid::NotAnAddress => DeadLetterCode::InvalidAddress,
            },
            field,
        }
    };
    if let Some(postal) = &event.postal {
        let subject = first.postal(&postal.as_postal()).map_err(wrong(12))?;
        return Ok((subject, Identity::Postal));
    }
    let identity = match event.channel {
        Channel::Sms | Channel::Voice | Channel::Fax => Identity::Phone,
        Channel::Email => Identity::Email,
        Channel::Mail => Identity::Postal,
    };
    let subject = first.address(event.channel, event.address.as_bytes()).map_err(wrong(5))?;
    Ok((subject, identity))
}

/// What is kept of the message's id: itself, a digest of it where no record may hold it (a `Message-ID` has an `@`), or only its moment
/// where it was made of the address: a digest of an address can be guessed.
pub(crate) fn evidence(id: &str, address: &str, received_at_ms: UnixMs) -> Box<str> {
    let id = id.trim();
    if holds(id, address.trim()) {
        return format!("received:{received_at_ms}").into();
    }
    if is_evidence(id) {
        return id.into();
    }
    let digest = blake3::hash(id.as_bytes()).to_hex();
    format!("blake3:{}", &digest[..32]).into()
}

/// Whether `id` shows `address`: the last eight digits of a telephone number, whatever is before and between, or an e-mail address.
fn holds(id: &str, address: &str) -> bool {
    if address.contains('@') {
        return id.to_lowercase().contains(&address.to_lowercase());
    }
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let number = digits(address);
    number.len() >= NUMBER_TAIL && digits(id).contains(&number[number.len() - NUMBER_TAIL..])
}

#[cfg(test)]
mod tests;
