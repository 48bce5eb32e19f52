//! What is written by hand is what prost would have written.

use proptest::prelude::*;
use tamis_campaign::{Channel, Identity, Reason, RecordReason, RefusalCode, RejectReason, Source, Verdict};
use tamis_subject::Subject;
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::proto::suppression::v1 as suppression;
use tamis_wire::record::{self, Entry, Record, Scope, State, Unreadable};
use tamis_wire::{
    DeadLetter, DeadLetterCode, Message, OUTCOMES_BYTES_MAX, OutcomeView, Outcomes, Packed, RefusalView, xxh3,
};

#[test]
fn a_dead_letter_is_as_published() {
    let why = tamis_wire::Unreadable { code: DeadLetterCode::Group, field: 9, byte: 300 };
    let letter = DeadLetter {
        topic: "tamis.send-jobs.v1",
        partition: 3,
        offset: 1 << 40,
        why,
        size: 12,
        xxh3: xxh3(b"value"),
        seen_at_ms: 7,
    };
    let mut bytes = Vec::new();
    letter.encode(&mut bytes);
    let expected = proto::DeadLetter {
        topic: "tamis.send-jobs.v1".into(),
        partition: 3,
        offset: 1 << 40,
        code: "GROUP".into(),
        message: "field 9 at byte 300: groups are not part of proto3".into(),
        size: 12,
        xxh3: xxh3(b"value"),
        seen_at_ms: 7,
    };
    assert_eq!(bytes, expected.encode_to_vec());
}

proptest! {
    #[test]
    fn outcomes_are_as_published(
        counts in prop::collection::vec((1u32..1_000_000, prop::collection::vec(any::<u8>(), 0..300)), 5),
        positions in prop::collection::vec(0i64..i64::MAX, 0..9), job_id in "[a-z]{1,128}", retry in any::<i64>(),
        offset in 0i64..i64::MAX, deferred: bool, refused: bool, jobs in 1usize..4,
    ) {
        let refusal = refused.then(|| RefusalView { code: RefusalCode::BadField, rule: "r", message: "m".repeat(200) });
        let mut outcomes = Outcomes::default();
        for _ in 0..jobs {
            outcomes.push(OutcomeView {
                job_id: &job_id, tenant: "t", campaign: "", channel: Some(Channel::Fax), verdict: Verdict::Routed,
                recipients_in: 9, forwarded: 1,
                suppressed: [(Reason::Erased, counts[0].0, &counts[0].1[..]), (Reason::NoConsent, counts[1].0, &counts[1].1[..])].into_iter(),
                rejected: [(RejectReason::MissingAddress, counts[2].0, &counts[2].1[..])].into_iter(),
                deferred: deferred.then_some((retry, counts[3].0, &counts[3].1[..])),
                refusal: refusal.as_ref(), filter_position: &Packed::new(&positions), decided_at_ms: 5, gateway: "g", content_bytes: 77,
                source_partition: 2, source_offset: offset,
            });
        }
        let mut bytes = Vec::new();
        prop_assert_eq!(outcomes.take(&mut bytes), Some(offset));
        prop_assert!(outcomes.take(&mut Vec::new()).is_none());
        let group = |i: usize| proto::Suppressed { reason: [1, 9][i], count: counts[i].0, positions: counts[i].1.clone() };
        let one = proto::JobOutcome {
            job_id, tenant: "t".into(), channel: 4, verdict: 1, recipients_in: 9, forwarded: 1,
            suppressed: vec![group(0), group(1)],
            rejected: vec![proto::Rejected { reason: 2, count: counts[2].0, positions: counts[2].1.clone() }],
            deferred: deferred.then(|| proto::Deferred { retry_at_ms: retry, count: counts[3].0, positions: counts[3].1.clone() }).into_iter().collect(),
            refusal: refused.then(|| proto::Refusal { code: "BAD_FIELD".into(), rule: "r".into(), message: "m".repeat(200) }),
            filter_position: positions, decided_at_ms: 5, gateway: "g".into(), content_bytes: 77, source_partition: 2, source_offset: offset,
            ..Default::default()
        };
        let expected = proto::JobOutcomes { outcomes: vec![one; jobs] };
        prop_assert_eq!(bytes, expected.encode_to_vec());
    }

    /// Guarantees: a record of outcomes is split before the one that would make it pass its limit, however large
    /// that is, and none is lost. Fails when: the next is taken to be as long as the last.
    #[test]
    fn a_record_of_outcomes_stays_within_its_limit(sizes in prop::collection::vec(prop_oneof![0usize..300, 100_000usize..200_000], 1..40)) {
        let (mut outcomes, mut records) = (Outcomes::default(), Vec::new());
        for (offset, size) in (0i64..).zip(&sizes) {
            outcomes.push(OutcomeView {
                job_id: "j", tenant: "t", campaign: "", channel: None, verdict: Verdict::Empty, recipients_in: 0, forwarded: 0,
                suppressed: [(Reason::Erased, 1, &vec![7; *size][..])].into_iter(), rejected: std::iter::empty(), deferred: None,
                refusal: None, filter_position: &Packed::new(&[]), decided_at_ms: 0, gateway: "", content_bytes: 0,
                source_partition: 0, source_offset: offset,
            });
            let mut full = Vec::new();
            if let Some(first) = outcomes.take_full(&mut full) { records.push((first, full)); }
        }
        let mut rest = Vec::new();
        if let Some(first) = outcomes.take(&mut rest) { records.push((first, rest)); }
        let mut next = 0;
        for (first, record) in records {
            prop_assert!(record.len() <= OUTCOMES_BYTES_MAX);
            prop_assert_eq!(first, next);
            for one in proto::JobOutcomes::decode(&record[..]).unwrap().outcomes {
                prop_assert_eq!(one.source_offset, next);
                next += 1;
            }
        }
        prop_assert_eq!(next, i64::try_from(sizes.len()).unwrap());
    }

    #[test]
    fn a_suppression_record_is_as_published(
        subject: [u8; 16], scope in 0u8..3, channel in prop::option::of(prop::sample::select(Channel::ALL)), lifted: bool,
        effective: i64, expires: i64, evidence in "[ -~é]{0,200}", scheme in 0u32.., first in 1i64..,
    ) {
        let record = Record {
            subject: Subject::from_bytes(subject), identity: Identity::Postal,
            scope: match scope { 0 => Scope::Platform, 1 => Scope::Tenant("acme".into()), _ => Scope::List { tenant: "acme".into(), list: "n".repeat(128).into() } },
            channel, reason: RecordReason::Complaint, state: if lifted { State::Lifted } else { State::InForce },
            effective_at_ms: effective, expires_at_ms: expires, source: Source::Import, evidence: evidence.as_str().into(), scheme,
        };
        let expected = suppression::SuppressionRecord {
            subject: subject.to_vec(), identity: 3, scope: i32::from(scope) + 1,
            tenant: if scope == 0 { "" } else { "acme" }.into(), list: if scope == 2 { "n".repeat(128) } else { String::new() },
            channel: channel.map_or(0, Channel::number), reason: 3, state: if lifted { 2 } else { 1 },
            effective_at_ms: effective, expires_at_ms: expires, source: 4, evidence, scheme, recorded_at_ms: 0,
        };
        prop_assert_eq!(record::encode(&record), expected.encode_to_vec());
        let copy = suppression::SuppressionRecord { recorded_at_ms: first, ..expected };
        prop_assert_eq!(record::encode_copy(&record, first), copy.encode_to_vec());
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_only_under_its_own_key(
        subject: [u8; 16], scope in 0u8..3, channel in prop::option::of(prop::sample::select(Channel::ALL)),
        reason in prop::sample::select(RecordReason::ALL), lifted: bool, scheme in 1u32..=16, effective in 0i64..9, expires: i64, first in 1i64.., damage in 0usize..60, with: u8,
    ) {
        let record = Record {
            subject: Subject::from_bytes(subject), identity: Identity::Email,
            scope: match scope { 0 => Scope::Platform, 1 => Scope::Tenant("acme".into()), _ => Scope::List { tenant: "acme".into(), list: "news".into() } },
            channel, reason, state: if lifted { State::Lifted } else { State::InForce },
            effective_at_ms: effective, expires_at_ms: expires, source: Source::Import, evidence: "e-1".into(), scheme,
        };
        let (key, mut value) = (record::key(&record), record::encode(&record));
        prop_assert_eq!(record::decode(&key, &value), Ok(Entry::Record(record.clone())));
        prop_assert_eq!(record::decode(b"\x01other", &value), Err(Unreadable::KeyMismatch));
        // A key that differs in any one octet, or is longer or shorter, is another record's.
        for at in 0..key.len() {
            let mut other = key.clone();
            other[at] ^= 1;
            prop_assert_eq!(record::decode(&other, &value), Err(Unreadable::KeyMismatch), "octet {}", at);
            prop_assert_eq!(record::decode(&key[..at], &value), Err(Unreadable::KeyMismatch), "{} octets", at);
        }
        let longer = [&key[..], b"x"].concat();
        prop_assert_eq!(record::decode(&longer, &value), Err(Unreadable::KeyMismatch));
        let copy = Entry::Copy { record: record.clone(), recorded_at_ms: first };
        prop_assert_eq!(record::decode(&key, &record::encode_copy(&record, first)), Ok(copy));
        for scheme in [0, 17] {
            let future = Record { scheme, ..record.clone() };
            prop_assert_eq!(record::decode(&key, &record::encode(&future)), Err(Unreadable::UnknownScheme(scheme)));
        }
        let length = value.len();
        value[damage % length] = with;
        let _ = record::decode(&key, &value); // damage is told, never a panic
    }
}

#[test]
fn control_records_are_told_from_opt_outs() {
    let (key, value) = record::heartbeat();
    assert_eq!(record::decode(&key, &value), Ok(Entry::Heartbeat));
    let (key, value) = record::key_check(1, [9; 16]);
    assert_eq!(record::decode(&key, &value), Ok(Entry::KeyCheck { scheme: 1, value: [9; 16] }));
    assert_eq!(record::decode(&[0, 9], b""), Err(Unreadable::KeyMismatch));
}
