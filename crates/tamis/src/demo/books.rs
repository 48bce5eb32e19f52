//! Who was to get what, who got it, and whether the two agree.
//!
//! A plain model that shares no code with the filter: people are numbers here, never addresses, so that it
//! also catches a spelling that the filter failed to recognise. It judges every place of every job once its
//! outcome and all its deliveries are in.

mod model;
mod totals;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use tamis_campaign::{Channel, Reason, RejectReason, Verdict};
use tamis_suppression::Places;
use tamis_wire::proto::campaign::v1::{Delivery, JobOutcome, Recipient};

pub(crate) use model::{Bad, Due, Handle, Job, OptOut, Planned, Reach};
pub(crate) use totals::{Fault, Totals};

/// The books of a demonstration.
#[derive(Debug, Default)]
pub(crate) struct Books {
    open: HashMap<u64, Open>,
    closed: HashSet<u64>,
    /// How many repeats of a job are not yet judged.
    repeats: HashMap<u64, u32>,
    opt_outs: HashMap<Handle, Vec<OptOut>>,
    totals: Totals,
}

/// A job that was scheduled and is not yet judged.
#[derive(Debug)]
struct Open {
    job: Job,
    seen: Vec<bool>,
    delivered: u32,
    outcome: Option<JobOutcome>,
}

/// What became of one place of a job, as its outcome tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Suppressed(Reason),
    Rejected(RejectReason),
    Deferred,
}

impl Books {
    /// Notes a job, just before it is given to the log.
    pub(crate) fn scheduled(&mut self, number: u64, job: Job) {
        self.totals.jobs_scheduled += 1;
        if job.due != Due::Expired {
            self.totals.scheduled += job.recipients.len() as u64;
        }
        let seen = vec![false; job.recipients.len()];
        self.open.insert(number, Open { job, seen, delivered: 0, outcome: None });
    }

    /// Notes a job that is given to the log once more under the same id, just before it is.
    pub(crate) fn retried(&mut self, number: u64) {
        self.totals.retried += 1;
        *self.repeats.entry(number).or_default() += 1;
    }

    /// Whether every job, repeat and unreadable record has been judged.
    pub(crate) fn settled(&self) -> bool {
        let totals = &self.totals;
        self.open.is_empty() && totals.spoiled == totals.dead_letters && totals.retried == totals.duplicates
    }

    /// Notes an opt-out, just before it is given to the log.
    pub(crate) fn asked(&mut self, handle: Handle, opt_out: OptOut) {
        self.opt_outs.entry(handle).or_default().push(opt_out);
    }

    /// Notes a record that nobody can read, just before it is given to the log.
    pub(crate) fn spoiled(&mut self) {
        self.totals.spoiled += 1;
    }

    /// Notes a dead letter.
    pub(crate) fn dead_letter(&mut self) {
        self.totals.dead_letters += 1;
    }

    /// Notes a delivery or an outcome that could not be read.
    pub(crate) fn unreadable(&mut self) {
        self.totals.fault(Fault::Altered);
    }

    /// A gateway's look at a delivery that reached it. Answers how long ago its job was scheduled.
    pub(crate) fn delivered(&mut self, channel: Channel, delivery: &Delivery) -> Option<std::time::Duration> {
        let Some(number) = number_of(&delivery.job_id) else {
            self.totals.fault(Fault::Unknown);
            return None;
        };
        let Some(open) = self.open.get_mut(&number) else {
            let fault = if self.closed.contains(&number) { Fault::Twice } else { Fault::Unknown };
            self.totals.fault(fault);
            return None;
        };
        if open.job.channel != channel || open.job.due != Due::Now {
            self.totals.fault(Fault::Unasked);
        }
        for recipient in &delivery.recipients {
            let Some((place, planned)) =
                place_of(recipient).and_then(|place| Some((place, open.job.recipients.get(place)?)))
            else {
                self.totals.fault(Fault::Unknown);
                continue;
            };
            self.totals.by_channel[channel as usize - 1].forwarded += 1;
            open.delivered += 1;
            if std::mem::replace(&mut open.seen[place], true) {
                self.totals.fault(Fault::Twice);
            }
            if print_of(recipient) != planned.print {
                self.totals.fault(Fault::Altered);
            }
            if planned.bad.is_some() {
                self.totals.fault(Fault::Unasked);
            }
            let mut before = model::applying(&self.opt_outs, &open.job, planned);
            if before.any(|opt_out| opt_out.acked_before(open.job.submitted)) {
                self.totals.fault(Fault::SuppressedDelivered);
            }
        }
        let since = open.job.since.elapsed();
        self.close(number);
        Some(since)
    }

    /// An accountant's look at what tamis says became of a job.
    pub(crate) fn decided(&mut self, outcome: JobOutcome) {
        let Some(number) = number_of(&outcome.job_id) else {
            self.totals.fault(Fault::Unknown);
            return;
        };
        if outcome.verdict == Verdict::Duplicate.number() {
            return self.repeated(number, &outcome);
        }
        let Some(open) = self.open.get_mut(&number) else {
            let fault = if self.closed.contains(&number) { Fault::Twice } else { Fault::Unknown };
            self.totals.fault(fault);
            return;
        };
        if open.outcome.replace(outcome).is_some() {
            self.totals.fault(Fault::Twice);
        }
        self.close(number);
    }

    /// Judges a repeat: nothing of it may have left, and the job must have been said before.
    fn repeated(&mut self, number: u64, outcome: &JobOutcome) {
        match self.repeats.get_mut(&number) {
            Some(left @ 1..) => *left -= 1,
            Some(0) | None => return self.totals.fault(Fault::Verdict),
        }
        self.totals.duplicates += 1;
        if outcome.forwarded > 0 {
            self.totals.fault(Fault::Books);
        }
    }

    /// Judges a job whose outcome and deliveries are all in.
    fn close(&mut self, number: u64) {
        let complete =
            |open: &Open| open.outcome.as_ref().is_some_and(|outcome| open.delivered >= outcome.forwarded);
        if !self.open.get(&number).is_some_and(complete) {
            return;
        }
        let Some(open) = self.open.remove(&number) else { return };
        self.closed.insert(number);
        let Some(outcome) = &open.outcome else { return };
        self.totals.add(open.job.channel, outcome);
        let verdict = Verdict::from_number(outcome.verdict);
        match (open.job.due, verdict) {
            (Due::Expired, Some(Verdict::Expired)) => return,
            (Due::Now, Some(Verdict::Routed | Verdict::Empty))
            | (Due::Later, Some(Verdict::Deferred | Verdict::Empty)) => {}
            (Due::Now | Due::Later | Due::Expired, _) => return self.totals.fault(Fault::Verdict),
        }
        match fates(outcome, open.job.recipients.len()) {
            Some(fates) => self.judge(&open, &fates),
            None => self.totals.fault(Fault::Books),
        }
    }

    /// Every place has exactly one fate, and that fate is right.
    fn judge(&mut self, open: &Open, fates: &[Option<Fate>]) {
        let mut kept = HashSet::new();
        for (place, planned) in open.job.recipients.iter().enumerate() {
            let delivered = open.seen[place];
            match (delivered, fates[place]) {
                (true, None) => {
                    if !kept.insert(planned.person) {
                        self.totals.fault(Fault::Twice);
                    }
                }
                (false, Some(Fate::Deferred)) => {
                    if open.job.due != Due::Later || planned.bad.is_some() || !kept.insert(planned.person) {
                        self.totals.fault(Fault::Unasked);
                    }
                }
                (false, Some(Fate::Suppressed(reason))) => {
                    // The lowest number is the one reported: an opt-out that counted for sure sets the most it may be.
                    let asked = |o: &OptOut| o.reason == reason;
                    let lower = |o: &OptOut| o.acked_before(open.job.submitted) && o.reason < reason;
                    let found = model::applying(&self.opt_outs, &open.job, planned).any(asked);
                    if !found || model::applying(&self.opt_outs, &open.job, planned).any(lower) {
                        self.totals.fault(Fault::NoRecord);
                    }
                }
                (false, Some(Fate::Rejected(reason))) => {
                    let right = match reason {
                        RejectReason::InvalidAddress => planned.bad == Some(Bad::Invalid),
                        RejectReason::MissingAddress => planned.bad == Some(Bad::Missing),
                        RejectReason::DuplicateRecipient => {
                            planned.bad.is_none() && kept.contains(&planned.person)
                        }
                        RejectReason::MalformedRecipient => false,
                    };
                    if !right {
                        self.totals.fault(Fault::NoRecord);
                    }
                }
                (false, None) => self.totals.fault(Fault::Lost),
                (true, Some(_)) => self.totals.fault(Fault::Books),
            }
        }
    }

    /// What is known so far.
    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Ends the books: what is still open is lost, and the sums must agree.
    pub(crate) fn finish(&mut self) -> &Totals {
        for _ in 0..self.open.len() {
            self.totals.fault(Fault::Lost);
        }
        self.open.clear();
        for _ in self.totals.duplicates..self.totals.retried {
            self.totals.fault(Fault::Lost);
        }
        let totals = &self.totals;
        let sums = totals.books_close() && totals.recipients_in() == totals.scheduled;
        if !sums || totals.spoiled != totals.dead_letters {
            self.totals.fault(Fault::Books);
        }
        &self.totals
    }
}

/// The fate of every place as the outcome's bitmaps tell, `None` for one that was forwarded; `None` when the
/// bitmaps do not agree with their counts, with each other or with the job (G6).
fn fates(outcome: &JobOutcome, places: usize) -> Option<Vec<Option<Fate>>> {
    let mut fates = vec![None; places];
    let mut fill = |positions: &[u8], count: u32, fate: Fate| -> Option<()> {
        let all = Places::from_bytes(positions)?;
        let mut found = 0;
        for place in all.iter() {
            let slot = fates.get_mut(place as usize)?;
            if slot.replace(fate).is_some() {
                return None;
            }
            found += 1;
        }
        (found == count).then_some(())
    };
    for dropped in &outcome.suppressed {
        fill(&dropped.positions, dropped.count, Fate::Suppressed(Reason::from_number(dropped.reason)?))?;
    }
    for bad in &outcome.rejected {
        fill(&bad.positions, bad.count, Fate::Rejected(RejectReason::from_number(bad.reason)?))?;
    }
    for later in &outcome.deferred {
        fill(&later.positions, later.count, Fate::Deferred)?;
    }
    let forwarded = fates.iter().filter(|fate| fate.is_none()).count();
    (forwarded == outcome.forwarded as usize && places == outcome.recipients_in as usize).then_some(fates)
}

/// The number at the end of a job's id.
fn number_of(job_id: &str) -> Option<u64> {
    job_id.rsplit_once('-')?.1.parse().ok()
}

/// The place of a recipient in its job, which the scheduler wrote at the head of its personalisation.
fn place_of(recipient: &Recipient) -> Option<usize> {
    let head = recipient.fields.split(|&byte| byte == b';').next()?;
    std::str::from_utf8(head).ok()?.strip_prefix("place=")?.parse().ok()
}

/// A print of all a recipient has, to tell whether it came through unaltered.
pub(crate) fn print_of(recipient: &Recipient) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&recipient.address, &recipient.contact, &recipient.fields, &recipient.time_zone).hash(&mut hasher);
    if let Some(postal) = &recipient.postal {
        (&postal.name, &postal.street, &postal.extra, &postal.postal_code, &postal.city, &postal.country)
            .hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
