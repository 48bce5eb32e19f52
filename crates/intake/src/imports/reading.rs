//! Bytes in pieces become rows of fields, each with the number of its line: CSV and NDJSON, every row of a bounded length.
//!
//! Pure but for the `Read` it pulls from. What a row means is said by `layouts` and `rows`.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::text::Encoding;

/// The longest row, bytes: a postal address in JSON has some hundred, a provider's export some thousand with its free texts.
pub const ROW_BYTES_MAX: usize = 64 << 10;
/// Most columns: exports of providers have some fifty.
pub const COLUMNS_MAX: usize = 1_000;
/// Bytes asked for together.
const PIECE_BYTES: usize = 256 << 10;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Fields between delimiters, with a header.
    Csv {
        /// One of `,` `;` `|` and the tabulator.
        delimiter: u8,
    },
    /// A JSON object a line.
    Ndjson,
}

impl Format {
    /// Its name where it is told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

/// What a format was given as: the delimiter may be left to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hint {
    /// CSV or not; `None` is found from the first octets.
    pub csv: Option<bool>,
    /// The delimiter; `None` is found from the first line.
    pub delimiter: Option<u8>,
    /// The encoding; `None` is found from the first row that is not ASCII.
    pub encoding: Option<Encoding>,
}

/// The delimiters that are looked for, the likeliest first.
pub(super) const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The fields of a row, used again and again. Personal data: no `Debug`.
#[derive(Default)]
pub struct Row {
    /// The line that it begins on, from 1.
    pub line: u64,
    /// The fields one after the other; what comes after `length` is left from earlier rows.
    bytes: Vec<u8>,
    length: usize,
    /// Where each field ends; as `bytes`.
    ends: Vec<usize>,
    columns: usize,
}

impl Row {
    /// How many fields it has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All fields' octets.
    #[must_use]
    pub fn all(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Where each field ends.
    #[must_use]
    pub fn ends(&self) -> &[usize] {
        &self.ends[..self.columns]
    }

    /// A field's octets; empty where there is none.
    #[must_use]
    pub fn octets(&self, at: usize) -> &[u8] {
        let Some(&end) = self.ends().get(at) else { return &[] };
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..end]
    }

    /// A field as text; empty where it is none, which a decoded row has not.
    #[must_use]
    pub fn text(&self, at: usize) -> &str {
        std::str::from_utf8(self.octets(at)).unwrap_or_default()
    }

    /// Puts other octets in place of a row's.
    pub(super) fn replace(&mut self, bytes: Vec<u8>, ends: Vec<usize>) {
        (self.length, self.columns) = (bytes.len(), ends.len());
        (self.bytes, self.ends) = (bytes, ends);
    }

    fn begin(&mut self, line: u64) {
        (self.line, self.length, self.columns) = (line, 0, 0);
        // Grown once: rows of every length fit in. One octet and one column more tell that there are too many.
        if self.bytes.len() <= ROW_BYTES_MAX {
            self.bytes.resize(ROW_BYTES_MAX + 1, 0);
        }
        if self.ends.len() <= COLUMNS_MAX {
            self.ends.resize(COLUMNS_MAX + 1, 0);
        }
    }
}

/// What came of reading on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A row.
    Row,
    /// A row past [`ROW_BYTES_MAX`]; its rest was passed over.
    TooLong,
    /// A row past [`COLUMNS_MAX`]; its rest was passed over.
    TooManyColumns,
    /// The end.
    End,
}

/// Why there are no more rows.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// What is read from broke off.
    #[error("the rows broke off")]
    Source(#[from] io::Error),
    /// A quote is opened and not closed again: what follows can't be told from it.
    #[error("the quote opened on line {line} is not closed within {ROW_BYTES_MAX} bytes")]
    UnclosedQuote {
        /// Where it is opened, or shortly after.
        line: u64,
    },
}

/// Reads rows.
pub struct Reader<R> {
    from: R,
    buffer: Vec<u8>,
    /// What of the buffer is not read yet.
    start: usize,
    end: usize,
    ended: bool,
    /// The line that the next octet is on.
    line: u64,
    format: Format,
    csv: Box<csv_core::Reader>,
}

/// What a file's first octets show it not to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotText {
    /// UTF-16, by its mark.
    Utf16,
    /// No text at all.
    Binary,
}

impl<R: Read> Reader<R> {
    /// Looks at the first octets and says how rows are written.
    ///
    /// # Errors
    /// When nothing can be read.
    pub fn open(from: R, hint: Hint) -> io::Result<Result<Self, NotText>> {
        let mut reader = Self {
            from,
            buffer: vec![0; PIECE_BYTES],
            start: 0,
            end: 0,
            ended: false,
            line: 1,
            format: Format::Ndjson,
            csv: Box::new(csv_core::Reader::new()),
        };
        while !reader.ended && first_line(reader.rest()).is_none() && reader.rest().len() < ROW_BYTES_MAX {
            reader.fill()?;
        }
        // However many octets came together.
        let head = &reader.rest()[..reader.rest().len().min(ROW_BYTES_MAX)];
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            return Ok(Err(NotText::Utf16));
        }
        if head.starts_with(b"PK\x03\x04") || head.starts_with(&[0x1f, 0x8b]) {
            return Ok(Err(NotText::Binary));
        }
        if first_line(head).unwrap_or(head).contains(&0) {
            return Ok(Err(NotText::Binary));
        }
        let mark = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let head = &head[mark..];
        let looks_json = head.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        reader.format = match hint.csv {
            Some(false) => Format::Ndjson,
            None if looks_json && hint.delimiter.is_none() => Format::Ndjson,
            Some(true) | None => {
                let first = first_line(head).unwrap_or(head);
                Format::Csv { delimiter: hint.delimiter.unwrap_or_else(|| likeliest(first)) }
            }
        };
        reader.start += mark;
        if let Format::Csv { delimiter } = reader.format {
            *reader.csv = ReaderBuilder::new().delimiter(delimiter).build();
        }
        Ok(Ok(reader))
    }

    /// How rows are written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Reads the next row into `row`. Lines without anything are passed over.
    ///
    /// # Errors
    /// When there can be no more rows.
    pub fn next(&mut self, row: &mut Row) -> Result<Next, Broken> {
        self.pass_line_ends()?;
        row.begin(self.line);
        match self.format {
            Format::Csv { .. } => self.next_csv(row),
            Format::Ndjson => Ok(self.next_line(row)?),
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads on; whatever is not read yet stays.
    fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        loop {
            match self.from.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.end += count;
                    self.ended = count == 0;
                    return Ok(());
                }
            }
        }
    }

    /// Takes octets off, and counts their lines.
    fn take(&mut self, count: usize) {
        self.line += memchr::memchr_iter(b'\n', &self.buffer[self.start..self.start + count]).count() as u64;
        self.start += count;
    }

    fn pass_line_ends(&mut self) -> io::Result<()> {
        loop {
            let ends = self.rest().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.take(ends);
            if self.start < self.end || self.ended {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn next_csv(&mut self, row: &mut Row) -> Result<Next, Broken> {
        let (mut outcome, mut spent, mut quotes) = (Next::Row, 0, 0);
        loop {
            if self.start == self.end && !self.ended {
                self.fill()?;
            }
            let input = &self.buffer[self.start..self.end];
            let (bytes, ends) = (&mut row.bytes[row.length..], &mut row.ends[row.columns..]);
            let (result, read, wrote, ended) = self.csv.read_record(input, bytes, ends);
            (row.length, row.columns, spent) = (row.length + wrote, row.columns + ended, spent + read);
            quotes += memchr::memchr_iter(b'"', &self.buffer[self.start..self.start + read]).count();
            self.take(read);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    if outcome == Next::Row {
                        let full = result == ReadRecordResult::OutputFull;
                        outcome = if full { Next::TooLong } else { Next::TooManyColumns };
                    }
                    // A line's end within a row is one in quotes.
                    if self.line > row.line {
                        return Err(Broken::UnclosedQuote { line: row.line });
                    }
                    // What it holds is of no use any more.
                    (row.length, row.columns) = (0, 0);
                }
                ReadRecordResult::Record | ReadRecordResult::End => {
                    let at_end = self.ended && self.start == self.end;
                    if at_end && quotes % 2 == 1 && self.line > row.line {
                        return Err(Broken::UnclosedQuote { line: row.line });
                    }
                    if row.columns > COLUMNS_MAX {
                        outcome = Next::TooManyColumns;
                    }
                    let end = result == ReadRecordResult::End && spent == 0;
                    return Ok(if end { Next::End } else { outcome });
                }
            }
        }
    }

    fn next_line(&mut self, row: &mut Row) -> io::Result<Next> {
        let (mut too_long, mut any) = (false, false);
        loop {
            if self.start == self.end {
                if self.ended {
                    break;
                }
                self.fill()?;
                continue;
            }
            any = true;
            let end = memchr::memchr(b'\n', self.rest());
            let piece = end.unwrap_or(self.end - self.start);
            too_long |= row.length + piece > ROW_BYTES_MAX;
            if !too_long {
                row.bytes[row.length..row.length + piece]
                    .copy_from_slice(&self.buffer[self.start..self.start + piece]);
                row.length += piece;
            }
            self.take(piece);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(Next::End);
        }
        if too_long {
            return Ok(Next::TooLong);
        }
        row.length -= usize::from(row.all().ends_with(b"\r"));
        (row.ends[0], row.columns) = (row.length, 1);
        Ok(Next::Row)
    }
}

/// The first line that is not empty, without the line ends that stand in quotes; `None` before its end is there.
fn first_line(head: &[u8]) -> Option<&[u8]> {
    let blank = head.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut quoted = false;
    for (at, byte) in head.iter().enumerate().skip(blank) {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => return Some(&head[blank..at]),
            _ => {}
        }
    }
    None
}

/// The delimiter that stands most often in a header, outside of quotes; a comma where none does.
fn likeliest(header: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in header {
        if *byte == b'"' {
            quoted = !quoted;
        } else if let Some(at) = DELIMITERS.iter().position(|known| known == byte)
            && !quoted
        {
            counts[at] += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    counts.iter().position(|count| *count == most).map_or(b',', |at| DELIMITERS[at])
}
