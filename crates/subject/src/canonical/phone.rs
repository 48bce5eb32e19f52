//! Telephone numbers: E.164, as libphonenumber formats it.

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};
use tamis_campaign::Identity;

use super::plans::{self, National};
use crate::{Invalid, Region, canonical::Phone};

/// Longest text the fast path reads, in octets; longer ones are rare and go to the library.
const TEXT_MAX: usize = 32;
/// Most digits the fast path takes: 3 of the country code and 17, the longest possible number.
const DIGITS_MAX: usize = 20;

/// The canonical form of a telephone number: E.164, national numbers read as those of `region`.
///
/// # Errors
/// [`Invalid::Missing`] when it is blank; [`Invalid::NotAnAddress`] when libphonenumber can't parse it or
/// finds it not *possible*. A possible number that is not *valid* is taken: new ranges appear before the
/// metadata does.
#[inline]
pub fn phone(address: &str, region: Region) -> Result<Phone, Invalid> {
    let mut form = Phone::new(Identity::Phone);
    phone_into(address.as_bytes(), region, &mut form)?;
    Ok(form)
}

/// [`phone`] into a new form: to move one that was just written costs as much as reading the number.
#[inline]
pub(crate) fn phone_into(address: &[u8], region: Region, form: &mut Phone) -> Result<(), Invalid> {
    if let Some(words) = dense(address) {
        form.set_words(words, address.len());
    } else if !plain(address, region.national, form) {
        *form = thorough(std::str::from_utf8(address).map_err(|_| Invalid::NotAnAddress)?, region)?;
    }
    Ok(())
}

/// The form of a number of digits and plain separators that the library is known to leave as it is, but for a
/// national prefix, into `form`; false says nothing. See [`plans`] for why this is what the library would say.
pub(super) fn plain(address: &[u8], national: Option<&National>, form: &mut Phone) -> bool {
    if address.len() > TEXT_MAX {
        return false;
    }
    let address = address.trim_ascii_start();
    let room = form.room();
    room[0] = b'+';
    if let Some(text) = address.strip_prefix(b"+") {
        let Some(len) = digits(text, &mut room[1..]) else { return false };
        let number = &room[1..=len];
        if !plans::plan(number).is_some_and(|plan| plan.keeps(&number[plan.code_len..])) {
            return false;
        }
        form.set_len(1 + len);
        return true;
    }
    let Some(national) = national else { return false };
    let mut number = [0; DIGITS_MAX];
    let Some(significant) = digits(address, &mut number).and_then(|len| national.significant(&number[..len]))
    else {
        return false;
    };
    let code = national.code.len();
    room[1..=code].copy_from_slice(national.code.as_bytes());
    room[1 + code..][..significant.len()].copy_from_slice(significant);
    form.set_len(1 + code + significant.len());
    true
}

/// `identity ‖ canonical` of the usual writing, `+` and 8 to 14 digits, eight octets at a time, as little-endian words with zeros
/// behind it; it is one octet longer than the text. `None` says nothing.
///
/// Words, because the keyed function reads words: octets just written one by one would have to reach the cache first.
#[inline]
pub(crate) fn dense(text: &[u8]) -> Option<[u64; 2]> {
    let len = text.len();
    if !(9..=15).contains(&len) {
        return None;
    }
    let (head, tail) = (text.first_chunk()?, text.last_chunk()?);
    let (head, tail) = (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
    // What each octet is above the digit 0, or the first above `+`: all at most 9 and the first 0, asked of both words at once.
    let (from_plus, from_zero) = (head ^ (ZEROS ^ u64::from(b'0' ^ b'+')), tail ^ ZEROS);
    if past_nine(from_plus) | past_nine(from_zero) | from_plus & 0xff != 0
        || !plans::keeps(from_plus >> 8, len - 1)
    {
        return None;
    }
    // Octets 0 to 6 of the text follow the identity; the rest, from octet 7 on, are the end of the tail.
    Some([head << 8 | Identity::Phone.number() as u64, tail >> (8 * (15 - len))])
}

/// The digit 0 in each octet.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Something but 0 when an octet of the eight is more than 9.
#[inline]
const fn past_nine(octets: u64) -> u64 {
    // Past 9 the sum reaches the highest bit. It passes its octet only where that bit was set before, which says the same.
    (octets | octets.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080
}

/// Copies the digits of `text` and leaves out plain separators; how many there are. `None` when there is
/// anything else in it or too many digits.
#[inline]
fn digits(text: &[u8], to: &mut [u8]) -> Option<usize> {
    let to = to.first_chunk_mut::<DIGITS_MAX>()?;
    let mut len = 0;
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                *to.get_mut(len)? = byte;
                len += 1;
            }
            b' ' | b'.' | b'-' | b'(' | b')' => {}
            _ => return None,
        }
    }
    Some(len)
}

/// Every number, by the library.
pub(super) fn thorough(address: &str, region: Region) -> Result<Phone, Invalid> {
    if address.trim().is_empty() {
        return Err(Invalid::Missing);
    }
    let number = PHONE_NUMBER_UTIL.parse(address, Some(region.library)).map_err(|_| Invalid::NotAnAddress)?;
    if !PHONE_NUMBER_UTIL.is_possible_number(&number) {
        return Err(Invalid::NotAnAddress);
    }
    let e164 = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164);
    Phone::holding(Identity::Phone, &e164).ok_or(Invalid::NotAnAddress)
}
