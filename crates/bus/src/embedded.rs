//! The log of one machine: the same guarantees as on Kafka, in one process, on a store on its disk.
//!
//! It is not a second Kafka: no network protocol, no replication, one process.
//!
//! - A job or a suppression record is on the disk (fsync) before it is acked; what waits is written together.
//! - Deliveries, outcomes, dead letters and the offsets of the jobs they come from are one durable transaction
//!   (G4), and the jobs are deleted in that same transaction: the router is their only reader.
//! - A delivery is deleted once every reader that the settings name for its channel has committed past it, or
//!   when it is older than the retention, whichever is first.
//! - The suppression log is compacted as it is written: a key's earlier record goes with the later one's write, or within
//!   minutes where thousands come together, as in an import. Offsets are never used twice.
//! - The store has a random id, made with it: another store is another log.
//! - A killed process loses nothing that was acked and doubles nothing; the store mends itself on the next open.
//!
//! # Why redb
//!
//! Measured with `benches/store.rs` on 2026-11-24, ext4 on a virtual disk, 2 cores; a round writes a batch,
//! deletes the one before it and syncs, in one transaction:
//!
//! | batch | redb 4.6, p50 | fjall 3.1, p50 | redb, disk at most | fjall, disk at most |
//! |---|---|---|---|---|
//! | 1 × 430 B | 0.19 ms | 0.13 ms | < 1 MB | 67 MB |
//! | 200 × 40 kB | 8.9 ms | 9.2 ms | 51 MB | 188 MB |
//! | 10,000 × 430 B | 12.7 ms | 16.1 ms | 18 MB | 203 MB |
//!
//! redb's p99 is lower as well (16 against 36 ms in the last row): no compaction runs behind it. It overwrites
//! freed pages, where fjall keeps deleted values in its journal and tables until a compaction meets them (108
//! MB after everything was deleted), which is the wrong way round for content that must go. A sync alone takes
//! 0.12 ms on that disk; a record alone is where fjall is faster, and group commit is the answer to that.
//!
//! After a kill redb walks its file once on the next open, so that takes longer the more is stored.
//!
//! # What deleting means here
//!
//! A deleted record can't be read by any call from the moment its transaction is committed. Its bytes stay in freed
//! pages of the file until those are taken again: by the next writes, or once a minute, and when the log is closed, by
//! filler that takes every free page (`scrub`). What the disk under the file keeps of overwritten blocks is beyond any
//! program: keep the directory on an encrypted disk.

mod core;
mod headers;
mod history;
mod jobs;
mod keys;
mod ledger;
mod purger;
mod record;
mod scrub;
mod suppressions;
mod tail;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tamis_campaign::Channel;

use self::core::{Core, Topic};
use self::writer::Writer;
use crate::{Blame, Bus, Error, LogIdentity, Positions, TailTopic};

pub use self::history::EmbeddedHistory;
pub use self::jobs::{EmbeddedBatch, EmbeddedJobs};
pub use self::ledger::EmbeddedLedger;
pub use self::purger::EmbeddedPurger;
pub use self::suppressions::{EmbeddedEndOffsets, EmbeddedFollower};
pub use self::tail::EmbeddedTail;
pub use self::writer::{EmbeddedRecorder, EmbeddedScheduler};

/// How the embedded log is laid out. Number of partitions and prefix stay as they were when it was made.
#[derive(Debug, Clone)]
pub struct Config {
    /// Partitions of every topic, 1 to 65,535.
    pub partitions: u32,
    /// How many workers will [`Bus::join`]: the partitions are dealt out to them, once and for all.
    pub workers: u16,
    /// Age in ms after which deliveries and dead letters go, read or not; 0 keeps them.
    pub deliveries_retention_ms: u64,
    /// First part of the topics' names, as in `ce_id`.
    pub prefix: String,
    /// The router's group, as in `ce_source`.
    pub group: String,
    /// The groups that must have read a channel's deliveries before they are deleted. A channel without any is
    /// left to the retention.
    pub readers: BTreeMap<Channel, Vec<String>>,
    /// Whether deliveries are deleted when all readers have committed past them.
    pub purge: bool,
}

impl Default for Config {
    /// The defaults of the contract, section 5.
    fn default() -> Self {
        Self {
            partitions: 8,
            workers: 1,
            deliveries_retention_ms: 24 * 60 * 60 * 1000,
            prefix: "tamis".to_owned(),
            group: "tamis-router".to_owned(),
            readers: BTreeMap::new(),
            purge: true,
        }
    }
}

/// The log of one machine. See the module's own text.
pub struct Embedded {
    core: Arc<Core>,
    writer: Arc<Writer>,
}

impl Embedded {
    /// Opens the log in `dir`, making both if they are not there; they are readable by their owner only.
    /// The store is free again when this and everything opened from it are dropped.
    ///
    /// # Errors
    /// [`Blame::Configuration`] when another process has it, when it was made with another number of partitions,
    /// or when `config` is out of range; [`Blame::Unreachable`] when the disk refuses.
    pub fn open(dir: &Path, config: Config) -> Result<Arc<Self>, Error> {
        if config.partitions == 0 || config.partitions > u32::from(u16::MAX) || config.workers == 0 {
            let detail = format!("{} partitions, {} workers", config.partitions, config.workers);
            return Err(Error::new("open store", Blame::Configuration, detail));
        }
        let core = Arc::new(Core::open(dir, config)?);
        let writer = Arc::new(Writer::start(Arc::clone(&core))?);
        Ok(Arc::new(Self { core, writer }))
    }

    /// How many partitions every topic has.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.core.config.partitions
    }
}

impl Bus for Embedded {
    type Jobs = EmbeddedJobs;
    type Ledger = EmbeddedLedger;
    type EndOffsets = EmbeddedEndOffsets;
    type Follower = EmbeddedFollower;
    type Recorder = EmbeddedRecorder;
    type Scheduler = EmbeddedScheduler;
    type Tail = EmbeddedTail;
    type History = EmbeddedHistory;
    type Purger = EmbeddedPurger;

    fn join(&self, worker: u16) -> Result<(EmbeddedJobs, EmbeddedLedger), Error> {
        let workers = self.core.config.workers;
        if worker >= workers {
            let detail = format!("worker {worker} of {workers}");
            return Err(Error::new("join group", Blame::Configuration, detail));
        }
        Ok((
            EmbeddedJobs::new(Arc::clone(&self.core), worker),
            EmbeddedLedger::new(Arc::clone(&self.core), worker),
        ))
    }

    /// Gateways write what comes back over HTTP: they could not reach a topic of this log.
    fn inbound(&self) -> Result<Option<(EmbeddedJobs, EmbeddedLedger)>, Error> {
        Ok(None)
    }

    fn end_offsets(&self) -> Result<EmbeddedEndOffsets, Error> {
        Ok(EmbeddedEndOffsets::new(Arc::clone(&self.core)))
    }

    fn follower(&self, from: &Positions) -> Result<EmbeddedFollower, Error> {
        EmbeddedFollower::open(Arc::clone(&self.core), from)
    }

    fn suppression_log(&self, _timeout: Duration) -> Result<LogIdentity, Error> {
        let id = &self.core.id;
        Ok(LogIdentity {
            cluster: id.clone(),
            topic: id.clone(),
            partitions: self.core.config.partitions,
            tombstones_kept: None,
        })
    }

    fn recorder(&self) -> Result<EmbeddedRecorder, Error> {
        Ok(EmbeddedRecorder::new(Arc::clone(&self.writer), self.core.config.partitions))
    }

    fn scheduler(&self) -> Result<EmbeddedScheduler, Error> {
        Ok(EmbeddedScheduler::new(Arc::clone(&self.writer), self.core.config.partitions))
    }

    fn tail(&self, topic: TailTopic, group: &str, from_beginning: bool) -> Result<EmbeddedTail, Error> {
        let topic = match topic {
            TailTopic::Deliveries(channel) => Topic::Deliveries(channel),
            TailTopic::Outcomes => Topic::Outcomes,
            TailTopic::DeadLetters => Topic::DeadLetters,
        };
        EmbeddedTail::open(Arc::clone(&self.core), topic, group, from_beginning)
    }

    fn history(&self) -> Result<EmbeddedHistory, Error> {
        Ok(EmbeddedHistory::new(Arc::clone(&self.core)))
    }

    fn purger(&self) -> Result<EmbeddedPurger, Error> {
        Ok(EmbeddedPurger::new(Arc::clone(&self.core)))
    }
}
