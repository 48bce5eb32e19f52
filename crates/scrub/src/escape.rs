//! Cells that a spreadsheet would take for formulas.

use crate::scan::Cell;

/// Whether a spreadsheet may take a cell for a formula: it begins with one of `= + - @`, a tab or a carriage return. Such a cell
/// can send what stands beside it to somebody else, or start a program, on the machine of whoever opens the list.
#[must_use]
pub fn is_formula(cell: &[u8]) -> bool {
    matches!(cell.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'))
}

/// Whether it is a number with a sign: taken for a formula, it is a number still. With an apostrophe a telephone number would be
/// none any more, neither for a gateway nor for the next who cleans the list.
fn is_number(cell: &[u8]) -> bool {
    let digits = |rest: &[u8]| rest.iter().all(|byte| byte.is_ascii_digit() || b" .-()".contains(byte));
    matches!(cell.split_first(), Some((b'+' | b'-', rest)) if digits(rest))
}

/// Those of a row's cells that become texts.
fn formulas<'c>(row: &[u8], cells: &'c [Cell]) -> impl Iterator<Item = &'c Cell> {
    cells.iter().filter(move |cell| {
        let text = cell.text(row);
        is_formula(&text) && !is_number(&text)
    })
}

/// Whether there are any.
pub(crate) fn has_any(row: &[u8], cells: &[Cell]) -> bool {
    formulas(row, cells).next().is_some()
}

/// Puts `row` into `out`, with an apostrophe before what may be a formula, which makes it a text.
pub(crate) fn put(row: &[u8], cells: &[Cell], out: &mut Vec<u8>) {
    let mut done = 0;
    for cell in formulas(row, cells) {
        out.extend_from_slice(&row[done..cell.begins()]);
        out.push(b'\'');
        done = cell.begins();
    }
    out.extend_from_slice(&row[done..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Scanned, scan};

    fn escaped(row: &str) -> String {
        let mut cells = Vec::new();
        let scanned = scan(row.as_bytes(), b';', true, &mut cells);
        assert!(matches!(scanned, Scanned::Row { .. }), "a row");
        let mut out = Vec::new();
        put(row.as_bytes(), &cells, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    /// Guarantees: no cell that could be a formula stays one, and nothing else of a row changes, telephone numbers above all.
    /// Fails when: a quoted cell is not looked into; a number is taken for a formula; the end of a line is.
    #[test]
    fn formulas_become_texts_and_nothing_else_changes() {
        assert_eq!(escaped("+33639981234;=1+1;b\r\n"), "+33639981234;'=1+1;b\r\n");
        assert_eq!(escaped("\"=HYPERLINK(\"\"x\"\")\";\r\n"), "\"'=HYPERLINK(\"\"x\"\")\";\r\n");
        assert_eq!(escaped("-1.5;-x;@x;\"\tx\";+;a=b;"), "-1.5;'-x;'@x;\"'\tx\";+;a=b;");
        assert_eq!(escaped("+33 (0)6-39.98;+33;\"+cmd|'/C x'!A\""), "+33 (0)6-39.98;+33;\"'+cmd|'/C x'!A\"");
    }
}
