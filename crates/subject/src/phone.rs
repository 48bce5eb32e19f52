//! The fast path for phone numbers: only what the library is known to leave alone.
//!
//! A number takes it only if its country code, its length and its first digit leave the library nothing to strip, add
//! or refuse: the length is a possible one for that code, and the code's national prefix, which the library would drop,
//! cannot begin with that digit. Everything else goes to the library. The table is held against the library digit by
//! digit in `tests/phones.rs`, over every country code, length and first three digits.

use tamis_campaign::Identity;

use crate::canonical::Region;

/// Room for the identity byte, `+` and fifteen digits (ITU-T E.164, section 6.1), with some to spare.
pub(crate) const BUFFER: usize = 24;

/// A country code whose numbers may be taken as they are.
struct Plain {
    code: &'static [u8],
    /// Digits of the national number.
    length: usize,
    /// First digits that are safe, a bit each.
    first: u16,
}

const ANY_BUT_0: u16 = 0b11_1111_1110;
const FROM_2: u16 = 0b11_1111_1100;
const ONLY_3: u16 = 1 << 3;

const fn plain(code: &'static [u8], length: usize, first: u16) -> Plain {
    Plain { code, length, first }
}

/// By first digit of the country code, then longest code first where one begins another.
const TABLE: &[Plain] = &[
    plain(b"33", 9, ANY_BUT_0),
    plain(b"1", 10, FROM_2),
    plain(b"44", 10, ANY_BUT_0),
    plain(b"49", 10, ANY_BUT_0),
    plain(b"49", 11, ANY_BUT_0),
    plain(b"34", 9, ANY_BUT_0),
    plain(b"39", 10, ONLY_3),
    plain(b"32", 9, ANY_BUT_0),
    plain(b"41", 9, ANY_BUT_0),
    plain(b"31", 9, ANY_BUT_0),
    plain(b"351", 9, ANY_BUT_0),
    plain(b"212", 9, ANY_BUT_0),
    plain(b"213", 9, ANY_BUT_0),
    plain(b"216", 8, ANY_BUT_0),
    plain(b"48", 9, ANY_BUT_0),
    plain(b"262", 9, ANY_BUT_0),
    plain(b"590", 9, ANY_BUT_0),
    plain(b"594", 9, ANY_BUT_0),
    plain(b"596", 9, ANY_BUT_0),
];

/// The canonical form, `identity ‖ +digits`, into `out`; its length, or `None` when the library must decide.
#[inline]
pub(crate) fn fast(text: &str, region: Region, out: &mut [u8; BUFFER]) -> Option<usize> {
    let bytes = text.as_bytes();
    out[0] = Identity::Phone as u8;
    out[1] = b'+';
    match *bytes.first()? {
        b'+' => {
            let digits = digits(&bytes[1..], &mut out[2..])?;
            is_plain(&out[2..2 + digits]).then_some(2 + digits)
        }
        // A French national number: the trunk prefix goes, the country code comes (plan national de numérotation).
        b'0' if region.is_france() => {
            out[2] = b'3';
            let digits = digits(bytes, &mut out[3..])?;
            if digits != 10 || out[4] == b'0' {
                return None;
            }
            out[3] = b'3';
            Some(13)
        }
        _ => None,
    }
}

/// Copies digits, less single spaces, dots and hyphens between them; `None` when there is anything else.
#[inline]
fn digits(bytes: &[u8], out: &mut [u8]) -> Option<usize> {
    // The usual writing has digits only.
    if bytes.len() <= 15 && bytes.iter().all(u8::is_ascii_digit) {
        out[..bytes.len()].copy_from_slice(bytes);
        return Some(bytes.len());
    }
    let mut count = 0;
    let mut after_digit = false;
    for &byte in bytes {
        match byte {
            b'0'..=b'9' => {
                if count == 15 {
                    return None;
                }
                out[count] = byte;
                count += 1;
                after_digit = true;
            }
            b' ' | b'.' | b'-' if after_digit => after_digit = false,
            _ => return None,
        }
    }
    after_digit.then_some(count)
}

#[inline]
fn is_plain(digits: &[u8]) -> bool {
    TABLE.iter().any(|p| {
        digits.len() == p.code.len() + p.length
            && digits.starts_with(p.code)
            && p.first & (1 << (digits[p.code.len()] - b'0')) != 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical;
    use proptest::prelude::*;

    fn agrees(text: &str, region: Region) {
        let mut out = [0; BUFFER];
        if let Some(length) = fast(text, region, &mut out) {
            let fast = std::str::from_utf8(&out[1..length]).unwrap();
            let library = canonical::phone(text, region);
            assert_eq!(Ok(fast), library.as_ref().map(canonical::Canonical::as_str), "{text:?} in {region:?}");
        }
    }

    /// Guarantees: wherever the fast path answers, the library answers the same. Every country code of the table (and
    /// every other three-digit beginning), every length, every first three digits, in several writings.
    /// Fails when: a line is added whose national prefix or lengths the library treats otherwise.
    #[test]
    fn the_fast_path_is_the_library_over_every_code_length_and_beginning() {
        let regions = ["FR", "US", "IT", "GB", "RE"].map(|r| Region::parse(r).unwrap());
        let mut taken = 0;
        for plain in TABLE {
            let code = std::str::from_utf8(plain.code).unwrap();
            for length in plain.length - 1..=plain.length + 1 {
                for head in 0..1_000u64 {
                    for (salt, region) in regions.iter().enumerate() {
                        let tail = (head * 7_919 + salt as u64 * 104_729) % 10u64.pow(length as u32 - 3);
                        let text = format!("+{code}{head:03}{tail:0width$}", width = length - 3);
                        agrees(&text, *region);
                        taken += u32::from(fast(&text, *region, &mut [0; BUFFER]).is_some());
                    }
                }
            }
        }
        assert!(taken > 50_000, "the table is used: {taken}");
        for code in 1..1_000 {
            for length in 4..14 {
                agrees(&format!("+{code}{}", &"61234567890123"[..length]), regions[0]);
            }
        }
    }

    #[test]
    fn french_national_numbers_take_the_fast_path_and_agree() {
        let france = Region::parse("FR").unwrap();
        for head in 0..1_000 {
            for text in [format!("0{head:03}345678"), format!("0{head:03}34567"), format!("00{head:03}34567")] {
                agrees(&text, france);
                let spaced: Vec<String> =
                    text.as_bytes().chunks(2).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
                for separator in [" ", ".", "-", "  "] {
                    agrees(&spaced.join(separator), france);
                }
            }
        }
        assert_eq!(fast("0612345678", france, &mut [0; BUFFER]), Some(13));
        assert_eq!(fast("06 12 34 56 78", france, &mut [0; BUFFER]), Some(13));
    }

    proptest! {
        #[test]
        fn any_text_of_digits_and_separators_agrees(text in "[+0-9]{0,2}[0-9 .()/-]{0,18}", region in 0usize..6) {
            agrees(&text, Region::parse(["FR", "US", "IT", "GB", "DE", "MX"][region]).unwrap());
        }
    }
}
