//! A canonical form on the stack, with the identity's byte before it, so that hashing is one call.

use std::fmt;

use tamis_campaign::Identity;

use crate::redacted::REDACTED;

/// A telephone number's canonical form: `+` and 17 digits for the number after 3 for the country, at most.
pub type Phone = Form<24>;
/// An e-mail address's canonical form: 64 octets, `@`, 253 octets at most.
pub type Email = Form<320>;

/// A canonical form of at most `N - 1` octets of UTF-8. `Debug` prints `<redacted>`.
#[derive(Clone, Copy)]
pub struct Form<const N: usize> {
    /// The identity's byte, the form, and zeros.
    bytes: [u8; N],
    end: usize,
}

impl<const N: usize> Form<N> {
    /// An empty form of that kind.
    #[inline]
    pub(crate) fn new(identity: Identity) -> Self {
        let mut bytes = [0; N];
        bytes[0] = identity.number() as u8;
        Self { bytes, end: 1 }
    }

    /// A form that holds `text`; `None` when it is too long.
    pub(crate) fn holding(identity: Identity, text: &str) -> Option<Self> {
        let mut form = Self::new(identity);
        form.room().get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        form.end = 1 + text.len();
        Some(form)
    }

    /// Where the text goes. Whoever writes there writes UTF-8 and then calls [`Self::set_len`].
    #[inline]
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[1..]
    }

    /// Says how many octets the text has.
    #[inline]
    pub(crate) fn set_len(&mut self, len: usize) {
        debug_assert!(len < N);
        self.end = 1 + len;
    }

    /// `identity ‖ canonical`: what the keyed function reads.
    #[inline]
    pub(crate) fn keyed(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// The same, and what stands behind it.
    #[inline]
    pub(crate) fn octets(&self) -> &[u8; N] {
        &self.bytes
    }

    /// The form itself. It is personal data.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[1..self.end]).expect("only UTF-8 is written")
    }
}

impl Phone {
    /// Writes `identity ‖ canonical` as little-endian words; the text has `len` octets.
    #[inline]
    pub(crate) fn set_words(&mut self, words: [u64; 2], len: usize) {
        debug_assert!(len < 16);
        self.bytes[..8].copy_from_slice(&words[0].to_le_bytes());
        self.bytes[8..16].copy_from_slice(&words[1].to_le_bytes());
        self.end = 1 + len;
    }
}

impl<const N: usize> fmt::Debug for Form<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<const N: usize> PartialEq for Form<N> {
    fn eq(&self, other: &Self) -> bool {
        self.keyed() == other.keyed()
    }
}

impl<const N: usize> Eq for Form<N> {}
