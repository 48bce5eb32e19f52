//! Lines of a file or of stdin, of a bounded length: one that is longer is told and passed over, not kept in memory.

use std::io::{self, BufRead};

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Text.
    Text(String),
    /// Longer than may be; what it says is not kept.
    TooLong,
    /// Not UTF-8.
    NotText,
}

/// Reads line by line. It answers each line's number, from 1.
pub(crate) struct Lines<R> {
    from: R,
    bytes_max: usize,
    number: usize,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `bytes_max` bytes, their ends not counted.
    pub(crate) fn new(from: R, bytes_max: usize) -> Self {
        Self { from, bytes_max, number: 0 }
    }

    /// The next line; `None` at the end.
    fn read(&mut self) -> io::Result<Option<Line>> {
        let (mut line, mut begun, mut ended, mut too_long) = (Vec::new(), false, false, false);
        while !ended {
            let piece = match self.from.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                piece => piece?,
            };
            if piece.is_empty() {
                if !begun {
                    return Ok(None);
                }
                break;
            }
            begun = true;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let text = &piece[..end.unwrap_or(piece.len())];
            // One byte more may come: a carriage return before the line's end, which is taken off below.
            too_long = too_long || line.len() + text.len() > self.bytes_max + 1;
            if too_long {
                line = Vec::new();
            } else {
                line.extend_from_slice(text);
            }
            let taken = end.map_or(piece.len(), |at| at + 1);
            ended = end.is_some();
            self.from.consume(taken);
        }
        if ended && line.last() == Some(&b'\r') {
            line.pop();
        }
        if too_long || line.len() > self.bytes_max {
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(String::from_utf8(line).map_or(Line::NotText, Line::Text)))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<(usize, Line)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.number += 1;
        self.read().map(|line| line.map(|line| (self.number, line))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::{Line, Lines};

    fn lines(bytes: &[u8], bytes_max: usize) -> Vec<Line> {
        // A buffer of three bytes, so that lines come in pieces.
        let lines = Lines::new(BufReader::with_capacity(3, bytes), bytes_max);
        lines.map(|line| line.expect("memory can be read").1).collect()
    }

    fn text(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    /// Guarantees: lines of the greatest length are read, a longer one is told in its place, and the next one is whole.
    /// Fails when: the rest of a long line is taken for a line, or the limit is off by one.
    #[test]
    fn a_line_that_is_too_long_is_told_and_passed_over() {
        assert_eq!(lines(b"12345\n123456\n1\n", 5), [text("12345"), Line::TooLong, text("1")]);
        assert_eq!(lines(b"12345\r\n1234567890\r\n12345", 5), [text("12345"), Line::TooLong, text("12345")]);
        assert_eq!(lines(b"1234567890", 5), [Line::TooLong]);
        assert_eq!(lines(b"12345\r", 5), [Line::TooLong], "only a line's end is taken off");
    }

    #[test]
    fn lines_keep_their_numbers_and_what_is_no_text_is_told() {
        let numbered: Vec<_> =
            Lines::new(&b"a\n\n\xff\nb"[..], 9).map(|line| line.expect("memory can be read")).collect();
        assert_eq!(numbered, [(1, text("a")), (2, text("")), (3, Line::NotText), (4, text("b"))]);
        assert!(lines(b"", 5).is_empty());
        assert_eq!(lines(b"\n", 5), [text("")]);
    }
}
