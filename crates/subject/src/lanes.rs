//! SipHash-2-4 with 128 bits out, over many short messages of one length in blocks: the same function as the library's, which
//! reads one message at a time.
//!
//! Each of a message's rounds waits for the one before it. Written as a plain loop over messages, the compiler works on four of
//! them side by side where the processor has registers for it: 3.0 ns a telephone number with AVX-512, 7.0 with AVX2, 12 with
//! neither, 16 by the library (2026-11-27, Xeon). Which of them runs is asked of the processor.

use std::array;

use crate::Subject;
use crate::subjects::StepKey;

/// A message of `B` blocks, as little-endian words; the last has the rest of it, and its length in the highest octet.
pub(crate) type Blocks<const B: usize> = [u64; B];

/// Octets of a block.
const BLOCK: usize = 8;

/// The blocks of a message of `length` octets that has `B - 1` whole ones and a rest; `None` for other lengths. `octets` are the
/// message and what may stand behind it, so that whole words are read: octets that were written as other words a moment ago
/// would have to reach the cache first.
#[inline]
pub(crate) fn blocks<const B: usize>(octets: &[u8], length: usize) -> Option<Blocks<B>> {
    const { assert!(B < 32, "a length is an octet") };
    if length / BLOCK != B - 1 || octets.len() < B * BLOCK {
        return None;
    }
    let word = |at: usize| octets[at * BLOCK..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    let rest = word(B - 1) & ((1 << (8 * (length % BLOCK))) - 1);
    ended(array::from_fn(|at| if at < B - 1 { word(at) } else { rest }), length)
}

/// The blocks of a message of `length` octets, of its words with zeros behind it; `None` as above.
#[inline]
pub(crate) fn ended<const B: usize>(mut words: Blocks<B>, length: usize) -> Option<Blocks<B>> {
    words[B - 1] |= (length as u64) << 56;
    (length / BLOCK == B - 1).then_some(words)
}

/// The blocks of a subject, as a message of the next step.
#[inline]
pub(crate) fn of_subject(subject: Subject) -> Blocks<3> {
    let [low, high] = subject.words();
    [low, high, 16 << 56]
}

/// Puts the function's value of each message in place of what is in `to`, which is as long.
pub(crate) fn hash<const B: usize>(key: StepKey, messages: &[Blocks<B>], to: &mut [Subject]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if messages.len() > 1 {
        return x86::hash(key, messages, to);
    }
    each(key, messages, to);
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86 {
    use super::{Blocks, StepKey, Subject, each};

    #[expect(unsafe_code, reason = "a fifth of a whole decision's time")]
    pub(super) fn hash<const B: usize>(key: StepKey, messages: &[Blocks<B>], to: &mut [Subject]) {
        if is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor has just been asked for what the function is compiled for.
            unsafe { avx512(key, messages, to) }
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            unsafe { avx2(key, messages, to) }
        } else {
            each(key, messages, to);
        }
    }

    /// What processors without AVX-512 do.
    #[cfg(test)]
    #[expect(unsafe_code, reason = "as above")]
    pub(super) fn hash_with_avx2<const B: usize>(key: StepKey, messages: &[Blocks<B>], to: &mut [Subject]) {
        assert!(is_x86_feature_detected!("avx2"), "the tests' processor has it");
        // SAFETY: the processor has just been asked.
        unsafe { avx2(key, messages, to) }
    }

    #[target_feature(enable = "avx512dq,avx512vl")]
    fn avx512<const B: usize>(key: StepKey, messages: &[Blocks<B>], to: &mut [Subject]) {
        each(key, messages, to);
    }

    #[target_feature(enable = "avx2")]
    fn avx2<const B: usize>(key: StepKey, messages: &[Blocks<B>], to: &mut [Subject]) {
        each(key, messages, to);
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it is compiled for the features of whoever calls it")]
fn each<const B: usize>(key: StepKey, messages: &[Blocks<B>], to: &mut [Subject]) {
    for (to, message) in to.iter_mut().zip(messages) {
        *to = one(key, message);
    }
}

/// The paper's function (Aumasson and Bernstein, SipHash: a fast short-input PRF, 2012) with two rounds a block, four at the
/// end, and its authors' way to 128 bits.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would keep the loop from being made of vectors")]
fn one<const B: usize>((k0, k1): StepKey, blocks: &Blocks<B>) -> Subject {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    for block in blocks {
        v[3] ^= block;
        round(&mut v);
        round(&mut v);
        v[0] ^= block;
    }
    v[2] ^= 0xee;
    let first = finish(&mut v);
    v[1] ^= 0xdd;
    Subject::of_words([first, finish(&mut v)])
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
fn finish(v: &mut [u64; 4]) -> u64 {
    round(v);
    round(v);
    round(v);
    round(v);
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use siphasher::sip128::SipHasher24;

    fn by_library(key: StepKey, message: &[u8]) -> Subject {
        SipHasher24::new_with_keys(key.0, key.1).hash(message).into()
    }

    fn holds<const B: usize>(key: StepKey, messages: &[Vec<u8>]) {
        let fit: Vec<_> = messages.iter().filter(|message| message.len() / BLOCK == B - 1).collect();
        let behind = [0xff; 4 * BLOCK];
        let blocks: Vec<Blocks<B>> = fit
            .iter()
            .map(|message| blocks(&[message, &behind[..]].concat(), message.len()).expect("its length fits"))
            .collect();
        let expected: Vec<_> = fit.iter().map(|message| by_library(key, message)).collect();
        let mut hashed = vec![Subject::of_words([0; 2]); blocks.len()];
        hash(key, &blocks, &mut hashed);
        assert_eq!(hashed, expected, "{B} blocks, as this processor does it");
        each(key, &blocks, &mut hashed);
        assert_eq!(hashed, expected, "{B} blocks, as any processor does it");
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            x86::hash_with_avx2(key, &blocks, &mut hashed);
            assert_eq!(hashed, expected, "{B} blocks, with AVX2");
        }
    }

    proptest! {
        /// Whatever the messages, their number and the processor, the function is the library's.
        #[test]
        fn many_messages_hash_as_the_library_hashes_each(
            key in any::<(u64, u64)>(),
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
        ) {
            holds::<2>(key, &messages);
            holds::<3>(key, &messages);
            holds::<4>(key, &messages);
        }
    }
}
