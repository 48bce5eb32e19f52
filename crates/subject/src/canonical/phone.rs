//! Telephone numbers: E.164, as libphonenumber formats it.

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};
use tamis_campaign::Identity;

use crate::{Invalid, Region, canonical::Phone};

/// The canonical form of a telephone number: E.164, national numbers read as those of `region`.
///
/// # Errors
/// [`Invalid::Missing`] when it is blank; [`Invalid::NotAnAddress`] when libphonenumber can't parse it or
/// finds it not *possible*. A possible number that is not *valid* is taken: new ranges appear before the
/// metadata does.
#[inline]
pub fn phone(address: &str, region: Region) -> Result<Phone, Invalid> {
    thorough(address, region)
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
