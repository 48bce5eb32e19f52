//! Any text as a reply, with any word of a tenant's own: no panic, and a stop before or after it is one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (text, own) = input;
    let said = tamis_fuzz::reply(text, own);
    // A tenant's own word adds stops, and takes none away.
    assert!(said == 0 || tamis_fuzz::reply(text, "") != 0);
    assert_eq!(tamis_fuzz::reply(&format!("{text}\nStop"), own), 0);
    assert_eq!(tamis_fuzz::reply(&format!("ARRÊT\n{text}"), own), 0);
});
