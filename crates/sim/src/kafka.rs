//! A model of Kafka: what a client can see of it, and when.
//!
//! One broker without disks or a network: a request is carried out in one step. What makes Kafka hard is here: an end
//! of a transaction is decided once and reaches each partition, and the group's offsets, at a time of its own; epochs
//! and generations fence; readers see what is stable; the suppression log is replicated, compacted and changes
//! leaders. `tests/broker.rs` plays the same scripts on this and on a real broker.

pub(crate) mod group;
pub(crate) mod log;
pub(crate) mod suppressions;
pub(crate) mod transactions;

use group::{Group, MemberId};
use log::{Log, Producer};
use suppressions::Suppressions;
use tamis_bus::{Partition, Positions};
use transactions::{Ended, Refused, Transactional};

use crate::shadow::{Delivery, JobRef, Outcome};
use crate::{Ms, PARTITIONS_MAX};

/// An open transaction is aborted after so long, ms (`transaction.timeout.ms`).
pub(crate) const TRANSACTION_MS: Ms = 10_000;
/// The group's offsets, as a place in a transaction.
pub(crate) const OFFSETS: u8 = 2 * PARTITIONS_MAX as u8;

/// The place of a `deliveries` partition in a transaction.
pub(crate) fn deliveries(partition: usize) -> u8 {
    partition as u8
}

/// The place of an `outcomes` partition in a transaction.
pub(crate) const fn outcomes(partition: usize) -> u8 {
    (PARTITIONS_MAX + partition) as u8
}

/// The brokers.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) jobs: Vec<Log<JobRef>>,
    pub(crate) deliveries: Vec<Log<Delivery>>,
    pub(crate) outcomes: Vec<Log<Outcome>>,
    pub(crate) suppressions: Vec<Suppressions>,
    pub(crate) group: Group,
    pub(crate) writers: Vec<Transactional>,
}

impl Cluster {
    pub(crate) fn new(partitions: usize, suppressions: usize, writers: usize) -> Self {
        Self {
            jobs: (0..partitions).map(|_| Log::new()).collect(),
            deliveries: (0..partitions).map(|_| Log::new()).collect(),
            outcomes: (0..partitions).map(|_| Log::new()).collect(),
            suppressions: (0..suppressions).map(|_| Suppressions::new()).collect(),
            group: Group::new(partitions),
            writers: (0..writers).map(|_| Transactional::new()).collect(),
        }
    }

    pub(crate) fn partitions(&self) -> usize {
        self.jobs.len()
    }

    /// Adds the partition to the transaction and has its leader ask whether it may take records.
    pub(crate) fn enter(&mut self, writer: Producer, epoch: u32, place: u8, now: Ms) -> Result<(), Refused> {
        let transactional = &mut self.writers[usize::from(writer)];
        transactional.add(epoch, place, now)?;
        transactional.verify(epoch, place)
    }

    /// AddOffsetsToTxn and TxnOffsetCommit. `Ok(false)` when the group does not take them.
    pub(crate) fn send_offsets(
        &mut self,
        writer: Producer,
        epoch: u32,
        member: Option<(MemberId, i64)>,
        offsets: &[(Partition, i64)],
        now: Ms,
    ) -> Result<bool, Refused> {
        self.enter(writer, epoch, OFFSETS, now)?;
        Ok(self.group.hold_offsets(writer, member, offsets))
    }

    /// EndTxn.
    pub(crate) fn end(&mut self, writer: Producer, epoch: u32, commit: bool) -> Result<Ended, Refused> {
        self.writers[usize::from(writer)].end(epoch, commit)
    }

    /// The end of `writer`'s transaction reaches one more partition, the `nth` of those that wait. Whether one did.
    pub(crate) fn mark(&mut self, writer: Producer, nth: u32) -> bool {
        let Some((unmarked, commit)) = self.writers[usize::from(writer)].unmarked() else { return false };
        let mut left = unmarked;
        for _ in 0..nth % unmarked.count_ones().max(1) {
            left &= left - 1;
        }
        let place = left.trailing_zeros() as u8;
        match usize::from(place) {
            _ if place == OFFSETS => self.group.mark(writer, commit),
            p if p < PARTITIONS_MAX => self.deliveries[p].mark(writer, commit),
            p => self.outcomes[p - PARTITIONS_MAX].mark(writer, commit),
        }
        self.writers[usize::from(writer)].marked(place);
        true
    }

    /// Whether an end waits to reach a partition.
    pub(crate) fn is_marking(&self) -> bool {
        self.writers.iter().any(|writer| writer.unmarked().is_some())
    }

    /// The ends of the suppression log, `read_uncommitted`; `None` when a leader cannot tell.
    pub(crate) fn ends(&self) -> Option<Positions> {
        self.suppressions.iter().map(Suppressions::end).collect::<Option<Vec<_>>>().map(Positions::new)
    }
}
