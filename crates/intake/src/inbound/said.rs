//! What a batch of events says, in the order in which it was said, and which of its starts count. Pure.
//!
//! The key of an event is its message's id, so that what one person says lies in several partitions, which are read side by side and,
//! after a crash, again. So within a batch the order is that of the log's timestamps, and a start counts only if it is newer than the
//! stop that it would lift: `recorded_at_ms` of a stop is when the suppression log took it, which is never before the person said it. A
//! start is as old as its gateway says that it came in, if the log took it later than that: gateways write what they are not sure to have
//! written again, and such a start must not take away a stop that came between.
//! Where that cannot be known, as when both came in while nobody read, the stop stays: one time too many, never one too few.

use std::collections::BTreeMap;

use tamis_bus::{KeyedRecord, Partition};
use tamis_campaign::{RecordReason, Source, UnixMs};
use tamis_wire::record::{Record, State, key};

use crate::replies::Made;

/// Records of a batch.
#[derive(Default)]
pub(super) struct Said {
    words: Vec<Word>,
    /// The latest time of each partition: an order within a partition is never turned round, whatever its clock does.
    clocks: BTreeMap<Partition, UnixMs>,
}

/// A record, and when it was said.
struct Word {
    /// When the log took its event: the order.
    at: UnixMs,
    /// When the person said it, as far as one knows; no later than that.
    said_at: UnixMs,
    made: Made,
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Writing {
    /// In the order to write them.
    pub(super) records: Vec<KeyedRecord>,
    /// The same to count: what was recorded, and by which door.
    pub(super) counted: Vec<(RecordReason, Source)>,
    /// Starts that are not newer than what they would lift, or have nothing to lift.
    pub(super) passed_over: usize,
}

impl Said {
    /// Takes in what the event that the log took at `timestamp_ms` has to say; its gateway had it at `received_at_ms` (0 = does not say).
    pub(super) fn take(
        &mut self,
        partition: Partition,
        timestamp_ms: UnixMs,
        received_at_ms: UnixMs,
        records: Vec<Made>,
    ) {
        let clock = self.clocks.entry(partition).or_insert(timestamp_ms);
        *clock = timestamp_ms.max(*clock);
        let at = *clock;
        let said_at = if received_at_ms > 0 { received_at_ms.min(at) } else { at };
        self.words.extend(records.into_iter().map(|made| Word { at, said_at, made }));
    }

    /// Whether anything is to be lifted: then it must be looked up what is in force.
    pub(super) fn lifts(&self) -> bool {
        self.words.iter().any(|word| word.made.record.state == State::Lifted)
    }

    /// What to write to a log of `partitions`. `recorded_at` tells when the log took what is in force under the key of a record.
    ///
    /// # Errors
    /// The first that `recorded_at` gives.
    pub(super) fn settle<E>(
        mut self,
        partitions: u32,
        mut recorded_at: impl FnMut(&Record) -> Result<Option<UnixMs>, E>,
    ) -> Result<Writing, E> {
        self.words.sort_by_key(|word| word.at);
        let mut writing = Writing::default();
        // Keys that this batch itself has a stop of, before, and when the latest of them was said.
        let mut stopped = BTreeMap::new();
        for Word { said_at, made, .. } in &self.words {
            let record = &made.record;
            match record.state {
                State::InForce => {
                    let latest = stopped.entry(key(record)).or_insert(*said_at);
                    *latest = *said_at.max(latest);
                }
                State::Lifted => {
                    let (recorded_at, stopped) = (recorded_at(record)?, stopped.get(&key(record)));
                    let counts = (recorded_at.is_some() || stopped.is_some())
                        && recorded_at.is_none_or(|at| *said_at > at)
                        && stopped.is_none_or(|at| said_at >= at);
                    if !counts {
                        writing.passed_over += 1;
                        continue;
                    }
                }
            }
            writing.records.push(made.keyed(partitions));
            writing.counted.push((record.reason, record.source));
        }
        Ok(writing)
    }
}

#[cfg(test)]
mod tests;
