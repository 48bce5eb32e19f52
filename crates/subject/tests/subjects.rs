//! Guarantees of subjects: one for all writings, another for every other address, kind, tenant and key.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tamis_campaign::{Channel, Tenant};
use tamis_subject::{Invalid, Key, Postal, Region, Subject, Subjects, canonical};

const ADDRESS: Postal<'_> = Postal {
    name: "Élodie Saint-Œuvre",
    street: "12 bis, avenue du Général Leclerc",
    extra: "Bât. C",
    postal_code: "75 014",
    city: "Paris",
    country: "fr",
};

fn subjects() -> Subjects {
    Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap())
}

/// Subjects under a key that never changes, made of its file: two digits a step.
fn under(digits: &[&str]) -> Subjects {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let name = format!("tamis-known-{}-{}", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
    let path: PathBuf = std::env::temp_dir().join(name);
    let lines: Vec<String> = digits.iter().map(|step| step.repeat(32)).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    std::process::Command::new("chmod").arg("600").arg(&path).status().unwrap();
    let key = Key::read(&path);
    std::fs::remove_file(&path).unwrap();
    Subjects::new(&key.unwrap(), Region::parse("FR").unwrap())
}

fn hex(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Every log and every snapshot relies on these: a change of any needs another scheme.
#[test]
fn subjects_of_scheme_1_never_change() {
    assert_eq!(found(&under(&["07"])), KNOWN);
    assert_eq!(found(&under(&["07", "08"]).first()), KNOWN[..4], "whatever was added");
}

/// As above, for whoever rotated once: the second step is over the first one's bytes.
#[test]
fn subjects_of_scheme_2_never_change() {
    let s = under(&["07", "08"]);
    assert_eq!(found(&s), KNOWN_2);
    assert_eq!(s.check_value(1), under(&["07"]).check_value(1));
    assert_eq!((s.check_value(0), s.check_value(3)), (None, None));
}

/// Guarantees: a subject of an earlier scheme becomes, without its address, what its address is under the later one.
/// Fails when: `advance` starts at another step than the one after `from`.
#[test]
fn a_subject_is_brought_to_a_later_scheme_without_its_address() {
    let three = under(&["07", "08", "09"]);
    let of = |s: &Subjects| {
        [
            s.phone("06 12 34 56 78").unwrap(),
            s.email("Jean@Exemple.FR").unwrap(),
            s.postal(&ADDRESS).unwrap(),
            s.contact(Tenant::parse("acme").unwrap(), b"c-1"),
        ]
    };
    for from in 1..=3 {
        for (earlier, direct) in of(&three.at(from)).into_iter().zip(of(&three)) {
            assert_eq!(three.advance(earlier, from), direct, "from {from}");
        }
    }
    let (one, two, other) = (under(&["07"]), under(&["07", "08"]), under(&["07", "0a"]));
    assert_eq!((one.scheme(), two.scheme(), two.newest(), two.first().scheme()), (1, 2, 2, 1));
    assert_ne!(of(&two), of(&other), "another second step");
    assert!(three.continues(&two) && two.continues(&one) && !other.continues(&two) && !one.continues(&two));
}

fn found(s: &Subjects) -> Vec<String> {
    let mut found = vec![
        hex(&s.phone("06 12 34 56 78").unwrap().to_bytes()),
        hex(&s.email("Jean@Exemple.FR").unwrap().to_bytes()),
        hex(&s.postal(&ADDRESS).unwrap().to_bytes()),
        hex(&s.contact(Tenant::parse("acme").unwrap(), b"c-1").to_bytes()),
    ];
    found.extend((s.scheme() == s.newest()).then(|| hex(&s.check_value(s.scheme()).unwrap())));
    found
}

const KNOWN: [&str; 5] = [
    "6689daef0a9b14bb6756c5c4a5ef82e3",
    "b0d024c76f44f04ec08ae24def283d89",
    "ff1f46d7fbe4c6fa458e24362259edc0",
    "de2eaacc3b08cd0497de083e85aca8d0",
    "97854945524417bcb933d150e931eb72",
];

const KNOWN_2: [&str; 5] = [
    "b8deccb95446d7597bfb34a7b3d98a42",
    "437171c089ba8f654e5caf54d6461d89",
    "7232c2785fca1ae50a97fb515208ce03",
    "d6c94474dff509a90f00b8d0afc2e9f7",
    "68ac61052741c8d805ef5a54cc09627e",
];

#[test]
fn writings_of_one_address_are_one_subject_and_channels_share_the_phone() {
    let s = subjects();
    let phone = s.phone("+33612345678").unwrap();
    for text in ["06 12 34 56 78", " +33 (0)6 12 34 56 78", "0033612345678", "+330612345678"] {
        assert_eq!(s.phone(text), Ok(phone), "{text}");
        for channel in [Channel::Sms, Channel::Voice, Channel::Fax] {
            assert_eq!(s.address(channel, text.as_bytes()), Ok(phone));
        }
    }
    assert_eq!(s.address(Channel::Email, b"A@b.fr"), s.email("a@B.fr."));
    assert_eq!(s.address(Channel::Mail, b"anything"), Err(Invalid::Missing));
}

#[test]
fn contacts_are_bytes_as_they_are_and_their_tenants_own() {
    let s = subjects();
    let contact = |tenant, text: &str| s.contact(Tenant::parse(tenant).unwrap(), text.as_bytes());
    assert_eq!(contact("acme", "c"), contact("acme", "c"));
    assert_ne!(contact("acme", "c"), contact("acme", "C"));
    assert_ne!(contact("acme", "c"), contact("acm", "ec"));
    assert_ne!(contact("acme", "c"), contact("other", "c"));
}

#[test]
fn another_key_gives_other_subjects_and_another_check_value() {
    let (one, two) = (subjects(), subjects());
    assert_ne!(one.phone("+33612345678"), two.phone("+33612345678"));
    assert_ne!(one.check_value(1), two.check_value(1));
    assert_eq!(one.check_value(1), one.clone().check_value(1));
    assert!(one.continues(&one.clone()) && !one.continues(&two));
}

#[test]
fn postal_addresses_fold_what_the_rules_say_and_no_more() {
    let form = canonical::postal(&ADDRESS).unwrap();
    assert_eq!(form.as_str(), "ELODIE SAINT OEUVRE\n12 B AV DU GAL LECLERC\n75014\nFR");
    let same = |change: Postal<'_>| assert_eq!(canonical::postal(&change).as_ref(), Ok(&form));
    same(Postal { name: " elodie  SAINT œuvre ", ..ADDRESS });
    same(Postal { street: "12bis AV. DU GENERAL LECLERC", ..ADDRESS });
    same(Postal { street: "Avenue du Général-Leclerc, 12 bis", ..ADDRESS });
    same(Postal { street: "Ave du Gal Leclerc 12B", ..ADDRESS });
    same(Postal { extra: "", city: "", postal_code: "75014", ..ADDRESS });
    let other = |change: Postal<'_>| assert_ne!(canonical::postal(&change).as_ref(), Ok(&form));
    other(Postal { name: "Elodie Saint", ..ADDRESS });
    other(Postal { street: "12 avenue du Général Leclerc", ..ADDRESS });
    other(Postal { postal_code: "75015", ..ADDRESS });
    other(Postal { country: "BE", ..ADDRESS });
}

#[test]
fn a_number_in_the_name_of_a_street_stays_there() {
    let street = |street| {
        canonical::postal(&Postal { street, ..ADDRESS }).unwrap().as_str().lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(street("4, rue du 8 mai 1945"), "4 RUE DU 8 MAI 1945");
    assert_eq!(street("Rue du 8 mai 1945, 4"), "4 RUE DU 8 MAI 1945");
    assert_eq!(street("12A bd St-Michel"), street("Boulevard Saint Michel 12a"));
    assert_eq!(street("place de l'Église"), "PL DE L EGLISE");
    assert_eq!(street("7"), "7");
}

#[test]
fn no_postal_address_is_missing_and_half_of_one_is_not_an_address() {
    let no = |address: Postal<'_>| canonical::postal(&address).unwrap_err();
    assert_eq!(no(Postal::default()), Invalid::Missing);
    assert_eq!(no(Postal { name: " ", city: "\t", ..Postal::default() }), Invalid::Missing);
    assert_eq!(no(Postal { city: "Paris", ..Postal::default() }), Invalid::NotAnAddress);
    for broken in [
        Postal { name: "--", ..ADDRESS },
        Postal { street: "", ..ADDRESS },
        Postal { postal_code: " ", ..ADDRESS },
        Postal { country: "", ..ADDRESS },
        Postal { country: "FRA", ..ADDRESS },
        Postal { country: "F1", ..ADDRESS },
        Postal { country: "é", ..ADDRESS },
    ] {
        assert_eq!(no(broken), Invalid::NotAnAddress);
    }
}

#[test]
fn blank_is_missing_and_rubbish_is_not_an_address() {
    let s = subjects();
    for blank in ["", " ", "\t\n", "\u{a0}"] {
        assert_eq!(s.phone(blank), Err(Invalid::Missing));
        assert_eq!(s.email(blank), Err(Invalid::Missing));
    }
    for rubbish in
        ["?", "@", "é", "\0", "a@.", "a@[192.0.2.1]", "\"a@b.fr", "\"\"\"@b.fr", ".a@b.fr", "a.@b.fr"]
    {
        assert_eq!(s.phone(rubbish), Err(Invalid::NotAnAddress), "{rubbish}");
        assert_eq!(s.email(rubbish), Err(Invalid::NotAnAddress), "{rubbish}");
    }
    assert!(s.email("\"a@b \\\" c\"@b.fr").is_ok());
}

#[test]
fn nothing_of_a_person_is_printed() {
    let s = subjects();
    let region = Region::parse("FR").unwrap();
    let printed = [
        format!("{:?}", s.phone("+33612345678").unwrap()),
        format!("{:?}", Subject::from_bytes([7; 16])),
        format!("{:?}", canonical::phone("+33612345678", region).unwrap()),
        format!("{:?}", canonical::email("a@b.fr").unwrap()),
        format!("{:?}", canonical::postal(&ADDRESS).unwrap()),
        format!("{ADDRESS:?}"),
        format!("{:?}", tamis_subject::Redacted("+33612345678")),
    ];
    assert!(printed.iter().all(|text| text == "<redacted>"), "{printed:?}");
    assert_eq!(format!("{s:?}"), "Subjects { key: \"<redacted>\", scheme: 1, region: Region(FR) }");
}

#[test]
fn a_region_is_two_capital_letters_with_a_numbering_plan() {
    assert_eq!(Region::parse("RE").unwrap().as_string(), "RE");
    for unknown in ["", "F", "fr", "FRA", "ZZ", "00", "001", "É"] {
        assert!(Region::parse(unknown).is_err(), "{unknown}");
    }
}

/// Nanoseconds for each call, least of several rounds; printed, and only judged loosely (it may be a debug build).
#[test]
#[ignore = "a measurement: cargo test -p tamis-subject --release --test subjects -- --ignored --nocapture"]
fn nanoseconds_of_the_hot_paths() {
    use std::{hint::black_box, time::Instant};
    fn least(name: &str, texts: &[String], mut call: impl FnMut(&str)) {
        let mut best = f64::MAX;
        for _ in 0..30 {
            let start = Instant::now();
            for text in texts {
                call(black_box(text));
            }
            best = best.min(start.elapsed().as_nanos() as f64 / texts.len() as f64);
        }
        println!("{name}: {best:.1} ns");
    }
    let s = subjects();
    let twice = under(&["07", "08"]);
    let region = Region::parse("FR").unwrap();
    let phones: Vec<_> = (0..10_000).map(|n| format!("+336{:08}", n * 7919 % 100_000_000)).collect();
    let national: Vec<_> = phones.iter().map(|p| format!("0{}", &p[3..])).collect();
    let spaced: Vec<_> =
        phones.iter().map(|p| format!("+33 {} {} {}", &p[3..4], &p[4..8], &p[8..])).collect();
    let slow: Vec<_> = phones.iter().map(|p| format!("+330{}", &p[3..])).collect();
    let emails: Vec<_> = (0..10_000).map(|n| format!("Prenom.Nom{n}@exemple.fr")).collect();
    for (name, texts) in
        [("+33", &phones), ("06", &national), ("+33 spaced", &spaced), ("+330 (library)", &slow)]
    {
        least(&format!("canonical {name}"), texts, |t| {
            black_box(canonical::phone(t, region).unwrap());
        });
        least(&format!("subject {name}"), texts, |t| {
            black_box(s.phone(t).unwrap());
        });
        least(&format!("subject {name}, two steps"), texts, |t| {
            black_box(twice.phone(t).unwrap());
        });
    }
    least("canonical e-mail", &emails, |t| {
        black_box(canonical::email(t).unwrap());
    });
    least("subject e-mail", &emails, |t| {
        black_box(s.email(t).unwrap());
    });
}
