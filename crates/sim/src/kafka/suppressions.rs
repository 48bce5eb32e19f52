//! A partition of the suppression log: replicated, compacted, never written in a transaction by tamis.
//!
//! The leader has records that are not acked yet; a new leader may be without them, and answers for its end only when
//! it knows its high watermark (KIP-207).

use crate::kafka::log::index;
use crate::{Ms, Person};

/// The key of heartbeats, no person.
pub(crate) const HEARTBEAT: Person = Person::MAX;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    InForce,
    Lifted,
    Tombstone,
    Heartbeat,
    /// No record: the end of a stranger's transaction, which takes an offset.
    Marker,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) person: Person,
    pub(crate) says: Says,
    pub(crate) at: Ms,
}

/// One partition.
#[derive(Debug)]
pub(crate) struct Suppressions {
    /// What the log holds; compaction leaves gaps.
    pub(crate) kept: Vec<Option<Entry>>,
    /// What it ever held, to judge by.
    pub(crate) history: Vec<Entry>,
    /// The high watermark: everything before it is on every replica that must have it.
    high: i64,
    /// As far as the leader knows it, and hands records out.
    pub(crate) readable: i64,
    electing: bool,
    /// Where a stranger's open transaction begins.
    stranger: Option<i64>,
}

impl Suppressions {
    pub(crate) fn new() -> Self {
        Self {
            kept: Vec::with_capacity(32),
            history: Vec::with_capacity(32),
            high: 0,
            readable: 0,
            electing: false,
            stranger: None,
        }
    }

    pub(crate) fn append(&mut self, entry: Entry) {
        self.kept.push(Some(entry));
        self.history.push(entry);
    }

    /// Whether something waits to be replicated, or the leader for its high watermark.
    pub(crate) fn is_behind(&self) -> bool {
        self.electing || self.readable < self.len()
    }

    fn len(&self) -> i64 {
        self.kept.len() as i64
    }

    /// Followers have caught up: everything is durable. Returns the high watermark.
    pub(crate) fn replicate(&mut self) -> i64 {
        self.high = self.len();
        self.readable = self.high;
        self.electing = false;
        self.high
    }

    /// A new leader, which has everything up to the high watermark and the first `more` records after it, and
    /// knows `less` than the high watermark.
    pub(crate) fn change_leader(&mut self, more: i64, less: i64) {
        let cut = index((self.high + more).min(self.len()));
        self.kept.truncate(cut);
        self.history.truncate(cut);
        self.stranger = self.stranger.filter(|first| index(*first) < cut);
        self.readable = (self.high - less).max(0);
        self.electing = true;
    }

    /// ListOffsets, `latest`, `read_uncommitted`.
    pub(crate) fn end(&self) -> Option<i64> {
        (!self.electing).then_some(self.high)
    }

    /// ListOffsets, `latest`, `read_committed`.
    pub(crate) fn stable(&self) -> Option<i64> {
        self.end().map(|end| self.stranger.map_or(end, |first| first.min(end)))
    }

    /// A stranger begins a transaction, or ends the one that is open.
    pub(crate) fn stranger(&mut self, at: Ms) {
        let says = if self.stranger.take().is_none() {
            self.stranger = Some(self.len());
            Says::Heartbeat
        } else {
            Says::Marker
        };
        self.append(Entry { person: HEARTBEAT, says, at });
    }

    pub(crate) fn has_stranger(&self) -> bool {
        self.stranger.is_some()
    }

    /// Removes what a later record replaces, and tombstones from before `collect_before` that every live reader
    /// has behind it. The last record is in the active segment, which is never compacted; from the first record that
    /// is not older than `clean_before` nothing counts (`min.compaction.lag.ms`).
    ///
    /// A lift goes only when every live reader has it behind it. That is an assumption, not Kafka's doing: the follower
    /// passes over tombstones, so one that stands between an opt-out and its lift while the tombstone takes the lift
    /// away would block for good.
    pub(crate) fn compact(&mut self, clean_before: Ms, collect_before: Ms, read_by_all: i64) {
        let mut seen = 0u64;
        let old = self.history.iter().take_while(|entry| entry.at < clean_before).count();
        let last = index(self.high).saturating_sub(1).min(old);
        for offset in (0..last).rev() {
            let Some(entry) = self.kept[offset] else { continue };
            let bit = 1u64 << (entry.person % 64);
            let old = matches!(entry.says, Says::Tombstone)
                && entry.at < collect_before
                && (offset as i64) < read_by_all;
            let lift_unread = entry.says == Says::Lifted && (offset as i64) >= read_by_all;
            if entry.says == Says::Marker || (seen & bit != 0 && !lift_unread) || old {
                self.kept[offset] = None;
            }
            seen |= bit;
        }
    }

    /// Whether the person's opt-out is in force in the first `end` records ever written.
    pub(crate) fn in_force(&self, person: Person, end: i64) -> bool {
        let mine =
            |entry: &&Entry| entry.person == person && matches!(entry.says, Says::InForce | Says::Lifted);
        let until = index(end).min(self.history.len());
        self.history[..until].iter().rev().find(mine).is_some_and(|entry| entry.says == Says::InForce)
    }

    /// Whether it was lifted by one of these records.
    pub(crate) fn lifted_between(&self, person: Person, from: i64, to: i64) -> bool {
        let until = index(to).min(self.history.len());
        self.history[index(from).min(until)..until]
            .iter()
            .any(|entry| entry.person == person && entry.says == Says::Lifted)
    }

    /// The last thing that was said about a person.
    pub(crate) fn last(&self, person: Person) -> Option<(i64, Entry)> {
        let place = self.history.iter().rposition(|entry| entry.person == person)?;
        Some((place as i64, self.history[place]))
    }
}
