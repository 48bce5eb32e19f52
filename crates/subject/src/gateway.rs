//! Gateways' secrets: made of the key when they are needed, and stored nowhere.
//!
//! A gateway signs what it tells. Whoever checks a signature needs the secret itself, and a file of secrets would be worth stealing; so
//! a secret is a keyed hash of its id, under a key that BLAKE3 derives from the *first* step, which a rotation leaves as it is.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Key, Subjects};

/// Binds the derived key to this use.
const CONTEXT: &str = "tamis 2026-11 gateway secret";

/// What secrets are made with.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct GatewayKey([u8; 32]);

impl GatewayKey {
    pub(crate) fn of(key: &Key) -> Self {
        // A key has one step at least.
        Self(blake3::derive_key(CONTEXT, key.steps().first().map_or(&[][..], |step| step)))
    }
}

impl Subjects {
    /// The secret of the gateway's key with this `id`: the same whenever it is asked for, also after rotations.
    #[must_use]
    pub fn gateway_secret(&self, id: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*blake3::keyed_hash(&self.gateway_key().0, id.as_bytes()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Key, Region, Subjects};

    /// Guarantees: a gateway's secret is its own, is another under another key, and outlives a rotation.
    /// Fails when: it is derived from the newest step, or not from the id.
    #[test]
    fn a_secret_is_of_its_id_and_of_the_first_step() {
        let region = Region::parse("FR").unwrap();
        let key = Key::generate().unwrap();
        let one = Subjects::new(&key, region);
        let secret = one.gateway_secret("0123456789ab");
        assert_eq!(secret, one.clone().gateway_secret("0123456789ab"));
        assert_ne!(secret, one.gateway_secret("0123456789ac"));
        let rotated = Subjects::new(&key.with_another_step().unwrap(), region);
        assert_eq!(secret, rotated.gateway_secret("0123456789ab"));
        let other = Subjects::new(&Key::generate().unwrap(), region);
        assert_ne!(secret, other.gateway_secret("0123456789ab"));
    }
}
