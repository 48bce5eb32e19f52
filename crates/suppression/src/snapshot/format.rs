//! Bytes and tables of a snapshot. Nothing that is read is taken on trust: what is out of bounds is refused, whatever the
//! checksums say.

use std::fs::File;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{About, Refused};
use crate::cells::CellRow;
use crate::cold::Cold;
use crate::growth::Part;
use crate::line::{LINE_BYTES, Line};
use crate::marks::{Cell, Marks};
use crate::segment::Segment;
use crate::stored::{Shape, Stored, Sums, sums, sums_of};

/// Version of the format. From 3 on a record tells the kind of its subject; from 4 on who finds no room takes strides of its own.
pub(super) const VERSION: u32 = 4;
/// What a snapshot begins with, before its version and four zeros.
pub(super) const MAGIC: [u8; 8] = *b"TAMISFLT";
/// What it ends with.
const END_MAGIC: [u8; 8] = *b"TAMISEND";
pub(super) const HEAD_BYTES: usize = 16;
pub(super) const TAIL_BYTES: usize = 32;
/// A record's place, cell and times.
const TIMED_BYTES: usize = 2 + 4 + 8 + 8;

/// The head.
pub(super) fn head() -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head
}

/// The tail: where the table stands, its length, its checksum.
pub(super) fn tail(at: u64, table: &[u8]) -> [u8; TAIL_BYTES] {
    let mut tail = [0; TAIL_BYTES];
    let words = [at, table.len() as u64, xxh3_64(table), u64::from_le_bytes(END_MAGIC)];
    for (place, word) in tail.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    tail
}

/// Where the table stands, its length and its checksum.
pub(super) fn read_tail(tail: &[u8; TAIL_BYTES]) -> Option<(u64, u64, u64)> {
    let word = |n: usize| tail[n * 8..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    (word(3) == u64::from_le_bytes(END_MAGIC)).then(|| (word(0), word(1), word(2)))
}

/// The table.
#[derive(Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) about: About,
    pub(super) cells: Vec<CellRow>,
    /// In the order of their subjects.
    pub(super) segments: Vec<Row>,
}

/// One segment.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Row {
    /// By how many bits its subjects begin alike.
    pub(super) depth: u8,
    /// Where its bytes stand: lines, sets, times, checksums of the cold part, and then that.
    pub(super) at: u64,
    lines: u32,
    /// Words of the sets.
    sets: u32,
    timed: u32,
    hot_sum: u64,
    cold: Shape,
}

impl Row {
    fn hot_bytes(&self) -> usize {
        let [lines, sets, timed] = [self.lines, self.sets, self.timed].map(|n| n as usize);
        lines * LINE_BYTES + sets * 4 + timed * TIMED_BYTES + sums_of(self.cold.bytes()) * 8
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> u64 {
        (self.hot_bytes() + self.cold.bytes()) as u64
    }

    /// Where it ends; `None` when that is nowhere.
    pub(super) fn end(&self) -> Option<u64> {
        self.at.checked_add(self.bytes())
    }

    /// Where its hot part stands.
    pub(super) fn hot(&self) -> (u64, usize) {
        (self.at, self.hot_bytes())
    }

    /// Its cold part, in `file`.
    pub(super) fn stored(&self, file: Arc<File>, sums: Sums) -> Stored {
        Stored::new(file, self.at + self.hot_bytes() as u64, self.cold, sums)
    }
}

/// Puts a segment into `out`; `at` is where that will stand. The cold part must be in memory. Returns its checksums besides.
pub(super) fn write_segment(
    out: &mut Vec<u8>,
    at: u64,
    depth: u8,
    segment: &Segment,
    marks: &Marks,
    cold: &Cold,
) -> (Row, Sums) {
    out.clear();
    for line in segment.lines() {
        out.extend_from_slice(&line.to_bytes());
    }
    let sets_at = out.len();
    for set in marks.own_sets() {
        let count = u32::try_from(set.len()).expect("fewer than there are cells");
        for word in std::iter::once(&count).chain(set) {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    let timed_at = out.len();
    for (local, cell, (effective, expires)) in marks.timed() {
        out.extend_from_slice(&local.to_le_bytes());
        out.extend_from_slice(&cell.to_le_bytes());
        out.extend_from_slice(&effective.to_le_bytes());
        out.extend_from_slice(&expires.to_le_bytes());
    }
    let sums_at = out.len();
    let mut bytes = Vec::new();
    let shape = cold.write(&mut bytes);
    let sums = sums(&bytes);
    for sum in &*sums {
        out.extend_from_slice(&sum.to_le_bytes());
    }
    let hot_sum = xxh3_64(out);
    out.extend_from_slice(&bytes);
    let count = |count| u32::try_from(count).expect("a segment's parts are counted by 32 bits");
    let row = Row {
        depth,
        at,
        lines: count(sets_at / LINE_BYTES),
        sets: count((timed_at - sets_at) / 4),
        timed: count((sums_at - timed_at) / TIMED_BYTES),
        hot_sum,
        cold: shape,
    };
    (row, sums)
}

/// A segment, from the bytes of its hot part; `cells` is how many cells there are.
pub(super) fn read_segment(row: &Row, bytes: &[u8], cells: Cell, file: Arc<File>) -> Result<Part, Refused> {
    const SHORT: Refused = Refused::Damaged("a segment's length");
    if xxh3_64(bytes) != row.hot_sum {
        return Err(Refused::Damaged("a segment's checksum"));
    }
    let (lines, rest) = bytes.split_at_checked(row.lines as usize * LINE_BYTES).ok_or(SHORT)?;
    let (sets, rest) = rest.split_at_checked(row.sets as usize * 4).ok_or(SHORT)?;
    let (timed, sums) = rest.split_at_checked(row.timed as usize * TIMED_BYTES).ok_or(SHORT)?;
    let lines = lines.as_chunks().0.iter().map(Line::from_bytes);
    let lines = lines.collect::<Option<_>>().ok_or(Refused::Damaged("a line with a hole"))?;
    let segment = Segment::of_lines(lines).ok_or(Refused::Damaged("a segment's number of lines"))?;
    let mut marks = Marks::new();
    let mut words = sets.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
    while let Some(count) = words.next() {
        let set: Vec<Cell> = words.by_ref().take(count as usize).collect();
        if set.len() != count as usize || !marks.add_own(&set, cells) {
            return Err(Refused::Damaged("a set of cells"));
        }
    }
    for row in timed.chunks_exact(TIMED_BYTES) {
        let (local, rest) = row.split_first_chunk().ok_or(SHORT)?;
        let (cell, rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (effective, expires) = rest.split_first_chunk().ok_or(SHORT)?;
        let expires = expires.first_chunk().ok_or(SHORT)?;
        let times = (i64::from_le_bytes(*effective), i64::from_le_bytes(*expires));
        marks.set_times(u16::from_le_bytes(*local), u32::from_le_bytes(*cell), times);
    }
    if segment.iter().any(|(_, mark)| !marks.has(mark, cells)) {
        return Err(Refused::Damaged("a subject's mark"));
    }
    if row.cold.people as usize != segment.places() {
        return Err(Refused::Damaged("a segment's number of places"));
    }
    let sums = sums.as_chunks().0.iter().map(|sum| u64::from_le_bytes(*sum)).collect();
    Ok(Part::of(segment, marks, Cold::of_stored(row.stored(file, sums))))
}
