//! Any bytes as an inbound event, from the topic and by HTTP: no panic, what is read prost reads the same, what is refused repeats
//! nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tamis_wire::Message as _;
use tamis_wire::inbound::InboundEvent;
use tamis_wire::proto::campaign::v1 as proto;

/// Stands in the corpus wherever a person may stand.
const PERSON: &str = "639981234";

fuzz_target!(|input: (u8, &[u8])| {
    let (door, bytes) = input;
    match InboundEvent::decode(bytes) {
        Ok(event) => {
            let read = proto::InboundEvent::decode(bytes).expect("prost takes what the strict reader takes");
            assert_eq!(
                (read.text.as_str(), read.address.as_str()),
                (event.text.as_str(), event.address.as_str())
            );
            assert!(!event.gateway.is_empty() && !event.message_id.is_empty());
        }
        Err(why) => assert!(why.byte <= bytes.len() && why.to_string().len() < 200),
    }
    if let Err(words) = tamis_fuzz::webhook(bytes, door) {
        assert!(words.is_ascii() && !words.contains(PERSON) && words.len() < 600, "{words}");
    }
});
