//! Keyed subjects: a standard pseudo-random function over the kind of address and its canonical form.
//!
//! The function is SipHash-2-4 with 128 bits out. It wants a 128-bit key, which BLAKE3 derives from the 32
//! bytes of a step of the key file under a context that names the scheme: so the file's key is never used by two
//! algorithms, and a weakness of the fast function would not give the file's key away. Each step after the first is the same
//! function, under its own key, over the 16 bytes of the subject before.

use std::{
    fmt,
    hash::Hasher as _,
    io,
    sync::{Arc, OnceLock},
};

use siphasher::sip128::{Hash128, Hasher128 as _, SipHasher24};
use tamis_campaign::{Channel, Identity, Tenant};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    Invalid, Key, Postal, Region, SCHEME, canonical, gateway::GatewayKey, key::STEPS_MAX, redacted::REDACTED,
    token::SealKeys,
};

/// Binds a step's derived key to this use. Changing one letter changes every subject.
fn context(scheme: usize) -> String {
    format!("tamis 2026-11 subject scheme {scheme}, SipHash-2-4-128")
}

/// What a check value is computed over. No identity is 0 and no subject is as long, so it can't be the input of any subject.
fn check(scheme: u32) -> String {
    format!("\0tamis key check, scheme {scheme}")
}

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

impl Subject {
    /// Of the function's two words.
    #[inline]
    pub(crate) const fn of_words(words: [u64; 2]) -> Self {
        Self(words)
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

/// The derived key of a step.
pub(crate) type StepKey = (u64, u64);

/// The derived keys of the pseudo-random function, a step each, wiped when the last [`Subjects`] goes.
#[derive(Zeroize, ZeroizeOnDrop)]
struct PrfKeys([StepKey; STEPS_MAX]);

/// The derived keys where they lie for good. They go first, so that they are wiped while their page is still locked.
struct Held {
    keys: PrfKeys,
    seals: SealKeys,
    gateways: GatewayKey,
    /// How many of them there are; the others are zeros.
    steps: u32,
    page: OnceLock<region::LockGuard>,
}

/// Makes subjects of addresses. Cheap to clone, and good for every thread.
#[derive(Clone)]
pub struct Subjects {
    held: Arc<Held>,
    /// How many of the key's steps are taken.
    scheme: u32,
    region: Region,
}

impl Subjects {
    /// Subjects under all steps of `key`; national telephone numbers are those of `region`.
    #[must_use]
    pub fn new(key: &Key, region: Region) -> Self {
        let mut keys = PrfKeys([(0, 0); STEPS_MAX]);
        for (at, step) in key.steps().iter().enumerate() {
            let derived = Zeroizing::new(blake3::derive_key(&context(at + 1), step));
            let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| derived[at + i]));
            keys.0[at] = (half(0), half(8));
        }
        let steps = key.scheme();
        let (seals, gateways) = (SealKeys::of(key), GatewayKey::of(key));
        let held = Held { keys, seals, gateways, steps, page: OnceLock::new() };
        Self { held: Arc::new(held), scheme: steps, region }
    }

    /// Keeps the keys' pages in memory: they are not swapped to a disk until the last of these clones goes.
    ///
    /// # Errors
    /// When the system does not allow it (RLIMIT_MEMLOCK); all else works as before.
    pub fn keep_in_memory(&self) -> io::Result<()> {
        let held = Arc::as_ptr(&self.held);
        let guard = region::lock(held, size_of::<Held>()).map_err(|error| match error {
            region::Error::SystemCall(code) => io::Error::from_raw_os_error(code),
            // The library's own set, open to new ones.
            other => io::Error::other(other.to_string()),
        })?;
        // A second lock of the same page adds nothing.
        let _ = self.held.page.set(guard);
        Ok(())
    }

    /// The scheme of the subjects made here: how many steps of the key are taken.
    #[must_use]
    pub fn scheme(&self) -> u32 {
        self.scheme
    }

    /// How many steps the key has: the newest scheme that can be made or read with it.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.held.steps
    }

    /// The same key and region, with subjects of `scheme`, or of the newest there is.
    #[must_use]
    pub fn at(&self, scheme: u32) -> Self {
        Self { scheme: scheme.clamp(SCHEME, self.held.steps), ..self.clone() }
    }

    /// The subjects of the first scheme, whatever was rotated since. They choose a record's partition, so that all of a person
    /// stay in one and keep their order; they are written nowhere.
    #[must_use]
    pub fn first(&self) -> Self {
        self.at(SCHEME)
    }

    /// What `subject`, which is of scheme `from`, is here. One that is not of an earlier scheme stays as it is.
    #[inline]
    #[must_use]
    pub fn advance(&self, subject: Subject, from: u32) -> Subject {
        let later = self.held.keys.0[..self.scheme as usize].iter().skip(from as usize);
        later.fold(subject, |subject, &(a, b)| {
            SipHasher24::new_with_keys(a, b).hash(&subject.to_bytes()).into()
        })
    }

    /// What seals tokens.
    pub(crate) fn seal_keys(&self) -> &SealKeys {
        &self.held.seals
    }

    /// What makes gateways' secrets.
    pub(crate) fn gateway_key(&self) -> &GatewayKey {
        &self.held.gateways
    }

    /// Whether this key is `other` with steps added, or the same.
    #[must_use]
    pub fn continues(&self, other: &Self) -> bool {
        (SCHEME..=other.newest()).all(|scheme| self.check_value(scheme) == other.check_value(scheme))
    }

    /// The subject of a telephone number (SMS, VOICE and FAX share one space).
    ///
    /// # Errors
    /// As [`canonical::phone`].
    #[inline]
    pub fn phone(&self, address: &str) -> Result<Subject, Invalid> {
        self.address(Channel::Sms, address.as_bytes())
    }

    /// The subject of an e-mail address.
    ///
    /// # Errors
    /// As [`canonical::email`].
    pub fn email(&self, address: &str) -> Result<Subject, Invalid> {
        self.address(Channel::Email, address.as_bytes())
    }

    /// The subject of a person at a postal address.
    ///
    /// # Errors
    /// As [`canonical::postal`].
    pub fn postal(&self, address: &Postal<'_>) -> Result<Subject, Invalid> {
        Ok(self.advance(self.first_of_postal(address)?, SCHEME))
    }

    /// The subject of a tenant's own contact id: `tenant ‖ 0x00 ‖ contact`, bytes as they are.
    #[must_use]
    pub fn contact(&self, tenant: Tenant<'_>, contact: &[u8]) -> Subject {
        self.advance(self.first_of_contact(tenant, contact), SCHEME)
    }

    /// The subject of what stands in `Recipient.address` of a job of `channel`, as octets of UTF-8.
    ///
    /// # Errors
    /// As the function for that kind of address; MAIL has no such address, so it is [`Invalid::Missing`]. Octets
    /// that are not UTF-8 are [`Invalid::NotAnAddress`].
    #[inline]
    pub fn address(&self, channel: Channel, address: &[u8]) -> Result<Subject, Invalid> {
        self.with_form(channel, address, |octets, length| {
            self.advance(self.first_of(&octets[..length]), SCHEME)
        })
    }

    /// Gives `identity ‖ canonical` of an address, and its length, to `then`, from where it was made: moving it costs as much as
    /// making it. Zeros stand behind it.
    #[inline]
    pub(crate) fn with_form<T>(
        &self,
        channel: Channel,
        address: &[u8],
        then: impl FnOnce(&[u8], usize) -> T,
    ) -> Result<T, Invalid> {
        match channel {
            Channel::Sms | Channel::Voice | Channel::Fax => {
                let mut form = canonical::Phone::new(Identity::Phone);
                canonical::phone_into(address, self.region, &mut form)?;
                Ok(then(form.octets(), form.keyed().len()))
            }
            Channel::Email => {
                let mut form = canonical::Email::new(Identity::Email);
                canonical::email_into(address, &mut form)?;
                Ok(then(form.octets(), form.keyed().len()))
            }
            Channel::Mail => Err(Invalid::Missing),
        }
    }

    /// Of the first scheme, whatever is made here otherwise: the subject of `identity ‖ canonical`.
    #[inline]
    pub(crate) fn first_of(&self, form: &[u8]) -> Subject {
        self.hasher().hash(form).into()
    }

    pub(crate) fn first_of_postal(&self, address: &Postal<'_>) -> Result<Subject, Invalid> {
        Ok(self.first_of(canonical::postal(address)?.keyed()))
    }

    pub(crate) fn first_of_contact(&self, tenant: Tenant<'_>, contact: &[u8]) -> Subject {
        let mut hasher = self.hasher();
        hasher.write_u8(Identity::Contact.number() as u8);
        hasher.write(tenant.as_str().as_bytes());
        hasher.write_u8(0);
        hasher.write(contact);
        hasher.finish128().into()
    }

    /// The keys of the first step and of those that are taken after it.
    pub(crate) fn steps(&self) -> (StepKey, &[StepKey]) {
        (self.held.keys.0[0], &self.held.keys.0[1..self.scheme as usize])
    }

    /// A value that tells a step of this key from any other, without telling the key; `None` when it has no such step. It
    /// is nobody's subject.
    #[must_use]
    pub fn check_value(&self, scheme: u32) -> Option<[u8; 16]> {
        let at = scheme.checked_sub(SCHEME).filter(|_| scheme <= self.held.steps)?;
        let (a, b) = self.held.keys.0[at as usize];
        Some(Subject::from(SipHasher24::new_with_keys(a, b).hash(check(scheme).as_bytes())).to_bytes())
    }

    fn hasher(&self) -> SipHasher24 {
        let (a, b) = self.held.keys.0[0];
        SipHasher24::new_with_keys(a, b)
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subjects")
            .field("key", &REDACTED)
            .field("scheme", &self.scheme)
            .field("region", &self.region)
            .finish()
    }
}
