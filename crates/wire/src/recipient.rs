//! A borrowed view of one recipient.

use tamis_subject::Postal;

use crate::cursor::{Cursor, Value, is_text, text};

/// One recipient, borrowed from the job's record.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecipientView<'a> {
    address: tamis_subject::Redacted<&'a [u8]>,
    contact: tamis_subject::Redacted<&'a [u8]>,
    /// The postal address, where there is one.
    pub postal: Option<Postal<'a>>,
    /// Whether it brings a field 6, which is tamis's to write.
    pub brings_token: bool,
}

/// The recipient's own bytes are damaged (contract, section 9, Reading a recipient).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl<'a> RecipientView<'a> {
    /// Phone number or e-mail address, as octets of UTF-8; may be empty.
    #[must_use]
    pub fn address(&self) -> &'a [u8] {
        self.address.0
    }

    /// The controller's own id, as octets of UTF-8; may be empty.
    #[must_use]
    pub fn contact(&self) -> &'a [u8] {
        self.contact.0
    }

    /// Reads a recipient's body.
    ///
    /// # Errors
    /// [`Malformed`]: not well-formed, not UTF-8 where it must be, or a field twice.
    #[inline]
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut view = Self::default();
        let mut seen = 0u8;
        let mut cursor = Cursor::new(body);
        while !cursor.is_at_end() {
            let (number, value) = cursor.field().map_err(|_| Malformed)?;
            if !(1..=6).contains(&number) {
                continue;
            }
            let Value::Bytes(bytes) = value else { return Err(Malformed) };
            if seen & (1 << number) != 0 {
                return Err(Malformed);
            }
            seen |= 1 << number;
            match number {
                1 if is_text(bytes) => view.address.0 = bytes,
                2 if is_text(bytes) => view.contact.0 = bytes,
                4 if is_text(bytes) => {}
                3 => {}
                // A delivery's: whoever reads the recipient as one of those must find a text there.
                6 if is_text(bytes) => view.brings_token = true,
                5 => view.postal = Some(postal(bytes)?),
                _ => return Err(Malformed),
            }
        }
        Ok(view)
    }
}

pub(crate) fn postal(body: &[u8]) -> Result<Postal<'_>, Malformed> {
    let mut fields: [Option<&str>; 6] = [None; 6];
    let mut cursor = Cursor::new(body);
    while !cursor.is_at_end() {
        let (number, value) = cursor.field().map_err(|_| Malformed)?;
        let Some(field) = (number as usize).checked_sub(1).and_then(|i| fields.get_mut(i)) else { continue };
        let Value::Bytes(bytes) = value else { return Err(Malformed) };
        if field.replace(text(bytes).ok_or(Malformed)?).is_some() {
            return Err(Malformed);
        }
    }
    let [name, street, extra, postal_code, city, country] = fields.map(Option::unwrap_or_default);
    Ok(Postal { name, street, extra, postal_code, city, country })
}
