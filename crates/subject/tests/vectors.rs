//! Guarantee: every example gives the canonical form that its file says.
//!
//! `phones.csv`, `phones-oracle.csv` and `writings.csv` come from Google's metadata through PyPI `phonenumbers` (the latter
//! two by the scripts in `oracle/`); `emails.csv` is by hand. An empty form means INVALID_ADDRESS, a missing one included.

use tamis_subject::{Region, canonical};

/// The fields of each line of a CSV file, its head left out.
fn rows(text: &str) -> impl Iterator<Item = Vec<String>> {
    text.lines().skip(1).map(|line| {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            let field = fields.last_mut().expect("one field at least");
            match c {
                '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                c => field.push(c),
            }
        }
        fields
    })
}

fn phones_agree(file: &str, least: usize) {
    let mut count = 0;
    let mut wrong = Vec::new();
    for row in rows(file) {
        let [input, region, expected] = &row[..] else { panic!("not three columns: {row:?}") };
        let region = Region::parse(region).expect("a region");
        let form = canonical::phone(input, region);
        let found = form.as_ref().map_or("", |form| form.as_str());
        if found != expected {
            wrong.push(format!("{input:?} in {region:?}: {found:?} and not {expected:?}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= least, "only {count} rows");
}

#[test]
fn phones_have_the_form_that_libphonenumber_gives_them() {
    phones_agree(include_str!("vectors/phones.csv"), 3_000);
}

#[test]
fn phones_of_all_regions_in_many_writings_have_the_form_of_the_oracle() {
    phones_agree(include_str!("vectors/phones-oracle.csv"), 5_000);
    phones_agree(include_str!("vectors/writings.csv"), 5_000);
}

#[test]
fn emails_have_the_form_of_the_rules() {
    let mut count = 0;
    for row in rows(include_str!("vectors/emails.csv")) {
        let [input, expected] = &row[..] else { panic!("not two columns: {row:?}") };
        let form = canonical::email(input);
        assert_eq!(form.as_ref().map_or("", |form| form.as_str()), expected, "{input:?}");
        count += 1;
    }
    assert!(count >= 20, "only {count} rows");
}
