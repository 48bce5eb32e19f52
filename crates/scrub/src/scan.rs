//! One row of a CSV, read strictly (RFC 4180): where it ends, and where its cells are.
//!
//! What two readers might take for different rows is malformed: something after a quoted cell's closing quote, or a carriage
//! return alone, which some take for the end of a line. Nothing is copied.

use std::borrow::Cow;
use std::ops::Range;

/// A cell's place in its row: without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    place: Range<usize>,
    /// Whether quotes stand in it twice.
    doubled: bool,
}

/// What stands at the beginning of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// A row, with the end of its line; when it is malformed, what was expected of it.
    Row { bytes: usize, bad: Option<&'static str> },
    /// More bytes are needed to tell.
    Unfinished,
    /// A quote is never closed.
    Unclosed,
}

const AFTER_QUOTE: &str = "a separator after a quoted cell";
const LINE_ENDS: &str = "lines that end with LF or CR LF";

/// Reads the row at the beginning of `bytes`, which are not empty; `ended` when nothing comes after them. Its cells go to `cells`.
pub(crate) fn scan(bytes: &[u8], separator: u8, ended: bool, cells: &mut Vec<Cell>) -> Scanned {
    cells.clear();
    let mut bad = None;
    let mut at = 0;
    loop {
        let cell = if bytes.get(at) == Some(&b'"') {
            let Some((cell, after)) = quoted(bytes, at) else {
                return if ended { Scanned::Unclosed } else { Scanned::Unfinished };
            };
            at = after;
            Some(cell)
        } else {
            None
        };
        let from = at;
        let next = loop {
            match bytes.get(at) {
                Some(&byte) if byte == separator => break Next::Cell,
                Some(b'\n') => break Next::Line,
                Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => break Next::Line,
                Some(b'\r') if at + 1 < bytes.len() || ended => bad = Some(LINE_ENDS),
                Some(b'\r') => return Scanned::Unfinished,
                Some(_) => {}
                None if ended => break Next::End,
                None => return Scanned::Unfinished,
            }
            at += 1;
        };
        if cell.is_some() && at > from {
            bad = bad.or(Some(AFTER_QUOTE));
        }
        cells.push(cell.unwrap_or(Cell { place: from..at, doubled: false }));
        match next {
            Next::Cell => at += 1,
            Next::Line => {
                let end = if bytes[at] == b'\r' { 2 } else { 1 };
                return Scanned::Row { bytes: at + end, bad };
            }
            Next::End => return Scanned::Row { bytes: at, bad },
        }
    }
}

/// What follows a cell.
enum Next {
    Cell,
    Line,
    End,
}

/// The cell whose opening quote is at `at`, and where it is over; `None` when it does not end in `bytes`, or it can't be told.
fn quoted(bytes: &[u8], at: usize) -> Option<(Cell, usize)> {
    let mut doubled = false;
    let mut to = at + 1;
    loop {
        to += bytes[to..].iter().position(|byte| *byte == b'"')?;
        if bytes.get(to + 1) != Some(&b'"') {
            break;
        }
        doubled = true;
        to += 2;
    }
    Some((Cell { place: at + 1..to, doubled }, to + 1))
}

impl Cell {
    /// What it says.
    pub(crate) fn text<'r>(&self, row: &'r [u8]) -> Cow<'r, [u8]> {
        let text = &row[self.place.clone()];
        if !self.doubled {
            return Cow::Borrowed(text);
        }
        let mut single = Vec::with_capacity(text.len());
        let mut after_quote = false;
        for &byte in text {
            after_quote = byte == b'"' && !after_quote;
            if !after_quote {
                single.push(byte);
            }
        }
        // Of two quotes the second was kept.
        Cow::Owned(single)
    }

    /// Where it begins in its row, behind its opening quote.
    pub(crate) fn begins(&self) -> usize {
        self.place.start
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(bytes: &[u8], ended: bool) -> (Scanned, Vec<String>) {
        let mut cells = Vec::new();
        let scanned = scan(bytes, b';', ended, &mut cells);
        let text = |cell: &Cell| String::from_utf8(cell.text(bytes).into_owned()).expect("UTF-8");
        (scanned, cells.iter().map(text).collect())
    }

    #[test]
    fn a_row_is_read_as_it_is_written() {
        let good = |bytes| Scanned::Row { bytes, bad: None };
        assert_eq!(row(b"a;b\nc", false), (good(4), vec!["a".into(), "b".into()]));
        assert_eq!(row(b"a;\r\nc", false), (good(4), vec!["a".into(), String::new()]));
        assert_eq!(row(b"\"a;\n\"\"b\"\"\";c\n", false), (good(13), vec!["a;\n\"b\"".into(), "c".into()]));
        assert_eq!(row(b"\"\"\r\n", false), (good(4), vec![String::new()]));
        assert_eq!(
            row(b"5\" pipe\n", false),
            (good(8), vec!["5\" pipe".into()]),
            "no quote opens within a cell"
        );
        assert_eq!(row(b"a;b", true), (good(3), vec!["a".into(), "b".into()]));
    }

    /// Guarantees: what a row is can't depend on how its bytes came in.
    /// Fails when: the end of a quote, of a line or of the file is guessed.
    #[test]
    fn what_can_not_be_told_yet_is_not_told() {
        for bytes in [&b"a"[..], b"a;", b"a\r", b"\"a", b"\"a\"", b"\"a\"\"", b"\"a\"\r"] {
            assert_eq!(row(bytes, false).0, Scanned::Unfinished, "{bytes:?}");
        }
        assert_eq!(row(b"\"a", true).0, Scanned::Unclosed);
        assert_eq!(row(b"\"a\"\"", true).0, Scanned::Unclosed);
        assert_eq!(row(b"\"a\"", true).0, Scanned::Row { bytes: 3, bad: None });
    }

    /// Guarantees: a row that another reader might take for two, and so send to somebody in the second, is malformed.
    /// Fails when: what follows a closing quote is taken along, or a carriage return alone is.
    #[test]
    fn what_readers_take_for_different_rows_is_malformed() {
        let bad = |bytes, expected| Scanned::Row { bytes, bad: Some(expected) };
        assert_eq!(row(b"a;\"b\n+33639981234;c\"d\nx", false).0, bad(22, AFTER_QUOTE));
        assert_eq!(row(b"a;b\r+33639981234;c\n", false).0, bad(19, LINE_ENDS));
        assert_eq!(row(b"a;b\r", true).0, bad(4, LINE_ENDS));
    }

    proptest! {
        /// Guarantees: whatever is taken for a good row is what a plain CSV reader finds, cell for cell.
        #[test]
        fn a_good_row_is_what_another_reader_finds(text in "[ab;\"\r\n]{1,24}") {
            let bytes = text.as_bytes();
            let mut cells = Vec::new();
            let Scanned::Row { bytes: taken, bad: None } = scan(bytes, b';', true, &mut cells) else { return Ok(()) };
            prop_assume!(!text.starts_with(['\r', '\n'])); // a blank line, which the other passes over
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(b';').from_reader(bytes);
            let mut record = csv::ByteRecord::new();
            prop_assert!(reader.read_byte_record(&mut record).expect("memory can be read"));
            let ours: Vec<_> = cells.iter().map(|cell| cell.text(bytes).into_owned()).collect();
            prop_assert_eq!(ours, record.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
            let more = reader.read_byte_record(&mut record).expect("memory can be read");
            prop_assert_eq!(more, !text[taken..].trim_start_matches(['\r', '\n']).is_empty());
        }
    }
}
