//! Postal addresses: name, street, postal code and country, each folded.
//!
//! Limits, which users must know: two writings are one address only when they differ in case, marks,
//! punctuation, spaces, the abbreviations below, the place of the house number, or the extra lines. A
//! spelling mistake, initials, a civility ("Mme"), the order of first and last name, or a renamed street make
//! another subject. The town is not read: the postal code stands for it.

use std::fmt;

use tamis_campaign::Identity;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::{Invalid, redacted::REDACTED};

/// Usual words of French streets and their short forms, mostly those of La Poste's addressing standard
/// (NF Z 10-011), and other short forms people write.
const SHORT: &[(&str, &str)] = &[
    ("ALLEE", "ALL"),
    ("ALLEES", "ALL"),
    ("AVE", "AV"),
    ("AVENUE", "AV"),
    ("BATIMENT", "BAT"),
    ("BIS", "B"),
    ("BLD", "BD"),
    ("BLVD", "BD"),
    ("BOUL", "BD"),
    ("BOULEVARD", "BD"),
    ("BVD", "BD"),
    ("CAPITAINE", "CNE"),
    ("CARREFOUR", "CAR"),
    ("CHEM", "CHE"),
    ("CHEMIN", "CHE"),
    ("COLONEL", "COL"),
    ("COMMANDANT", "CDT"),
    ("COURS", "CRS"),
    ("DOCTEUR", "DR"),
    ("DOMAINE", "DOM"),
    ("ESPLANADE", "ESP"),
    ("FAUBOURG", "FG"),
    ("FBG", "FG"),
    ("GENERAL", "GAL"),
    ("HAMEAU", "HAM"),
    ("IMPASSE", "IMP"),
    ("LIEUTENANT", "LT"),
    ("LOTISSEMENT", "LOT"),
    ("MARECHAL", "MAL"),
    ("MONTEE", "MTE"),
    ("PASSAGE", "PAS"),
    ("PLACE", "PL"),
    ("PRESIDENT", "PDT"),
    ("PROFESSEUR", "PR"),
    ("PROMENADE", "PROM"),
    ("QUARTIER", "QUA"),
    ("QUATER", "Q"),
    ("RESIDENCE", "RES"),
    ("ROUTE", "RTE"),
    ("SAINT", "ST"),
    ("SAINTE", "STE"),
    ("SENTIER", "SEN"),
    ("SQUARE", "SQ"),
    ("TER", "T"),
    ("TRAVERSE", "TRA"),
    ("VILLAGE", "VLGE"),
];

/// A person at a postal address, as it was written. Fields that are not there are empty.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Postal<'a> {
    /// The person. Required.
    pub name: &'a str,
    /// House number and street. Required.
    pub street: &'a str,
    /// Further lines (flat, building); not part of the subject.
    pub extra: &'a str,
    /// Postal code. Required.
    pub postal_code: &'a str,
    /// Town; not part of the subject.
    pub city: &'a str,
    /// Two letters of ISO 3166. Required.
    pub country: &'a str,
}

impl fmt::Debug for Postal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// A postal address's canonical form: name, street, postal code and country, a line each.
#[derive(Clone, PartialEq, Eq)]
pub struct PostalForm(String);

impl PostalForm {
    /// `identity ‖ canonical`: what the keyed function reads.
    pub(crate) fn keyed(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The form itself. It is personal data.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0[1..]
    }
}

impl fmt::Debug for PostalForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The canonical form of a postal address.
///
/// # Errors
/// [`Invalid::Missing`] when every field is blank; [`Invalid::NotAnAddress`] when name, street, postal code
/// or country has no letter or digit, or the country is not two letters.
pub fn postal(address: &Postal<'_>) -> Result<PostalForm, Invalid> {
    let Postal { name, street, extra, postal_code, city, country } = *address;
    if [name, street, extra, postal_code, city, country].iter().all(|field| field.trim().is_empty()) {
        return Err(Invalid::Missing);
    }
    let country = country.trim().to_ascii_uppercase();
    if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(Invalid::NotAnAddress);
    }
    let lines = [words(name).join(" "), fold_street(street).join(" "), words(postal_code).concat()];
    if lines.iter().any(String::is_empty) {
        return Err(Invalid::NotAnAddress);
    }
    let [name, street, code] = lines;
    let identity = char::from(Identity::Postal.number() as u8);
    // No line can hold a line feed: words are letters and digits.
    Ok(PostalForm(format!("{identity}{name}\n{street}\n{code}\n{country}")))
}

/// The words of a text: compatibility forms and marks folded, upper case, letters and digits only.
fn words(text: &str) -> Vec<String> {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkd().filter(|&c| !is_combining_mark(c)).flat_map(char::to_uppercase) {
        match c {
            // They have no decomposition, yet the same people write them in two letters.
            'Œ' => folded.push_str("OE"),
            'Æ' => folded.push_str("AE"),
            c if c.is_alphanumeric() => folded.push(c),
            _ => folded.push(' '),
        }
    }
    folded.split_whitespace().map(str::to_owned).collect()
}

/// The words of a street: short forms, house number first ("Rue du Bac, 12 bis" is "12 B RUE DU BAC").
fn fold_street(street: &str) -> Vec<String> {
    let mut words: Vec<String> = words(street).iter().flat_map(|word| split_number(word)).collect();
    for word in &mut words {
        if let Some((_, short)) = SHORT.iter().find(|(long, _)| *long == word) {
            *word = (*short).to_owned();
        }
    }
    if words.first().is_some_and(|first| !is_number(first)) {
        let suffix = usize::from(words.last().is_some_and(|last| matches!(last.as_str(), "B" | "T" | "Q")));
        let number = words.len().checked_sub(1 + suffix).filter(|&at| is_number(&words[at]));
        if let Some(at) = number {
            words.rotate_left(at);
        }
    }
    words
}

/// "12BIS" is "12" and "BIS"; any other word is itself.
fn split_number(word: &str) -> Vec<String> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = word.split_at(digits);
    if digits > 0 && matches!(rest, "B" | "BIS" | "T" | "TER" | "Q" | "QUATER") {
        vec![number.to_owned(), rest.to_owned()]
    } else {
        vec![word.to_owned()]
    }
}

/// Whether a word is a house number: digits, and one letter at most ("12A").
fn is_number(word: &str) -> bool {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && word.len() - digits <= 1
}
