//! A borrowed view of one recipient.

use tamis_subject::Postal;

use crate::cursor::{Cursor, Value, is_text, text};

/// One recipient, borrowed from the job's record.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecipientView<'a> {
    address: tamis_subject::Redacted<&'a [u8]>,
    contact: tamis_subject::Redacted<&'a [u8]>,
    /// A postal address that has been read once.
    postal: tamis_subject::Redacted<Option<&'a [u8]>>,
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

    /// The postal address, where there is one.
    #[must_use]
    pub fn postal(&self) -> Option<Postal<'a>> {
        self.postal.0.and_then(|body| postal(body).ok())
    }

    /// Reads a recipient's body.
    ///
    /// # Errors
    /// [`Malformed`]: not well-formed, not UTF-8 where it must be, or a field twice.
    #[inline]
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        Self::usual(body).map_or_else(|| Self::any(body), Ok)
    }

    /// The address of a recipient that is nothing else, in a body of less than 130 octets. Whether it is text has not been looked at:
    /// whoever finds it is not, has a malformed recipient.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as below")]
    #[must_use]
    pub fn only_address(body: &'a [u8]) -> Option<&'a [u8]> {
        let [0x0a, length @ 0..0x80, address @ ..] = body else { return None };
        (usize::from(*length) == address.len()).then_some(address)
    }

    /// The usual recipient: an address, then perhaps a contact, both short.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "measured: most of a recipient's reading, and in registers here"
    )]
    fn usual(body: &'a [u8]) -> Option<Self> {
        let (address, rest) = short_text(1, body)?;
        let (contact, rest) = if rest.is_empty() { (rest, rest) } else { short_text(2, rest)? };
        let postal = tamis_subject::Redacted(None);
        let (address, contact) = (tamis_subject::Redacted(address), tamis_subject::Redacted(contact));
        rest.is_empty().then_some(Self { address, contact, postal, brings_token: false })
    }

    /// Any recipient.
    #[inline(never)]
    fn any(body: &'a [u8]) -> Result<Self, Malformed> {
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
                5 => {
                    postal(bytes)?;
                    view.postal.0 = Some(bytes);
                }
                _ => return Err(Malformed),
            }
        }
        Ok(view)
    }
}

/// Field `number`, if that is what comes first and it is a text of less than 128 octets; and what follows.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as its caller")]
fn short_text(number: u8, body: &[u8]) -> Option<(&[u8], &[u8])> {
    let [tag, length @ 0..0x80, rest @ ..] = body else { return None };
    if *tag != number << 3 | 2 {
        return None;
    }
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    is_text(text).then_some((text, rest))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field of a recipient: its key octet, and what stands in it.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof!["[+0-9]{0,20}", "[a-zé@.]{0,20}", "x{120,140}"];
        let octets = prop_oneof![4 => text.prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 0..5)];
        let tag = prop_oneof![4 => Just(0x0a), 4 => Just(0x12), 1 => any::<u8>()];
        (tag, octets).prop_map(|(tag, octets)| {
            let mut field = vec![tag];
            prost::encoding::encode_varint(octets.len() as u64, &mut field);
            field.extend(octets);
            field
        })
    }

    proptest! {
        /// Guarantees: the usual recipient is read as any other is.
        /// Fails when: it takes what is no text, a field twice, or one that ends behind the recipient.
        #[test]
        fn the_usual_recipient_is_read_as_any_other(
            fields in prop::collection::vec(field(), 0..4), damage in prop::option::of((any::<usize>(), any::<u8>())),
        ) {
            let mut body = fields.concat();
            if let (Some((at, octet)), 1..) = (damage, body.len()) {
                let at = at % body.len();
                body[at] = octet;
            }
            if let Some(address) = RecipientView::only_address(&body).filter(|address| is_text(address)) {
                let any = RecipientView::any(&body).expect("any reader takes a text alone");
                prop_assert_eq!((any.address(), any.contact()), (address, &[][..]));
                prop_assert!(any.postal().is_none() && !any.brings_token);
            }
            if let Some(usual) = RecipientView::usual(&body) {
                let any = RecipientView::any(&body).expect("any reader takes what the usual one takes");
                prop_assert_eq!((usual.address(), usual.contact()), (any.address(), any.contact()));
                prop_assert_eq!((usual.postal().is_some(), usual.brings_token), (any.postal().is_some(), any.brings_token));
            }
        }
    }
}
