//! Laws of the index, against a model as plain as the contract's sentence.

use std::collections::BTreeMap;

use super::*;
use proptest::prelude::*;
use tamis_campaign::{Identity, Reason};

/// Scope, subject, channel, reason: one record's identity in the model.
type ModelKey = (Scope, u8, Option<Channel>, RecordReason);

#[derive(Debug, Clone)]
struct Event {
    record: Record,
    partition: i32,
}

fn subject(n: u8) -> Subject {
    // Two subjects share the hash's eight bytes, so that only the whole tells them apart.
    let mut bytes = [n / 2; 16];
    bytes[15] = n;
    Subject::from_bytes(bytes)
}

fn scopes() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Platform),
        prop::sample::select(vec!["a", "b"]).prop_map(|t| Scope::Tenant(t.into())),
        (prop::sample::select(vec!["a", "b"]), prop::sample::select(vec!["x", "y"]))
            .prop_map(|(t, l)| Scope::List { tenant: t.into(), list: l.into() }),
    ]
}

fn channels() -> impl Strategy<Value = Option<Channel>> {
    prop::option::of(prop::sample::select(Channel::ALL))
}

prop_compose! {
    fn events()(
        n in 0u8..6, scope in scopes(), channel in channels(), reason in prop::sample::select(RecordReason::ALL),
        lifted in prop::bool::weighted(0.3), effective in 0i64..4, expires in 0i64..6, contact: bool,
    ) -> Event {
        Event {
            partition: i32::from(n % 3),
            record: Record {
                subject: subject(n), identity: if contact { Identity::Contact } else { Identity::Phone }, scope, channel, reason,
                state: if lifted { State::Lifted } else { State::InForce },
                effective_at_ms: effective, expires_at_ms: expires, source: Source::Api, evidence: "e".into(), scheme: 1,
            },
        }
    }
}

fn model(events: &[Event]) -> BTreeMap<ModelKey, Record> {
    let mut latest = BTreeMap::new();
    for Event { record, .. } in events {
        let n = record.subject.to_bytes()[15];
        latest.insert((record.scope.clone(), n, record.channel, record.reason), record.clone());
    }
    latest.retain(|_, record| record.state == State::InForce);
    latest
}

fn in_force(record: &Record, now: UnixMs) -> bool {
    record.effective_at_ms <= now && (record.expires_at_ms == 0 || record.expires_at_ms > now)
}

/// Records of a random history at most; few under Miri, where one takes up to a tenth of a second.
const EVENTS: usize = if cfg!(miri) { 30 } else { 60 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Guarantees G3 and the rule of section 2: for any order of in force, lifted, expired and re-applied records the lowest
    /// reason of a record that applies is told, and none when none applies. Replaying the log changes nothing.
    /// Fails when: a lift takes another record with it, a time is not looked at, ids are told apart by their hash only.
    #[test]
    fn g3_the_index_answers_as_the_plain_sentence_does(
        events in prop::collection::vec(events(), 0..EVENTS), now in 0i64..6, tenant in "[abc]", list in "[xyz]?",
        channel in prop::sample::select(Channel::ALL), service: bool,
    ) {
        let purpose = if service { Purpose::Service } else { Purpose::Marketing };
        let mut index = Index::new(3);
        for replay in 0..2 {
            let mut offsets = [0i64; 3];
            for Event { record, partition } in &events {
                let offset = &mut offsets[*partition as usize];
                index.apply(*partition, *offset, 7, record).unwrap();
                *offset += 2; // the log has gaps
            }
            let expected: Vec<i64> = offsets.iter().map(|next| (next - 1).max(0)).collect();
            prop_assert_eq!(index.position(), &expected[..], "replay {}", replay);
        }
        let model = model(&events);
        prop_assert_eq!(index.records(), model.len());
        let selection = index.select(&tenant, &list, channel, purpose);
        for n in 0..6 {
            let applies = |scope: &Scope| match scope {
                Scope::Platform => true,
                Scope::Tenant(t) => **t == *tenant,
                Scope::List { tenant: t, list: l } => **t == *tenant && **l == *list,
            };
            let expected: Option<Reason> = model.iter()
                .filter(|((scope, who, c, _), record)| *who == n && applies(scope) && c.is_none_or(|c| c == channel) && in_force(record, now))
                .filter_map(|((.., reason), _)| reason.drops()).filter(|r| r.drops(purpose)).min();
            prop_assert_eq!(selection.hit(&subject(n)).and_then(|hit| selection.reason(hit, now)), expected);
            let found = index.in_force(&tenant, &subject(n), now).unwrap();
            let in_reach = |scope: &Scope| matches!(scope, Scope::Platform) || scope.names().0 == tenant;
            let expected = model.iter().filter(|((scope, who, ..), record)| *who == n && in_reach(scope) && in_force(record, now)).count();
            prop_assert_eq!(found.len(), expected);
        }
        if model.values().any(|r| r.identity == Identity::Contact && r.scope == Scope::Tenant(tenant.as_str().into()) && r.reason == RecordReason::Erased && r.channel.is_none()) {
            prop_assert!(selection.wants_contacts());
        }
    }

    #[test]
    fn places_go_through_the_portable_form_and_back(places in prop::collection::btree_set(0u32..100_000, 0..300)) {
        let ascending: Vec<u32> = places.into_iter().collect();
        let mut bytes = Vec::new();
        crate::Places::from_ascending(&ascending).write(&mut bytes);
        let back = crate::Places::from_bytes(&bytes).unwrap();
        prop_assert_eq!(back.iter().collect::<Vec<_>>(), ascending);
    }
}
