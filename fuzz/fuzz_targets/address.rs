//! Any text as an address: no panic, and an address without a canonical form is told, not guessed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tamis_campaign::Channel;
use tamis_subject::{Key, Postal, Region, Subjects};

static SUBJECTS: LazyLock<Subjects> = LazyLock::new(|| {
    Subjects::new(&Key::generate().expect("random bytes"), Region::parse("FR").expect("a region"))
});

fuzz_target!(|text: &str| {
    for channel in [Channel::Sms, Channel::Email] {
        let once = SUBJECTS.address(channel, text.as_bytes());
        assert_eq!(once, SUBJECTS.address(channel, text.as_bytes()));
        if text.trim().is_empty() {
            assert!(once.is_err());
        }
    }
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let postal =
        Postal { name: line(), street: line(), postal_code: line(), country: line(), ..Postal::default() };
    let _ = SUBJECTS.postal(&postal);
});
