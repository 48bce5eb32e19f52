//! Which jobs were decided before, a table for each partition (G7).
//!
//! An entry is made when a job is decided ROUTED or EMPTY, at the decision and not at the commit. One of a job's own
//! offset or a later one is left from a transaction that was aborted, since commits go in order: the job is being decided
//! again and is no duplicate, and nothing has to be undone.

use crate::{DEDUPE_MS, JobId};

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: JobId,
    offset: u32,
    decided_at: i64,
}

/// The table of one partition.
#[derive(Debug, Default)]
pub(crate) struct Window {
    entries: Vec<Entry>,
}

/// The low 32 bits of an offset.
fn low(offset: i64) -> u32 {
    (offset & i64::from(u32::MAX)) as u32
}

impl Window {
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Whether another job of this id was decided within the window.
    pub(crate) fn is_repeat(&self, id: JobId, offset: i64, now: i64, own_offset: bool) -> bool {
        self.entries.iter().any(|entry| {
            entry.id == id
                && now - entry.decided_at < DEDUPE_MS as i64
                && !(own_offset && entry.offset >= low(offset))
        })
    }

    /// Notes a decision, in the place of an earlier one of this id.
    pub(crate) fn note(&mut self, id: JobId, offset: i64, decided_at: i64) {
        let entry = Entry { id, offset: low(offset), decided_at };
        match self.entries.iter_mut().find(|entry| entry.id == id) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }
}
