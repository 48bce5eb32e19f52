//! The rules one by one, then random worlds against a plain model.

use proptest::prelude::*;
use tamis_campaign::Channel;

use super::*;

const SMS: ContentTopic = ContentTopic::Deliveries(Channel::Sms);
const LIMITS: Limits = Limits { round_ms: 100, look_ms: 100, still_ms: 1_000, content_max_age_ms: 5_000 };

/// A partition as a log has it: records with their timestamps, and markers between them.
#[derive(Debug, Clone, Default)]
struct Log {
    start: i64,
    /// The timestamp of each offset; `None` for a marker.
    offsets: Vec<Option<UnixMs>>,
    committed: Vec<Option<i64>>,
}

impl Log {
    fn end(&self) -> i64 {
        i64::try_from(self.offsets.len()).expect("a short log")
    }

    fn first(&self, from: i64) -> Option<First> {
        let from = usize::try_from(from.max(self.start)).expect("an offset");
        let mut later = (0..).zip(&self.offsets).skip(from);
        later.find_map(|(offset, at)| Some(First { offset, timestamp_ms: (*at)? }))
    }

    fn low(&self) -> Option<i64> {
        self.committed.iter().copied().min().flatten()
    }
}

/// A topic, the control that purges it, and what it has told.
struct World {
    control: Control,
    partitions: Vec<Log>,
    now: Millis,
    told: Vec<Call>,
    deletes: usize,
    /// The answers that do not come, from the next on.
    silent: Vec<bool>,
}

const EPOCH_MS: UnixMs = 1_800_000_000_000;

impl World {
    fn new(partitions: usize, readers: usize) -> Self {
        let log = Log { committed: vec![None; readers], ..Log::default() };
        Self {
            control: Control::new(LIMITS, &[Duty { topic: SMS, readers }]),
            partitions: vec![log; partitions],
            now: 0,
            told: Vec::new(),
            deletes: 0,
            silent: Vec::new(),
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, unix_ms: EPOCH_MS + i64::try_from(self.now).expect("a short while") }
    }

    fn write(&mut self, partition: usize) {
        let unix_ms = self.moment().unix_ms;
        // As a transaction leaves it: a record, then its marker.
        self.partitions[partition].offsets.extend([Some(unix_ms), None]);
    }

    /// Commits as a gateway does: past the last record, before the marker.
    fn commit_all(&mut self, reader: usize) {
        for log in &mut self.partitions {
            if log.end() > 0 {
                log.committed[reader] = Some(log.end() - 1);
            }
        }
    }

    fn answers(&mut self) -> bool {
        self.silent.pop().is_none_or(|silent| !silent)
    }

    /// Plays until the control rests.
    fn round(&mut self) {
        self.now += LIMITS.round_ms;
        let mut input = Input::Tick;
        loop {
            let calls = self.control.on(self.moment(), input);
            let (last, told) = calls.split_last().expect("there is always a last call");
            self.told.extend_from_slice(told);
            input = match last.clone() {
                Call::Ask(_) => Input::Seen(self.answers().then(|| self.seen())),
                Call::Delete { up_to, .. } => Input::Deleted(self.delete(&up_to)),
                Call::Look { from, .. } => {
                    let found = from.iter().map(|&(partition, offset)| {
                        (partition, self.partitions[partition as usize].first(offset))
                    });
                    let found: Vec<_> = found.collect();
                    Input::Looked(if self.answers() { found } else { Vec::new() })
                }
                Call::Wait(_) => return,
                other @ (Call::Residence { .. }
                | Call::Lag { .. }
                | Call::Still { .. }
                | Call::Overdue(_)) => {
                    panic!("{other:?} is last")
                }
            };
        }
    }

    fn seen(&self) -> Seen {
        let readers = self.partitions[0].committed.len();
        let of = |reader: usize| self.partitions.iter().map(|log| log.committed[reader]).collect();
        Seen {
            committed: (0..readers).map(of).collect(),
            spans: self.partitions.iter().map(|log| Span { start: log.start, end: log.end() }).collect(),
        }
    }

    /// The log deletes, and the world looks whether it may. Without an answer only the first partition is done.
    fn delete(&mut self, up_to: &[(Partition, i64)]) -> bool {
        self.deletes += 1;
        let answers = self.answers();
        for &(partition, offset) in if answers { up_to } else { &up_to[..1] } {
            let log = &mut self.partitions[partition as usize];
            let low = log.low().expect("a reader that has committed nothing holds its partition");
            assert!(offset <= low, "deletes up to {offset}, and the slowest reader is at {low}");
            assert!(offset <= log.end(), "deletes beyond the end");
            log.start = log.start.max(offset);
        }
        answers
    }

    fn age_ms(&self) -> Millis {
        let told = self.told.iter().rev().find_map(|call| match call {
            Call::Residence { age_ms, .. } => Some(*age_ms),
            Call::Ask(_) | Call::Delete { .. } | Call::Look { .. } | Call::Lag { .. } => None,
            Call::Still { .. } | Call::Overdue(_) | Call::Wait(_) => None,
        });
        told.expect("every round tells it")
    }

    fn true_age_ms(&self) -> Millis {
        let oldest =
            self.partitions.iter().filter_map(|log| log.first(log.start)).map(|f| f.timestamp_ms).min();
        oldest.map_or(0, |oldest| self.moment().unix_ms.abs_diff(oldest))
    }

    fn stills(&self) -> Vec<(usize, bool)> {
        let still = |call: &Call| match call {
            Call::Still { reader, still, .. } => Some((*reader, *still)),
            Call::Ask(_) | Call::Delete { .. } | Call::Look { .. } | Call::Lag { .. } => None,
            Call::Residence { .. } | Call::Overdue(_) | Call::Wait(_) => None,
        };
        self.told.iter().filter_map(still).collect()
    }
}

/// Guarantees: deleted is what the slowest of all readers has committed, in the next round.
/// Fails when: the highest, or the first reader's, is taken.
#[test]
fn what_every_reader_has_committed_is_deleted_and_nothing_else() {
    let mut world = World::new(1, 2);
    (0..10).for_each(|_| world.write(0));
    world.partitions[0].committed = vec![Some(14), Some(6)];
    world.round();
    assert_eq!(world.partitions[0].start, 6);
    world.partitions[0].committed[1] = Some(18);
    world.round();
    assert_eq!(world.partitions[0].start, 14);
}

/// Guarantees: a group that has committed nothing holds its partition, however far the others are, and is told once
/// when it stands still, and once when it goes on.
/// Fails when: nothing is read as 0 only (then it is not told), or such a group is skipped.
#[test]
fn a_reader_that_has_committed_nothing_holds_everything_and_is_told() {
    let mut world = World::new(2, 2);
    world.write(0);
    world.commit_all(0);
    (0..30).for_each(|_| world.round());
    assert_eq!((world.partitions[0].start, world.deletes), (0, 0));
    assert_eq!(world.stills(), [(1, true)], "the other has nothing to read");
    world.commit_all(1);
    (0..3).for_each(|_| world.round());
    assert_eq!(world.partitions[0].start, 1);
    assert_eq!(world.stills(), [(1, true), (1, false)]);
    assert_eq!(world.age_ms(), 0, "only a marker is left");
}

/// Guarantees: an idle gateway is not told to stand still because markers of transactions are behind its commit.
#[test]
fn markers_are_nothing_to_read() {
    let mut world = World::new(1, 1);
    world.write(0);
    world.commit_all(0);
    (0..50).for_each(|_| world.round());
    assert_eq!((world.stills(), world.age_ms()), (Vec::new(), 0));
}

/// Guarantees: without readers nothing is deleted; how old the oldest is, is told all the same.
#[test]
fn a_topic_without_readers_is_left_to_retention() {
    let mut world = World::new(1, 0);
    world.write(0);
    (0..5).for_each(|_| world.round());
    assert_eq!((world.deletes, world.age_ms()), (0, 500));
}

/// Guarantees: after a broker came back with an older start, the same is deleted again.
/// Fails when: deletions that were done are remembered and not repeated.
#[test]
fn a_start_that_went_back_is_purged_again() {
    let mut world = World::new(1, 1);
    (0..5).for_each(|_| world.write(0));
    world.commit_all(0);
    world.round();
    assert_eq!(world.partitions[0].start, 9);
    world.partitions[0].start = 3;
    world.round();
    assert_eq!((world.partitions[0].start, world.deletes, world.age_ms()), (9, 2, 0));
}

/// Guarantees: what came back with a broker and could not be deleted at once is told as content that is there.
/// Fails when: what was found before the start went back is still believed, or a deletion that failed counts as done.
#[test]
fn what_came_back_and_was_not_deleted_is_told() {
    let mut world = World::new(2, 1);
    (0..2).for_each(|partition| world.write(partition));
    world.commit_all(0);
    world.round();
    assert_eq!(world.age_ms(), 0);
    world.partitions.iter_mut().for_each(|log| log.start = 0);
    // The question is answered, the deletion is not: it is done in the first partition only.
    world.silent = vec![true, false];
    world.round();
    assert_eq!((world.partitions[0].start, world.partitions[1].start), (1, 0));
    assert_eq!((world.age_ms(), world.true_age_ms()), (200, 200));
}

/// Guarantees: a commit beyond the end speaks of another log: nothing of this one is deleted.
/// Fails when: the offset is cut down to the end, which deletes what nobody has read.
#[test]
fn a_commit_beyond_the_end_holds_the_partition() {
    let mut world = World::new(1, 1);
    world.write(0);
    world.partitions[0].committed[0] = Some(500);
    (0..30).for_each(|_| world.round());
    assert_eq!((world.deletes, world.stills()), (0, vec![(0, true)]));
}

/// Guarantees: what cannot be asked is not deleted and grows older in what is told; the next round does it.
#[test]
fn without_an_answer_nothing_is_deleted_and_the_age_goes_on() {
    let mut world = World::new(1, 1);
    world.write(0);
    world.round();
    world.commit_all(0);
    world.silent = vec![true; 3];
    for round in 2..5 {
        world.round();
        assert_eq!((world.deletes, world.age_ms()), (0, round * 100));
    }
    world.round();
    assert_eq!((world.deletes, world.age_ms()), (1, 0));
}

/// Guarantees: that content is too old is told once, and once that it no longer is.
#[test]
fn content_that_is_too_old_is_told_once() {
    let mut world = World::new(1, 1);
    world.write(0);
    (0..100).for_each(|_| world.round());
    world.commit_all(0);
    (0..5).for_each(|_| world.round());
    let overdue: Vec<_> = world.told.iter().filter(|call| matches!(call, Call::Overdue(_))).collect();
    assert_eq!(overdue, [&Call::Overdue(true), &Call::Overdue(false)]);
}

#[derive(Debug, Clone)]
enum Event {
    Write(usize),
    Commit { reader: usize, partition: usize, part: u8 },
    Restart { partition: usize, part: u8 },
    Silence(Vec<bool>),
    Round,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..3usize).prop_map(Event::Write),
        3 => (0..2usize, 0..3usize, any::<u8>())
            .prop_map(|(reader, partition, part)| Event::Commit { reader, partition, part }),
        1 => (0..3usize, any::<u8>()).prop_map(|(partition, part)| Event::Restart { partition, part }),
        1 => prop::collection::vec(any::<bool>(), 1..4).prop_map(Event::Silence),
        4 => Just(Event::Round),
    ];
    prop::collection::vec(event, 1..120)
}

/// An offset from `from` to `to`.
fn between(from: i64, to: i64, part: u8) -> i64 {
    from + (to - from) * i64::from(part) / 255
}

proptest! {
    /// Guarantees: whatever readers, brokers and answers do, nothing is deleted that a reader has not committed past
    /// (looked at in `World::delete`), ages are never told too young, and once the answers come again everything that
    /// all have read is gone.
    /// Fails when: a deletion rests on what an earlier round saw; a partial deletion counts as done for good.
    #[test]
    fn whatever_happens_only_what_was_read_goes_and_all_of_it(events in events()) {
        let mut world = World::new(3, 2);
        for event in events {
            match event {
                Event::Write(partition) => world.write(partition),
                Event::Commit { reader, partition, part } => {
                    let log = &mut world.partitions[partition];
                    let from = log.committed[reader].unwrap_or(log.start).max(log.start);
                    log.committed[reader] = Some(between(from, log.end(), part));
                }
                Event::Restart { partition, part } => {
                    let log = &mut world.partitions[partition];
                    log.start = between(0, log.start, part);
                }
                Event::Silence(silent) => world.silent = silent,
                Event::Round => {
                    let answers = world.silent.is_empty();
                    world.round();
                    if answers {
                        prop_assert!(world.age_ms() >= world.true_age_ms());
                    }
                }
            }
        }
        world.silent.clear();
        (0..2).for_each(|_| world.round());
        for log in &world.partitions {
            if let Some(low) = log.low() {
                prop_assert!(log.start >= low, "{log:?}");
            }
        }
        prop_assert_eq!(world.age_ms(), world.true_age_ms());
    }
}
