//! What no look-up of the line needs: whole subjects, and where each record came from.
//!
//! It has one part for each segment of the dictionary, whole, so that it can go to a disk a segment at a time. It is read when
//! the writer must be sure whose record it is, when a segment is built anew, and to explain.

use tamis_campaign::{Source, UnixMs};
use tamis_subject::Subject;

use crate::marks::Cell;
use crate::prefetch::prefetch;

/// No next detail.
const END: u32 = u32::MAX;

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    pub(crate) source: Source,
    pub(crate) evidence: &'a str,
    pub(crate) recorded_at_ms: UnixMs,
}

/// A record's origin, packed into 20 bytes.
#[derive(Clone, Copy)]
struct Detail {
    next: u32,
    cell: Cell,
    /// Where the evidence stands in `texts`; 0 is the empty one.
    evidence: u32,
    /// When, in 56 bits of two's complement (enough for a million years), and the source's number in the last 8.
    recorded: [u32; 2],
}

/// A subject's four words, low ones first, and the first of its details: 20 bytes, side by side.
#[derive(Clone, Copy)]
struct Person {
    subject: [u32; 4],
    first: u32,
}

/// The cold part of one segment.
pub(crate) struct Cold {
    /// By place in the segment; what stands at an empty place means nothing.
    people: Vec<Person>,
    details: Vec<Detail>,
    /// Details that are free, linked.
    free: u32,
    /// Evidence, each after its length (4 bytes, little-endian).
    texts: Vec<u8>,
}

impl Cold {
    /// For a segment of `places`; room for `details` records.
    pub(crate) fn new(places: usize, details: usize) -> Self {
        Self {
            people: vec![Person { subject: [0; 4], first: 0 }; places],
            details: Vec::with_capacity(details),
            free: END,
            texts: Vec::new(),
        }
    }

    pub(crate) fn subject(&self, local: u16) -> Subject {
        let words = self.people[usize::from(local)].subject;
        Subject::from_bytes(
            words.iter().rev().fold(0, |all: u128, word| all << 32 | u128::from(*word)).to_le_bytes(),
        )
    }

    /// Asks for who is at `local`, so that they are near when they are wanted.
    #[inline]
    pub(crate) fn foresee(&self, local: u16) {
        prefetch(&self.people[usize::from(local)]);
    }

    /// Notes who stands at an empty place.
    #[expect(clippy::cast_possible_truncation, reason = "the words' halves")]
    pub(crate) fn put(&mut self, local: u16, subject: &Subject) {
        let [low, high] = subject.words();
        let subject = [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32];
        self.people[usize::from(local)] = Person { subject, first: END };
    }

    fn find(&self, local: u16, cell: Cell) -> Option<(u32, u32)> {
        let (mut before, mut at) = (END, self.people[usize::from(local)].first);
        while at != END {
            let detail = &self.details[at as usize];
            if detail.cell == cell {
                return Some((before, at));
            }
            (before, at) = (at, detail.next);
        }
        None
    }

    /// Notes where the record of the subject at `local` in `cell` came from, in place of what was known.
    pub(crate) fn set(&mut self, local: u16, cell: Cell, origin: Origin<'_>) {
        let Some((_, at)) = self.find(local, cell) else { return self.add(local, cell, origin) };
        if self.text(self.details[at as usize].evidence) != origin.evidence {
            self.details[at as usize].evidence = self.keep(origin.evidence);
        }
        self.details[at as usize].recorded = pack(origin.recorded_at_ms, origin.source);
    }

    /// The same for a record of which nothing is known yet.
    fn add(&mut self, local: u16, cell: Cell, origin: Origin<'_>) {
        let evidence = self.keep(origin.evidence);
        let person = usize::from(local);
        let recorded = pack(origin.recorded_at_ms, origin.source);
        let detail = Detail { next: self.people[person].first, cell, evidence, recorded };
        self.people[person].first = if self.free == END {
            if self.details.len() == self.details.capacity() {
                // By an eighth, not to twice: this is most of the memory.
                self.details.reserve_exact(self.details.len() / 8 + 4);
            }
            self.details.push(detail);
            u32::try_from(self.details.len() - 1).expect("details of a segment are counted by 32 bits")
        } else {
            let at = self.free;
            self.free = std::mem::replace(&mut self.details[at as usize], detail).next;
            at
        };
    }

    /// Forgets a record's origin.
    pub(crate) fn remove(&mut self, local: u16, cell: Cell) {
        let Some((before, at)) = self.find(local, cell) else { return };
        let next = self.details[at as usize].next;
        if before == END {
            self.people[usize::from(local)].first = next;
        } else {
            self.details[before as usize].next = next;
        }
        self.details[at as usize].next = self.free;
        self.free = at;
    }

    /// Where the record of the subject at `local` in `cell` came from.
    pub(crate) fn get(&self, local: u16, cell: Cell) -> Option<Origin<'_>> {
        let (_, at) = self.find(local, cell)?;
        Some(self.origin(&self.details[at as usize]))
    }

    fn origin(&self, detail: &Detail) -> Origin<'_> {
        let (recorded_at_ms, source) = unpack(detail.recorded);
        Origin { source, evidence: self.text(detail.evidence), recorded_at_ms }
    }

    /// Puts all details of the subject at `from` in `other` to the subject at `local`, which has none.
    pub(crate) fn take(&mut self, local: u16, other: &Self, from: u16) {
        let mut at = other.people[usize::from(from)].first;
        while at != END {
            let detail = &other.details[at as usize];
            self.add(local, detail.cell, other.origin(detail));
            at = detail.next;
        }
    }

    fn keep(&mut self, evidence: &str) -> u32 {
        if evidence.is_empty() {
            return 0;
        }
        if self.texts.is_empty() {
            self.texts.push(0); // so that no text stands at 0
        }
        let needed = evidence.len() + size_of::<u32>();
        if self.texts.capacity() - self.texts.len() < needed {
            self.texts.reserve_exact(needed + self.texts.len() / 8);
        }
        let at = u32::try_from(self.texts.len()).expect("the log's records bound the evidence of a segment");
        let length = u32::try_from(evidence.len()).expect("the log's records bound a text");
        self.texts.extend_from_slice(&length.to_le_bytes());
        self.texts.extend_from_slice(evidence.as_bytes());
        at
    }

    fn text(&self, at: u32) -> &str {
        if at == 0 {
            return "";
        }
        let (length, text) =
            self.texts[at as usize..].split_first_chunk().expect("a text stands after its length");
        std::str::from_utf8(&text[..u32::from_le_bytes(*length) as usize]).expect("it was kept as text")
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.people.capacity() * size_of::<Person>()
            + self.details.capacity() * size_of::<Detail>()
            + self.texts.capacity()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the two halves of 64 bits")]
fn pack(recorded_at_ms: UnixMs, source: Source) -> [u32; 2] {
    let clamped = recorded_at_ms.clamp(i64::MIN >> 8, i64::MAX >> 8);
    let both = (clamped << 8 | i64::from(source.number())) as u64;
    [both as u32, (both >> 32) as u32]
}

fn unpack(recorded: [u32; 2]) -> (UnixMs, Source) {
    let both = (u64::from(recorded[1]) << 32 | u64::from(recorded[0])).cast_signed();
    let source = i32::try_from(both & 0xff).ok().and_then(Source::from_number);
    (both >> 8, source.expect("it was packed from a source"))
}
