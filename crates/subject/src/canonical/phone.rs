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
    match plain(address.as_bytes(), region.national) {
        Some(form) => Ok(form),
        None => thorough(address, region),
    }
}

/// The form of a number of digits and plain separators that the library is known to leave as it is, but for a
/// national prefix; `None` says nothing. See [`plans`] for why this is what the library would say.
#[inline]
pub(super) fn plain(address: &[u8], national: Option<&National>) -> Option<Phone> {
    if address.len() > TEXT_MAX {
        return None;
    }
    let address = address.trim_ascii_start();
    if let Some(text) = address.strip_prefix(b"+") {
        let mut form = Phone::new(Identity::Phone);
        let room = form.room();
        room[0] = b'+';
        let len = digits(text, &mut room[1..])?;
        let number = &room[1..=len];
        let plan = plans::plan(number)?;
        if !plan.keeps(&number[plan.code_len..]) {
            return None;
        }
        form.set_len(1 + len);
        return Some(form);
    }
    let national = national?;
    let mut number = [0; DIGITS_MAX];
    let len = digits(address, &mut number)?;
    let significant = national.significant(&number[..len])?;
    let code = national.code.len();
    let mut form = Phone::new(Identity::Phone);
    let room = form.room();
    room[0] = b'+';
    room[1..=code].copy_from_slice(national.code.as_bytes());
    room[1 + code..][..significant.len()].copy_from_slice(significant);
    form.set_len(1 + code + significant.len());
    Some(form)
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
