//! The fast paths against the full paths. A difference here is an opt-out that is not honoured.

use proptest::prelude::*;
use rlibphonenumber::PHONE_NUMBER_UTIL;
use tamis_campaign::Identity;

use super::{Email, Invalid, Phone, email, phone, plans};
use crate::Region;

/// A small seeded generator, so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    /// `start` and digits up to `len`: now and then all alike, which is where leading zeros hide.
    fn number(&mut self, start: &str, len: usize) -> String {
        let all = (self.roll(8) == 0).then(|| self.roll(10));
        let tail = (start.len()..len).map(|_| char::from(b'0' + all.unwrap_or_else(|| self.roll(10)) as u8));
        start.chars().chain(tail).collect()
    }

    /// The number with blanks before it and separators in it and after it.
    fn written(&mut self, number: &str) -> String {
        let mut text = " \t".repeat(self.roll(2));
        for c in number.chars() {
            text.push(c);
            if self.roll(3) == 0 {
                text.push_str([" ", ".", "-", " (", ") ", "--", " - "][self.roll(7)]);
            }
        }
        text
    }
}

fn regions() -> Vec<Region> {
    let mut regions: Vec<_> =
        PHONE_NUMBER_UTIL.get_supported_regions().map(|r| r.as_region_str().to_string()).collect();
    regions.sort();
    regions.iter().map(|r| Region::parse(r).unwrap()).collect()
}

/// What the fast path makes of it; the way for usual writings must say what the one for all says.
fn fast(text: &str, region: Region) -> Option<Phone> {
    let mut plain = Phone::new(Identity::Phone);
    let taken = phone::plain(text.as_bytes(), region.national, &mut plain);
    if let Some(words) = phone::dense(text.as_bytes()) {
        assert!(taken);
        let mut dense = Phone::new(Identity::Phone);
        dense.set_words(words, text.len());
        assert_eq!(dense.as_str(), plain.as_str());
    }
    taken.then_some(plain)
}

/// Whether the fast path takes it; it must then say what the library says.
fn held_against_library(text: &str, region: Region) -> bool {
    let Some(fast) = fast(text, region) else { return false };
    assert_eq!(
        Ok(fast.as_str()),
        phone::thorough(text, region).as_ref().map(|form| form.as_str()).map_err(|e| *e),
        "{text:?} in {region:?}"
    );
    true
}

/// Guarantee: for each country code, length and first three digits that the fast path takes, plain or with
/// separators, whatever the default region, it gives the library's text.
#[test]
fn numbers_with_a_country_code_are_what_the_library_says() {
    let mut dice = Dice(0x7461_6d69);
    let regions = regions();
    let mut taken = 0;
    for code in 1..1000 {
        for start in 0..1000 {
            for len in 3..=17 {
                let number = format!("+{code}{}", dice.number(&format!("{start:03}"), len));
                let region = regions[dice.roll(regions.len())];
                taken += usize::from(held_against_library(&number, region));
                taken += usize::from(held_against_library(&dice.written(&number), region));
            }
        }
    }
    assert!(taken > 500_000, "the fast path takes only {taken}");
}

/// Guarantee: the way for usual writings takes a number with one octet replaced only where it is `+` and digits still, and as it stands.
/// Fails when: another octet than `+` begins it, or something that is no digit stands in it.
#[test]
fn one_octet_makes_a_number_unusual() {
    for usual in ["+33612345678", "+4915123456789", "+15552345"] {
        for (at, octet) in (0..usual.len()).flat_map(|at| (0..=u8::MAX).map(move |octet| (at, octet))) {
            let mut text = usual.as_bytes().to_vec();
            text[at] = octet;
            let is_number = text[0] == b'+' && text[1..].iter().all(u8::is_ascii_digit);
            assert!(
                is_number || phone::dense(&text).is_none(),
                "octet {octet:#x} at {at} is taken for a digit"
            );
            if let (Some(words), Ok(text)) = (phone::dense(&text), std::str::from_utf8(&text)) {
                let mut dense = Phone::new(Identity::Phone);
                dense.set_words(words, text.len());
                assert_eq!(dense.as_str(), text);
            }
        }
    }
}

/// Guarantee: for each region, length and first three digits that the fast path takes without a country
/// code, with a national prefix or without, it gives the library's text.
#[test]
fn national_numbers_are_what_the_library_says() {
    let mut dice = Dice(0x6e61_7469);
    let mut taken = 0;
    for region in regions() {
        for start in 0..1000 {
            for len in 3..=18 {
                let number = dice.number(&format!("{start:03}"), len);
                taken += usize::from(held_against_library(&number, region));
                taken += usize::from(held_against_library(&dice.written(&number), region));
            }
        }
    }
    assert!(taken > 500_000, "the fast path takes only {taken}");
}

#[test]
fn usual_numbers_take_the_fast_path() {
    for (text, region, form) in [
        ("+33612345678", "US", "+33612345678"),
        ("+33 6 12 34 56 78", "FR", "+33612345678"),
        ("06.12.34.56.78", "FR", "+33612345678"),
        ("0692 12 34 56", "RE", "+262692123456"),
        ("0612345678", "MA", "+212612345678"),
        ("+1 (201) 555-0123", "FR", "+12015550123"),
        ("(201) 555-0123", "US", "+12015550123"),
        ("020 7183 8750", "GB", "+442071838750"),
        ("+39 06 6982", "FR", "+39066982"),
        ("612345678", "ES", "+34612345678"),
        ("+4915123456789", "FR", "+4915123456789"),
        ("+32470123456", "FR", "+32470123456"),
        ("+41781234567", "FR", "+41781234567"),
        ("+31612345678", "FR", "+31612345678"),
        ("+48512345678", "FR", "+48512345678"),
        ("+351912345678", "FR", "+351912345678"),
        ("+212612345678", "FR", "+212612345678"),
        ("+213551234567", "FR", "+213551234567"),
        ("+21620123456", "FR", "+21620123456"),
        ("+919812345678", "FR", "+919812345678"),
        ("+5511961234567", "FR", "+5511961234567"),
    ] {
        let region = Region::parse(region).unwrap();
        let fast = fast(text, region);
        if text.starts_with('(') {
            // Left to the library: it begins with neither a digit nor a plus.
            assert_eq!(phone(text, region).unwrap().as_str(), form);
            continue;
        }
        assert_eq!(fast.as_ref().map(|form| form.as_str()), Some(form), "{text}");
        assert!(held_against_library(text, region));
    }
}

#[test]
fn digits_that_the_library_drops_are_left_to_it() {
    let france = Region::parse("FR").unwrap();
    for (text, form) in [("+330612345678", "+33612345678"), ("+44 (0)20 7183 8750", "+442071838750")] {
        assert!(fast(text, france).is_none());
        assert_eq!(phone(text, france).unwrap().as_str(), form);
    }
    assert_eq!(phone("", france), Err(Invalid::Missing));
    assert_eq!(phone(" \t", france), Err(Invalid::Missing));
    assert_eq!(phone("hello", france), Err(Invalid::NotAnAddress));
    assert_eq!(phone("+33", france), Err(Invalid::NotAnAddress));
}

#[test]
fn every_country_code_of_the_library_has_a_plan() {
    for code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
        let plan =
            plans::plan(format!("{code}00").as_bytes()).unwrap_or_else(|| panic!("no plan for {code}"));
        assert_eq!(plan.code_len, code.to_string().len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_text_of_a_telephone_keypad_is_what_the_library_says(
        text in "[ \t]{0,2}[+]{0,2}[0-9 ().x#;,/*~-]{0,24}", at in 0usize..1000,
    ) {
        let regions = regions_cached();
        held_against_library(&text, regions[at % regions.len()]);
    }

    #[test]
    fn any_email_is_the_same_by_the_fast_path_and_in_full(
        text in "[ ]{0,1}[a-zA-Z0-9.!#+_\"@é-]{0,70}@[a-zA-Z0-9.é@_-]{0,70}[.]{0,2}[ ]{0,1}",
    ) {
        email_held_against_the_rules(&text)?;
    }

    #[test]
    fn any_likely_email_is_the_same_by_the_fast_path_and_in_full(
        text in "[a-zA-Z0-9]{1,8}([.+_-][a-zA-Z]{0,60}){0,2}@(([xX][nN]--)?[a-zA-Z0-9-]{1,64}[.]){0,4}[a-zA-Z]{0,3}",
    ) {
        email_held_against_the_rules(&text)?;
    }

    #[test]
    fn a_canonical_email_is_its_own_canonical_form(text in "[a-zA-Zéèßñ0-9.+]{1,12}@[a-zA-Zéüß0-9]{1,12}[.]fr") {
        if let Ok(form) = email(&text) {
            prop_assert_eq!(email(form.as_str()), Ok(form));
        }
    }
}

fn email_held_against_the_rules(text: &str) -> Result<(), TestCaseError> {
    let mut fast = Email::new(Identity::Email);
    if email::plain(text.as_bytes(), &mut fast) {
        let full = email::thorough(text);
        prop_assert_eq!(full.as_ref().map(|form| form.as_str()), Ok(fast.as_str()));
    }
    Ok(())
}

fn regions_cached() -> &'static [Region] {
    static REGIONS: std::sync::LazyLock<Vec<Region>> = std::sync::LazyLock::new(regions);
    &REGIONS
}
