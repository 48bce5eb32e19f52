//! Overwriting what deleted records leave behind: the pages of the file that are free.
//!
//! redb never writes over a page in place: a deleted value's page is free, and keeps its bytes until somebody takes it.
//! So somebody does: filler is written until every free page is taken, then deleted. The file is not made larger for
//! it, but for what others write meanwhile.

use std::sync::atomic::Ordering;

use redb::TableDefinition;

use super::core::{Core, fault};
use crate::Error;

const VERB: &str = "overwrite free pages";
const FILLER: TableDefinition<u64, &[u8]> = TableDefinition::new("filler");
/// One value to a page: redb's pages have 4,096 bytes, and two of these do not fit into one.
const FILLER_BYTES: usize = 4_000;
/// Pages in one transaction, 32 MiB: others write in between.
const CHUNK_PAGES: u64 = 8_192;
/// Left free for what a commit itself writes, so that the file need not grow for it.
const SPARE_PAGES: u64 = 16;
/// The spare pages have old bytes, too. Some filler is taken out and put back, so often: a page that is free alone is
/// taken before a larger space is split, and what is spare afterwards was filler.
const SHUFFLES: u32 = 3;

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
    for _ in 0..SHUFFLES {
        let some = (4 * SPARE_PAGES).min(taken);
        core.write(|write| {
            let mut filler = write.transaction.open_table(FILLER).map_err(|e| fault(VERB, e))?;
            filler.retain_in(taken - some..taken, |_, _| false).map_err(|e| fault(VERB, e))
        })?;
        settle(core)?;
        fill(core, taken - some, some)?;
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

fn empty(core: &Core) -> Result<(), Error> {
    core.write(|write| write.transaction.delete_table(FILLER).map_err(|e| fault(VERB, e)))?;
    Ok(())
}
