//! An inbound event from the topic: read strictly, checked by its kind, and silent about whom it is.

use proptest::prelude::*;
use tamis_campaign::{Channel, InboundKind};
use tamis_wire::inbound::{InboundEvent, SHORT_BYTES_MAX};
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::{DeadLetterCode, Message};

fn reply() -> proto::InboundEvent {
    proto::InboundEvent {
        gateway: "sms-paris".into(),
        message_id: "m-1".into(),
        kind: InboundKind::Reply.number(),
        channel: Channel::Sms.number(),
        address: "+33639981234".into(),
        to: "36200".into(),
        text: "STOP".into(),
        received_at_ms: 1_795_000_000_000,
        tenant: "acme".into(),
        job_id: "j-1".into(),
        contact: "c-1".into(),
        postal: None,
    }
}

fn postal() -> Option<proto::PostalAddress> {
    Some(proto::PostalAddress { name: "Ada".into(), ..Default::default() })
}

fn code(event: &proto::InboundEvent) -> Result<(), (DeadLetterCode, u32)> {
    InboundEvent::decode(&event.encode_to_vec()).map(drop).map_err(|why| (why.code, why.field))
}

#[test]
fn a_whole_event_is_read_field_by_field() {
    let event = InboundEvent::decode(&reply().encode_to_vec()).unwrap();
    assert_eq!((&*event.gateway, &**event.message_id, event.kind), ("sms-paris", "m-1", InboundKind::Reply));
    assert_eq!((event.channel, &**event.address, &**event.to), (Channel::Sms, "+33639981234", "36200"));
    assert_eq!((&**event.text, event.received_at_ms, &**event.contact), ("STOP", 1_795_000_000_000, "c-1"));
    assert_eq!((event.tenant.as_deref(), event.job_id.as_deref()), (Some("acme"), Some("j-1")));
    let bare = proto::InboundEvent { tenant: String::new(), job_id: String::new(), ..reply() };
    let bare = InboundEvent::decode(&bare.encode_to_vec()).unwrap();
    assert!(bare.tenant.is_none() && bare.job_id.is_none() && bare.postal.is_none());
}

#[test]
fn what_is_missing_or_wrong_has_a_code_and_a_field() {
    use DeadLetterCode as Code;
    let with = |change: &dyn Fn(&mut proto::InboundEvent)| {
        let mut event = reply();
        change(&mut event);
        code(&event)
    };
    let long = "x".repeat(SHORT_BYTES_MAX + 1);
    assert_eq!(with(&|_| {}), Ok(()));
    assert_eq!(with(&|e| e.gateway.clear()), Err((Code::BadGateway, 1)));
    assert_eq!(with(&|e| e.gateway = "a b".into()), Err((Code::BadGateway, 1)));
    for id in ["", "  ", "a\nb", &long] {
        assert_eq!(with(&|e| e.message_id = id.into()), Err((Code::BadMessageId, 2)), "{id:?}");
    }
    assert_eq!(with(&|e| e.message_id = long[1..].into()), Ok(()));
    for kind in [0, 6, -1] {
        assert_eq!(with(&|e| e.kind = kind), Err((Code::BadKind, 3)));
    }
    for channel in [0, 6, -1] {
        assert_eq!(with(&|e| e.channel = channel), Err((Code::BadChannel, 4)));
    }
    for address in ["", " \t"] {
        assert_eq!(with(&|e| e.address = address.into()), Err((Code::MissingAddress, 5)));
    }
    assert_eq!(with(&|e| e.address = long.clone()), Err((Code::BadField, 5)));
    assert_eq!(with(&|e| e.to = long.clone()), Err((Code::BadField, 6)));
    assert_eq!(with(&|e| e.text = long.repeat(100)), Ok(()), "a reply may be as long as what it came in");
    assert_eq!(with(&|e| e.received_at_ms = -1), Err((Code::BadField, 8)));
    assert_eq!(with(&|e| e.tenant = "a b".into()), Err((Code::BadTenant, 9)));
    assert_eq!(with(&|e| e.job_id = "a b".into()), Err((Code::BadJobId, 10)));
    assert_eq!(with(&|e| e.contact = long.clone()), Err((Code::BadField, 11)));
    assert_eq!(with(&|e| e.postal = postal()), Err((Code::BadField, 12)), "an SMS has no postal address");
}

#[test]
fn key_presses_are_of_voice_and_returned_post_of_mail() {
    let of = |kind: InboundKind, channel: i32, postal| {
        let event = proto::InboundEvent { kind: kind.number(), channel, postal, ..reply() };
        InboundEvent::decode(&event.encode_to_vec()).map(|event| event.channel).map_err(|why| why.code)
    };
    for channel in [0, Channel::Voice.number()] {
        assert_eq!(of(InboundKind::Keypress, channel, None), Ok(Channel::Voice));
    }
    assert_eq!(of(InboundKind::Keypress, Channel::Sms.number(), None), Err(DeadLetterCode::BadChannel));
    for channel in [0, Channel::Mail.number()] {
        assert_eq!(of(InboundKind::ReturnedMail, channel, postal()), Ok(Channel::Mail));
        assert_eq!(of(InboundKind::ReturnedMail, channel, None), Err(DeadLetterCode::MissingAddress));
    }
    assert_eq!(of(InboundKind::ReturnedMail, 1, postal()), Err(DeadLetterCode::BadChannel));
    assert_eq!(of(InboundKind::Complaint, Channel::Mail.number(), postal()), Ok(Channel::Mail));
}

#[test]
fn damage_and_a_field_twice_are_told_by_place() {
    let why =
        |bytes: &[u8]| InboundEvent::decode(bytes).map(drop).map_err(|why| (why.code, why.field, why.byte));
    let good = reply().encode_to_vec();
    assert_eq!(why(&[]), Err((DeadLetterCode::Empty, 0, 0)));
    assert_eq!(why(&[&good[..], &[0x3a, 1, b'x']].concat()), Err((DeadLetterCode::BadField, 7, good.len())));
    assert_eq!(why(&[&good[..], &[0x3a, 9]].concat()), Err((DeadLetterCode::Truncated, 7, good.len())));
    assert_eq!(why(&[0x38, 1]), Err((DeadLetterCode::WrongWireType, 7, 0)));
    assert_eq!(why(&[0x3a, 1, 0xff]), Err((DeadLetterCode::InvalidUtf8, 7, 0)));
    assert_eq!(why(&[&good[..], &[0xf8, 7, 1]].concat()), Ok(()), "a field of a later version");
}

/// Guarantees: an event that is printed shows what happened and where, and nobody.
/// Fails when: `Debug` is derived.
#[test]
fn an_event_that_is_printed_shows_nobody() {
    let mut event = reply();
    for text in
        [&mut event.message_id, &mut event.address, &mut event.to, &mut event.text, &mut event.contact]
    {
        *text = "CANARY".into();
    }
    let event = InboundEvent::decode(&event.encode_to_vec()).unwrap();
    let told = format!("{event:?} {event:#?}");
    assert!(told.contains("Reply") && told.contains("Sms") && !told.contains("CANARY"), "{told}");
}

proptest! {
    /// Guarantees: any bytes are read or refused, and what is read, prost reads the same.
    #[test]
    fn any_bytes_are_an_event_or_a_dead_letter(mut bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0usize..80, good: bool) {
        if good {
            let whole = reply().encode_to_vec();
            bytes = [&whole[..at.min(whole.len())], &bytes[..], &whole[at.min(whole.len())..]].concat();
        }
        if let Ok(event) = InboundEvent::decode(&bytes) {
            let read = proto::InboundEvent::decode(&bytes[..]).expect("prost takes what the strict reader takes");
            prop_assert_eq!((&*read.gateway, &read.text, &read.address), (&*event.gateway, &*event.text, &*event.address));
            prop_assert_eq!((read.kind, &read.message_id), (event.kind.number(), &*event.message_id));
        }
    }
}
