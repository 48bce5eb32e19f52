//! Writing a snapshot while the index is in use.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::thread;

use super::folder::{Folder, Unfinished};
use super::format::{Row, Table, head, tail, write_segment};
use super::{About, Error, Order, Shared};
use crate::cold::Cold;
use crate::growth::only_live;
use crate::index::{Index, Life};
use crate::marks::Marks;
use crate::segment::Segment;
use crate::stored::Sums;

/// Octets that are written before others may have the processor.
const PIECE: usize = 256 << 10;

/// A segment as it is at one moment.
struct Copied {
    depth: u8,
    segment: Segment,
    marks: Marks,
    cold: Cold,
}

/// Takes a snapshot of `index`, with what the log says up to now. Returns its number.
///
/// The index rests on it afterwards: of what look-ups don't need, it keeps in memory only what changes from now on.
///
/// # Errors
/// When the folder can't be written, the snapshot that the index rests on can't be read, or the order says so. The index is
/// as it was.
pub fn write(folder: &Folder, order: Order<'_>, index: &impl Shared) -> Result<(u64, About), Error> {
    let source = Source { of: order.of.clone(), index };
    let written = write_all(folder, order, &source);
    if written.is_err() {
        index.with(|index| index.cold.iter_mut().for_each(Cold::forget_copy));
    }
    written
}

/// The index that was asked for, for as long as it is in its place.
struct Source<'a, S> {
    of: Life,
    index: &'a S,
}

impl<S: Shared> Source<'_, S> {
    fn with<R>(&self, step: impl FnOnce(&mut Index) -> R) -> Result<R, Error> {
        self.index.with(|index| if index.life() == self.of { Ok(step(index)) } else { Err(Error::Replaced) })
    }

    fn see<R>(&self, step: impl FnOnce(&Index) -> R) -> Result<R, Error> {
        self.index.see(|index| if index.life() == self.of { Ok(step(index)) } else { Err(Error::Replaced) })
    }
}

fn write_all(
    folder: &Folder,
    order: Order<'_>,
    index: &Source<'_, impl Shared>,
) -> Result<(u64, About), Error> {
    let new = folder.begin()?;
    let Order { stamp, told_scheme, taken_at_ms, go_on, .. } = order;
    let position = index.see(|index| index.position.clone())?;
    let mut about = About { stamp, position, taken_at_ms, told_scheme, subjects: 0, records: 0 };
    let (segments, sums) = write_segments(&new, index, go_on, &mut about)?;
    let cells = index.see(|index| index.cells.rows())?;
    let table = Table { about, cells, segments };
    let at = table.segments.last().and_then(Row::end).unwrap_or_default();
    let text = serde_json::to_vec(&table).map_err(|error| new.failed("write")(error.into()))?;
    let mut file = new.file();
    file.write_all(&text).and_then(|()| file.write_all(&tail(at, &text))).map_err(new.failed("write"))?;
    let (number, file) = new.finish()?;
    rest_on(index, table.segments.iter().zip(sums), &Arc::new(file))?;
    Ok((number, table.about))
}

/// Segment after segment, in the order of their subjects, whatever is split meanwhile.
fn write_segments(
    new: &Unfinished,
    index: &Source<'_, impl Shared>,
    go_on: &dyn Fn() -> bool,
    about: &mut About,
) -> Result<(Vec<Row>, Vec<Sums>), Error> {
    let mut file = new.file();
    file.write_all(&head()).map_err(new.failed("write"))?;
    let mut at = head().len() as u64;
    let (mut rows, mut sums) = (Vec::new(), Vec::new());
    let mut bytes = Vec::new();
    let mut next = Some(0);
    while let Some(prefix) = next {
        if !go_on() {
            return Err(Error::GivenUp);
        }
        // Others wait for the first step only, which is short; whatever comes before the second is told twice.
        index.with(|index| index.cold[index.dictionary.at(prefix).0 as usize].note_changes())?;
        let Copied { depth, segment, marks, cold } = index.see(|index| copy(index, prefix))?;
        about.subjects += segment.used() as u64;
        about.records += marks.records(&segment) as u64;
        // Where processors are short, whoever waits behind this thread waits for a piece of its work, not for its turn's end.
        thread::yield_now();
        let cold = only_live(&segment, &*cold.whole()?)?;
        thread::yield_now();
        let (row, of_cold) = write_segment(&mut bytes, at, depth, &segment, &marks, &cold);
        for piece in bytes.chunks(PIECE) {
            thread::yield_now();
            file.write_all(piece).map_err(new.failed("write"))?;
        }
        at += bytes.len() as u64;
        rows.push(row);
        sums.push(of_cold);
        next = after(prefix, depth);
    }
    Ok((rows, sums))
}

/// The first subject's bits after those of a segment; `None` after the last.
fn after(prefix: u32, depth: u8) -> Option<u32> {
    u32::try_from(u64::from(prefix) + (1 << (32 - u32::from(depth)))).ok()
}

fn copy(index: &Index, prefix: u32) -> Copied {
    let (number, depth) = index.dictionary.at(prefix);
    let at = number as usize;
    Copied {
        depth,
        segment: index.dictionary.segment(number).to_owned(),
        marks: index.marks[at].clone(),
        cold: index.cold[at].copy(),
    }
}

fn rest_on<'r>(
    index: &Source<'_, impl Shared>,
    rows: impl Iterator<Item = (&'r Row, Sums)>,
    file: &Arc<File>,
) -> Result<(), Error> {
    let mut prefix = 0;
    for (row, sums) in rows {
        let stored = row.stored(file.clone(), sums);
        index.with(|index| {
            let (number, depth) = index.dictionary.at(prefix);
            if depth == row.depth { index.cold[number as usize].rest_on(stored) } else { Ok(None) }
        })??;
        let Some(next) = after(prefix, row.depth) else { break };
        prefix = next;
    }
    Ok(())
}
