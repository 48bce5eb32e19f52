//! The decision against a plain one, and the delivery against the plain one's job.

mod consent;

use std::collections::HashSet;

use super::*;
use proptest::prelude::*;
use tamis_campaign::{Identity, Purpose, RecordReason, Tenant};
use tamis_subject::{Key, Region};
use tamis_suppression::Places;
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::record::{Record, Scope};
use tamis_wire::{Added, Message, Packed, Parts, Spans, Stamp, splice};

fn subjects() -> Subjects {
    Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap())
}

fn person(n: u8) -> String {
    format!("+3361234567{n}")
}

/// A recipient as bytes: often nothing but a number, else well-formed or not, with fields that nobody knows.
fn recipient() -> impl Strategy<Value = Vec<u8>> {
    let only =
        (0u8..10).prop_map(|n| proto::Recipient { address: person(n), ..Default::default() }.encode_to_vec());
    prop_oneof![only, any_recipient()]
}

fn any_recipient() -> impl Strategy<Value = Vec<u8>> {
    let unknown = prop::collection::vec(any::<u8>(), 0..9);
    (0u8..10, 0u8..12, unknown, any::<bool>()).prop_map(|(n, kind, unknown, spaced)| {
        let address = match kind {
            0 => " ".to_owned(),
            1 => "nobody".to_owned(),
            _ if spaced => format!("06 12 34 56 7{n}"),
            _ => person(n),
        };
        let contact = if kind % 2 == 0 { String::new() } else { format!("c{n}") };
        let mut bytes =
            proto::Recipient { address, contact, fields: vec![n; n as usize % 3], ..Default::default() }
                .encode_to_vec();
        if !unknown.is_empty() {
            bytes.extend_from_slice(&[0xba, 0x3e, u8::try_from(unknown.len()).unwrap()]);
            bytes.extend_from_slice(&unknown);
        }
        if kind == 3 {
            bytes.push(0x0f); // damage
        }
        bytes
    })
}

/// A job as bytes: its fields and recipients in any order, unknown fields in between.
fn job(recipients: &[Vec<u8>], order: &[u8], header: &proto::SendJob) -> Vec<u8> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    pieces.push(header.encode_to_vec());
    pieces.push(vec![0xf2, 0x07, 2, 9, 9]);
    for body in recipients {
        let mut piece = vec![0x7a];
        piece.push(u8::try_from(body.len()).unwrap());
        piece.extend_from_slice(body);
        pieces.push(piece);
    }
    // The header and the unknown field wander; recipients keep their order.
    for (from, to) in order.chunks_exact(2).map(|c| (usize::from(c[0]) % 2, usize::from(c[1]))) {
        let piece = pieces.remove(from.min(pieces.len() - 1));
        let to = to % (pieces.len() + 1);
        if piece.first() == Some(&0x7a) {
            pieces.insert(from.min(pieces.len()), piece);
        } else {
            pieces.insert(to, piece);
        }
    }
    pieces.concat()
}

/// The fate of each recipient, as plainly as the contract says it.
fn plain_fates(
    job: &proto::SendJob,
    bodies: &[&[u8]],
    stopped: &[(u8, bool)],
    deferred: bool,
) -> Vec<&'static str> {
    let mut taken = HashSet::new();
    bodies
        .iter()
        .map(|body| {
            let Ok(r) = proto::Recipient::decode(*body) else { return "malformed" };
            if r.address.trim().is_empty() {
                return "missing";
            }
            let digits: String = r.address.chars().filter(char::is_ascii_digit).collect();
            let Some(n) = digits.bytes().last().map(|b| b - b'0') else { return "invalid" };
            let stop = |who: u8, contact: bool| job.purpose != 2 && stopped.contains(&(who, contact));
            if stop(n, false) || (!r.contact.is_empty() && stop(n, true)) {
                "suppressed"
            } else if !taken.insert(n) {
                "duplicate"
            } else if deferred {
                "deferred"
            } else {
                "forwarded"
            }
        })
        .collect()
}

fn index(subjects: &Subjects, stopped: &[(u8, bool)]) -> Index {
    let mut index = Index::new(1);
    for (offset, &(n, contact)) in (0i64..).zip(stopped) {
        let tenant = Tenant::parse("acme").unwrap();
        let subject = if contact {
            subjects.contact(tenant, format!("c{n}").as_bytes())
        } else {
            subjects.phone(&person(n)).unwrap()
        };
        let record = Record {
            identity: if contact { Identity::Contact } else { Identity::Phone },
            ..Record::plain(subject, Scope::Tenant("acme".into()))
        };
        index.apply(0, offset, 0, &record).unwrap();
    }
    index
}

fn places<'a, R: Copy + PartialEq>(groups: impl Iterator<Item = (R, u32, &'a [u8])>, of: R) -> Vec<u32> {
    groups
        .filter(|(r, ..)| *r == of)
        .flat_map(|(_, _, bytes)| Places::from_bytes(bytes).unwrap().iter().collect::<Vec<_>>())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Guarantees G3, G6 and the splice: each recipient has the fate that the plain sentences give it, and decoding the
    /// delivery equals filtering the decoded job, byte for byte for what is kept, unknown fields included, in the same order,
    /// whole or in parts.
    /// Fails when: the order of judgement changes, a duplicate of a dropped one is dropped, a span is off by a byte, a part
    /// loses a recipient.
    #[test]
    fn g3_g6_the_delivery_is_the_job_less_whom_the_plain_sentences_drop(
        recipients in prop::collection::vec(recipient(), 0..30), order in prop::collection::vec(any::<u8>(), 0..12),
        stopped in prop::collection::vec((0u8..10, any::<bool>()), 0..6), service: bool, later: bool, small: bool,
    ) {
        let header = proto::SendJob {
            job_id: "j".into(), tenant: "acme".into(), channel: 1, purpose: if service { 2 } else { 1 }, content: vec![7; 40],
            not_before_ms: if later { 2_000 } else { 0 }, ..Default::default()
        };
        let value = job(&recipients, &order, &header);
        let mut spans = Spans::new();
        let view = JobView::parse(&value, &mut spans).unwrap();
        let subjects = subjects();
        let index = index(&subjects, &stopped);
        let mut sieve = Sieve::new(subjects);
        // Decided twice with one memory: nothing of the first is left in the second.
        let _ = sieve.decide(&view, &value, &spans, &index, 500).verdict;
        let decision = sieve.decide(&view, &value, &spans, &index, 1_000);
        let bodies: Vec<&[u8]> = spans.iter().map(|s| &value[s.body as usize..s.end as usize]).collect();
        let fates = plain_fates(&header, &bodies, &stopped, later);
        let of = |fate: &str| fates.iter().zip(0u32..).filter(|(f, _)| **f == fate).map(|(_, at)| at).collect::<Vec<_>>();
        prop_assert_eq!(places(decision.rejected(), RejectReason::MalformedRecipient), of("malformed"));
        prop_assert_eq!(places(decision.rejected(), RejectReason::MissingAddress), of("missing"));
        prop_assert_eq!(places(decision.rejected(), RejectReason::InvalidAddress), of("invalid"));
        prop_assert_eq!(places(decision.suppressed(), Reason::Unsubscribed), of("suppressed"));
        prop_assert_eq!(places(decision.rejected(), RejectReason::DuplicateRecipient), of("duplicate"));
        prop_assert_eq!(decision.deferred().map(|(at, n, _)| (at, n)), (!of("deferred").is_empty()).then(|| (2_000, of("deferred").len() as u32)));
        prop_assert_eq!(decision.forwarded as usize, of("forwarded").len());
        prop_assert!(decision.books_close());
        let expected = if !of("forwarded").is_empty() { Verdict::Routed } else if !of("deferred").is_empty() { Verdict::Deferred } else { Verdict::Empty };
        prop_assert_eq!(decision.verdict, expected);
        if decision.forwarded == 0 { return Ok(()); }

        let position = Packed::new(index.position());
        let stamp = Stamp { decided_at_ms: 1_000, filter_position: &position, policy_version: "", gateway: decision.gateway, recipients_in: decision.recipients_in };
        let mut parts = Parts::default();
        let bytes_max = if small { 300 } else { 1 << 20 };
        let ranges = parts.plan(&value, &spans, decision.kept, &Added::default(), &stamp, bytes_max).unwrap().to_vec();
        let kept: Vec<&[u8]> = of("forwarded").iter().map(|at| bodies[*at as usize]).collect();
        let mut arrived: Vec<Vec<u8>> = Vec::new();
        for (part, range) in (1..).zip(&ranges) {
            let mut out = Vec::new();
            splice(&value, &spans, decision.kept, range, &stamp, (part, ranges.len() as u32), &mut out);
            prop_assert!(out.len() <= bytes_max);
            let delivery = proto::Delivery::decode(&out[..]).unwrap();
            prop_assert_eq!(&delivery.content, &header.content);
            prop_assert_eq!(delivery.stamp.as_ref().unwrap(), &proto::Stamp {
                decided_at_ms: 1_000, filter_position: index.position().to_vec(), gateway: "default-sms".into(),
                recipients_in: spans.len() as u32, part, parts: ranges.len() as u32, ..Default::default()
            });
            let mut spliced = Spans::new();
            let again = JobView::parse(&out, &mut spliced).unwrap();
            prop_assert_eq!(again.bad_field.map(|b| b.field), Some(16), "nothing but the stamp tells it from a job");
            arrived.extend(spliced.iter().map(|s| out[s.body as usize..s.end as usize].to_vec()));
            let rest = |bytes: &[u8], spans: &[Span]| {
                let (mut rest, mut from) = (Vec::new(), 0);
                for s in spans { rest.extend_from_slice(&bytes[from..s.start as usize]); from = s.end as usize; }
                rest.extend_from_slice(&bytes[from..]);
                rest
            };
            let before = rest(&value, &spans);
            prop_assert_eq!(&rest(&out, &spliced)[..before.len()], &before[..], "all else passes unchanged");
        }
        prop_assert_eq!(arrived, kept);
    }
}

fn verdict(job: &proto::SendJob, now_ms: i64) -> (Verdict, Option<&'static str>, u32) {
    let value = job.encode_to_vec();
    let mut spans = Spans::new();
    let view = JobView::parse(&value, &mut spans).unwrap();
    let mut sieve = Sieve::new(subjects());
    let decision = sieve.decide(&view, &value, &spans, &Index::new(1), now_ms);
    (decision.verdict, decision.refusal.as_ref().map(|r| r.code.code()), decision.recipients_in)
}

#[test]
fn verdicts_are_as_the_contract_has_them() {
    let good = proto::SendJob {
        job_id: "j".into(),
        tenant: "t".into(),
        channel: 2,
        recipients: vec![proto::Recipient { address: "a@b.org".into(), ..Default::default() }],
        ..Default::default()
    };
    assert_eq!(verdict(&good, 10), (Verdict::Routed, None, 1));
    assert_eq!(verdict(&proto::SendJob { not_after_ms: 9, ..good.clone() }, 10), (Verdict::Expired, None, 1));
    assert_eq!(verdict(&proto::SendJob { not_after_ms: 10, ..good.clone() }, 10), (Verdict::Routed, None, 1));
    assert_eq!(
        verdict(&proto::SendJob { not_before_ms: 11, ..good.clone() }, 10),
        (Verdict::Deferred, None, 1)
    );
    assert_eq!(
        verdict(&proto::SendJob { recipients: vec![], ..good.clone() }, 10),
        (Verdict::Empty, None, 0)
    );
    assert_eq!(
        verdict(&proto::SendJob { channel: 9, ..good.clone() }, 10),
        (Verdict::Refused, Some("BAD_FIELD"), 1)
    );
    let many = vec![good.recipients[0].clone(); RECIPIENTS_MAX + 1];
    let many = proto::SendJob { recipients: many, ..good.clone() };
    assert_eq!(verdict(&many, 10), (Verdict::Refused, Some("TOO_MANY_RECIPIENTS"), 100_001));
    assert_eq!(Purpose::from_number(0), None, "the view reads 0 as marketing");
}

/// Fails when: a repeat that can't be admitted is a DUPLICATE, or one that has expired since is EXPIRED.
#[test]
fn g7_what_was_said_before_is_judged_after_refused_and_before_expired() {
    let job = proto::SendJob {
        job_id: "j".into(),
        tenant: "t".into(),
        channel: 2,
        not_after_ms: 1,
        recipients: vec![proto::Recipient::default(); 3],
        ..Default::default()
    };
    for (channel, verdict) in [(2, Verdict::Duplicate), (9, Verdict::Refused)] {
        let value = proto::SendJob { channel, ..job.clone() }.encode_to_vec();
        let mut spans = Spans::new();
        let view = JobView::parse(&value, &mut spans).unwrap();
        let sieve = Sieve::new(subjects());
        let decision = sieve.decide_duplicate(&view, &spans, 0);
        assert_eq!((decision.verdict, decision.recipients_in, decision.forwarded), (verdict, 3, 0));
        assert_eq!(decision.suppressed().count() + decision.rejected().count(), 0);
        assert!(decision.deferred().is_none() && decision.books_close());
    }
}

#[test]
fn a_postal_address_counts_for_mail_only_and_a_contact_replaces_none() {
    let postal = proto::PostalAddress {
        name: "A".into(),
        street: "1 rue X".into(),
        postal_code: "75001".into(),
        country: "FR".into(),
        ..Default::default()
    };
    let with = |address: &str, postal: Option<&proto::PostalAddress>| proto::Recipient {
        address: address.into(),
        contact: "c".into(),
        postal: postal.cloned(),
        ..Default::default()
    };
    let job = |channel, recipients| proto::SendJob {
        job_id: "j".into(),
        tenant: "t".into(),
        channel,
        recipients,
        ..Default::default()
    };
    let fates = |job: &proto::SendJob| {
        let value = job.encode_to_vec();
        let mut spans = Spans::new();
        let view = JobView::parse(&value, &mut spans).unwrap();
        let mut sieve = Sieve::new(subjects());
        let decision = sieve.decide(&view, &value, &spans, &Index::new(1), 0);
        (decision.forwarded, decision.rejected().map(|(r, n, _)| (r, n)).collect::<Vec<_>>())
    };
    let incomplete = proto::PostalAddress { name: String::new(), ..postal.clone() };
    let mail = job(5, vec![with("ignored", Some(&postal)), with("", None), with("", Some(&incomplete))]);
    assert_eq!(fates(&mail), (1, vec![(RejectReason::InvalidAddress, 1), (RejectReason::MissingAddress, 1)]));
    let sms = job(1, vec![with("", Some(&postal)), with("+33612345678", Some(&postal))]);
    assert_eq!(fates(&sms), (1, vec![(RejectReason::MissingAddress, 1)]));
}

/// Guarantees that of a reason by the address and one by the contact the lower counts, whichever has it (contract, section 2).
/// Fails when: the greater is told, or the one that was looked up first or last.
#[test]
fn the_lower_reason_of_address_and_contact_counts() {
    for by_address in [RecordReason::Blocked, RecordReason::Unsubscribed] {
        let by_contact = if by_address == RecordReason::Blocked {
            RecordReason::Unsubscribed
        } else {
            RecordReason::Blocked
        };
        let subjects = subjects();
        let mut index = Index::new(1);
        let address = subjects.phone(&person(1)).unwrap();
        let contact = subjects.contact(Tenant::parse("acme").unwrap(), b"c1");
        let of = [(address, Identity::Phone, by_address), (contact, Identity::Contact, by_contact)];
        for (offset, (subject, identity, reason)) in (0..).zip(of) {
            let record = Record { identity, reason, ..Record::plain(subject, Scope::Tenant("acme".into())) };
            index.apply(0, offset, 0, &record).unwrap();
        }
        let recipient = proto::Recipient { address: person(1), contact: "c1".into(), ..Default::default() };
        let header = proto::SendJob {
            job_id: "j".into(),
            tenant: "acme".into(),
            campaign: "c".into(),
            channel: 1,
            content_type: "text/plain".into(),
            content: b"x".to_vec(),
            recipients: vec![recipient],
            ..Default::default()
        };
        let (value, mut spans) = (header.encode_to_vec(), Spans::new());
        let view = JobView::parse(&value, &mut spans).unwrap();
        let mut sieve = Sieve::new(subjects);
        let decision = sieve.decide(&view, &value, &spans, &index, 1);
        let told: Vec<Reason> = decision.suppressed().map(|(reason, ..)| reason).collect();
        assert_eq!(told, [Reason::Blocked]);
    }
}
