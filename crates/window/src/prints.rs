//! Fingerprints of jobs.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU64;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A job's fingerprint; two jobs share one with a chance of 2⁻⁶⁴, so that a look-up among 10 M is wrong with one of
/// less than 10⁻¹².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Print(NonZeroU64);

impl Print {
    /// The number; never 0.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

/// Makes fingerprints. The seed is this process's own and leaves it nowhere, so that nobody can write a job id that
/// collides with another tenant's; clones agree.
#[derive(Clone, Copy)]
pub struct Prints(u64);

impl std::fmt::Debug for Prints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prints(<redacted>)")
    }
}

impl Prints {
    /// With a new seed from the system's randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    /// The fingerprint of a tenant's job. The tenant makes the seed for the job id, so that no two pairs run together.
    #[inline]
    #[must_use]
    pub fn of(self, tenant: &str, job_id: &str) -> Print {
        let seed = xxh3_64_with_seed(tenant.as_bytes(), self.0);
        let print = xxh3_64_with_seed(job_id.as_bytes(), seed);
        // 0 marks an empty place.
        Print(NonZeroU64::new(print).unwrap_or(NonZeroU64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when: tenant and job id are only put one after the other, or the seed is left out.
    #[test]
    fn a_print_is_of_both_names_and_of_this_process() {
        let prints = Prints::random();
        assert_eq!(prints.of("acme", "job-1"), prints.of("acme", "job-1"));
        assert_ne!(prints.of("acme", "job-1"), prints.of("globex", "job-1"));
        assert_ne!(prints.of("ab", "c"), prints.of("a", "bc"));
        assert_ne!(prints.of("acme", "job-1"), Prints::random().of("acme", "job-1"));
        assert!(!format!("{prints:?}").contains(&prints.0.to_string()));
    }
}
