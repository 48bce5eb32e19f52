//! The rows of a list, one after the other, each as it stands in the file.

use std::io::{self, Read};

use crate::error::{Bad, Error};
use crate::scan::{Cell, Scanned, scan};

/// The longest row, bytes: a list's rows have some hundred. Past it a quote was never closed, or it is another kind of file.
pub(crate) const ROW_BYTES_MAX: usize = 1 << 20;
/// Bytes read together.
const READ_BYTES: usize = 256 << 10;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Cells with a separator.
    Csv,
    /// A JSON object on each line.
    Ndjson,
}

/// The same, with what the list itself tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Csv { separator: u8 },
    Ndjson,
}

/// A row as it stands in the list, with the end of its line.
pub(crate) struct Row<'r> {
    /// On which line it begins.
    pub(crate) line: u64,
    pub(crate) raw: &'r [u8],
    /// Of a CSV.
    pub(crate) cells: &'r [Cell],
    /// What was expected, if it is malformed.
    pub(crate) bad: Option<&'static str>,
}

impl Row<'_> {
    /// Whether there is nothing in it: no row, that is.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.raw, b"\n" | b"\r\n")
    }
}

/// A list that is read.
pub(crate) struct Rows<R> {
    from: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the next row begins.
    at: usize,
    ended: bool,
    line: u64,
    cells: Vec<Cell>,
}

impl<R: Read> Rows<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, buffer: Vec::new(), at: 0, ended: false, line: 1, cells: Vec::new() }
    }

    /// The next row; `None` after the last.
    pub(crate) fn next<E>(&mut self, dialect: Dialect) -> Result<Option<Row<'_>>, Error<E>> {
        let (bytes, bad) = loop {
            let ahead = &self.buffer[self.at..];
            let scanned = match dialect {
                _ if ahead.is_empty() && self.ended => return Ok(None),
                _ if ahead.is_empty() => Scanned::Unfinished,
                Dialect::Csv { separator } => scan(ahead, separator, self.ended, &mut self.cells),
                Dialect::Ndjson => match ahead.iter().position(|byte| *byte == b'\n') {
                    Some(end) => Scanned::Row { bytes: end + 1, bad: None },
                    None if self.ended => Scanned::Row { bytes: ahead.len(), bad: None },
                    None => Scanned::Unfinished,
                },
            };
            match scanned {
                Scanned::Row { bytes, bad } if bytes <= ROW_BYTES_MAX => break (bytes, bad),
                Scanned::Unfinished if ahead.len() <= ROW_BYTES_MAX => self.more().map_err(Error::Read)?,
                Scanned::Unclosed => return Err(Bad::new(self.line, "a quote that is closed").into()),
                Scanned::Row { .. } | Scanned::Unfinished => {
                    return Err(Bad::new(self.line, "a row of 1 MiB at most, its quotes closed").into());
                }
            }
        };
        let (line, raw) = (self.line, self.at..self.at + bytes);
        self.at += bytes;
        self.line += self.buffer[raw.clone()].iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(Some(Row { line, raw: &self.buffer[raw], cells: &self.cells, bad }))
    }

    /// What the list begins with: its first line, if it is no longer than a row may be. Takes blank lines and a byte order mark
    /// off before, and gives them to `before`.
    pub(crate) fn beginning<E>(&mut self, before: &mut Vec<u8>) -> Result<&[u8], Error<E>> {
        loop {
            let ahead = &self.buffer[self.at..];
            let end = ahead.iter().position(|byte| *byte == b'\n');
            if end.is_none() && !self.ended && ahead.len() <= ROW_BYTES_MAX {
                self.more().map_err(Error::Read)?;
                continue;
            }
            let first = &ahead[..end.map_or(ahead.len(), |end| end + 1)];
            let off = match first {
                b"\n" | b"\r\n" => first.len(),
                [0xef, 0xbb, 0xbf, ..] if before.is_empty() => 3,
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                    return Err(Bad::new(self.line, "UTF-8: this is UTF-16").into());
                }
                _ if first.contains(&0) || first.starts_with(b"PK\x03\x04") => {
                    return Err(
                        Bad::new(self.line, "text, as CSV or NDJSON: this is another kind of file").into()
                    );
                }
                _ => break,
            };
            self.line += u64::from(off < 3);
            before.extend_from_slice(&first[..off]);
            self.at += off;
        }
        let ahead = &self.buffer[self.at..];
        Ok(&ahead[..ahead.iter().position(|byte| *byte == b'\n').unwrap_or(ahead.len())])
    }

    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// How many cells the next row has, which stays the next one.
    pub(crate) fn cells_ahead<E>(&mut self, dialect: Dialect) -> Result<usize, Error<E>> {
        let line = self.line;
        let Some(row) = self.next(dialect)? else { return Ok(0) };
        let (count, bytes) = (row.cells.len(), row.raw.len());
        self.at -= bytes;
        self.line = line;
        Ok(count)
    }

    /// Reads on: until there is as much again, so that a row that comes in small pieces is not looked at once for each.
    fn more(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let had = self.buffer.len();
        while !self.ended && self.buffer.len() <= had * 2 {
            let filled = self.buffer.len();
            self.buffer.resize(filled + READ_BYTES, 0);
            let read = match self.from.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Ok(0) => {
                    self.ended = true;
                    0
                }
                read => read?,
            };
            self.buffer.truncate(filled + read);
        }
        Ok(())
    }
}

/// The separator of a list whose first line is `first`: the one that it has most of.
pub(crate) fn separator(first: &[u8]) -> u8 {
    let (mut counts, mut within) = ([0; SEPARATORS.len()], false);
    for byte in first {
        within ^= *byte == b'"';
        if let Some(known) = SEPARATORS.iter().position(|one| one == byte).filter(|_| !within) {
            counts[known] += 1;
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let found = counts.iter().position(|count| *count == most).unwrap_or_default();
    SEPARATORS[found]
}

const SEPARATORS: [u8; 4] = *b",;\t|";
