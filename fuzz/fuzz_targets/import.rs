//! Any bytes as a file of opt-outs, in any pieces: no panic, the same rows whole and in pieces, in the order of their lines, none
//! that lifts, and a refusal that repeats nothing of what came in.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tamis_subject::{Key, Region, Subjects};

/// Stands in the corpus wherever a person may stand.
const PERSON: &str = "639981234";

static SUBJECTS: LazyLock<Subjects> = LazyLock::new(|| {
    Subjects::new(&Key::generate().expect("random bytes"), Region::parse("FR").expect("a region"))
});

fuzz_target!(|input: (u8, u8, bool, &[u8])| {
    let (piece, caller, defaults, bytes) = input;
    let read = |piece| tamis_fuzz::import(bytes, piece, caller, defaults, &SUBJECTS);
    let whole = read(usize::MAX);
    assert_eq!(whole, read(usize::from(piece)), "whole and in pieces");
    match whole {
        // A carriage return alone ends a row, and no line.
        Ok(rows) => assert!(rows.is_sorted_by(|a, b| a.0 <= b.0)),
        Err(words) => assert!(words.is_ascii() && !words.contains(PERSON) && words.len() < 600, "{words}"),
    }
});
