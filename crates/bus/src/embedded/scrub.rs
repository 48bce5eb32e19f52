//! Overwriting what deleted records leave behind: the pages of the file that are free.
//!
//! redb never writes over a page in place: a deleted value's page is free, and keeps its bytes until somebody takes it.
//! So somebody does. Filler is written until the file would have to grow, in transactions that leave a few pages free
//! for what their own commit writes, and others write in between. What is left is filled in transactions that are given
//! up: they need nothing for a commit, and have long written out what they took when they end. Then the filler is
//! deleted. The file is not made larger for it, but for what others write meanwhile.

use std::sync::atomic::Ordering;

use redb::TableDefinition;

use super::core::{CACHE_BYTES, Core, fault};
use crate::Error;

const VERB: &str = "overwrite free pages";
const FILLER: TableDefinition<u64, &[u8]> = TableDefinition::new("filler");
/// Never committed.
const REST: TableDefinition<u64, &[u8]> = TableDefinition::new("filler of the rest");
/// One value to a page: redb's pages have 4,096 bytes, and two of these do not fit into one.
const FILLER_BYTES: usize = 4_000;
/// Pages in one transaction, 32 MiB: others write in between.
const CHUNK_PAGES: u64 = 8_192;
/// Left free for what a commit itself writes, so that the file need not grow for it.
const SPARE_PAGES: u64 = 16;
/// Pages that are freed before all others, and so many times as many next: the list of them has eight bytes for each.
const FREED_FIRST: u64 = 128;
/// Pages of filler after the last free one. redb writes a transaction's pages out, oldest first, as soon as they are more
/// than half of its cache: so many later ones, and some, and every free page has been written.
const PAGES_BEYOND: usize = CACHE_BYTES / 2 / 4_096 + 1_024;
/// What holds a tree of filler together is always in use and is not written out; in later rounds it is elsewhere, by so
/// many pages. With two, one of 120 shapes of values tried left a page; with three, none.
const ROUNDS: [u64; 3] = [0, 8, 40];

/// A chunk that did not fit.
enum Refused {
    /// The file would have grown after so many pages.
    Full(u64),
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Overwrites free pages if something was deleted since the last time, `pages_max` at most. Returns how many.
pub(super) fn scrub(core: &Core, pages_max: u64) -> Result<u64, Error> {
    if !core.freed.swap(false, Ordering::AcqRel) {
        return Ok(0);
    }
    let done = overwrite(core, pages_max);
    if done.is_err() {
        core.freed.store(true, Ordering::Release);
    }
    done
}

fn overwrite(core: &Core, pages_max: u64) -> Result<u64, Error> {
    // A killed process may have left some.
    empty(core)?;
    settle(core)?;
    let mut taken = 0;
    while taken < pages_max {
        let chunk = CHUNK_PAGES.min(pages_max - taken);
        if let Some(fitted) = fill(core, taken, chunk)? {
            // Undone with all of its pages; nearly as many are taken again.
            let rest = fitted - SPARE_PAGES.min(fitted / 2);
            // Others may have written in between: then it is enough.
            if fill(core, taken, rest)?.is_none() {
                taken += rest;
            }
            break;
        }
        taken += chunk;
    }
    if taken < pages_max {
        ROUNDS.into_iter().try_for_each(|elsewhere| fill_and_give_up(core, elsewhere))?;
    }
    // A deletion writes down which pages it frees, and needs some for that: few are freed first.
    let (mut first, mut some) = (0, FREED_FIRST);
    while first < taken {
        core.write(|write| {
            let mut filler = write.transaction.open_table(FILLER).map_err(|e| fault(VERB, e))?;
            filler.retain_in(first..first.saturating_add(some), |_, _| false).map_err(|e| fault(VERB, e))
        })?;
        settle(core)?;
        (first, some) = (first.saturating_add(some), some.saturating_mul(FREED_FIRST));
    }
    empty(core)?;
    Ok(taken)
}

/// What a transaction frees can be taken by the next but one.
fn settle(core: &Core) -> Result<(), Error> {
    (0..2).try_for_each(|_| core.write(|_| Ok::<_, Error>(())))
}

/// Writes so many pages of filler, or none: `Some` says after how many the file would have grown.
fn fill(core: &Core, first: u64, pages: u64) -> Result<Option<u64>, Error> {
    let done = core.write(|write| {
        let before = core.file_bytes()?;
        let mut filler = write.transaction.open_table(FILLER).map_err(|e| fault(VERB, e))?;
        for page in 0..pages {
            filler.insert(first + page, [0; FILLER_BYTES].as_slice()).map_err(|e| fault(VERB, e))?;
            if core.file_bytes()? > before {
                return Err(Refused::Full(page));
            }
        }
        Ok(())
    });
    match done {
        Ok(()) => Ok(None),
        Err(Refused::Full(fitted)) => Ok(Some(fitted)),
        Err(Refused::Failed(error)) => Err(error),
    }
}

/// Writes over every free page, and gives the transaction up.
fn fill_and_give_up(core: &Core, elsewhere: u64) -> Result<(), Error> {
    let done = core.write(|write| {
        let before = core.file_bytes()?;
        // A page each, which nothing holds together.
        for number in 0..elsewhere {
            let name = format!("filler-{number}");
            let table: TableDefinition<u64, &[u8]> = TableDefinition::new(&name);
            let mut filler = write.transaction.open_table(table).map_err(|e| fault(VERB, e))?;
            filler.insert(0, [0; FILLER_BYTES].as_slice()).map_err(|e| fault(VERB, e))?;
        }
        let mut filler = write.transaction.open_table(REST).map_err(|e| fault(VERB, e))?;
        let (mut page, mut beyond) = (0, 0);
        while beyond < PAGES_BEYOND {
            filler.insert(page, [0; FILLER_BYTES].as_slice()).map_err(|e| fault(VERB, e))?;
            page += 1;
            beyond += usize::from(beyond > 0 || core.file_bytes()? > before);
        }
        Err::<(), _>(Refused::Full(page))
    });
    match done {
        Ok(()) | Err(Refused::Full(_)) => Ok(()),
        Err(Refused::Failed(error)) => Err(error),
    }
}

fn empty(core: &Core) -> Result<(), Error> {
    core.write(|write| write.transaction.delete_table(FILLER).map_err(|e| fault(VERB, e)))?;
    Ok(())
}
