//! What the subjects of one segment are in: each distinct set of cells once, by a number of 16 bits.
//!
//! A cell is one (scope, channel, reason). Most subjects have one record, and many have the same one, so a segment has few
//! sets; it never needs more than it has subjects, so that 16 bits always do. Sets that nobody is in any more stay until the
//! segment is built anew.

use hashbrown::{HashMap, HashTable};
use tamis_campaign::UnixMs;

/// A (scope, channel, reason), as `Cells` counts them.
pub(crate) type Cell = u32;

/// The set of no cells.
pub(crate) const NONE: u16 = 0;

/// An entry with this bit is a place in `texts`; without it, the set's only cell.
const MANY: u32 = 1 << 31;

/// No number is left: the segment must be built anew first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exhausted;

/// Sets of cells, and when the records of single subjects count.
pub(crate) struct Marks {
    /// By number: the only cell, or where the cells stand in `cells`, after their count.
    entries: Vec<u32>,
    cells: Vec<Cell>,
    numbers: HashTable<u16>,
    /// The few that come into force later or expire, by place and cell: (effective, expires), 0 = at once, never.
    timed: HashMap<(u16, Cell), (UnixMs, UnixMs)>,
}

impl Marks {
    pub(crate) fn new() -> Self {
        // The set of none is the first.
        Self { entries: vec![MANY], cells: vec![0], numbers: HashTable::new(), timed: HashMap::new() }
    }

    /// The cells of a set, ascending.
    #[inline]
    pub(crate) fn cells(&self, mark: u16) -> &[Cell] {
        cells(&self.entries, &self.cells, mark)
    }

    /// The number of the set of `cells`, which ascend.
    pub(crate) fn number(&mut self, wanted: &[Cell]) -> Result<u16, Exhausted> {
        if wanted.is_empty() {
            return Ok(NONE);
        }
        let Self { entries, cells: texts, numbers, .. } = self;
        let found = numbers.find(hash(wanted), |number| cells(entries, texts, *number) == wanted);
        if let Some(number) = found {
            return Ok(*number);
        }
        let number = u16::try_from(entries.len()).map_err(|_| Exhausted)?;
        if let [one] = wanted {
            entries.push(*one);
        } else {
            let at = u32::try_from(texts.len()).ok().filter(|at| *at < MANY).ok_or(Exhausted)?;
            entries.push(at | MANY);
            texts.push(u32::try_from(wanted.len()).expect("fewer than there are cells"));
            texts.extend_from_slice(wanted);
        }
        numbers.insert_unique(hash(wanted), number, |other| hash(cells(entries, texts, *other)));
        Ok(number)
    }

    /// The number of `mark`'s set with `cell` as well.
    pub(crate) fn with(&mut self, mark: u16, cell: Cell) -> Result<u16, Exhausted> {
        if mark == NONE {
            return self.number(&[cell]);
        }
        let mut wanted = self.cells(mark).to_vec();
        match wanted.binary_search(&cell) {
            Ok(_) => Ok(mark),
            Err(at) => {
                wanted.insert(at, cell);
                self.number(&wanted)
            }
        }
    }

    /// The number of `mark`'s set without `cell`.
    pub(crate) fn without(&mut self, mark: u16, cell: Cell) -> Result<u16, Exhausted> {
        let mut wanted = self.cells(mark).to_vec();
        match wanted.binary_search(&cell) {
            Ok(at) => {
                wanted.remove(at);
                self.number(&wanted)
            }
            Err(_) => Ok(mark),
        }
    }

    /// When the record of the subject at `local` in `cell` counts: effective, expires; 0 = at once, never.
    #[inline]
    pub(crate) fn times(&self, local: u16, cell: Cell) -> (UnixMs, UnixMs) {
        if self.timed.is_empty() {
            return (0, 0);
        }
        self.timed.get(&(local, cell)).copied().unwrap_or_default()
    }

    pub(crate) fn set_times(&mut self, local: u16, cell: Cell, times: (UnixMs, UnixMs)) {
        if times != (0, 0) {
            self.timed.insert((local, cell), times);
        } else if !self.timed.is_empty() {
            self.timed.remove(&(local, cell));
        }
    }

    /// Whether any record of the segment has times.
    pub(crate) fn has_times(&self) -> bool {
        !self.timed.is_empty()
    }

    /// In force: effective at 0 or past, expiring at 0 or later than now (semantics, section 2).
    #[inline]
    pub(crate) fn in_force(&self, local: u16, cell: Cell, now_ms: UnixMs) -> bool {
        let (effective, expires) = self.times(local, cell);
        effective <= now_ms && (expires == 0 || expires > now_ms)
    }

    /// How many sets there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        const TIMED: usize = size_of::<((u16, Cell), (UnixMs, UnixMs))>();
        size_of::<Self>()
            + (self.entries.capacity() + self.cells.capacity()) * size_of::<u32>()
            + self.numbers.allocation_size()
            + self.timed.capacity() * TIMED * 8 / 7
    }
}

#[inline]
fn cells<'a>(entries: &'a [u32], cells: &'a [Cell], mark: u16) -> &'a [Cell] {
    let entry = &entries[usize::from(mark)];
    if entry & MANY == 0 {
        return std::slice::from_ref(entry);
    }
    let at = (entry & !MANY) as usize;
    &cells[at + 1..at + 1 + cells[at] as usize]
}

fn hash(cells: &[Cell]) -> u64 {
    let mixed = cells.iter().fold(0, |hash: u64, cell| {
        (hash.rotate_left(23) ^ u64::from(*cell)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    mixed ^ mixed >> 32
}
