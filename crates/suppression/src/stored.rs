//! The cold part of one segment, as it stands in a snapshot's file: read where it is wanted, a few bytes at a time.
//!
//! Layout: `people` times 20 bytes (subject, first detail), `details` times 20 (next, cell, evidence, recorded), `texts`. All
//! words are little-endian. Each block of 4 KiB has a checksum, kept in memory, and nothing is taken from a block that
//! does not have it: so that a person costs one block to read, and not the segment.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::cold::{Cold, Detail, END, Origin, Person, Told, origin};
use crate::marks::Cell;

/// Bytes of a person, and of a detail.
const ROW: usize = 20;
/// Bytes that have a checksum together: a page, which is what the system reads anyway.
const BLOCK: usize = 4_096;

/// A snapshot in use that can't be read. The index can't be relied on any more: load it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The system refused.
    #[error("the snapshot in use cannot be read: {0}")]
    Io(io::ErrorKind),
    /// It is not what was written.
    #[error("the snapshot in use is damaged")]
    Damaged,
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) people: u32,
    pub(crate) details: u32,
    pub(crate) texts: u32,
}

impl Shape {
    /// Bytes in all.
    pub(crate) fn bytes(self) -> usize {
        (self.people as usize + self.details as usize) * ROW + self.texts as usize
    }
}

/// The checksum of each block.
pub(crate) type Sums = Arc<[u64]>;

/// The checksums of a cold part's bytes.
pub(crate) fn sums(bytes: &[u8]) -> Sums {
    bytes.chunks(BLOCK).map(xxh3_64).collect()
}

/// How many checksums a part of `bytes` has.
pub(crate) fn sums_of(bytes: usize) -> usize {
    bytes.div_ceil(BLOCK)
}

/// Where it stands.
pub(crate) struct Stored {
    file: Arc<File>,
    at: u64,
    shape: Shape,
    sums: Sums,
}

impl Stored {
    pub(crate) fn new(file: Arc<File>, at: u64, shape: Shape, sums: Sums) -> Self {
        Self { file, at, shape, sums }
    }

    /// Bytes of it that are in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.sums)
    }

    fn read(&self, from: usize, bytes: usize) -> Result<Vec<u8>, Unreadable> {
        let (first, last) = (from / BLOCK, (from + bytes).div_ceil(BLOCK));
        let sums = self.sums.get(first..last).ok_or(Unreadable::Damaged)?;
        let before = first * BLOCK;
        let mut read = vec![0; (last * BLOCK).min(self.shape.bytes()).saturating_sub(before)];
        self.file.read_exact_at(&mut read, self.at + before as u64)?;
        if !read.chunks(BLOCK).map(xxh3_64).eq(sums.iter().copied()) {
            return Err(Unreadable::Damaged);
        }
        read.truncate(from - before + bytes);
        read.drain(..from - before);
        if read.len() == bytes { Ok(read) } else { Err(Unreadable::Damaged) }
    }

    fn row(&self, number: usize) -> Result<[u32; 5], Unreadable> {
        let read = self.read(number * ROW, ROW)?;
        Ok(words(&read))
    }

    /// Who stands at `local`.
    pub(crate) fn person(&self, local: u16) -> Result<Person, Unreadable> {
        if u32::from(local) >= self.shape.people {
            return Err(Unreadable::Damaged);
        }
        Ok(person(self.row(usize::from(local))?))
    }

    /// Who stands at `local`, and where their records came from.
    pub(crate) fn told(&self, local: u16) -> Result<Told, Unreadable> {
        let person = self.person(local)?;
        let mut told = Told { subject: person.subject(), origins: Vec::new() };
        let mut at = person.first;
        while at != END {
            // One that goes round has more than there are.
            if at >= self.shape.details || told.origins.len() > self.shape.details as usize {
                return Err(Unreadable::Damaged);
            }
            let detail = detail(self.row(self.shape.people as usize + at as usize)?);
            told.origins.push(self.origin(&detail)?);
            at = detail.next;
        }
        // In the order in which they are added again.
        told.origins.reverse();
        Ok(told)
    }

    fn origin(&self, detail: &Detail) -> Result<(Cell, Origin), Unreadable> {
        let texts = (self.shape.people as usize + self.shape.details as usize) * ROW;
        let mut evidence = Vec::new();
        if detail.evidence != 0 {
            let left = self.shape.texts.checked_sub(detail.evidence).filter(|left| *left >= 4);
            let left = left.ok_or(Unreadable::Damaged)? as usize;
            let at = texts + detail.evidence as usize;
            let length = u32::from_le_bytes(self.read(at, 4)?.try_into().unwrap_or_default()) as usize;
            if length > left - 4 {
                return Err(Unreadable::Damaged);
            }
            evidence = self.read(at, 4 + length)?;
            evidence.insert(0, 0); // no text stands at 0
        }
        let there = Detail { evidence: detail.evidence.min(1), ..*detail };
        Ok((detail.cell, origin(&evidence, &there)?.owned()))
    }

    /// All of it, in memory, and found to be sound.
    pub(crate) fn whole(&self) -> Result<Cold, Unreadable> {
        let bytes = self.read(0, self.shape.bytes())?;
        let (rows, texts) = bytes.split_at(bytes.len() - self.shape.texts as usize);
        let mut rows = rows.chunks_exact(ROW).map(words);
        let people: Vec<Person> = rows.by_ref().take(self.shape.people as usize).map(person).collect();
        let details: Vec<Detail> = rows.map(detail).collect();
        // Every detail belongs to one person, so no chain goes round.
        let mut seen = vec![false; details.len()];
        let firsts = people.iter().map(|person| person.first);
        for at in firsts.chain(details.iter().map(|detail| detail.next)).filter(|at| *at != END) {
            match seen.get_mut(at as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(Unreadable::Damaged),
            }
        }
        for detail in &details {
            origin(texts, detail)?;
        }
        Ok(Cold::of_parts(people, details, texts.to_vec()))
    }
}

fn person([a, b, c, d, first]: [u32; 5]) -> Person {
    Person { subject: [a, b, c, d], first }
}

fn detail([next, cell, evidence, low, high]: [u32; 5]) -> Detail {
    Detail { next, cell, evidence, recorded: [low, high] }
}

/// The five words of a row.
fn words(row: &[u8]) -> [u32; 5] {
    std::array::from_fn(|n| row[n * 4..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word)))
}
