//! What was asked of the world and what it acknowledged, all by one clock that only goes forward.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tamis_campaign::{Channel, Purpose, RecordReason};

/// Microseconds since the history began. No two moments are the same, so that one is before the other.
pub type Micros = u64;

/// A job that was handed to the log.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its bytes, as they were sent.
    pub bytes: Vec<u8>,
    /// Its tenant.
    pub tenant: String,
    /// Its channel.
    pub channel: Channel,
    /// Its purpose.
    pub purpose: Purpose,
    /// Whom it is for, in order; each once.
    pub people: Vec<u64>,
    /// When it was first handed over.
    pub submitted_at: Micros,
    /// When the log confirmed it; `None` when nobody knows whether it has it.
    pub acked_at: Option<Micros>,
    /// How often it was handed over.
    pub sends: u32,
    /// When its outcome was first seen.
    pub decided_at: Option<Micros>,
}

/// An opt-out that somebody asked for.
#[derive(Debug, Clone)]
pub struct OptOut {
    /// What kind of address it is about.
    pub address_of: Channel,
    /// Who.
    pub person: u64,
    /// With whom.
    pub tenant: String,
    /// Of which channel; `None` of all.
    pub channel: Option<Channel>,
    /// Why.
    pub reason: RecordReason,
    /// When it was first asked for: from here on it may count.
    pub begun_at: Micros,
    /// When it was confirmed: from here on it must.
    pub acked_at: Option<Micros>,
}

/// Everything that happened.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// Jobs by their id.
    pub jobs: BTreeMap<String, Job>,
    /// Opt-outs.
    pub opt_outs: Vec<OptOut>,
    /// Acked jobs without an outcome so far, the oldest first.
    waiting: BTreeSet<(Micros, String)>,
    /// When the youngest job was handed over that has its outcome.
    youngest_decided: Micros,
}

impl Book {
    /// The log has confirmed a job.
    pub fn acked(&mut self, id: &str, now: Micros) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.acked_at.get_or_insert(now);
        if job.decided_at.is_none() {
            self.waiting.insert((job.submitted_at, id.to_owned()));
        }
    }

    /// A job's outcome was seen.
    pub fn decided(&mut self, id: &str, now: Micros) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.decided_at.get_or_insert(now);
        self.youngest_decided = self.youngest_decided.max(job.submitted_at);
        self.waiting.remove(&(job.submitted_at, id.to_owned()));
    }

    /// Acked jobs whose outcome was not seen yet.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.waiting.len()
    }

    /// Whether every acked job from before `moment` has its outcome, and one from after it, too.
    #[must_use]
    pub fn is_past(&self, moment: Micros) -> bool {
        let oldest = self.waiting.first().map_or(Micros::MAX, |(submitted_at, _)| *submitted_at);
        oldest > moment && self.youngest_decided > moment
    }
}

/// Written by every thread of the load.
pub struct History {
    clock: Instant,
    last: AtomicU64,
    book: Mutex<Book>,
}

impl Default for History {
    fn default() -> Self {
        Self { clock: Instant::now(), last: AtomicU64::new(0), book: Mutex::default() }
    }
}

impl History {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Micros {
        let now = u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(Micros::MAX);
        let before = self.last.fetch_max(now, Ordering::AcqRel);
        // Another had this moment, or a later one: the next is ours.
        if before < now { now } else { self.last.fetch_add(1, Ordering::AcqRel) + 1 }
    }

    /// The book, to write in or to read.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
