//! Subjects made by arithmetic, where who they are does not matter: Splitmix64's output, which is as good as the PRF's.
//!
//! `benches/filter` takes this file in by path, since it is built without a Kafka client.

use tamis_subject::Subject;

/// Splitmix64.
#[must_use]
pub fn splitmix(n: u64) -> u64 {
    let state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The `n`-th subject's 16 bytes as a number.
#[must_use]
pub fn number(n: u64) -> u128 {
    u128::from(splitmix(2 * n + 1)) << 64 | u128::from(splitmix(2 * n))
}

/// The `n`-th subject.
#[must_use]
pub fn subject(n: u64) -> Subject {
    Subject::from_bytes(number(n).to_le_bytes())
}
