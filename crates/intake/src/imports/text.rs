//! Which encoding a file's octets are in: UTF-8, or Windows-1252 as spreadsheets in western Europe write it.
//!
//! A file has one encoding. It is known from the first row that is not ASCII: what is well-formed UTF-8 there is hardly ever
//! anything else, and what is not can only be Windows-1252 here. A later row that does not fit is refused, not guessed: an
//! address read in the wrong encoding is somebody else's, and an opt-out that is lost without a word.

use super::reading::Row;
use super::rows::Code;

/// An encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// Windows-1252, what spreadsheets call ANSI.
    Windows1252,
}

impl Encoding {
    /// Its name, as the WHATWG's encoding standard has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// The encoding with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Utf8, Self::Windows1252].into_iter().find(|one| one.as_str().eq_ignore_ascii_case(name))
    }
}

/// Makes rows UTF-8. `known` is told beforehand or found on the way.
#[derive(Debug, Default)]
pub struct Decoder {
    known: Option<Encoding>,
    /// Whether somebody said so.
    told: bool,
}

impl Decoder {
    /// Of an encoding that is known, or to be found.
    #[must_use]
    pub fn new(known: Option<Encoding>) -> Self {
        Self { known, told: known.is_some() }
    }

    /// The encoding, once it is known.
    #[must_use]
    pub fn known(&self) -> Option<Encoding> {
        self.known
    }

    /// Makes `row` UTF-8, every field of it.
    ///
    /// # Errors
    /// A code when it is no text, or not in the file's encoding.
    pub fn decode(&mut self, row: &mut Row) -> Result<(), Code> {
        if memchr::memchr(0, row.all()).is_some() {
            return Err(Code::NotText);
        }
        if row.all().is_ascii() {
            return Ok(());
        }
        let text = std::str::from_utf8(row.all()).ok();
        // Two fields that are each cut in a letter may be well-formed together.
        let well_formed = text.is_some_and(|text| row.ends().iter().all(|end| text.is_char_boundary(*end)));
        match (self.known, well_formed) {
            (None | Some(Encoding::Utf8), true) => {
                self.known = Some(Encoding::Utf8);
                Ok(())
            }
            (Some(Encoding::Utf8), false) => Err(Code::NotUtf8),
            (Some(Encoding::Windows1252), true) if !self.told => Err(Code::MixedEncoding),
            (None, false) | (Some(Encoding::Windows1252), _) => {
                self.known = Some(Encoding::Windows1252);
                widen(row);
                Ok(())
            }
        }
    }
}

/// Windows-1252 to UTF-8; every octet is a character in it, as the WHATWG has it.
fn widen(row: &mut Row) {
    let (mut text, mut ends) = (Vec::with_capacity(row.all().len() * 2), Vec::with_capacity(row.columns()));
    for at in 0..row.columns() {
        let (field, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(row.octets(at));
        text.extend_from_slice(field.as_bytes());
        ends.push(text.len());
    }
    row.replace(text, ends);
}
