//! What the subjects of one segment are in: a set of cells for each, by a number of 16 bits, its mark.
//!
//! Most subjects have one record, so a mark can be the number of its only cell: nothing more is looked at then. The other
//! sets are kept once each by the segment, which needs few of them, and is split when it needs many. Sets that nobody is in
//! any more stay until the segment is built anew.

use hashbrown::{HashMap, HashSet, HashTable};
use tamis_campaign::UnixMs;

use crate::segment::Segment;

/// A (scope, channel, reason), as `Cells` counts them.
pub(crate) type Cell = u32;

/// The set of no cells.
pub(crate) const NONE: u16 = 0;

/// Marks from this one on are sets of the segment's own; from 1 to here, one more than the only cell.
const OWN: u16 = if cfg!(test) { 8 } else { 1 << 15 };
/// Most sets of a segment's own. Tests have few, so that they end.
const MOST: usize = if cfg!(test) { 400 } else { 1 << 15 };
/// With so many in use a segment is split: enough less than `MOST` that there is room for a while.
pub(crate) const SPLIT_SETS: usize = MOST - MOST / 4;

/// No number is left: the segment must be built anew first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exhausted;

/// The cells of a mark.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Set<'a> {
    One(Cell),
    /// Ascending.
    Own(&'a [Cell]),
}

impl Set<'_> {
    #[inline]
    pub(crate) fn contains(self, cell: Cell) -> bool {
        match self {
            Self::One(one) => one == cell,
            Self::Own(cells) => cells.contains(&cell),
        }
    }

    /// Ascending.
    pub(crate) fn cells(&self) -> &[Cell] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Own(cells) => cells,
        }
    }
}

/// When a record counts: effective, expires, Unix ms; 0 = at once, never.
pub(crate) type Times = (UnixMs, UnixMs);

/// Sets of cells, and when the records of single subjects count.
#[derive(Clone)]
pub(crate) struct Marks {
    /// By number less `OWN`: where the cells stand in `cells`, after their count.
    entries: Vec<u32>,
    cells: Vec<Cell>,
    numbers: HashTable<u16>,
    /// The few that come into force later or expire, by place and cell.
    timed: HashMap<(u16, Cell), Times>,
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), cells: Vec::new(), numbers: HashTable::new(), timed: HashMap::new() }
    }

    /// The cells of a mark.
    #[inline]
    pub(crate) fn set(&self, mark: u16) -> Set<'_> {
        match mark {
            NONE => Set::Own(&[]),
            one if one < OWN => Set::One(Cell::from(one) - 1),
            own => Set::Own(own_cells(&self.entries, &self.cells, own)),
        }
    }

    /// The mark of the set of `cells`, which ascend.
    #[inline]
    pub(crate) fn number(&mut self, wanted: &[Cell]) -> Result<u16, Exhausted> {
        match wanted {
            [] => Ok(NONE),
            [one] if *one < Cell::from(OWN) - 1 => {
                Ok(u16::try_from(one + 1).expect("it was compared with a number of 16 bits"))
            }
            _ => self.own(wanted),
        }
    }

    fn own(&mut self, wanted: &[Cell]) -> Result<u16, Exhausted> {
        let Self { entries, cells, numbers, .. } = self;
        let found = numbers.find(hash(wanted), |number| own_cells(entries, cells, *number) == wanted);
        if let Some(number) = found {
            return Ok(*number);
        }
        if entries.len() == MOST {
            return Err(Exhausted);
        }
        let number = OWN + u16::try_from(entries.len()).expect("MOST is below");
        entries.push(u32::try_from(cells.len()).map_err(|_| Exhausted)?);
        cells.push(u32::try_from(wanted.len()).expect("fewer than there are cells"));
        cells.extend_from_slice(wanted);
        numbers.insert_unique(hash(wanted), number, |other| hash(own_cells(entries, cells, *other)));
        Ok(number)
    }

    /// The mark of another segment's mark, whose set is `set`. `known` is what was found before, by the number of the other's
    /// own sets.
    #[inline]
    pub(crate) fn take(&mut self, known: &mut [u16], mark: u16, set: Set<'_>) -> Result<u16, Exhausted> {
        if !Self::is_own(mark) {
            return Ok(mark);
        }
        let known = &mut known[usize::from(mark - OWN)];
        if *known == NONE {
            *known = self.number(set.cells())?;
        }
        Ok(*known)
    }

    /// How many sets of its own there are.
    pub(crate) fn own_count(&self) -> usize {
        self.entries.len()
    }

    /// The mark of `mark`'s set with `cell` as well.
    #[inline]
    pub(crate) fn with(&mut self, mark: u16, cell: Cell) -> Result<u16, Exhausted> {
        if mark == NONE {
            return self.number(&[cell]);
        }
        if self.set(mark).contains(cell) {
            return Ok(mark);
        }
        let mut wanted = self.set(mark).cells().to_vec();
        wanted.insert(wanted.partition_point(|other| *other < cell), cell);
        self.number(&wanted)
    }

    /// The mark of `mark`'s set without `cell`.
    pub(crate) fn without(&mut self, mark: u16, cell: Cell) -> Result<u16, Exhausted> {
        if !self.set(mark).contains(cell) {
            return Ok(mark);
        }
        let mut wanted = self.set(mark).cells().to_vec();
        wanted.retain(|other| *other != cell);
        self.number(&wanted)
    }

    /// When the record of the subject at `local` in `cell` counts.
    #[inline]
    pub(crate) fn times(&self, local: u16, cell: Cell) -> Times {
        if self.timed.is_empty() {
            return (0, 0);
        }
        self.timed.get(&(local, cell)).copied().unwrap_or_default()
    }

    pub(crate) fn set_times(&mut self, local: u16, cell: Cell, times: Times) {
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

    /// The next set of the segment's own, of `cells` cells in all; `false` when it can't be one.
    pub(crate) fn add_own(&mut self, set: &[Cell], cells: Cell) -> bool {
        let before = self.entries.len();
        let ascends = set.is_sorted_by(|a, b| a < b) && set.last().is_some_and(|last| *last < cells);
        ascends && self.own(set).is_ok() && self.entries.len() > before
    }

    /// Whether there is such a mark, with `cells` cells in all.
    pub(crate) fn has(&self, mark: u16, cells: Cell) -> bool {
        if mark < OWN { Cell::from(mark) <= cells } else { usize::from(mark - OWN) < self.entries.len() }
    }

    /// Records of the subjects of `segment`, whose marks these are.
    pub(crate) fn records(&self, segment: &Segment) -> usize {
        segment.iter().map(|(_, mark)| self.set(mark).cells().len()).sum()
    }

    /// Whether a mark is a set of the segment's own.
    pub(crate) fn is_own(mark: u16) -> bool {
        mark >= OWN
    }

    /// Records that expired before `before_ms`: they never come into force again.
    pub(crate) fn over(&self, before_ms: UnixMs) -> HashSet<(u16, Cell)> {
        let over = self.timed.iter().filter(|(_, (_, expires))| *expires != 0 && *expires < before_ms);
        over.map(|(of, _)| *of).collect()
    }

    /// The sets of the segment's own, by number.
    pub(crate) fn own_sets(&self) -> impl Iterator<Item = &[Cell]> {
        self.entries.iter().map(|at| cells_at(&self.cells, *at))
    }

    /// Every record that has times: place, cell, times.
    pub(crate) fn timed(&self) -> impl Iterator<Item = (u16, Cell, Times)> {
        self.timed.iter().map(|(&(local, cell), &times)| (local, cell, times))
    }

    pub(crate) fn bytes(&self) -> usize {
        const TIMED: usize = size_of::<((u16, Cell), Times)>();
        size_of::<Self>()
            + (self.entries.capacity() + self.cells.capacity()) * size_of::<u32>()
            + self.numbers.allocation_size()
            + self.timed.capacity() * TIMED * 8 / 7
    }
}

#[inline]
fn own_cells<'a>(entries: &[u32], cells: &'a [Cell], mark: u16) -> &'a [Cell] {
    cells_at(cells, entries[usize::from(mark - OWN)])
}

#[inline]
fn cells_at(cells: &[Cell], at: u32) -> &[Cell] {
    let at = at as usize;
    &cells[at + 1..at + 1 + cells[at] as usize]
}

fn hash(cells: &[Cell]) -> u64 {
    let mixed = cells.iter().fold(0, |hash: u64, cell| {
        (hash.rotate_left(23) ^ u64::from(*cell)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    mixed ^ mixed >> 32
}
