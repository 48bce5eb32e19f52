//! Numbering plans, as far as the fast path may rely on them.
//!
//! The table is generated, with its proof in `tests/oracle/plans.py`, and held against the library by
//! `src/canonical/tests.rs`.

mod table;

use table::{NATIONAL, PLANS};

/// What the library leaves as it is among the numbers of a country code.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Digits of the country code.
    pub(crate) code_len: usize,
    code: u16,
    /// Bit `n` is set when national numbers of `n` digits are possible.
    lengths: u32,
    /// Bit `n` is set when `n` may be the first two digits of the national number.
    starts: u128,
}

impl Plan {
    const fn new(code: &str, lengths: u32, starts: u128) -> Self {
        Self { code_len: code.len(), code: value(code.as_bytes()), lengths, starts }
    }

    /// Whether the library keeps this national number, of at most 31 ASCII digits, as it is.
    #[inline]
    pub(crate) fn keeps(&self, number: &[u8]) -> bool {
        holds(self.lengths, self.starts, number)
    }
}

/// What the library does with the national numbers of a region is known for these.
#[derive(Debug)]
pub(crate) struct National {
    region: [u8; 2],
    /// The country code.
    pub(crate) code: &'static str,
    lengths: u32,
    bare: u128,
    trunk: u128,
}

impl National {
    const fn new(region: &str, code: &'static str, lengths: u32, bare: u128, trunk: u128) -> Self {
        let region = region.as_bytes();
        Self { region: [region[0], region[1]], code, lengths, bare, trunk }
    }

    /// What follows the country code, of a national number of at most 31 ASCII digits.
    #[inline]
    pub(crate) fn significant<'n>(&self, number: &'n [u8]) -> Option<&'n [u8]> {
        if holds(self.lengths, self.bare, number) {
            return Some(number);
        }
        number.strip_prefix(b"0").filter(|rest| holds(self.lengths, self.trunk, rest))
    }
}

/// Whether the length and the first two digits are among those.
#[inline]
fn holds(lengths: u32, starts: u128, number: &[u8]) -> bool {
    let &[first, second, ..] = number else { return false };
    lengths >> number.len() & 1 == 1 && starts >> ((first & 15) * 10 + (second & 15)) & 1 == 1
}

/// No plan.
const NONE: u8 = u8::MAX;

/// The plan for each first three digits after the `+`: country codes are prefix-free, so there is one at most.
static BY_START: [u8; 1000] = {
    assert!(PLANS.len() < NONE as usize);
    let mut table = [NONE; 1000];
    let mut at = 0;
    while at < PLANS.len() {
        let width = 10_usize.pow(3 - PLANS[at].code_len as u32);
        let mut start = PLANS[at].code as usize * width;
        let end = start + width;
        while start < end {
            assert!(table[start] == NONE);
            table[start] = at as u8;
            start += 1;
        }
        at += 1;
    }
    table
};

/// The plan of a number, by its first three ASCII digits.
#[inline]
pub(crate) fn plan(number: &[u8]) -> Option<&'static Plan> {
    let &[a, b, c, ..] = number else { return None };
    let digit = |byte: u8| usize::from(byte & 15);
    PLANS.get(usize::from(*BY_START.get(digit(a) * 100 + digit(b) * 10 + digit(c))?))
}

/// Digits that say all: a country code has three at most, and two are those that the plan asks for.
const FIRST: usize = 5;

/// For each first five digits after the `+`, bit `n` is set when the library keeps numbers of `n` digits, country code and all, up to
/// fifteen: one look instead of three that wait for each other.
static KEPT: [u16; 10_usize.pow(FIRST as u32)] = {
    let mut table = [0; 10_usize.pow(FIRST as u32)];
    let mut at = 0;
    while at < PLANS.len() {
        let plan = &PLANS[at];
        // Each two digits after the country code stand for so many firsts.
        let width = 10_usize.pow((FIRST - plan.code_len - 2) as u32);
        let mut two = 0;
        while two < 100 {
            if plan.starts >> two & 1 == 1 {
                let mut start = (plan.code as usize * 100 + two) * width;
                let end = start + width;
                while start < end {
                    table[start] = (plan.lengths << plan.code_len) as u16;
                    start += 1;
                }
            }
            two += 1;
        }
        at += 1;
    }
    table
};

/// Whether the library keeps a number of `digits` digits as it is, 15 at most, that begins with the five digits whose values are the low
/// octets of `first`, the first lowest.
#[inline(always)]
#[expect(clippy::inline_always, reason = "measured: a tenth of a whole decision went into calling it")]
pub(crate) fn keeps(first: u64, digits: usize) -> bool {
    // Three zeros before them, and then as the value of eight digits is made: of two each, of four, of eight.
    let pairs = (first << 24).wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    let value = fours.wrapping_mul(10_000 << 32 | 1) >> 32;
    KEPT.get(value as usize).is_some_and(|lengths| lengths >> digits & 1 == 1)
}

/// The row of a region.
pub(crate) fn national(region: [u8; 2]) -> Option<&'static National> {
    NATIONAL.iter().find(|row| row.region == region)
}

const fn value(digits: &[u8]) -> u16 {
    let mut value = 0;
    let mut at = 0;
    while at < digits.len() {
        value = value * 10 + (digits[at] - b'0') as u16;
        at += 1;
    }
    value
}
