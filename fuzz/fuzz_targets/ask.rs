//! Any bytes as a call's body, by any caller at any door: no panic, no more rows than a call may have, and a refusal that
//! repeats nothing of what came in.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tamis_subject::{Key, Region, Subjects};

/// Stands in the corpus wherever a person may stand.
const PERSON: &str = "639981234";

static SUBJECTS: LazyLock<Subjects> = LazyLock::new(|| {
    Subjects::new(&Key::generate().expect("random bytes"), Region::parse("FR").expect("a region"))
});

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (door, caller, body) = input;
    match tamis_fuzz::ask(body, door, caller, &SUBJECTS) {
        Ok((rows, known)) => assert!((1..=10_000).contains(&rows) && known <= rows),
        Err(words) => assert!(words.is_ascii() && !words.contains(PERSON) && words.len() < 600, "{words}"),
    }
});
