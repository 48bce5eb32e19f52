//! Canaries: strings that stand nowhere by accident, and a search that finds them in every dress they may have been put
//! into on the way.

use std::fmt;
use std::path::Path;

use aho_corasick::AhoCorasick;

/// How a canary was written where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dress {
    /// As it is.
    Plain,
    /// In upper case.
    Upper,
    /// Base64 at one of three alignments, standard or URL-safe.
    Base64,
    /// Hexadecimal, lower case.
    HexLower,
    /// Hexadecimal, upper case.
    HexUpper,
    /// URL-encoded, every octet.
    Percent,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
}

/// What was found, the first twenty, a line each, for a test's message.
#[must_use]
pub fn told(found: &[Found]) -> String {
    found.iter().take(20).map(|found| format!("\n  {found}")).collect()
}

/// A canary that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Which, by what it stands for.
    pub canary: String,
    /// How it was written.
    pub dress: Dress,
    /// Where.
    pub place: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}) in {}", self.canary, self.dress, self.place)
    }
}

/// Looks for all canaries in all dresses in one pass.
pub struct Searcher {
    automaton: AhoCorasick,
    of: Vec<(String, Dress)>,
}

impl Searcher {
    /// For these canaries, each with what it stands for. At least eight characters of ASCII each: anything shorter is
    /// found by accident.
    ///
    /// # Panics
    /// When one is too short.
    #[must_use]
    pub fn new(canaries: &[(&str, String)]) -> Self {
        let (mut patterns, mut of) = (Vec::new(), Vec::new());
        for (name, text) in canaries {
            assert!(text.len() >= 8 && text.is_ascii(), "{name} is no canary");
            for (dress, pattern) in dresses(text) {
                patterns.push(pattern);
                of.push(((*name).to_owned(), dress));
            }
        }
        Self { automaton: AhoCorasick::new(patterns).expect("a few hundred short patterns"), of }
    }

    /// What is in `bytes`, each canary and dress once.
    #[must_use]
    pub fn search(&self, place: &str, bytes: &[u8]) -> Vec<Found> {
        let mut found: Vec<Found> = self
            .automaton
            .find_overlapping_iter(bytes)
            .map(|hit| {
                let (canary, dress) = &self.of[hit.pattern().as_usize()];
                Found { canary: canary.clone(), dress: *dress, place: place.to_owned() }
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// What is in the files under `folder`, whole.
    #[must_use]
    pub fn search_folder(&self, folder: &Path) -> Vec<Found> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // A file that goes while it is looked at is gone.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                found.extend(self.search_folder(&path));
            } else if kind.is_file()
                && let Ok(bytes) = std::fs::read(&path)
            {
                found.extend(self.search(&path.display().to_string(), &bytes));
            }
        }
        found
    }

    /// What is in files that a process has open although they were deleted.
    #[must_use]
    pub fn search_deleted_files(&self, pid: u32) -> Vec<Found> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(target) = std::fs::read_link(entry.path()) else { continue };
            let target = target.display().to_string();
            if target.starts_with('/')
                && target.ends_with(" (deleted)")
                && let Ok(bytes) = std::fs::read(entry.path())
            {
                found.extend(self.search(&target, &bytes));
            }
        }
        found
    }
}

/// Every dress of a text. Of base64 only what is sure whatever stands before and after.
fn dresses(text: &str) -> Vec<(Dress, Vec<u8>)> {
    let bytes = text.as_bytes();
    let hex = |upper: bool, before: &str| -> Vec<u8> {
        let digits =
            |byte: &u8| if upper { format!("{before}{byte:02X}") } else { format!("{before}{byte:02x}") };
        bytes.iter().map(digits).collect::<String>().into_bytes()
    };
    let utf16 = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect();
    let mut dresses = vec![
        (Dress::Plain, bytes.to_vec()),
        (Dress::HexLower, hex(false, "")),
        (Dress::HexUpper, hex(true, "")),
        (Dress::Percent, hex(false, "%")),
        (Dress::Percent, hex(true, "%")),
        (Dress::Utf16Le, utf16(u16::to_le_bytes)),
        (Dress::Utf16Be, utf16(u16::to_be_bytes)),
    ];
    if text.to_ascii_uppercase() != text {
        dresses.push((Dress::Upper, text.to_ascii_uppercase().into_bytes()));
    }
    for alignment in 0..3 {
        for (plus, slash) in [(b'+', b'/'), (b'-', b'_')] {
            dresses.push((Dress::Base64, base64_core(bytes, alignment, plus, slash)));
        }
    }
    dresses
}

/// The base64 digits that depend on `bytes` alone when `alignment` octets of something else stand before them.
fn base64_core(bytes: &[u8], alignment: usize, plus: u8, slash: u8) -> Vec<u8> {
    let shifted: Vec<u8> = std::iter::repeat_n(0, alignment).chain(bytes.iter().copied()).collect();
    let bit = |at: usize| u32::from(shifted[at / 8] >> (7 - at % 8) & 1);
    // A digit is six bits: the first one without a foreign bit, to the last one with all of its own.
    let digits = (alignment * 8).div_ceil(6)..shifted.len() * 8 / 6;
    digits
        .map(|digit| {
            let value = (0..6).fold(0, |value, at| value << 1 | bit(digit * 6 + at));
            match u8::try_from(value).expect("six bits") {
                value @ 0..26 => b'A' + value,
                value @ 26..52 => b'a' + value - 26,
                value @ 52..62 => b'0' + value - 52,
                62 => plus,
                _ => slash,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "zq7canary4jvk2x";

    fn found(bytes: &[u8]) -> Vec<Dress> {
        let searcher = Searcher::new(&[("it", CANARY.to_owned())]);
        searcher.search("here", bytes).into_iter().map(|found| found.dress).collect()
    }

    /// Base64 by the book, with padding, for the tests only.
    fn base64(bytes: &[u8]) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |group: &[u8]| {
            let word = (0..3).fold(0_u32, |word, at| word << 8 | u32::from(*group.get(at).unwrap_or(&0)));
            let digit = |at: usize| char::from(alphabet[(word >> (18 - 6 * at) & 63) as usize]);
            let text: String = (0..4).map(digit).collect();
            text[..=group.len()].to_owned() + &"=".repeat(3 - group.len())
        };
        bytes.chunks(3).map(group).collect()
    }

    #[test]
    fn plain_and_upper_case_are_found_in_the_middle_of_other_bytes() {
        assert_eq!(found(format!("\u{0}é{CANARY}\u{1}").as_bytes()), [Dress::Plain]);
        assert_eq!(found(CANARY.to_uppercase().as_bytes()), [Dress::Upper]);
        assert_eq!(found(&CANARY.as_bytes()[1..]), [], "a piece of it is not it");
    }

    #[test]
    fn base64_is_found_at_every_alignment() {
        assert_eq!(base64(b"Man is"), "TWFuIGlz");
        assert_eq!(base64(b"Ma"), "TWE=");
        for before in 0..6 {
            for after in 0..3 {
                let text = [vec![0xfb; before], CANARY.as_bytes().to_vec(), vec![0xff; after]].concat();
                assert_eq!(
                    found(base64(&text).as_bytes()),
                    [Dress::Base64],
                    "{before} before, {after} after"
                );
            }
        }
    }

    #[test]
    fn url_safe_base64_is_found() {
        let searcher = Searcher::new(&[("it", "canary>>>???>>>".to_owned())]);
        let text = base64(b"canary>>>???>>>").replace('+', "-").replace('/', "_");
        assert!(text.contains('-') && text.contains('_'), "{text}");
        assert_eq!(searcher.search("here", text.as_bytes()).len(), 1);
    }

    #[test]
    fn hex_is_found_in_both_cases() {
        let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found(format!("00{hex}ff").as_bytes()), [Dress::HexLower]);
        assert_eq!(found(hex.to_uppercase().as_bytes()), [Dress::HexUpper]);
    }

    #[test]
    fn url_encoding_is_found() {
        let text: String = CANARY.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(found(text.as_bytes()), [Dress::Percent]);
        assert_eq!(found(text.to_lowercase().as_bytes()), [Dress::Percent]);
    }

    #[test]
    fn utf16_is_found_in_both_byte_orders() {
        let units = |unit: fn(u16) -> [u8; 2]| CANARY.encode_utf16().flat_map(unit).collect::<Vec<_>>();
        assert_eq!(found(&units(u16::to_le_bytes)), [Dress::Utf16Le]);
        assert_eq!(found(&units(u16::to_be_bytes)), [Dress::Utf16Be]);
    }

    /// Fails when: only names are looked at, and not what a process still holds.
    #[test]
    fn a_deleted_file_that_is_still_open_is_searched() {
        use std::io::Write as _;
        let mut file = tempfile::tempfile().expect("a file without a name");
        file.write_all(CANARY.as_bytes()).expect("it takes bytes");
        let searcher = Searcher::new(&[("it", CANARY.to_owned())]);
        assert_eq!(searcher.search_deleted_files(std::process::id()).len(), 1);
    }

    #[test]
    fn folders_are_searched_to_the_bottom() {
        let dir = tempfile::tempdir().expect("a folder");
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep).expect("folders");
        std::fs::write(deep.join("c"), CANARY).expect("a file");
        let found = Searcher::new(&[("it", CANARY.to_owned())]).search_folder(dir.path());
        assert_eq!(found.len(), 1);
        assert!(found[0].place.ends_with("a/b/c"), "{}", found[0]);
    }
}
