//! What goes through the log: records in, records out, positions.

use std::ops::Range;
use std::time::{Duration, Instant};
use tamis_campaign::Channel;

/// A partition's number.
pub type Partition = i32;

/// Next offsets (one past the last), a partition each, in order; 0 for an empty partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Positions(Vec<i64>);

impl Positions {
    /// From the next offset of each partition.
    #[must_use]
    pub fn new(next: Vec<i64>) -> Self {
        Self(next)
    }

    /// `partitions` empty partitions.
    #[must_use]
    pub fn zero(partitions: usize) -> Self {
        Self(vec![0; partitions])
    }

    /// The next offsets.
    #[must_use]
    pub fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// The next offsets, to change.
    pub fn as_mut_slice(&mut self) -> &mut [i64] {
        &mut self.0
    }

    /// Whether every partition is at least as far as in `other` (same number of partitions).
    #[must_use]
    pub fn reaches(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(here, there)| here >= there)
    }

    /// How many records `self` is behind `other`, over all partitions.
    #[must_use]
    pub fn behind(&self, other: &Self) -> u64 {
        other
            .0
            .iter()
            .zip(&self.0)
            .map(|(there, here)| there.saturating_sub(*here).max(0).unsigned_abs())
            .sum()
    }
}

/// When a read ends: at the first of these.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// How long to wait for the first record.
    pub wait: Duration,
    /// How long to go on after the first record.
    pub fill: Duration,
    /// Sum of values, bytes. A log that takes records together goes by the longest before them: where longer ones follow, a batch may
    /// hold more: as many of them as are taken together.
    pub bytes_max: usize,
    /// Records.
    pub records_max: usize,
}

/// What a read brought.
#[derive(Debug)]
pub enum Polled<B> {
    /// At least one record.
    Batch(B),
    /// Nothing in time.
    Idle,
    /// These partitions are this member's, once it answers with `assign`.
    Assigned(Vec<Partition>),
    /// Every partition is to be given back: answer with `unassign`.
    Revoked,
}

/// A record of `send-jobs` or `inbound`, borrowed from the log's own buffer.
#[derive(Clone, Copy)]
pub struct JobRecord<'a> {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// The log's timestamp, Unix ms; 0 when it has none.
    pub timestamp_ms: i64,
    /// The value, `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// W3C trace context, passed on.
    pub traceparent: Option<&'a [u8]>,
    /// W3C trace context, passed on.
    pub tracestate: Option<&'a [u8]>,
}

/// Where a result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutTopic {
    /// `deliveries.<channel>`; the partition is taken modulo the topic's own number.
    Deliveries(Channel),
    /// `outcomes`.
    Outcomes,
    /// `dead-letters`; the partition is taken modulo the topic's own number.
    DeadLetters,
}

/// One record to write; ranges are into [`Outgoing::arena`].
#[derive(Debug, Clone)]
pub struct OutRecord {
    /// Where to.
    pub topic: OutTopic,
    /// The source's partition.
    pub partition: Partition,
    /// The source's offset: with the partition it makes `ce_id` (contract, section 9).
    pub offset: i64,
    /// Part number from 1, or 0 when it is the only one: 0 adds nothing to `ce_id`.
    pub part: u32,
    /// The key.
    pub key: Range<usize>,
    /// The value.
    pub value: Range<usize>,
    /// `traceparent`, empty when there is none.
    pub traceparent: Range<usize>,
    /// `tracestate`, empty when there is none.
    pub tracestate: Range<usize>,
}

/// Everything that one transaction writes. Reused from batch to batch. It holds people and content: `Debug` prints sizes.
#[derive(Default)]
pub struct Outgoing {
    /// The bytes of all records.
    pub arena: Vec<u8>,
    /// The records, in the order to write them.
    pub records: Vec<OutRecord>,
    /// The next offset of the topic read to commit, for each partition read.
    pub offsets: Vec<(Partition, i64)>,
    /// When it was decided, Unix ms: `ce_time`.
    pub decided_at_ms: i64,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bytes, records) = (self.arena.len(), self.records.len());
        f.debug_struct("Outgoing").field("bytes", &bytes).field("records", &records).finish_non_exhaustive()
    }
}

impl Outgoing {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.records.clear();
        self.offsets.clear();
        self.decided_at_ms = 0;
    }
}

/// A record of the suppression log.
pub struct LogRecord<'a> {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// The log's timestamp, Unix ms.
    pub timestamp_ms: i64,
    /// The key.
    pub key: &'a [u8],
    /// The value, `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Which suppression log it is: positions in one mean nothing in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIdentity {
    /// Kafka's cluster id; the store's own random number on the embedded log.
    pub cluster: String,
    /// The topic's id, as Kafka prints it: a topic that is made again under its name has another. On the embedded log the
    /// store's number again. A store that was put back from a copy keeps it.
    pub topic: String,
    /// How many partitions the log has.
    pub partitions: u32,
    /// For how long the log keeps a tombstone after the record it takes away is compacted (Kafka's `delete.retention.ms`): who
    /// was away for longer may never see one. `None` where everything is kept.
    pub tombstones_kept: Option<Duration>,
}

/// A record for the suppression log.
#[derive(Debug, Clone)]
pub struct KeyedRecord {
    /// The partition to write to.
    pub partition: Partition,
    /// The key.
    pub key: Vec<u8>,
    /// The value; `None` is a tombstone, after which the log forgets what it had under the key.
    pub value: Option<Vec<u8>>,
    /// Write it only while the log has nothing under the key from after this offset; -1: nothing at all. A log that can't
    /// tell, as Kafka, writes it in any case, and whoever needs to know reads what came between.
    pub unless_after: Option<i64>,
}

impl KeyedRecord {
    /// A value, whatever the log has under the key.
    #[must_use]
    pub fn new(partition: Partition, key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { partition, key, value: Some(value), unless_after: None }
    }
}

/// A topic that is read as its consumers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TailTopic {
    /// `deliveries.<channel>`.
    Deliveries(Channel),
    /// `outcomes`.
    Outcomes,
    /// `dead-letters`.
    DeadLetters,
}

/// A record of a result topic.
pub struct TailRecord<'a> {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// The log's timestamp, Unix ms.
    pub timestamp_ms: i64,
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// The record's headers, name and value.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

/// When `duration` from now is.
pub(crate) fn after(duration: Duration) -> Instant {
    Instant::now() + duration
}
