//! Tenant and list in few octets: the 66 characters of identifiers and a separator, 21 of them in 16 octets. Pure.

use arrayvec::ArrayVec;

use super::NAMES_MOST;

/// Symbols, numbered from 1 since 0 is the end; the last of them separates tenant and list.
const ALPHABET: &[u8; 67] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-/";
const SEPARATOR: u8 = b'/';
const BASE: u128 = ALPHABET.len() as u128 + 1;
/// So many symbols are a number of 16 octets: 68^21 < 2^128.
const GROUP: usize = 21;
const GROUP_OCTETS: usize = 16;
/// Most characters of both names with the separator.
pub(super) const CHARS_MOST: usize = NAMES_MOST / GROUP_OCTETS * GROUP + chars_of(NAMES_MOST % GROUP_OCTETS);

/// How many symbols fit into `octets`, fewer than 16.
const fn chars_of(octets: usize) -> usize {
    let (mut chars, mut power) = (0, BASE);
    while power <= 1 << (8 * octets) {
        chars += 1;
        power *= BASE;
    }
    chars
}

/// How many octets `chars` symbols take, at most a group.
const fn octets_of(chars: usize) -> usize {
    let mut octets = 0;
    while octets < GROUP_OCTETS && chars_of(octets) < chars {
        octets += 1;
    }
    octets
}

/// Both names.
pub(super) struct Packed {
    pub(super) tenant: Box<str>,
    pub(super) list: Box<str>,
}

/// `None` when they are too long, or no identifiers.
pub(super) fn pack(tenant: &str, list: &str) -> Option<ArrayVec<u8, NAMES_MOST>> {
    let separator: &[u8] = if list.is_empty() { &[] } else { &[SEPARATOR] };
    let chars = [tenant.as_bytes(), separator, list.as_bytes()].concat();
    if chars.len() > CHARS_MOST {
        return None;
    }
    let mut octets = ArrayVec::new();
    for group in chars.chunks(GROUP) {
        let mut number = 0u128;
        for char in group.iter().rev() {
            let symbol = ALPHABET.iter().position(|known| known == char)?;
            number = number * BASE + symbol as u128 + 1;
        }
        octets.try_extend_from_slice(&number.to_le_bytes()[..octets_of(group.len())]).ok()?;
    }
    Some(octets)
}

/// The reverse.
pub(super) fn unpack(octets: &[u8]) -> Option<Packed> {
    let mut chars = Vec::with_capacity(CHARS_MOST);
    for group in octets.chunks(GROUP_OCTETS) {
        let mut bytes = [0; GROUP_OCTETS];
        bytes[..group.len()].copy_from_slice(group);
        let mut number = u128::from_le_bytes(bytes);
        while number > 0 {
            let symbol = usize::try_from(number % BASE).ok()?.checked_sub(1)?;
            chars.push(ALPHABET[symbol]);
            number /= BASE;
        }
    }
    let text = String::from_utf8(chars).ok()?;
    let (tenant, list) = text.split_once('/').unwrap_or((&text, ""));
    Some(Packed { tenant: tenant.into(), list: list.into() })
}
