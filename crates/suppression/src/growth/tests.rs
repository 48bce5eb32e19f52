//! Laws of the index while its segments grow and split, which they do with few subjects in these tests.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tamis_campaign::{Channel, Identity, Purpose, RecordReason, Source, UnixMs};
use tamis_subject::Subject;
use tamis_wire::record::{Record, Scope, State};

use super::*;

/// Of everything that is counted here there is little under Miri, where a record takes up to a tenth of a second: just enough
/// for a segment to be split, and in random histories for it to be built anew a few times.
pub(crate) const PEOPLE: u16 = if cfg!(miri) { 80 } else { 600 };
const TENANTS: [&str; 3] = ["a", "b", "c"];
/// Lists that one person goes through two by two.
const LISTS: usize = if cfg!(miri) { 8 } else { 380 };
/// People of a random history, and records at most.
const DRAWN: u16 = if cfg!(miri) { 30 } else { PEOPLE };
const EVENTS: usize = if cfg!(miri) { 60 } else { 2_500 };
const REASONS: [RecordReason; 2] = [RecordReason::Blocked, RecordReason::Unsubscribed];

/// As a pseudo-random function would, but that each person whose number is divisible by 10 has a like: the next one, with
/// the same segment, line and tag.
pub(crate) fn subject(n: u16) -> Subject {
    let (pair, low) = if n % 10 == 1 { (n - 1, 1) } else { (n, 0) };
    let word = |n: u64| {
        (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    };
    let (first, second) = (word(u64::from(pair)), word(u64::from(pair) + 100_000) & !0xff | low);
    Subject::from_bytes((u128::from(second) << 64 | u128::from(first)).to_le_bytes())
}

fn like(n: u16) -> Option<u16> {
    match n % 10 {
        0 => Some(n + 1),
        1 => Some(n - 1),
        _ => None,
    }
}

/// Person, tenant, reason.
pub(crate) type Key = (u16, usize, usize);

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) key: Key,
    pub(crate) lifted: bool,
    pub(crate) times: (UnixMs, UnixMs),
    pub(crate) evidence: u8,
    pub(crate) recorded_at_ms: UnixMs,
}

impl Event {
    pub(crate) fn plain(key: Key) -> Self {
        Self { key, lifted: false, times: (0, 0), evidence: 1, recorded_at_ms: 0 }
    }
}

prop_compose! {
    pub(crate) fn event()(
        who in 0..DRAWN, tenant in 0..TENANTS.len(), reason in 0..REASONS.len(), lifted in prop::bool::weighted(0.3),
        timed in prop::bool::weighted(0.2), effective in 0i64..4, expires in 0i64..6, evidence: u8, clock in 0i64..1_000,
    ) -> Event {
        let times = if timed { (effective, expires) } else { (0, 0) };
        // The clock goes as it likes: only the place in the log counts.
        Event { key: (who, tenant, reason), lifted, times, evidence, recorded_at_ms: clock }
    }
}

/// Evidence of some lengths, the empty one among them.
fn evidence(n: u8) -> String {
    "e".repeat(usize::from(n % 4)) + if n.is_multiple_of(4) { "" } else { "-id" }
}

pub(crate) fn record(event: &Event) -> Record {
    let (who, tenant, reason) = event.key;
    Record {
        subject: subject(who),
        identity: Identity::Phone,
        scope: Scope::Tenant(TENANTS[tenant].into()),
        channel: None,
        reason: REASONS[reason],
        state: if event.lifted { State::Lifted } else { State::InForce },
        effective_at_ms: event.times.0,
        expires_at_ms: event.times.1,
        source: Source::ALL[usize::from(event.evidence) % Source::ALL.len()],
        evidence: evidence(event.evidence).into(),
        scheme: 1,
    }
}

fn counts(event: &Event, now: UnixMs) -> bool {
    event.times.0 <= now && (event.times.1 == 0 || event.times.1 > now)
}

pub(crate) fn check(index: &Index, model: &BTreeMap<Key, Event>, now: UnixMs) -> Result<(), TestCaseError> {
    prop_assert_eq!(index.records(), model.len());
    let everyone: Vec<Subject> = (0..DRAWN).map(subject).collect();
    for (tenant, name) in TENANTS.iter().enumerate() {
        let selection = index.select(name, "", Channel::Sms, Purpose::Marketing);
        let mut told = vec![None; everyone.len()];
        let mut times = vec![0; everyone.len()];
        let mut tell = |n: usize, hit| {
            told[n] = selection.reason(hit, now);
            times[n] += 1;
        };
        let mut look_ups = selection.look_ups();
        // As many more each time as came before, so that they come in pieces of many sizes.
        for some in (0..).map(|n| 1 << n).take_while(|some| *some < everyone.len()) {
            look_ups.ask(&everyone[..some], &mut tell);
        }
        look_ups.ask(&everyone, &mut tell);
        look_ups.settle(&everyone, &mut tell);
        prop_assert!(times.iter().all(|times| *times <= 1), "nobody is told twice");
        for who in 0..DRAWN {
            let alone = selection.hit(&subject(who)).and_then(|hit| selection.reason(hit, now));
            prop_assert_eq!(alone, told[usize::from(who)], "in a batch and alone, person {}", who);
            let records = |who: u16| model.range((who, 0, 0)..(who + 1, 0, 0));
            let in_force: Vec<_> =
                records(who).filter(|((_, t, _), event)| *t == tenant && counts(event, now)).collect();
            let expected = in_force.first().and_then(|((.., reason), _)| REASONS[*reason].drops());
            // Somebody of whom nothing is known is taken for the like, if there is one: 2^-40 for a real subject.
            let mistaken = records(who).next().is_none() && like(who).is_some();
            prop_assert!(mistaken || alone == expected, "person {}: {:?}, not {:?}", who, alone, expected);
            let found = index.in_force(name, &subject(who), now).unwrap();
            prop_assert_eq!(found.len(), in_force.len());
            for (found, ((.., reason), event)) in found.iter().zip(in_force) {
                prop_assert_eq!(found.reason, REASONS[*reason]);
                prop_assert_eq!((found.effective_at_ms, found.expires_at_ms), event.times);
                prop_assert_eq!(&*found.evidence, evidence(event.evidence));
                prop_assert_eq!(found.recorded_at_ms, event.recorded_at_ms);
                prop_assert_eq!(found.source, record(event).source);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Guarantees G1 and G3 while segments are built anew and split: each person has their own records, times and origins, in
    /// any order of in force, lifted, timed and repeated records, and a like never gets, or loses, another's.
    /// Fails when: times or origins stay behind when a segment is built anew; a line that overflows does not say so; a
    /// present person is taken for a like; the writer lifts a like's record; a split sends a subject to the wrong half.
    #[test]
    fn g3_growth_and_splits_change_no_answer(
        events in prop::collection::vec(event(), 0..EVENTS), now in 0i64..6, settled in 0i64..2 * EVENTS as i64,
    ) {
        let mut index = Index::new(1);
        let mut model = BTreeMap::new();
        for (offset, event) in (0i64..).zip(&events) {
            if offset >= settled {
                index.settle();
                give_back(&mut index, 1);
            }
            index.apply(0, offset, event.recorded_at_ms, &record(event)).unwrap();
            if event.lifted {
                model.remove(&event.key);
            } else {
                model.insert(event.key, event.clone());
            }
            if offset % 700 == 699 {
                check(&index, &model, now)?;
            }
        }
        check(&index, &model, now)?;
    }
}

fn enforce(index: &mut Index, who: u16, list: Option<usize>, state: State) {
    let scope = list
        .map_or(Scope::Platform, |list| Scope::List { tenant: "a".into(), list: list.to_string().into() });
    let key = (who, 0, 0);
    let event = Event { key, lifted: state == State::Lifted, times: (0, 0), evidence: 1, recorded_at_ms: 7 };
    let offset = index.position()[0];
    index.apply(0, offset, 7, &Record { scope, ..record(&event) }).unwrap();
}

/// Guarantees that the tests above do meet growth: segments are split, and their numbers of subjects add up.
/// Fails when: a segment is never split, or the directory doubles without one.
#[test]
fn segments_are_split_and_keep_everybody() {
    let mut index = Index::new(1);
    index.settle();
    (0..PEOPLE).for_each(|who| enforce(&mut index, who, None, State::InForce));
    let (segments, renewals) = if cfg!(miri) { (2, 5) } else { (6, 13) };
    assert!(index.marks.len() >= segments, "{} segments", index.marks.len());
    assert!(index.renewals >= renewals, "{} renewals", index.renewals);
    assert_eq!(index.subjects(), usize::from(PEOPLE));
}

/// What a service does when it has time; how many segments that was, each time at most `ahead`.
fn give_back(index: &mut Index, ahead: usize) -> usize {
    let prepared = index.prepare(std::iter::empty(), ahead).unwrap();
    let renewed = prepared.renewed.len();
    drop(index.accept(prepared));
    renewed
}

/// Guarantees that the memory which makes reading a log quick is given back afterwards, a segment at a time, and then no more.
/// Whoever still finds a place then finds room for a record as well: it is made while nobody waits.
/// Fails when: segments keep the room they had; some are built anew for ever; a segment's next record has all its details
/// moved (a fifth of a second for 512 records of as many segments, while readers waited).
#[test]
fn room_for_a_whole_log_is_given_back() {
    let mut index = Index::new(1);
    (0..PEOPLE).for_each(|who| enforce(&mut index, who, None, State::InForce));
    let places = |index: &Index| {
        (0..index.marks.len()).map(|n| index.dictionary.segment(n as u32).places()).sum::<usize>()
    };
    let (ample, cold) = (places(&index), index.bytes_apart().cold);
    index.settle();
    while give_back(&mut index, 1) > 0 {
        assert!(index.renewals < 100, "it ends");
    }
    assert!(places(&index) * 20 < ample * 19, "{} places, were {ample}", places(&index));
    assert!(index.bytes_apart().cold < cold, "{} bytes, were {cold}", index.bytes_apart().cold);
    for (n, cold) in (0..).zip(&index.cold) {
        let segment = index.dictionary.segment(n);
        let places = segment.full_with() - segment.used();
        assert!(places > 0 && cold.spare() >= places, "room for {} records, {places} places", cold.spare());
    }
    assert_eq!(index.subjects(), usize::from(PEOPLE));
}

/// Guarantees that those who are in nothing any more take no memory for good.
/// Fails when: a segment that is built anew takes everybody along.
#[test]
fn who_is_in_nothing_any_more_is_forgotten() {
    let mut index = Index::new(1);
    for who in 0..PEOPLE {
        enforce(&mut index, who, None, State::InForce);
        enforce(&mut index, who, None, State::Lifted);
    }
    assert_eq!(index.records(), 0);
    assert!(index.subjects() < usize::from(PEOPLE) / 6, "{} subjects", index.subjects());
}

/// Guarantees that a segment outlives its 65,535 numbers of sets: those nobody is in any more are given out again.
/// Fails when: a number is given out twice, or the numbers end for good.
#[test]
fn a_person_may_go_through_any_number_of_lists() {
    let mut index = Index::new(1);
    let mut sets = 0;
    for first in 0..LISTS {
        enforce(&mut index, 5, Some(first), State::InForce);
        for second in 0..first {
            enforce(&mut index, 5, Some(second), State::InForce);
            enforce(&mut index, 5, Some(second), State::Lifted);
            sets += 1;
        }
        let found = index.in_force("a", &subject(5), 1).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].scope.names().1, first.to_string());
        enforce(&mut index, 5, Some(first), State::Lifted);
    }
    let outlived = sets > 1 << 16 && index.renewals > 0;
    assert!(cfg!(miri) || outlived, "{sets} sets, {} renewals", index.renewals);
}

/// Guarantees that no part of a subject is printed with what holds it.
/// Fails when: `Debug` is derived.
#[test]
fn an_index_prints_nothing_of_its_subjects() {
    let printed = |who| {
        let mut index = Index::new(1);
        enforce(&mut index, who, None, State::InForce);
        format!("{index:?} {:?}", index.select("a", "", Channel::Sms, Purpose::Marketing))
    };
    assert_eq!(printed(3), printed(4));
}
