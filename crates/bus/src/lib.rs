//! The log at the edge: what tamis needs of a transactional log, and two logs that give it.
//!
//! [`Bus`] opens the parts; each part is held by one thread. `kafka` has rdkafka behind it and is the only
//! place that knows it; `embedded` has a store on this machine's disk. Values are bytes here: what they mean
//! is `wire`'s business.

mod error;
mod purger;
mod types;

pub mod embedded;
pub mod kafka;

pub use error::{Blame, Error, Fault};
pub use purger::{ContentTopic, First, Purger, Reader, Span};
pub use types::{
    JobRecord, KeyedRecord, LogIdentity, LogRecord, OutRecord, OutTopic, Outgoing, Partition, Polled,
    Positions, ReadLimits, TailRecord, TailTopic,
};

use std::time::Duration;
use tamis_campaign::Channel;

/// What happens when the log has answered about records that were handed to it.
pub type Acked = Box<dyn FnOnce(Result<Positions, Error>) + Send>;

/// A member of a group, and the ledger that commits its offsets.
pub type Joined<B> = (<B as Bus>::Jobs, <B as Bus>::Ledger);

/// A transactional log with the topics of the contract.
pub trait Bus: Send + Sync + 'static {
    /// A member of the router's group that reads `send-jobs`, or of the group that reads `inbound`.
    type Jobs: Jobs;
    /// A transactional writer of deliveries, outcomes, dead letters and offsets.
    type Ledger: Ledger;
    /// The question of the barrier, on a connection of its own.
    type EndOffsets: EndOffsets;
    /// A reader of `suppressions` from a position on.
    type Follower: Follower;
    /// A durable writer of `suppressions`.
    type Recorder: Recorder;
    /// A writer of `send-jobs`, as a scheduler has one.
    type Scheduler: Scheduler;
    /// A reader of a result topic, as a gateway or a billing system has one.
    type Tail: Tail;
    /// A reader that goes back in `outcomes`.
    type History: History;
    /// The hand of the purge, on connections of its own.
    type Purger: Purger;

    /// Joins the group as worker `worker` (0-based, unique in this process) and opens its ledger.
    /// The ledger is not usable before its first [`Ledger::replace`].
    ///
    /// # Errors
    /// When the clients cannot be made: settings that the log does not take.
    fn join(&self, worker: u16) -> Result<Joined<Self>, Error>;

    /// Joins the group of those who read `inbound`, and opens a ledger for its offsets and dead letters. `None` on a log
    /// without that topic.
    ///
    /// # Errors
    /// As [`Bus::join`].
    fn inbound(&self) -> Result<Option<Joined<Self>>, Error>;

    /// Opens a connection for the barrier.
    ///
    /// # Errors
    /// As [`Bus::join`].
    fn end_offsets(&self) -> Result<Self::EndOffsets, Error>;

    /// Opens a reader of the suppression log that stands at `from`: the next offset of every partition, 0 for the
    /// beginning of it.
    ///
    /// # Errors
    /// As [`Bus::join`]; [`Blame::Internal`] when `from` has not a position for each partition, or one that is negative.
    /// A position beyond the log's end is told by [`Follower::poll`].
    fn follower(&self, from: &Positions) -> Result<Self::Follower, Error>;

    /// Asks which log the suppression log is now.
    ///
    /// # Errors
    /// When any part of it was not answered within `timeout`, or there is no such log: nothing may be assumed then (G5).
    fn suppression_log(&self, timeout: Duration) -> Result<LogIdentity, Error>;

    /// Opens a writer of the suppression log.
    ///
    /// # Errors
    /// As [`Bus::join`].
    fn recorder(&self) -> Result<Self::Recorder, Error>;

    /// Opens a writer of jobs.
    ///
    /// # Errors
    /// As [`Bus::join`].
    fn scheduler(&self) -> Result<Self::Scheduler, Error>;

    /// Opens a reader of a result topic, in the name of `group`; a group that has committed nothing stands at
    /// the beginning if `from_beginning`, else at the end.
    ///
    /// # Errors
    /// As [`Bus::join`].
    fn tail(&self, topic: TailTopic, group: &str, from_beginning: bool) -> Result<Self::Tail, Error>;

    /// Opens a reader that goes back in `outcomes`; it stands nowhere yet.
    ///
    /// # Errors
    /// As [`Bus::join`].
    fn history(&self) -> Result<Self::History, Error>;

    /// Opens what the purge asks and deletes with. Nobody is asked yet.
    ///
    /// # Errors
    /// As [`Bus::join`].
    fn purger(&self) -> Result<Self::Purger, Error>;
}

/// Reads `send-jobs`, or `inbound`, as one member of the group that does. Used by one thread; batches borrow from it.
///
/// Rebalances are told by [`Jobs::poll`] and answered by [`Jobs::assign`] or [`Jobs::unassign`]: nothing of the
/// assignment changes in between, so that its owner can end a transaction first (KIP-447; eager protocol).
pub trait Jobs: Send {
    /// Records that were read together. Dropping it gives the log's buffers back.
    type Batch<'a>: Batch
    where
        Self: 'a;

    /// Reads until a limit is reached, or tells of a rebalance. A rebalance drops what was read in this call.
    ///
    /// # Errors
    /// When the log reports an error that does not pass by itself.
    fn poll(&self, limits: &ReadLimits) -> Result<Polled<Self::Batch<'_>>, Error>;

    /// Takes the partitions told by [`Polled::Assigned`], each from its committed offset (earliest where none).
    ///
    /// # Errors
    /// When the log refuses.
    fn assign(&self, partitions: &[Partition]) -> Result<(), Error>;

    /// Gives every partition back.
    ///
    /// # Errors
    /// When the log refuses.
    fn unassign(&self) -> Result<(), Error>;

    /// Puts every assigned partition back to its committed offset, as the log has it now. Returns these, `None` where
    /// nothing was ever committed.
    ///
    /// # Errors
    /// When the committed offsets can't be read; the caller asks again.
    fn rewind(&self, timeout: Duration) -> Result<Vec<(Partition, Option<i64>)>, Error>;

    /// Stops delivering records; `poll` still serves rebalances.
    ///
    /// # Errors
    /// When the log refuses.
    fn pause(&self) -> Result<(), Error>;

    /// Delivers records again.
    ///
    /// # Errors
    /// When the log refuses.
    fn resume(&self) -> Result<(), Error>;

    /// Records after the last one read, over the assigned partitions, as far as known without asking.
    fn lag_records(&self) -> Option<u64>;
}

/// Records that were read together.
pub trait Batch {
    /// The records, each partition's in order.
    fn records(&self) -> impl Iterator<Item = JobRecord<'_>>;
    /// How many.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Writes results and offsets, all or nothing (G4). Used by one thread; one transaction at a time.
pub trait Ledger: Send {
    /// Begins a transaction and hands everything in `outgoing` to it, the offsets as well.
    ///
    /// # Errors
    /// A [`Fault`] says whether to abort or to replace.
    fn append(&mut self, outgoing: &Outgoing) -> Result<(), Fault>;

    /// Commits what was appended. After `Ok` it is durable and visible.
    ///
    /// # Errors
    /// After [`Fault::Abort`] nothing is visible once [`Ledger::abort`] has answered; after [`Fault::Replace`] it
    /// may have been committed or not: replace, then read the committed offsets.
    fn commit(&mut self, timeout: Duration) -> Result<(), Fault>;

    /// Aborts what was appended.
    ///
    /// # Errors
    /// [`Fault::Replace`] when that could not be done.
    fn abort(&mut self) -> Result<(), Fault>;

    /// Drops the writer and opens it anew under its name, which fences every earlier one and settles what it
    /// left open. The first call opens it.
    ///
    /// # Errors
    /// When the log can't be reached; the caller tries again.
    fn replace(&mut self, timeout: Duration) -> Result<(), Error>;
}

/// Asks how far the suppression log has got.
pub trait EndOffsets: Send {
    /// The next offset of every partition of the suppression log, as its leaders have it now.
    ///
    /// # Errors
    /// When a partition did not answer in time. Nothing may be assumed then (G5).
    fn ask(&mut self, timeout: Duration) -> Result<Positions, Error>;
}

/// Follows the suppression log.
pub trait Follower: Send {
    /// Waits up to `wait` for records, then hands on what is there, in the order of each partition.
    /// Returns how many. `LogRecord::offset + 1` is that partition's position afterwards.
    ///
    /// # Errors
    /// When the log reports an error that does not pass by itself; [`Blame::Internal`] when it ends before this reader's
    /// position.
    fn poll(
        &mut self,
        wait: Duration,
        most: usize,
        each: &mut dyn FnMut(LogRecord<'_>),
    ) -> Result<usize, Error>;
}

/// Writes suppression records durably; never in a transaction.
pub trait Recorder: Send + Sync {
    /// How many partitions the suppression log has.
    fn partitions(&self) -> u32;

    /// Writes `records`; `acked` is called once, when all of them are durable on every replica that must have
    /// them, with the position (next offset) reached in each partition touched and -1 in the others; or with the first error.
    /// It may be called on any thread and must not block.
    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked);

    /// Whether [`Recorder::submit`] of a few records would return at once now, and not wait until others are written.
    fn has_room(&self) -> bool {
        true
    }
}

/// Writes jobs, as a campaign scheduler does.
pub trait Scheduler: Send + Sync {
    /// Writes one job under its `job_id` (the partition is chosen by the key); `acked` as in [`Recorder::submit`], but the
    /// positions are empty.
    fn submit(&self, job_id: &str, value: Vec<u8>, acked: Acked);
}

/// Reads a result topic, committed records only.
pub trait Tail: Send {
    /// Waits up to `wait` for records, then hands on what is there. Returns how many.
    ///
    /// # Errors
    /// When the log reports an error that does not pass by itself.
    fn poll(
        &mut self,
        wait: Duration,
        most: usize,
        each: &mut dyn FnMut(TailRecord<'_>),
    ) -> Result<usize, Error>;

    /// Commits, for the group, everything handed on so far.
    ///
    /// # Errors
    /// When the log can't be reached.
    fn commit(&mut self) -> Result<(), Error>;
}

/// Where a [`History`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record whose log timestamp is this (Unix ms) or later.
    Since(i64),
    /// So many offsets before the end; gaps, markers and what was aborted count.
    Last(u32),
}

/// Goes back in `outcomes`, to tell what was decided before (G4, G7).
pub trait History: Send {
    /// Stands at `start` of each partition, and asks where they end *now*, whatever is still in an open transaction included: a
    /// commit's marker may reach `outcomes` after it has reached the group's offsets.
    ///
    /// # Errors
    /// When the log can't be reached.
    fn begin(&mut self, partitions: &[Partition], start: Start, timeout: Duration) -> Result<(), Error>;

    /// Waits up to about `wait`, then hands on committed records that are there, in the order of each partition, over
    /// whatever gaps. Returns `true` once every committed record before the ends is handed on, and never while a
    /// transaction before one of them is open.
    ///
    /// # Errors
    /// When the log can't be reached; [`History::begin`] anew.
    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Partition, &[u8])) -> Result<bool, Error>;

    /// Once [`History::poll`] has returned `true`: waits up to about `wait` for what is committed afterwards, and hands it on.
    ///
    /// # Errors
    /// As [`History::poll`].
    fn follow(&mut self, wait: Duration, each: &mut dyn FnMut(Partition, &[u8])) -> Result<(), Error>;
}

/// The topic's name under `prefix`, as the contract has it.
#[must_use]
pub fn topic_name(prefix: &str, noun: &str) -> String {
    format!("{prefix}.{noun}.v1")
}

/// The noun of a channel's deliveries topic.
#[must_use]
pub fn deliveries_noun(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "deliveries.sms",
        Channel::Email => "deliveries.email",
        Channel::Voice => "deliveries.voice",
        Channel::Fax => "deliveries.fax",
        Channel::Mail => "deliveries.mail",
    }
}
