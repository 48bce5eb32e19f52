//! The contract's example cases, and more of the same kind from the oracle.

use tamis_subject::canonical::{self, Canonical, Region};

/// Rows of a CSV with quoted fields; no line breaks inside.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines().skip(1).map(fields).collect()
}

fn fields(line: &str) -> Vec<String> {
    let (mut out, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    out.push(field);
    out
}

fn check_phones(text: &str) {
    let mut wrong = Vec::new();
    for row in rows(text) {
        let region = Region::parse(&row[1]).expect("a vector names a region");
        let ours = canonical::phone(&row[0], region);
        if ours.as_ref().map_or("", Canonical::as_str) != row[2] {
            wrong.push((row, ours.map(|c| c.as_str().to_owned())));
        }
    }
    assert!(wrong.is_empty(), "{} differ from the oracle: {:?}", wrong.len(), &wrong[..wrong.len().min(10)]);
}

#[test]
fn phones_are_as_the_contract_s_vectors_have_them() {
    check_phones(include_str!("vectors/phones.csv"));
}

#[test]
fn phones_are_as_the_oracle_has_them_over_all_regions() {
    check_phones(include_str!("vectors/phones-oracle.csv"));
}

#[test]
fn emails_are_as_the_contract_s_vectors_have_them() {
    for row in rows(include_str!("vectors/emails.csv")) {
        let ours = canonical::email(&row[0]);
        assert_eq!(ours.as_ref().map_or("", Canonical::as_str), row[1], "{:?}", row[0]);
    }
}
