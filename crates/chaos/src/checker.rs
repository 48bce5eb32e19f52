//! Compares what was acknowledged with what arrived. Pure: a history and what a reader found go in, violations come out.
//!
//! An opt-out *must* count for a job that was handed over after it was acked (G1); it *may* count from the moment it was
//! asked for until the job's outcome was seen. In between both answers are right.

mod one_job;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use tamis_campaign::{Channel, Purpose, RecordReason};
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1::{Delivery, JobOutcome};

use crate::history::{Book, Job, Micros, OptOut};
pub use crate::read_back::Found;

/// A delivery as it was read: channel, bytes, and what they say.
type Seen<'a> = (Channel, &'a [u8], Delivery);

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub kind: Kind,
    /// What was seen. Names jobs and places of recipients, never an address.
    pub what: String,
    /// When what it is about was handed over.
    pub at: Micros,
}

/// The ways to break them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A job that was acked has no outcome, or a survivor was not delivered (G4).
    Lost,
    /// More than once (G4).
    Doubled,
    /// Delivered although the opt-out was acked before the job was handed over (G1).
    SuppressedYetDelivered,
    /// Dropped although nobody had asked for it (G3).
    OverBlocked,
    /// Delivered with other bytes, or to another channel's gateway.
    WrongBytes,
    /// The books of an outcome do not close, or tell something else than what arrived (G6).
    BooksOpen,
    /// Something that nobody had sent.
    Stranger,
    /// It did not go on by itself after a fault had ended.
    Stuck,
    /// A process ended by itself, or did not drain.
    Died,
}

impl Kind {
    /// As reports name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::SuppressedYetDelivered => "suppressed yet delivered",
            Self::OverBlocked => "over-blocked",
            Self::WrongBytes => "wrong bytes",
            Self::BooksOpen => "books open",
            Self::Stranger => "never sent",
            Self::Stuck => "stuck",
            Self::Died => "died",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the checker went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Jobs that were acked.
    pub jobs_acked: u64,
    /// Jobs of which nobody knows.
    pub jobs_unknown: u64,
    /// Opt-outs that were acked.
    pub opt_outs_acked: u64,
    /// Opt-outs of which nobody knows.
    pub opt_outs_unknown: u64,
    /// Recipients that were delivered.
    pub delivered: u64,
    /// Recipients that were not, as had to be or was free to be.
    pub withheld: u64,
    /// Of these, those that had to be: their opt-out was acked before the job was handed over.
    pub withheld_by_promise: u64,
}

/// Everything that is wrong, and what was gone through.
#[must_use]
pub fn check(book: &Book, found: &Found) -> (Vec<Violation>, Sums) {
    let mut checker = Checker { opt_outs: OptOuts::of(book), found: Vec::new(), sums: Sums::default() };
    for opt_out in &book.opt_outs {
        let sum = match opt_out.acked_at {
            Some(_) => &mut checker.sums.opt_outs_acked,
            None => &mut checker.sums.opt_outs_unknown,
        };
        *sum += 1;
    }
    let mut outcomes: BTreeMap<&str, Vec<&JobOutcome>> = BTreeMap::new();
    for outcome in &found.outcomes {
        outcomes.entry(&outcome.job_id).or_default().push(outcome);
    }
    let mut deliveries: BTreeMap<String, Vec<Seen<'_>>> = BTreeMap::new();
    for (channel, bytes) in &found.deliveries {
        match Delivery::decode(bytes.as_slice()) {
            Ok(delivery) => {
                let of_job = deliveries.entry(delivery.job_id.clone()).or_default();
                of_job.push((*channel, bytes.as_slice(), delivery));
            }
            Err(_) => {
                checker.tell(Kind::WrongBytes, 0, format!("a delivery by {} is no message", channel.as_str()))
            }
        }
    }
    for (id, job) in &book.jobs {
        let outcomes = outcomes.remove(id.as_str()).unwrap_or_default();
        let deliveries = deliveries.remove(id).unwrap_or_default();
        checker.one_job(id, job, &outcomes, &deliveries);
    }
    for id in outcomes.keys() {
        checker.tell(Kind::Stranger, 0, format!("an outcome of job {id}"));
    }
    for id in deliveries.keys() {
        checker.tell(Kind::Stranger, 0, format!("a delivery of job {id}"));
    }
    for letter in &found.dead_letters {
        checker.tell(Kind::Stranger, 0, format!("a dead letter about {letter}"));
    }
    if found.unreadable > 0 {
        checker.tell(Kind::WrongBytes, 0, format!("{} records of outcomes are no message", found.unreadable));
    }
    (checker.found, checker.sums)
}

struct Checker<'a> {
    opt_outs: OptOuts<'a>,
    found: Vec<Violation>,
    sums: Sums,
}

impl Checker<'_> {
    fn tell(&mut self, kind: Kind, at: Micros, what: String) {
        self.found.push(Violation { kind, what, at });
    }
}

/// Opt-outs by whom they are of.
struct OptOuts<'a>(BTreeMap<(u8, u64, &'a str), Vec<&'a OptOut>>);

/// What an address is: phones serve three channels.
fn address_kind(channel: Channel) -> u8 {
    match channel {
        Channel::Sms | Channel::Voice | Channel::Fax => 1,
        Channel::Email => 2,
        Channel::Mail => 3,
    }
}

/// Whether a reason drops a message (the table of the contract, section 2, said once more).
fn drops(reason: RecordReason, purpose: Purpose) -> bool {
    match reason {
        RecordReason::Erased | RecordReason::Blocked | RecordReason::HardBounce => true,
        RecordReason::Complaint
        | RecordReason::StopReply
        | RecordReason::Unsubscribed
        | RecordReason::Objected
        | RecordReason::ConsentWithdrawn => purpose == Purpose::Marketing,
        RecordReason::Consent => false,
    }
}

impl<'a> OptOuts<'a> {
    fn of(book: &'a Book) -> Self {
        let mut by_person: BTreeMap<_, Vec<&OptOut>> = BTreeMap::new();
        for opt_out in &book.opt_outs {
            let who = (address_kind(opt_out.address_of), opt_out.person, opt_out.tenant.as_str());
            by_person.entry(who).or_default().push(opt_out);
        }
        Self(by_person)
    }

    /// Those that are about this person and this job, whenever they were asked for.
    fn about<'s>(&'s self, job: &'s Job, person: u64) -> impl Iterator<Item = &'s OptOut> {
        let who = (address_kind(job.channel), person, job.tenant.as_str());
        let theirs = self.0.get(&who).into_iter().flatten().copied();
        theirs.filter(|o| o.channel.is_none_or(|c| c == job.channel) && drops(o.reason, job.purpose))
    }

    /// Whether this person must not get this job.
    fn must(&self, job: &Job, person: u64) -> bool {
        self.about(job, person).any(|o| o.acked_at.is_some_and(|acked_at| acked_at < job.submitted_at))
    }

    /// Whether this person may be kept from it.
    fn may(&self, job: &Job, person: u64) -> bool {
        self.about(job, person).any(|o| job.decided_at.is_none_or(|decided_at| o.begun_at <= decided_at))
    }
}
