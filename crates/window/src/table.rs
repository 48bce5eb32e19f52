//! What was decided in one partition.

use crate::prints::Print;
use crate::shard::{SHARD_BITS, Shard};

/// A table's shards: each is rebuilt on its own, so that no batch waits for the whole.
const SHARDS: usize = 1 << SHARD_BITS;

/// Whether a job is said for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing that counts is known of it.
    First,
    /// It is being decided again after its decision was undone.
    Afresh,
    /// It was ROUTED or EMPTY within the window: a duplicate.
    Before,
}

/// What was decided ROUTED or EMPTY in one partition of `send-jobs`.
#[derive(Debug, Clone)]
pub struct Table {
    shards: Box<[Shard]>,
    /// Seconds for which a decision counts.
    window_s: u32,
    /// One past the last job looked at: a job before it is being decided again.
    next: i64,
    /// The offset that this table's owner last committed.
    committed: Option<i64>,
    /// The shard to tidy next.
    tidied: usize,
}

impl Table {
    /// An empty table whose decisions count for `window_s` seconds.
    #[must_use]
    pub fn new(window_s: u32) -> Self {
        let shards = (0..SHARDS).map(Shard::new).collect();
        Self { shards, window_s, next: 0, committed: None, tidied: 0 }
    }

    /// Looks whether the job at `offset` was said before. To be asked for every job, in the order of the partition.
    #[inline]
    pub fn look(&mut self, print: Print, offset: i64, now_s: u32) -> Said {
        let known = self.shards[shard(print)].get(print.get());
        let said = known.map_or(Said::First, |known| self.judge(Known::unpack(known), offset, now_s));
        self.next = self.next.max(offset + 1);
        said
    }

    /// Asks memory for what [`Table::look`] and [`Table::note`] will need.
    #[inline]
    pub fn foresee(&self, print: Print) {
        self.shards[shard(print)].foresee(print.get());
    }

    fn judge(&self, known: Known, offset: i64, now_s: u32) -> Said {
        let undone_from = u64::from(known.offset.wrapping_sub(low(offset)));
        let again = self.next.saturating_sub(offset);
        if again > 0 && undone_from < again.unsigned_abs() {
            Said::Afresh
        } else if live(known.decided_s, now_s, self.window_s) {
            Said::Before
        } else {
            Said::First
        }
    }

    /// Notes that the job at `offset`, of which [`Table::look`] said that it is no duplicate, is decided ROUTED or EMPTY.
    #[inline]
    pub fn note(&mut self, print: Print, offset: i64, now_s: u32) {
        let known = Known { offset: low(offset), decided_s: now_s };
        self.set(print, known, now_s);
    }

    /// Takes away the note of an undone decision: the job was decided afresh, and is neither ROUTED nor EMPTY now.
    pub fn forget(&mut self, print: Print) {
        self.shards[shard(print)].remove(print.get());
    }

    /// Takes in what was read back: committed at `offset`, decided at `decided_s`. Of two the later one stays.
    pub fn recall(&mut self, print: Print, offset: i64, decided_s: u32, now_s: u32) {
        if !live(decided_s, now_s, self.window_s) {
            return;
        }
        let earlier = self.shards[shard(print)].get(print.get()).map(|known| Known::unpack(known).decided_s);
        if earlier.is_none_or(|earlier| earlier < decided_s) {
            // Half the range away from every job that may yet be decided again, so that it is never taken for undone,
            // not even after an operator has put the group's offsets back.
            let known = Known { offset: low(offset) ^ (1 << 31), decided_s };
            self.set(print, known, now_s);
        }
    }

    fn set(&mut self, print: Print, known: Known, now_s: u32) {
        let window_s = self.window_s;
        let still = move |known| live(Known::unpack(known).decided_s, now_s, window_s);
        self.shards[shard(print)].set(print.get(), known.pack(), still);
    }

    /// Frees what has expired, in one shard; the next call takes the next one. Takes a millisecond or two at most
    /// (benches/results).
    pub fn tidy(&mut self, now_s: u32) {
        let window_s = self.window_s;
        self.tidied = (self.tidied + 1) % SHARDS;
        self.shards[self.tidied].tidy(|known| live(Known::unpack(known).decided_s, now_s, window_s));
    }

    /// The owner has committed up to `next`.
    pub fn committed(&mut self, next: i64) {
        self.committed = Some(next);
    }

    /// Whether the log's committed offset is the one that this table's owner last committed: then nobody else has
    /// decided anything since, and the table is whole.
    #[must_use]
    pub fn stands_at(&self, committed: Option<i64>) -> bool {
        committed.is_some() && self.committed == committed
    }

    /// How many jobs are known, some of which may have expired.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.shards.iter().map(Shard::len).sum()
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(Shard::bytes).sum::<usize>() + size_of::<Self>()
    }
}

/// What an entry knows.
#[derive(Clone, Copy)]
struct Known {
    /// The low half of the job's offset.
    offset: u32,
    /// Unix time, seconds; enough until 2106.
    decided_s: u32,
}

impl Known {
    fn pack(self) -> u64 {
        u64::from(self.offset) << 32 | u64::from(self.decided_s)
    }

    #[expect(clippy::cast_possible_truncation, reason = "two halves")]
    fn unpack(packed: u64) -> Self {
        Self { offset: (packed >> 32) as u32, decided_s: packed as u32 }
    }
}

/// Whether a decision counts still. One of the future, which a clock that was put back leaves, does.
fn live(decided_s: u32, now_s: u32, window_s: u32) -> bool {
    now_s.saturating_sub(decided_s) <= window_s
}

#[inline]
fn shard(print: Print) -> usize {
    (print.get() >> (64 - SHARD_BITS)) as usize
}

#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the low half is what is wanted")]
fn low(offset: i64) -> u32 {
    offset as u32
}

#[cfg(test)]
mod tests;
