//! Any text as a keys file: no panic, and nothing but tables of keys is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(keys) = tamis_fuzz::keys(text) {
        // A digest of 64 digits each.
        assert!(keys * 64 <= text.len());
    }
});
