//! Keyed subjects: a standard pseudo-random function over the kind of address and its canonical form.
//!
//! The function is SipHash-2-4 with 128 bits out. It wants a 128-bit key, which BLAKE3 derives from the 32
//! bytes of the key file under a fixed context: so the file's key is never used by two algorithms, a later
//! scheme derives an unrelated key from the same file by another context, and a weakness of the fast
//! function would not give the file's key away.

use std::{
    fmt,
    hash::Hasher as _,
    io,
    sync::{Arc, OnceLock},
};

use siphasher::sip128::{Hash128, Hasher128 as _, SipHasher24};
use tamis_campaign::{Channel, Identity, Tenant};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Invalid, Key, Postal, Region, canonical, redacted::REDACTED};

/// Binds the derived key to this use. Changing one letter changes every subject.
const CONTEXT: &str = "tamis 2026-11 subject scheme 1, SipHash-2-4-128";

/// What the check value is computed over. No identity is 0, so it can't be the subject of any address.
const CHECK: &[u8] = b"\0tamis key check, scheme 1";

/// A person's pseudonym for one address: 16 bytes, without meaning to whoever has not got the key.
///
/// Kept as the function's two words (little endian), so that it moves in registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject([u64; 2]);

impl Subject {
    /// Takes the bytes of a subject, as they stand in a record or a snapshot.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        // Sixteen bytes are one u128; its halves are the words.
        let both = u128::from_le_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "the low half, and the high one")]
        Self([both as u64, (both >> 64) as u64])
    }

    /// The bytes of a subject, for a record or a snapshot.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        ((self.0[1] as u128) << 64 | self.0[0] as u128).to_le_bytes()
    }

    /// Its two words; a subject is a pseudo-random function's output, so that any bits of them are a hash.
    #[inline]
    #[must_use]
    pub const fn words(self) -> [u64; 2] {
        self.0
    }
}

impl From<Hash128> for Subject {
    #[inline]
    fn from(hash: Hash128) -> Self {
        Self([hash.h1, hash.h2])
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The derived key of the pseudo-random function, wiped when the last [`Subjects`] goes.
#[derive(Zeroize, ZeroizeOnDrop)]
struct PrfKey(u64, u64);

/// The derived key where it lies for good. The key goes first, so that it is wiped while its page is still locked.
struct Held {
    key: PrfKey,
    page: OnceLock<region::LockGuard>,
}

/// Makes subjects of addresses. Cheap to clone, and good for every thread.
#[derive(Clone)]
pub struct Subjects {
    held: Arc<Held>,
    region: Region,
}

impl Subjects {
    /// Subjects under `key`; national telephone numbers are those of `region`.
    #[must_use]
    pub fn new(key: &Key, region: Region) -> Self {
        let derived = Zeroizing::new(blake3::derive_key(CONTEXT, key.bytes()));
        let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| derived[at + i]));
        Self { held: Arc::new(Held { key: PrfKey(half(0), half(8)), page: OnceLock::new() }), region }
    }

    /// Keeps the key's page in memory: it is not swapped to a disk until the last of these clones goes.
    ///
    /// # Errors
    /// When the system does not allow it (RLIMIT_MEMLOCK); all else works as before.
    pub fn keep_in_memory(&self) -> io::Result<()> {
        let key = &raw const self.held.key;
        let guard = region::lock(key, size_of::<PrfKey>()).map_err(|error| match error {
            region::Error::SystemCall(code) => io::Error::from_raw_os_error(code),
            // The library's own set, open to new ones.
            other => io::Error::other(other.to_string()),
        })?;
        // A second lock of the same page adds nothing.
        let _ = self.held.page.set(guard);
        Ok(())
    }

    /// The subject of a telephone number (SMS, VOICE and FAX share one space).
    ///
    /// # Errors
    /// As [`canonical::phone`].
    #[inline]
    pub fn phone(&self, address: &str) -> Result<Subject, Invalid> {
        self.phone_octets(address.as_bytes())
    }

    #[inline]
    fn phone_octets(&self, address: &[u8]) -> Result<Subject, Invalid> {
        let mut form = canonical::Phone::new(Identity::Phone);
        canonical::phone_into(address, self.region, &mut form)?;
        Ok(self.keyed(form.keyed()))
    }

    /// The subject of an e-mail address.
    ///
    /// # Errors
    /// As [`canonical::email`].
    pub fn email(&self, address: &str) -> Result<Subject, Invalid> {
        self.email_octets(address.as_bytes())
    }

    fn email_octets(&self, address: &[u8]) -> Result<Subject, Invalid> {
        let mut form = canonical::Email::new(Identity::Email);
        canonical::email_into(address, &mut form)?;
        Ok(self.keyed(form.keyed()))
    }

    /// The subject of a person at a postal address.
    ///
    /// # Errors
    /// As [`canonical::postal`].
    pub fn postal(&self, address: &Postal<'_>) -> Result<Subject, Invalid> {
        Ok(self.keyed(canonical::postal(address)?.keyed()))
    }

    /// The subject of a tenant's own contact id: `tenant ‖ 0x00 ‖ contact`, bytes as they are.
    #[must_use]
    pub fn contact(&self, tenant: Tenant<'_>, contact: &[u8]) -> Subject {
        let mut hasher = self.hasher();
        hasher.write_u8(Identity::Contact.number() as u8);
        hasher.write(tenant.as_str().as_bytes());
        hasher.write_u8(0);
        hasher.write(contact);
        hasher.finish128().into()
    }

    /// The subject of what stands in `Recipient.address` of a job of `channel`, as octets of UTF-8.
    ///
    /// # Errors
    /// As the function for that kind of address; MAIL has no such address, so it is [`Invalid::Missing`]. Octets
    /// that are not UTF-8 are [`Invalid::NotAnAddress`].
    #[inline]
    pub fn address(&self, channel: Channel, address: &[u8]) -> Result<Subject, Invalid> {
        match channel {
            Channel::Sms | Channel::Voice | Channel::Fax => self.phone_octets(address),
            Channel::Email => self.email_octets(address),
            Channel::Mail => Err(Invalid::Missing),
        }
    }

    /// A value that tells this key from any other, without telling the key. It is no address's subject.
    #[must_use]
    pub fn check_value(&self) -> [u8; 16] {
        self.keyed(CHECK).to_bytes()
    }

    fn hasher(&self) -> SipHasher24 {
        SipHasher24::new_with_keys(self.held.key.0, self.held.key.1)
    }

    /// `bytes` are the identity's byte and the canonical form.
    #[inline]
    fn keyed(&self, bytes: &[u8]) -> Subject {
        self.hasher().hash(bytes).into()
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subjects").field("key", &REDACTED).field("region", &self.region).finish()
    }
}
