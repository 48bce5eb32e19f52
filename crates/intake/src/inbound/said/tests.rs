//! The rules one by one, then random orders, crashes and repeats against a plain log.

use std::convert::Infallible;

use proptest::prelude::*;
use tamis_campaign::InboundKind;
use tamis_policy::Policy;
use tamis_subject::{Key, Region, Subjects};
use tamis_wire::inbound::Written;
use tamis_wire::record::{Entry, decode};

use super::*;
use crate::replies::records;

/// The suppression log: for each key the latest record and when it was taken.
#[derive(Default)]
struct Log {
    now: UnixMs,
    latest: BTreeMap<Vec<u8>, (Record, UnixMs)>,
}

impl Log {
    fn in_force(&self, record: &Record) -> Option<UnixMs> {
        let (latest, at) = self.latest.get(&key(record))?;
        (latest.state == State::InForce).then_some(*at)
    }

    /// Settles a batch against what is in force, and writes it. Answers how many starts were passed over.
    fn write(&mut self, said: Said) -> usize {
        let Ok(writing) = said.settle(4, |record| Ok::<_, Infallible>(self.in_force(record)));
        assert_eq!(writing.records.len(), writing.counted.len());
        self.now += 1;
        for keyed in writing.records {
            let value = keyed.value.expect("no tombstones are written");
            let Ok(Entry::Record(record)) = decode(&keyed.key, &value) else { panic!("a record of people") };
            self.latest.insert(keyed.key, (record, self.now));
        }
        writing.passed_over
    }
}

fn subjects() -> Subjects {
    Subjects::new(&Key::generate().expect("random bytes"), Region::parse("FR").expect("a region"))
}

/// What person `who` says; `id` is the message's, and so the record's evidence.
fn said_by(subjects: &Subjects, who: usize, text: &str, id: usize) -> Vec<Made> {
    let (message_id, address) = (format!("m-{id}"), format!("+3363998000{who}"));
    let written = Written {
        gateway: "gw",
        message_id: &message_id,
        kind: InboundKind::Reply.number(),
        channel: 1,
        address: &address,
        tenant: "acme",
        text,
        ..Written::default()
    };
    let event = written.check().expect("a good event");
    records(&event, &Policy::default(), None, subjects, 0).expect("a good address").records
}

fn said(words: &[(Partition, UnixMs, Vec<Made>)]) -> Said {
    let mut said = Said::default();
    for (partition, at, made) in words {
        said.take(*partition, *at, 0, made.clone());
    }
    said
}

/// Guarantees: a start lifts the stop before it, in a later batch, in the same one, and when the two came by partitions that are read in
/// the other order.
/// Fails when: the order is that of the partitions, or the batch's own stops are not known to its starts.
#[test]
fn a_start_lifts_the_stop_that_was_said_before_it() {
    let subjects = subjects();
    let (stop, start) = (said_by(&subjects, 1, "STOP", 1), said_by(&subjects, 1, "START", 2));
    let lifted = |log: &Log| log.in_force(&stop[0].record).is_none() && !log.latest.is_empty();
    let mut log = Log { now: 10, ..Log::default() };
    log.write(said(&[(0, 5, stop.clone())]));
    assert!(!lifted(&log));
    assert_eq!(log.write(said(&[(1, 20, start.clone())])), 0);
    assert!(lifted(&log), "in a later batch");

    let mut log = Log { now: 10, ..Log::default() };
    log.write(said(&[(1, 6, start.clone()), (3, 5, stop.clone())]));
    assert!(lifted(&log), "in one batch, read in the other order");
    assert_eq!(Log::default().write(said(&[(0, 5, start)])), 1, "without a stop there is nothing to lift");
}

/// Guarantees: an old start that is read again does not take away a newer stop, whoever wrote that meanwhile.
/// Fails when: starts are written as they come.
#[test]
fn a_start_read_again_leaves_a_newer_stop_alone() {
    let subjects = subjects();
    let (stop, start) = (said_by(&subjects, 1, "STOP", 3), said_by(&subjects, 1, "START", 2));
    let mut log = Log { now: 10, ..Log::default() };
    log.write(said(&[(0, 5, said_by(&subjects, 1, "STOP", 1))]));
    log.write(said(&[(1, 20, start.clone())]));
    log.now = 30;
    log.write(said(&[(2, 29, stop.clone())]));
    // The start's batch was not committed: it comes again, alone.
    assert_eq!(log.write(said(&[(1, 20, start)])), 1);
    assert!(log.in_force(&stop[0].record).is_some());
}

/// Guarantees: a start that its gateway writes again is as old as when the gateway had it, so that it lifts no stop that was said since:
/// neither one on record nor one that is read with it. A gateway's clock that is ahead makes nothing newer than the log's.
/// Fails when: the log's time alone counts, or the gateway's alone.
#[test]
fn a_start_written_again_is_no_newer_than_it_was() {
    let subjects = subjects();
    let (stop, start) = (said_by(&subjects, 1, "STOP", 3), said_by(&subjects, 1, "START", 2));
    let again = |at, received_at_ms, with: &[Made]| {
        let mut batch = said(&[(0, 29, with.to_vec())]);
        batch.take(1, at, received_at_ms, start.clone());
        batch
    };
    for on_record in [true, false] {
        let mut log = Log { now: 30, ..Log::default() };
        if on_record {
            log.write(said(&[(0, 29, stop.clone())]));
        }
        let with = if on_record { [].as_slice() } else { &stop };
        assert_eq!(log.write(again(50, 20, with)), 1, "{on_record}");
        assert!(log.in_force(&stop[0].record).is_some(), "{on_record}");
        assert_eq!(log.write(again(50, 40, with)), 0, "{on_record}");
        assert!(log.in_force(&stop[0].record).is_none(), "{on_record}");
    }
    let mut log = Log { now: 30, ..Log::default() };
    log.write(said(&[(0, 29, stop.clone())]));
    assert_eq!(log.write(again(25, 1_000, &[])), 1);
    assert!(log.in_force(&stop[0].record).is_some());
}

/// Guarantees: events of a partition keep their order although the log's clock went back between them, as when its leader changed.
/// Fails when: events are put in the order of their own times alone.
#[test]
fn a_clock_that_goes_back_does_not_turn_a_partition_round() {
    let subjects = subjects();
    let (stop, start) = (said_by(&subjects, 1, "STOP", 2), said_by(&subjects, 1, "START", 1));
    let mut log = Log { now: 10, ..Log::default() };
    log.write(said(&[(0, 5, said_by(&subjects, 1, "STOP", 0))]));
    log.write(said(&[(0, 40, start), (0, 39, stop.clone())]));
    assert!(log.in_force(&stop[0].record).is_some());
}

/// What happens next in a random world.
#[derive(Debug, Clone)]
enum Happens {
    /// A person says something, and the log takes it into a partition.
    Says { who: usize, stop: bool, partition: usize },
    /// A gateway writes one of its last messages again.
    Again { back: usize, partition: usize },
    /// So many events of these partitions are read and written; the process may die before it commits them.
    Read { from: usize, partitions: usize, most: usize, dies: bool },
}

fn happens() -> impl Strategy<Value = Happens> {
    let says = (0..2usize, any::<bool>(), 0..3usize);
    let reads = (0..3usize, 1..4usize, 1..5usize, any::<bool>());
    prop_oneof![
        says.prop_map(|(who, stop, partition)| Happens::Says { who, stop, partition }),
        (0..4usize, 0..3usize).prop_map(|(back, partition)| Happens::Again { back, partition }),
        reads.prop_map(|(from, partitions, most, dies)| Happens::Read { from, partitions, most, dies }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Guarantees (G1): through batches of any cut, partitions read in any order, messages that are written again and crashes between ack
    /// and commit, nobody who said STOP, and was heard, is lifted by a START that was said before it. At no moment, not only in the end.
    /// Fails when: a start is compared with nothing; or with the time of the last stop's event, which may be an older one said again.
    #[test]
    fn g1_no_start_lifts_a_stop_that_was_said_after_it(story in proptest::collection::vec(happens(), 1..60)) {
        let subjects = subjects();
        let mut log = Log::default();
        let mut inbound: [Vec<(UnixMs, usize, usize, bool)>; 3] = Default::default();
        let mut committed = [0usize; 3];
        // The latest stop of each person that is acked, by when it was said; and when each message was said.
        let mut heard = [0; 2];
        let mut lifted = [0; 2];
        let mut said_at: Vec<UnixMs> = Vec::new();
        let mut messages = Vec::new();
        for what in story {
            log.now += 1;
            match what {
                Happens::Says { who, stop, partition } => {
                    messages.push((said_at.len(), who, stop));
                    inbound[partition].push((log.now, said_at.len(), who, stop));
                    said_at.push(log.now);
                }
                Happens::Again { back, partition } => {
                    if let Some((id, who, stop)) = messages.iter().rev().nth(back) {
                        inbound[partition].push((log.now, *id, *who, *stop));
                    }
                }
                Happens::Read { from, partitions, most, dies } => {
                    let mut batch = Said::default();
                    let mut next = committed;
                    let mut stops = Vec::new();
                    for partition in (from..from + partitions).map(|p| p % 3) {
                        for (at, id, who, stop) in inbound[partition].iter().skip(next[partition]).take(most) {
                            let text = if *stop { "stop" } else { "start" };
                            let made = said_by(&subjects, *who, text, *id);
                            batch.take(i32::try_from(partition).expect("three"), *at, said_at[*id], made);
                            if *stop { stops.push((*who, said_at[*id])); }
                        }
                        next[partition] = (next[partition] + most).min(inbound[partition].len());
                    }
                    log.write(batch);
                    for (who, at) in stops { heard[who] = at.max(heard[who]); }
                    if !dies { committed = next; }
                }
            }
            for (who, heard) in heard.iter().enumerate() {
                let sample = said_by(&subjects, who, "STOP", 0);
                let Some((latest, _)) = log.latest.get(&key(&sample[0].record)) else { continue };
                if latest.state == State::Lifted {
                    // An older start may be written after a newer one has lifted everything.
                    let id: usize = latest.evidence[2..].parse().expect("the message's number");
                    lifted[who] = said_at[id].max(lifted[who]);
                    prop_assert!(lifted[who] > *heard, "lifted by what was said at {}, stopped at {heard}", lifted[who]);
                }
            }
        }
    }
}
