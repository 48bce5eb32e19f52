//! Reading a snapshot.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use xxhash_rust::xxh3::xxh3_64;

use super::format::{HEAD_BYTES, MAGIC, Row, TAIL_BYTES, Table, VERSION, read_segment, read_tail};
use super::{About, Refused};
use crate::cells::Cells;
use crate::growth::Part;
use crate::index::Index;
use crate::marks::Cell;

/// Threads that read segments at most.
const THREADS_MOST: usize = 8;

/// What a snapshot says of itself: only its table is read.
///
/// # Errors
/// Why it can't be used.
pub fn about(path: &Path) -> Result<About, Refused> {
    Ok(open(path)?.1.about)
}

/// Loads a snapshot. What look-ups don't need stays in the file, which may be removed but not changed.
///
/// # Errors
/// Why it can't be used.
pub fn load(path: &Path) -> Result<(Index, About), Refused> {
    let (file, table) = open(path)?;
    let Table { about, cells, segments: rows } = table;
    let (cells, count) = Cells::of_rows(cells).ok_or(Refused::Damaged("the table of cells"))?;
    let next = AtomicUsize::new(0);
    let read = |number: usize| -> Result<Part, Refused> {
        let (at, bytes) = rows[number].hot();
        let mut hot = vec![0; bytes];
        file.read_exact_at(&mut hot, at)?;
        read_segment(&rows[number], &hot, count, file.clone())
    };
    let one_thread = || -> Result<Vec<(usize, Part)>, Refused> {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = numbers.take_while(|number| *number < rows.len());
        mine.map(|number| Ok((number, read(number)?))).collect()
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MOST);
    let read: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one_thread)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or(Err(Refused::Damaged("a segment")))).collect()
    });
    let mut parts =
        read.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect::<Vec<_>>();
    parts.sort_by_key(|(number, _)| *number);
    let parts = parts.into_iter().map(|(number, part)| (rows[number].depth, part)).collect();
    let index = Index::of_parts(about.position.clone(), cells, parts);
    Ok((index.ok_or(Refused::Damaged("the order of segments"))?, about))
}

/// Loads a snapshot and reads all of it: every checksum, and whether each subject stands where it is looked for.
///
/// # Errors
/// Why it can't be used.
pub fn check(path: &Path) -> Result<(Index, About), Refused> {
    let (index, about) = load(path)?;
    if !index.is_sound()? {
        return Err(Refused::Damaged("a subject's place"));
    }
    Ok((index, about))
}

/// The file and its table, all bounds looked at.
fn open(path: &Path) -> Result<(Arc<File>, Table), Refused> {
    let file = Arc::new(File::open(path)?);
    let length = file.metadata()?.len();
    let mut head = [0; HEAD_BYTES];
    read_at(&file, &mut head, 0)?;
    if head[..8] != MAGIC {
        return Err(Refused::NotOne);
    }
    let version = head[8..].first_chunk().map_or(0, |version| u32::from_le_bytes(*version));
    if version != VERSION {
        return Err(Refused::Version(version));
    }
    let tail_at = length.checked_sub(TAIL_BYTES as u64).ok_or(Refused::Torn)?;
    let mut tail = [0; TAIL_BYTES];
    read_at(&file, &mut tail, tail_at)?;
    let (at, bytes, sum) = read_tail(&tail).ok_or(Refused::Torn)?;
    if at.checked_add(bytes) != Some(tail_at) {
        return Err(Refused::Torn);
    }
    let mut text = vec![0; usize::try_from(bytes).map_err(|_| Refused::Torn)?];
    read_at(&file, &mut text, at)?;
    if xxh3_64(&text) != sum {
        return Err(Refused::Damaged("the table's checksum"));
    }
    let table: Table = serde_json::from_slice(&text).map_err(|_| Refused::Damaged("the table"))?;
    if table.segments.iter().any(|row| row.at < HEAD_BYTES as u64 || row.end().is_none_or(|end| end > at)) {
        return Err(Refused::Damaged("where a segment stands"));
    }
    // Bytes that are told twice would take more memory than the file has bytes.
    if table.segments.iter().map(Row::bytes).fold(0_u64, u64::saturating_add) > at {
        return Err(Refused::Damaged("what segments have together"));
    }
    if !table.about.is_in_range() {
        return Err(Refused::Damaged("a position or the time"));
    }
    Ok((file, table))
}

fn read_at(file: &File, into: &mut [u8], at: u64) -> Result<(), Refused> {
    file.read_exact_at(into, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Refused::Torn,
        _ => Refused::Io(error),
    })
}

impl Index {
    /// Segments in the order of their subjects, each with the number of bits that they begin with alike.
    fn of_parts(position: Vec<i64>, cells: Cells, parts: Vec<(u8, Part)>) -> Option<Self> {
        let mut index = Self::new(0);
        let mut segments = Vec::with_capacity(parts.len());
        index.settle();
        (index.marks, index.cold) = Default::default();
        for (depth, Part { segment, marks, cold, .. }) in parts {
            index.records += marks.records(&segment);
            segments.push((depth, segment));
            index.marks.push(marks);
            index.cold.push(cold);
        }
        index.dictionary = crate::dictionary::Dictionary::of_segments(segments)?;
        (index.position, index.cells) = (position, cells);
        Some(index)
    }

    /// Reads everything that stays in the snapshot, and looks for each subject where it stands.
    fn is_sound(&self) -> Result<bool, Refused> {
        for number in 0..u32::try_from(self.cold.len()).unwrap_or(u32::MAX) {
            let cold = self.cold[number as usize].whole()?;
            for (local, _) in self.dictionary.segment(number).iter() {
                let subject = cold.subject(local)?;
                let mut likes = self.dictionary.likes(&subject);
                if !likes.any(|place| (place.segment, place.local) == (number, local)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// How many cells there are.
    pub(super) fn cells_count(&self) -> Cell {
        self.cells.count()
    }
}
