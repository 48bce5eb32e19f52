//! Guarantees of a rotation, held against a model that never rotates: on a log that is compacted as it is written and keeps
//! to conditions (embedded), and on one that does neither at once (Kafka), with others who write in between.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;
use tamis_bus::{Acked, Blame};
use tamis_campaign::{Identity, RecordReason, Source};
use tamis_subject::{Key, Region, SCHEME, Subject};
use tamis_wire::record::{Record, Scope, State, partition_of};

use super::*;

const PARTITIONS: u32 = 2;
const REASONS: [RecordReason; 2] = [RecordReason::Unsubscribed, RecordReason::HardBounce];
/// Moments at which is asked who is blocked: now, and after each expiry that is used.
const MOMENTS: [i64; 3] = [FAR, FAR + 150, FAR + 250];
/// A time in the far future, ms: nothing here is over while the test runs.
const FAR: i64 = 1 << 50;

/// Somebody opts out, or is lifted.
#[derive(Debug, Clone, Copy)]
struct Op {
    person: u8,
    reason: usize,
    lifted: bool,
    /// 0, or after [`FAR`].
    expires: i64,
    scheme: u32,
    /// A rotation's writes until this one, where it comes in between.
    after: usize,
}

fn op() -> impl Strategy<Value = Op> {
    (0u8..4, 0..REASONS.len(), any::<bool>(), prop::sample::select(vec![0, 100, 200]), 1u32..=2, 0usize..12)
        .prop_map(|(person, reason, lifted, expires, scheme, after)| {
            let expires = if expires == 0 { 0 } else { FAR + expires };
            Op { person, reason, lifted, expires, scheme, after }
        })
}

/// Who is in force, by person and reason, with its expiry.
type Blocks = BTreeMap<(u8, usize), i64>;

fn blocks(at: &Blocks, moment: i64) -> Vec<(u8, usize)> {
    at.iter().filter(|(_, expires)| **expires == 0 || **expires > moment).map(|(who, _)| *who).collect()
}

struct Written {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp_ms: i64,
}

/// A log, a model beside it that is never rotated, and what is to happen.
struct World {
    subjects: Subjects,
    /// Compacted as it is written, and true to conditions.
    embedded: bool,
    log: [Vec<Option<Written>>; PARTITIONS as usize],
    model: Blocks,
    /// What a follower that has read everything in order knows.
    live: Blocks,
    /// Comes in between, by [`Op::after`].
    between: VecDeque<Op>,
    writes: usize,
    /// Writes of the rotation until it is killed.
    left: usize,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<World>>);

fn person(subjects: &Subjects, person: u8) -> Subject {
    subjects.phone(&format!("+3361234567{person}")).unwrap()
}

impl World {
    fn new(embedded: bool) -> Self {
        let one = Key::generate().unwrap();
        let subjects = Subjects::new(&one.with_another_step().unwrap(), Region::parse("FR").unwrap());
        Self {
            subjects,
            embedded,
            log: [const { Vec::new() }; PARTITIONS as usize],
            model: Blocks::new(),
            live: Blocks::new(),
            between: VecDeque::new(),
            writes: 0,
            left: usize::MAX,
        }
    }

    /// What doors write before a rotation goes through the log: first under the old key, then under the new one.
    fn record_all(&mut self, mut ops: Vec<Op>) {
        ops.sort_by_key(|op| op.scheme);
        ops.into_iter().for_each(|op| self.record(op));
    }

    /// A door's write.
    fn record(&mut self, op: Op) {
        let record = Record {
            subject: person(&self.subjects.at(op.scheme), op.person),
            identity: Identity::Phone,
            scope: Scope::Platform,
            channel: None,
            reason: REASONS[op.reason],
            state: if op.lifted { State::Lifted } else { State::InForce },
            effective_at_ms: 0,
            expires_at_ms: op.expires,
            source: Source::Api,
            evidence: "".into(),
            scheme: op.scheme,
        };
        apply(&mut self.model, op.person, &record);
        let partition = partition_of(&person(&self.subjects.first(), op.person), PARTITIONS);
        self.append(&KeyedRecord::new(partition, record::key(&record), record::encode(&record)));
    }

    fn append(&mut self, record: &KeyedRecord) {
        let timestamp_ms = 1 + self.log.iter().map(|log| log.len() as i64).sum::<i64>();
        let log = &mut self.log[record.partition as usize];
        if self.embedded {
            let known = log.iter().position(|w| w.as_ref().is_some_and(|written| written.key == record.key));
            if record.unless_after.zip(known).is_some_and(|(after, at)| at as i64 > after) {
                return;
            }
            if let Some(known) = known {
                log[known] = None;
            }
            if record.value.is_none() {
                return self.check();
            }
        }
        let written = Written { key: record.key.clone(), value: record.value.clone(), timestamp_ms };
        learn(&self.subjects, &mut self.live, &written);
        log.push(Some(written));
        self.check();
    }

    /// Never fewer are blocked than in the model, whether one has followed or reads the log anew.
    fn check(&self) {
        for known in [&self.live, &self.read_anew()] {
            let blocked = blocks(known, MOMENTS[0]);
            for who in blocks(&self.model, MOMENTS[0]) {
                assert!(blocked.contains(&who), "G1: {who:?} is not blocked");
            }
        }
    }

    fn read_anew(&self) -> Blocks {
        let mut known = Blocks::new();
        self.log.iter().flatten().flatten().for_each(|written| learn(&self.subjects, &mut known, written));
        known
    }

    /// Leaves of each key what came last, and no tombstone.
    fn compact(&mut self) {
        for log in &mut self.log {
            for at in 0..log.len() {
                let Some(written) = &log[at] else { continue };
                let later = log[at + 1..].iter().flatten().any(|other| other.key == written.key);
                if later || written.value.is_none() {
                    log[at] = None;
                }
            }
        }
    }
}

fn apply(blocks: &mut Blocks, person: u8, record: &Record) {
    let at = (person, REASONS.iter().position(|reason| *reason == record.reason).unwrap());
    match record.state {
        State::InForce => drop(blocks.insert(at, record.expires_at_ms)),
        State::Lifted => drop(blocks.remove(&at)),
    }
}

/// As a follower reads a record.
fn learn(subjects: &Subjects, blocks: &mut Blocks, written: &Written) {
    let Some(value) = &written.value else { return };
    let (Ok(Entry::Record(record)) | Ok(Entry::Copy { record, .. })) = record::decode(&written.key, value)
    else {
        return;
    };
    let subject = subjects.advance(record.subject, record.scheme);
    let who = (0..4).find(|who| person(subjects, *who) == subject).expect("one of the four");
    apply(blocks, who, &record);
}

impl Recorder for Shared {
    fn partitions(&self) -> u32 {
        PARTITIONS
    }

    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked) {
        let mut world = self.0.lock();
        for record in records {
            if record.key.first() == Some(&1) {
                world.writes += 1;
                while let Some(op) = world.between.front().copied().filter(|op| op.after < world.writes) {
                    world.between.pop_front();
                    world.record(op);
                }
                if world.left == 0 {
                    drop(world);
                    return acked(Err(Error::new("write", Blame::Internal, "killed")));
                }
                world.left -= 1;
            }
            world.append(&record);
        }
        let ends = world.log.iter().map(|log| log.len() as i64).collect();
        drop(world);
        acked(Ok(Positions::new(ends)));
    }
}

struct FromStart(Shared, [usize; PARTITIONS as usize]);

impl Follower for FromStart {
    fn poll(&mut self, _: Duration, _: usize, each: &mut dyn FnMut(LogRecord<'_>)) -> Result<usize, Error> {
        let world = self.0.0.lock();
        let mut count = 0;
        for (partition, (log, next)) in world.log.iter().zip(&mut self.1).enumerate() {
            for (offset, written) in log.iter().enumerate().skip(*next) {
                *next = offset + 1;
                let Some(Written { key, value, timestamp_ms }) = written else { continue };
                count += 1;
                each(LogRecord {
                    partition: partition as i32,
                    offset: offset as i64,
                    timestamp_ms: *timestamp_ms,
                    key,
                    value: value.as_deref(),
                });
            }
        }
        Ok(count)
    }
}

fn rotate(shared: &Shared, cells_max: usize) -> Result<Rotated, Stopped> {
    let (subjects, stop) = (shared.0.lock().subjects.clone(), AtomicBool::new(false));
    let open = || Ok(Box::new(FromStart(shared.clone(), [0; 2])) as Box<dyn Follower>);
    let options = Options { settle: Duration::ZERO, cells_max };
    Rotation::over(Box::new(open), shared, &subjects, options, &stop).run()
}

/// Records of the first scheme that are in the log.
fn of_the_first_scheme(world: &World) -> usize {
    let first = |written: &&Written| {
        let value = written.value.as_deref().unwrap_or_default();
        matches!(record::decode(&written.key, value), Ok(Entry::Record(record)) if record.scheme == SCHEME)
    };
    world.log.iter().flatten().flatten().filter(first).count()
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(256))]

    /// Guarantees: whatever was recorded and lifted under both schemes, and wherever a rotation is killed and begun again, the
    /// answers are those of a log that was never rotated, at every moment no fewer are blocked, and nothing of the old scheme
    /// is left.
    /// Fails when: a LIFTED is copied; what is superseded is copied; a tombstone comes before its copy; partitions are chosen by
    /// the new subject.
    #[test]
    fn g1_a_rotation_changes_no_answer_wherever_it_is_killed(
        before in prop::collection::vec(op(), 0..30), cuts in prop::collection::vec(0usize..12, 0..4),
        embedded: bool, cells_max in 1usize..9,
    ) {
        let shared = Shared(Arc::new(Mutex::new(World::new(embedded))));
        shared.0.lock().record_all(before);
        for cut in cuts {
            shared.0.lock().left = cut;
            let _ = rotate(&shared, cells_max); // it may have been done before
        }
        shared.0.lock().left = usize::MAX;
        let rotated = rotate(&shared, cells_max).unwrap();
        prop_assert_eq!((rotated.scheme, rotated.blocked_again), (2, 0));
        let mut world = shared.0.lock();
        world.compact();
        prop_assert_eq!(of_the_first_scheme(&world), 0);
        for moment in MOMENTS {
            prop_assert_eq!(blocks(&world.read_anew(), moment), blocks(&world.model, moment));
        }
        drop(world);
        let again = rotate(&shared, cells_max).unwrap();
        prop_assert_eq!((again.copied, again.removed), (0, 0), "there is nothing left to do");
    }

    /// Guarantees: with others who write in between, under either scheme, never fewer are blocked than without a rotation; who is
    /// blocked once too often was written about meanwhile, on a log that keeps to conditions by a process with the old key.
    /// Fails when: what came between a record and its copy is not looked for; a tombstone takes what nobody has seen.
    #[test]
    fn g1_whoever_writes_while_the_log_is_rotated_is_honoured(
        before in prop::collection::vec(op(), 1..20), between in prop::collection::vec(op(), 0..8),
        cut in prop::option::of(0usize..12), embedded: bool, cells_max in 1usize..9,
    ) {
        let shared = Shared(Arc::new(Mutex::new(World::new(embedded))));
        shared.0.lock().record_all(before);
        let mut between = between;
        between.sort_by_key(|op| op.after);
        shared.0.lock().between = between.iter().copied().collect();
        if let Some(cut) = cut {
            shared.0.lock().left = cut;
            let _ = rotate(&shared, cells_max);
            shared.0.lock().left = usize::MAX;
        }
        // The last records may come behind the last write; then the next rotation meets them.
        rotate(&shared, cells_max).unwrap();
        let rest: Vec<Op> = shared.0.lock().between.drain(..).collect();
        rest.into_iter().for_each(|op| shared.0.lock().record(op));
        rotate(&shared, cells_max).unwrap();
        let mut world = shared.0.lock();
        world.compact();
        prop_assert_eq!(of_the_first_scheme(&world), 0);
        let touched = |who: (u8, usize), old_only: bool| {
            between.iter().any(|op| (op.person, op.reason) == who && (op.scheme == 1 || !old_only))
        };
        for moment in MOMENTS {
            let (now, model) = (blocks(&world.read_anew(), moment), blocks(&world.model, moment));
            for who in &model {
                prop_assert!(now.contains(who), "G1: {who:?} is not blocked at {moment}");
            }
            for who in now.iter().filter(|who| !model.contains(who)) {
                prop_assert!(touched(*who, embedded), "G3: {who:?} is blocked at {moment}");
            }
        }
    }
}

/// Guarantees: who was lifted at the moment of the copy is blocked again and counted, never unblocked by the rotation; a log
/// that keeps to conditions has no such moment.
/// Fails when: the count looks at something else than what stands between a record and its copy.
#[test]
fn who_is_lifted_while_being_copied_is_counted() {
    let op = |lifted, scheme, after| Op { person: 1, reason: 0, lifted, expires: 0, scheme, after };
    let cases = [
        (op(false, 1, 0), vec![op(true, 2, 0)]),
        // The tombstone of an earlier lift takes what is copied then.
        (op(true, 1, 0), vec![op(false, 1, 0), op(true, 2, 1)]),
    ];
    for embedded in [false, true] {
        for (before, between) in cases.clone() {
            let shared = Shared(Arc::new(Mutex::new(World::new(embedded))));
            shared.0.lock().record(before);
            shared.0.lock().between = between.into();
            let rotated = rotate(&shared, 9).unwrap();
            assert_eq!(rotated.blocked_again, u64::from(!embedded));
            assert_eq!(shared.0.lock().read_anew().len(), usize::from(!embedded));
        }
    }
}

/// Guarantees: what came between a record and its copy is honoured although the rotation was killed before it looked, and the
/// record itself has been compacted away by then.
/// Fails when: only what stands behind the copy's source is looked at, and it is not there.
#[test]
fn g1_what_came_between_is_found_by_the_next_rotation() {
    let op = |expires, after| Op { person: 1, reason: 0, lifted: false, expires, scheme: 1, after };
    let shared = Shared(Arc::new(Mutex::new(World::new(true))));
    shared.0.lock().record(op(FAR + 100, 0));
    shared.0.lock().between = [op(0, 0)].into();
    shared.0.lock().left = 1;
    assert!(rotate(&shared, 9).is_err(), "it is killed behind the copy");
    shared.0.lock().left = usize::MAX;
    rotate(&shared, 9).unwrap();
    assert_eq!(blocks(&shared.0.lock().read_anew(), MOMENTS[2]), [(1, 0)]);
}

/// Guarantees: what came between a record and its copy is honoured although a tombstone had come behind that record, of one
/// that stood there before it; also where the rotation was killed before it looked.
/// Fails when: a cell is let go of as soon as nothing of an earlier scheme counts in it, while a copy may come yet.
#[test]
fn g1_what_came_between_a_tombstone_and_the_copy_of_what_it_took_is_honoured() {
    let op = |lifted, expires, scheme, after| Op { person: 1, reason: 0, lifted, expires, scheme, after };
    for killed_at in [None, Some(2)] {
        let shared = Shared(Arc::new(Mutex::new(World::new(false))));
        shared.0.lock().record(op(true, 0, 1, 0));
        // The first is taken by the tombstone of the lift, the second comes ahead of the copy of the first.
        shared.0.lock().between = [op(false, FAR + 100, 1, 0), op(false, 0, 2, 1)].into();
        if let Some(writes) = killed_at {
            shared.0.lock().left = writes;
            let _ = rotate(&shared, 9); // it ends behind the copy
            shared.0.lock().left = usize::MAX;
        }
        rotate(&shared, 9).unwrap();
        assert_eq!(blocks(&shared.0.lock().read_anew(), MOMENTS[2]), [(1, 0)], "killed at {killed_at:?}");
    }
}

/// Guarantees: all slices are everybody, each once, however often one was halved on the way.
#[test]
fn slices_are_everybody() {
    for halved_at in [vec![], vec![0], vec![0, 0, 1], vec![0, 1, 2, 2, 3], vec![2, 0, 0, 0, 5]] {
        let (mut parts, mut next, mut count) = (Vec::new(), Some(Slice::default()), 0);
        while let Some(mut slice) = next {
            for _ in halved_at.iter().filter(|at| **at == count) {
                slice = slice.halved();
            }
            parts.push(slice);
            (next, count) = (slice.next(), count + 1);
        }
        let subjects = (0u64..1_024).map(|n| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&(n << 54).to_le_bytes());
            Subject::from_bytes(bytes)
        });
        for subject in subjects {
            assert_eq!(parts.iter().filter(|part| part.has(&subject)).count(), 1, "{parts:?}");
        }
    }
}
