//! Laws of a walk: it tells what a plain model has, each record once, whatever becomes of the index meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tamis_wire::record::{Record, State};

use super::*;
use crate::growth::tests::{Event, event, record as plain, subject};
use crate::snapshot::{self, Folder, Order, Shared, Stamp};

/// Subject, tenant, list, channel, reason.
type Key = (u128, String, String, Option<Channel>, RecordReason);
/// All else that is told of a record.
type Rest = (Identity, UnixMs, UnixMs, Source, String, UnixMs);
type Model = BTreeMap<Key, Rest>;

/// Records of all kinds of people, scopes and channels.
fn record(event: &Event) -> Record {
    let mut record = plain(event);
    let (who, tenant, _) = event.key;
    record.identity = Identity::ALL[usize::from(who) % Identity::ALL.len()];
    record.channel = Some(Channel::ALL[tenant]).filter(|_| event.key.2 == 0);
    record.scope = match (who % 7, record.scope) {
        (0, _) => Scope::Platform,
        (1, Scope::Tenant(tenant)) => Scope::List { tenant, list: "x".into() },
        (_, scope) => scope,
    };
    record
}

fn key(record: &Record) -> Key {
    let (tenant, list) = record.scope.names();
    let subject = u128::from_le_bytes(record.subject.to_bytes());
    (subject, tenant.to_owned(), list.to_owned(), record.channel, record.reason)
}

fn apply(index: &mut Index, model: &mut Model, event: &Event) -> Key {
    let record = record(event);
    let (offset, key) = (index.position()[0], key(&record));
    index.apply(0, offset, event.recorded_at_ms, &record).unwrap();
    match record.state {
        State::Lifted => drop(model.remove(&key)),
        State::InForce => {
            let times = (record.effective_at_ms, record.expires_at_ms);
            let evidence = record.evidence.to_string();
            let rest = (record.identity, times.0, times.1, record.source, evidence, event.recorded_at_ms);
            model.insert(key.clone(), rest);
        }
    }
    key
}

fn told(known: &Known<'_>) -> (Key, Rest) {
    let (tenant, list) = known.scope.names();
    let subject = u128::from_le_bytes(known.subject.to_bytes());
    let key = (subject, tenant.to_owned(), list.to_owned(), known.channel, known.reason);
    let times = (known.effective_at_ms, known.expires_at_ms);
    let evidence = known.evidence.to_owned();
    (key, (known.identity, times.0, times.1, known.source, evidence, known.recorded_at_ms))
}

/// What the model has of a tenant, or all, that is not over.
fn expected(model: &Model, tenant: Option<&str>, now: UnixMs) -> Model {
    let wanted = |(key, rest): &(&Key, &Rest)| {
        tenant.is_none_or(|tenant| key.1 == tenant) && (rest.2 == 0 || rest.2 > now)
    };
    model.iter().filter(wanted).map(|(key, rest)| (key.clone(), rest.clone())).collect()
}

/// An index that nobody else uses.
struct Alone(std::cell::RefCell<Index>);

impl Shared for Alone {
    fn with<R>(&self, step: impl FnOnce(&mut Index) -> R) -> R {
        step(&mut self.0.borrow_mut())
    }

    fn see<R>(&self, step: impl FnOnce(&Index) -> R) -> R {
        step(&self.0.borrow())
    }
}

/// The same, with what look-ups don't need left in a snapshot's file.
fn rested(index: Index, folder: &Folder) -> Index {
    let stamp = Stamp { cluster: "c".into(), topic: "t".into(), scheme: 1, key_check: [7; 16] };
    let order = Order { stamp, told_scheme: 1, taken_at_ms: 1, of: index.life(), go_on: &|| true };
    let alone = Alone(index.into());
    snapshot::write(folder, order, &alone).unwrap();
    alone.0.into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 48 }))]

    /// Guarantees: a walk tells each record that is there all the while exactly once, as it is; none twice; none that is lifted or
    /// over; of a tenant its own alone. Segments that are split meanwhile change nothing of it, nor does a snapshot.
    /// Fails when: a stretch ends elsewhere than the next begins; a segment that was split is told whole; times, origin or kind
    /// are another record's.
    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn a_walk_tells_every_record_once(
        before in prop::collection::vec(event(), 0..2_000), during in prop::collection::vec(event(), 0..600),
        now in 0i64..6, of_tenant: bool, from_file: bool,
    ) {
        let (mut index, mut model) = (Index::new(1), Model::new());
        before.iter().for_each(|event| drop(apply(&mut index, &mut model, event)));
        let home = tempfile::tempdir().unwrap();
        if from_file {
            index = rested(index, &Folder::at(home.path()));
        }
        let tenant = of_tenant.then_some("a");
        let at_first = expected(&model, tenant, now);
        let (mut changed, mut all) = (BTreeSet::new(), Model::new());
        let (mut next, mut coming) = (Some(0), during.chunks(40));
        while let Some(from) = next {
            let stretch = index.stretch(from, tenant);
            let here = expected(&model, tenant, now);
            let mut wrong = Vec::new();
            next = stretch.records(now, |known| {
                let (key, rest) = told(&known);
                let is_so = here.get(&key) == Some(&rest);
                if !is_so || all.insert(key, rest).is_some() {
                    wrong.push(known.reason);
                }
            }).unwrap();
            prop_assert!(wrong.is_empty(), "told wrongly, or twice: {:?}", wrong);
            prop_assert!(next.is_none_or(|next| next > from));
            for event in coming.next().into_iter().flatten() {
                changed.insert(apply(&mut index, &mut model, event));
            }
        }
        for (key, rest) in at_first.iter().filter(|(key, _)| !changed.contains(*key)) {
            prop_assert_eq!(all.get(key), Some(rest), "not told");
        }
    }

    /// Guarantees: what is told of somebody is what a walk tells of them, with their number.
    /// Fails when: a like is taken for them; a tenant is told another's records, or the platform's.
    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn a_persons_records_are_those_that_a_walk_tells(
        events in prop::collection::vec(event(), 0..800), who in prop::collection::vec(0u16..700, 0..40),
        now in 0i64..6, of_tenant: bool, from_file: bool,
    ) {
        let (mut index, mut model) = (Index::new(1), Model::new());
        events.iter().for_each(|event| drop(apply(&mut index, &mut model, event)));
        let home = tempfile::tempdir().unwrap();
        if from_file {
            index = rested(index, &Folder::at(home.path()));
        }
        let tenant = of_tenant.then_some("a");
        let subjects: Vec<Subject> = who.iter().map(|who| subject(*who)).collect();
        let mut all = vec![Model::new(); subjects.len()];
        index.records_of(&subjects, tenant, now, |number, known| {
            let (key, rest) = told(&known);
            assert!(all[number].insert(key, rest).is_none(), "told twice");
        }).unwrap();
        for (subject, told) in subjects.iter().zip(all) {
            let subject = u128::from_le_bytes(subject.to_bytes());
            let mut expected = expected(&model, tenant, now);
            expected.retain(|key, _| key.0 == subject);
            prop_assert_eq!(told, expected);
        }
    }
}

/// Guarantees: a walk may go on in another index of the same log, whose segments are others: after a restart.
/// Fails when: where to go on is a segment's number, or its beginning.
#[test]
fn a_walk_goes_on_in_another_index() {
    let people = if cfg!(miri) { 120 } else { 600 };
    // Segments are split and never put together again: one is of more of them than the other, for people who are gone.
    let everybody = |crowd: u16| {
        let (mut index, mut model) = (Index::new(1), Model::new());
        for who in 0..people + crowd {
            apply(&mut index, &mut model, &Event::plain((who, usize::from(who % 3), 1)));
        }
        for who in people..people + crowd {
            let gone = Event { lifted: true, ..Event::plain((who, usize::from(who % 3), 1)) };
            apply(&mut index, &mut model, &gone);
        }
        (index, model)
    };
    let ((one, model), (other, same)) = (everybody(people * 4), everybody(0));
    assert!(one.marks.len() > other.marks.len() * 2, "other segments");
    assert_eq!(model, same);
    let (mut all, mut stretches, mut next) = (Model::new(), 0, Some(0));
    while let Some(from) = next {
        let index = if stretches % 3 < 2 { &one } else { &other };
        next = index
            .stretch(from, None)
            .records(1, |known| {
                let (key, rest) = told(&known);
                assert!(all.insert(key, rest).is_none(), "told twice");
            })
            .unwrap();
        stretches += 1;
    }
    assert!(stretches > 2, "{stretches} stretches");
    assert!(all == model);
}
