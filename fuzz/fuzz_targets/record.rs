//! Any bytes as a suppression record: no panic, and what is read can be applied and written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tamis_suppression::Index;
use tamis_wire::record::{self, Entry};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (key, value) = input;
    if let Ok(Entry::Record(read)) = record::decode(key, value) {
        assert_eq!(record::key(&read), key);
        assert_eq!(record::decode(key, &record::encode(&read)), Ok(Entry::Record(read.clone())));
        let mut index = Index::new(1);
        index.apply(0, 0, 0, &read).expect("all is in memory");
        assert!(index.records() <= 1);
    }
});
