//! Identifiers, checked once: `job_id`, `tenant`, `campaign`.

use std::fmt;

/// Whether `bytes` is 1 to `most` characters of `[A-Za-z0-9._:-]` (contract, section 2).
#[inline]
#[must_use]
pub fn is_identifier(bytes: &[u8], most: usize) -> bool {
    !bytes.is_empty()
        && bytes.len() <= most
        && bytes.iter().fold(true, |all, &b| all & IN_ALPHABET[b as usize])
}

/// By octet; a table, since every job has half a dozen identifiers.
const IN_ALPHABET: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0u8;
    while octet < 128 {
        table[octet as usize] = octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b':' | b'-');
        octet += 1;
    }
    table
};

/// An identifier outside its alphabet or length. The text itself is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IllFormed {
    /// Which identifier, as the contract names the field.
    pub field: &'static str,
    /// Its greatest length in characters.
    pub most: usize,
}

impl fmt::Display for IllFormed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be 1 to {} characters of [A-Za-z0-9._:-]", self.field, self.most)
    }
}

impl std::error::Error for IllFormed {}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $field:literal, $most:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name<'a>(&'a str);

        impl<'a> $name<'a> {
            /// Greatest length in characters.
            pub const MOST: usize = $most;

            /// Takes the text if it is well-formed.
            ///
            /// # Errors
            /// [`IllFormed`] when a character or the length is outside the contract.
            pub fn parse(text: &'a str) -> Result<Self, IllFormed> {
                if is_identifier(text.as_bytes(), $most) { Ok(Self(text)) } else { Err(IllFormed { field: $field, most: $most }) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(self) -> &'a str {
                self.0
            }
        }

        impl fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
    };
}

identifier!(
    /// A job's id, unique for its tenant; the idempotency key.
    JobId, "job_id", 128
);
identifier!(
    /// The controller on whose behalf a job is sent.
    Tenant, "tenant", 64
);
identifier!(
    /// A campaign of a tenant.
    Campaign, "campaign", 128
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_keep_to_their_alphabet_and_length() {
        assert!(Tenant::parse("acme").is_ok());
        assert!(JobId::parse("a.b_c:d-E9").is_ok());
        assert!(Tenant::parse("").is_err());
        assert!(Tenant::parse("a b").is_err());
        assert!(Tenant::parse("é").is_err());
        assert!(Tenant::parse(&"x".repeat(64)).is_ok());
        assert!(Tenant::parse(&"x".repeat(65)).is_err());
        assert!(JobId::parse(&"x".repeat(128)).is_ok());
    }
}
