//! Any bytes as a suppression record: no panic, and what is read can be applied and written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tamis_suppression::Index;
use tamis_wire::record::{self, Entry};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (key, value) = input;
    let (read, again) = match record::decode(key, value) {
        Ok(Entry::Record(read)) => (read.clone(), record::encode(&read)),
        Ok(Entry::Copy { record: read, recorded_at_ms }) => {
            (read.clone(), record::encode_copy(&read, recorded_at_ms))
        }
        Ok(Entry::Heartbeat | Entry::KeyCheck { .. }) | Err(_) => return,
    };
    assert_eq!(record::key(&read), key);
    assert_eq!(record::decode(key, &again), record::decode(key, value));
    let mut index = Index::new(1);
    index.apply(0, 0, 0, &read).expect("all is in memory");
    assert!(index.records() <= 1);
});
