//! Files that commands read from, or stdin.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};

use crate::exit_code::{ExitCode, OrExit as _, Outcome};

/// What lines are read from.
pub(crate) type Input = Box<dyn BufRead>;

/// Opens `file`, or stdin for `-`.
///
/// # Errors
/// Exit code 3 when it can't be opened.
pub(crate) fn open(file: &str) -> Outcome<Input> {
    if file == "-" {
        return Ok(Box::new(stdin().lock()));
    }
    let opened = File::open(file).or_exit(ExitCode::Refused, format!("open {}", named(file)))?;
    Ok(Box::new(BufReader::new(opened)))
}

/// A file's name for an error. One that may be an address, given where a file belongs, is not repeated: what we say may
/// be kept by whoever started us.
pub(crate) fn named(file: &str) -> &str {
    let digits = file.bytes().filter(u8::is_ascii_digit).count();
    let like_a_number = digits >= 6 && file.bytes().all(|b| b.is_ascii_digit() || b" +-.()/".contains(&b));
    if file.contains('@') || like_a_number {
        return "the file: its name is not shown, since it may be an address, and those are read from files or stdin";
    }
    file
}

#[cfg(test)]
mod tests {
    use super::named;

    /// Guarantees: an address that was given as a file is not repeated, and a file's name is.
    /// Fails when: `named` answers what it got.
    #[test]
    fn a_name_that_may_be_an_address_is_not_repeated() {
        for address in ["+33639981234", "06 39 98 12 34", "06.39.98.12.34", "camille@example.org"] {
            assert!(!named(address).contains("12") && !named(address).contains("camille"), "{address}");
        }
        for file in ["jobs.ndjson", "2026-11-24-numbers.txt", "/srv/lists/1234567.csv"] {
            assert_eq!(named(file), file);
        }
    }
}
