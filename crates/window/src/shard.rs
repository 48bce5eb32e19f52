//! A part of a table: open addressing, 16 bytes an entry, the entries in the order of their fingerprints.
//!
//! An entry's home follows from its fingerprint by multiplication, so that homes rise as fingerprints do, and entries
//! stand in order: the first free place from the home on, with larger ones moved up. A look-up ends at the first larger
//! one, after some five entries even when nine of ten places are taken; and making the shard larger, or free of what
//! is expired, is one pass in order, with no place looked for.

use tamis_memory::{ask_for_huge_pages, prefetch_lines};

/// A fingerprint (0: empty), and what is known of it, packed.
type Entry = [u64; 2];

const EMPTY: Entry = [0; 2];
/// Entries from the home on that are asked for before they are needed.
const FORESEEN: usize = 16;
/// Places behind the last home, for what is moved up there; more would only be used once in a million.
const TAIL_MAX: usize = 64;
/// Homes of the smallest shard.
const HOMES_MIN: usize = 16;
/// Bits of a fingerprint that chose the shard.
pub(crate) const SHARD_BITS: u32 = 6;

#[derive(Debug, Clone)]
pub(crate) struct Shard {
    /// `homes` places and a tail. The last one is always empty, so that every walk ends.
    slots: Vec<Entry>,
    homes: usize,
    len: usize,
    /// Homes for each 1,000 entries after a rebuild: a little different from shard to shard, so that they are not all
    /// rebuilt in the same batch.
    homes_per_mille: usize,
}

impl Shard {
    /// An empty shard, `index` of 64.
    pub(crate) fn new(index: usize) -> Self {
        Self { slots: vec![EMPTY], homes: 0, len: 0, homes_per_mille: 1_220 + index }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Entry>() + size_of::<Self>()
    }

    #[inline]
    fn home(&self, print: u64) -> usize {
        home(print, self.homes)
    }

    /// Where it is, or where it would be put.
    #[inline]
    fn find(&self, print: u64) -> Result<usize, usize> {
        let mut at = self.home(print);
        loop {
            let here = self.slots[at][0];
            if here == print {
                return Ok(at);
            }
            // An empty place, 0, is the largest after subtraction.
            if here.wrapping_sub(1) >= print - 1 {
                return Err(at);
            }
            at += 1;
        }
    }

    /// Asks memory for where [`Shard::get`] and [`Shard::set`] will look: five entries and what they move up, mostly.
    #[inline]
    pub(crate) fn foresee(&self, print: u64) {
        prefetch_lines(self.slots.as_ptr().wrapping_add(self.home(print)), FORESEEN * size_of::<Entry>());
    }

    #[inline]
    pub(crate) fn get(&self, print: u64) -> Option<u64> {
        self.find(print).ok().map(|at| self.slots[at][1])
    }

    /// Sets what is known of `print`. Entries that `live` says no to are gone when there was no room.
    pub(crate) fn set(&mut self, print: u64, known: u64, live: impl Fn(u64) -> bool) {
        let mut more = 0;
        loop {
            match self.find(print) {
                Ok(at) => {
                    self.slots[at][1] = known;
                    return;
                }
                // Nine of ten homes: beyond it look-ups grow long.
                Err(at) if self.len * 10 < self.homes * 9 && self.insert(at, [print, known]) => return,
                Err(_) => self.rebuild(&live, more),
            }
            more += 1;
        }
    }

    /// Puts a new entry in its place; `false` when the tail is full.
    fn insert(&mut self, at: usize, entry: Entry) -> bool {
        let mut free = at;
        while self.slots[free] != EMPTY {
            free += 1;
        }
        if free + 1 == self.slots.len() {
            return false;
        }
        self.slots.copy_within(at..free, at + 1);
        self.slots[at] = entry;
        self.len += 1;
        true
    }

    pub(crate) fn remove(&mut self, print: u64) {
        let Ok(at) = self.find(print) else { return };
        // Those behind it that are not at home move back by one.
        let mut end = at + 1;
        while self.slots[end] != EMPTY && self.home(self.slots[end][0]) != end {
            end += 1;
        }
        self.slots.copy_within(at + 1..end, at);
        self.slots[end - 1] = EMPTY;
        self.len -= 1;
    }

    /// Frees what is not live, if it is an eighth or more.
    pub(crate) fn tidy(&mut self, live: impl Fn(u64) -> bool) {
        let expired = self.slots.iter().filter(|entry| **entry != EMPTY && !live(entry[1])).count();
        if expired > 0 && expired * 8 >= self.len {
            self.rebuild(&live, 0);
        }
    }

    /// Moves what is live to as many homes as it needs, and `more` eighths.
    fn rebuild(&mut self, live: &impl Fn(u64) -> bool, mut more: usize) {
        let kept = |entry: &&Entry| **entry != EMPTY && live(entry[1]);
        let len = self.slots.iter().filter(kept).count();
        loop {
            let homes = (len * self.homes_per_mille / 1_000).max(HOMES_MIN);
            let homes = homes + homes / 8 * more;
            let mut slots = empty(homes + 8 + (homes / 8).min(TAIL_MAX));
            let mut free = 0;
            for entry in self.slots.iter().filter(kept) {
                let at = free.max(home(entry[0], homes));
                if at + 1 >= slots.len() {
                    free = slots.len();
                    break;
                }
                slots[at] = *entry;
                free = at + 1;
            }
            if free < slots.len() {
                (self.slots, self.homes, self.len) = (slots, homes, len);
                return;
            }
            more += 1;
        }
    }
}

/// So many empty places. They are written, not taken as the system's zeros: those are only mapped when they are read, and a first
/// write then stops every thread of the process for a moment (0.1 µs a job, 2026-11-28).
fn empty(places: usize) -> Vec<Entry> {
    let mut slots = Vec::with_capacity(places);
    // Between the two, where there is such advice, so that the compiler does not make zeros of the system of them; and it helps the
    // largest.
    ask_for_huge_pages(slots.spare_capacity_mut());
    slots.resize(places, EMPTY);
    slots
}

/// The fingerprint's share of the homes; the bits that chose the shard are the same for all in it.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "below `homes`")]
fn home(print: u64, homes: usize) -> usize {
    ((u128::from(print << SHARD_BITS) * homes as u128) >> 64) as usize
}
