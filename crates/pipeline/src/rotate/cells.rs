//! What the log holds of each cell that has a record of an earlier scheme, and what is to be done about it. Pure.
//!
//! A *cell* here is one (subject of the newest scheme, scope, tenant, list, channel, reason): that of which the latest record
//! counts.

use std::collections::HashMap;

use tamis_bus::{KeyedRecord, Partition};
use tamis_campaign::UnixMs;
use tamis_subject::{Subject, Subjects};
use tamis_wire::record::{self, Record, State};

/// Which subjects are looked at: those whose first `bits` bits are `number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slice {
    bits: u32,
    number: u64,
}

impl Slice {
    /// Four thousand million slices are more than there are people in any.
    const BITS_MAX: u32 = 32;

    pub(super) fn has(self, subject: &Subject) -> bool {
        self.bits == 0 || subject.words()[0] >> (64 - self.bits) == self.number
    }

    /// The first half of it.
    pub(super) fn halved(self) -> Self {
        Self { bits: self.bits + 1, number: self.number << 1 }
    }

    /// The one behind it; all that come one after the other are everybody.
    pub(super) fn next(self) -> Option<Self> {
        let number = self.number + 1;
        // What was halved on the way here is whole again behind it.
        let up = number.trailing_zeros().min(self.bits);
        (up < self.bits).then(|| Self { bits: self.bits - up, number: number >> up })
    }

    /// Whether it is everybody.
    pub(super) fn is_all(self) -> bool {
        self.bits == 0
    }
}

/// A record as the log has it.
struct Seen {
    offset: i64,
    recorded_at_ms: i64,
    copy: bool,
    /// Whether a tombstone came after it.
    gone: bool,
    record: Record,
}

impl Seen {
    /// In force now or later.
    fn in_force(&self, now_ms: UnixMs) -> bool {
        let Record { state, expires_at_ms, .. } = self.record;
        state == State::InForce && (expires_at_ms == 0 || expires_at_ms > now_ms)
    }

    /// Whether `copy` may be the copy of this one. Its times may be stricter.
    fn is_source_of(&self, copy: &Self, now_ms: UnixMs) -> bool {
        let content = |seen: &Self| {
            let Record { source, identity, .. } = seen.record;
            (seen.recorded_at_ms.max(1), source, identity)
        };
        self.in_force(now_ms)
            && content(self) == content(copy)
            && self.record.evidence == copy.record.evidence
    }
}

/// The records of one cell, in their order, from its first one of an earlier scheme on.
#[derive(Default)]
struct Cell {
    partition: Partition,
    seen: Vec<Seen>,
}

/// What a fate depends on besides the cell.
#[derive(Clone, Copy)]
struct Rules {
    /// The newest scheme.
    scheme: u32,
    now_ms: UnixMs,
}

/// What is to be done about a cell.
enum Fate<'c> {
    /// Write it again: this record, with these times.
    Copy { of: &'c Seen, effective_at_ms: i64, expires_at_ms: i64 },
    /// What counts is of the newest scheme, or lifted, or over: take the earlier ones away.
    Clear { blocked_again: bool },
}

impl Cell {
    fn fate(&self, Rules { scheme, now_ms }: Rules) -> Fate<'_> {
        let Some(last) = self.seen.last() else { return Fate::Clear { blocked_again: false } };
        let as_is = |of: &'_ Seen| (of.record.effective_at_ms, of.record.expires_at_ms);
        // Where a process with the old key has lifted what another had said under the new one, that one's word counts again:
        // a lift is never written here.
        if !last.in_force(now_ms) {
            return Fate::Clear { blocked_again: false };
        }
        if last.record.scheme < scheme {
            let (effective_at_ms, expires_at_ms) = as_is(last);
            return Fate::Copy { of: last, effective_at_ms, expires_at_ms };
        }
        // Only a copy may have come too late, another's record counts as it stands. What it is a copy of may be compacted away.
        let before = if last.copy { &self.seen[..self.seen.len() - 1] } else { &[] };
        let source = before.iter().position(|seen| seen.is_source_of(last, now_ms));
        let between = &before[source.map_or(0, |source| source + 1)..];
        let missed = between.iter().rfind(|seen| seen.in_force(now_ms));
        let (effective_at_ms, expires_at_ms) =
            between.iter().filter(|seen| seen.in_force(now_ms)).map(as_is).fold(as_is(last), stricter);
        if let Some(of) = missed.filter(|_| (effective_at_ms, expires_at_ms) != as_is(last)) {
            return Fate::Copy { of, effective_at_ms, expires_at_ms };
        }
        Fate::Clear { blocked_again: between.last().is_some_and(|seen| !seen.in_force(now_ms)) }
    }

    /// Whether nothing is left to be done, with no further look at the log.
    fn is_done(&self, rules: Rules) -> bool {
        self.seen.iter().all(|seen| seen.gone || seen.record.scheme == rules.scheme)
            && matches!(self.fate(rules), Fate::Clear { .. })
    }
}

/// The times of a record that is in force whenever one of two is.
fn stricter(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    // 0 is at once, and for good.
    let expires_at_ms = if a.1 == 0 || b.1 == 0 { 0 } else { a.1.max(b.1) };
    (a.0.min(b.0), expires_at_ms)
}

/// The cells of a slice that have records of earlier schemes.
pub(super) struct Cells {
    subjects: Subjects,
    slice: Slice,
    most: usize,
    now_ms: UnixMs,
    /// By partition and the key of the newest scheme.
    cells: HashMap<(Partition, Vec<u8>), Cell>,
}

impl Cells {
    /// None yet. Past `most` the slice becomes a smaller one.
    pub(super) fn new(subjects: Subjects, slice: Slice, most: usize, now_ms: UnixMs) -> Self {
        Self { subjects, slice, most, now_ms, cells: HashMap::new() }
    }

    fn rules(&self) -> Rules {
        Rules { scheme: self.subjects.newest(), now_ms: self.now_ms }
    }

    pub(super) fn slice(&self) -> Slice {
        self.slice
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Takes a record of the log in; the log took the first of its line at `recorded_at_ms`.
    pub(super) fn take(
        &mut self,
        partition: Partition,
        offset: i64,
        record: Record,
        recorded_at_ms: i64,
        copy: bool,
    ) {
        let rules = self.rules();
        let subject = self.subjects.advance(record.subject, record.scheme);
        if !self.slice.has(&subject) {
            return;
        }
        let at = (partition, record::key(&Record { subject, ..record.clone() }));
        if record.scheme == rules.scheme && !self.cells.contains_key(&at) {
            return;
        }
        let cell = self.cells.entry(at).or_insert_with(|| Cell { partition, seen: Vec::with_capacity(1) });
        cell.seen.push(Seen { offset, recorded_at_ms, copy, gone: false, record });
        // A subject alone may have more.
        while self.cells.len() > self.most && self.slice.bits < Slice::BITS_MAX {
            self.slice = self.slice.halved();
            let slice = self.slice;
            self.cells.retain(|(_, key), _| subject_of(key).is_some_and(|subject| slice.has(&subject)));
        }
    }

    /// Takes a tombstone in: what was under `key` is gone, and needs a copy still if it counts.
    pub(super) fn take_tombstone(&mut self, partition: Partition, key: &[u8]) {
        let Some(subject) = subject_of(key) else { return };
        let rules = self.rules();
        // A key does not tell its scheme.
        for scheme in 1..rules.scheme {
            let mut later = key.to_vec();
            later[1..17].copy_from_slice(&self.subjects.advance(subject, scheme).to_bytes());
            let at = (partition, later);
            let Some(cell) = self.cells.get_mut(&at) else { continue };
            for seen in &mut cell.seen {
                seen.gone |= seen.record.subject == subject;
            }
        }
    }

    /// Lets go of the cells in which nothing is left to be done. Only to be asked at the log's end, and while no copy is on its
    /// way: a tombstone may have taken what nobody had seen, then its copy comes behind what others wrote after that.
    pub(super) fn forget_done(&mut self) {
        let rules = self.rules();
        self.cells.retain(|_, cell| !cell.is_done(rules));
    }

    /// The copies that are to be written.
    pub(super) fn copies(&self) -> Vec<KeyedRecord> {
        let rules = self.rules();
        let scheme = rules.scheme;
        let copy = |cell: &Cell| {
            let Fate::Copy { of, effective_at_ms, expires_at_ms } = cell.fate(rules) else { return None };
            let subject = self.subjects.advance(of.record.subject, of.record.scheme);
            let record = Record { subject, scheme, effective_at_ms, expires_at_ms, ..of.record.clone() };
            Some(KeyedRecord {
                partition: cell.partition,
                key: record::key(&record),
                value: Some(record::encode_copy(&record, of.recorded_at_ms)),
                unless_after: cell.seen.last().map(|last| last.offset),
            })
        };
        self.cells.values().filter_map(copy).collect()
    }

    /// The tombstones of all records of earlier schemes. Only to be asked once there are no copies to write.
    pub(super) fn tombstones(&self) -> Vec<KeyedRecord> {
        let rules = self.rules();
        let mut last: HashMap<(Partition, Vec<u8>), i64> = HashMap::new();
        for cell in self.cells.values() {
            debug_assert!(matches!(cell.fate(rules), Fate::Clear { .. }), "G1: the copy comes first");
            for seen in cell.seen.iter().filter(|seen| seen.record.scheme < rules.scheme && !seen.gone) {
                last.insert((cell.partition, record::key(&seen.record)), seen.offset);
            }
        }
        last.into_iter()
            .map(|((partition, key), offset)| KeyedRecord {
                partition,
                key,
                value: None,
                unless_after: Some(offset),
            })
            .collect()
    }

    /// Cells that were lifted between a record and its copy.
    pub(super) fn blocked_again(&self) -> u64 {
        let rules = self.rules();
        let again = |cell: &&Cell| matches!(cell.fate(rules), Fate::Clear { blocked_again: true });
        self.cells.values().filter(again).count() as u64
    }
}

/// The subject in a record's key; `None` for a control record.
fn subject_of(key: &[u8]) -> Option<Subject> {
    let bytes = key.get(1..17).filter(|_| key[0] == 1)?;
    Some(Subject::from_bytes(bytes.try_into().ok()?))
}
