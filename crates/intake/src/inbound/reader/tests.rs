//! The order of things: records and their ack, and only then offsets and dead letters, in one transaction. A log that is made of lists.

use std::sync::Arc;

use parking_lot::Mutex;
use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{Acked, OutTopic, Positions, Recorder};
use tamis_campaign::InboundKind;
use tamis_pipeline::Filter;
use tamis_policy::Current;
use tamis_subject::{Key, Region};
use tamis_telemetry::{Exposition, Health, Metrics};
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1 as proto;

use super::*;
use crate::JobTenants;

/// One partition of `inbound`, its group, and what was done, in order.
#[derive(Default)]
struct World {
    events: Vec<Vec<u8>>,
    joined: bool,
    paused: bool,
    /// The next event to read, the one that is committed, and the one that a commit would commit.
    next: usize,
    committed: usize,
    appended: usize,
    /// What the suppression log and the end of the next transaction answer.
    refuses: bool,
    loses: bool,
    done: Vec<String>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

struct Read(Vec<(usize, Vec<u8>)>);

impl Batch for Read {
    fn records(&self) -> impl Iterator<Item = JobRecord<'_>> {
        self.0.iter().map(|(at, value)| JobRecord {
            partition: 0,
            offset: i64::try_from(*at).unwrap(),
            timestamp_ms: 1,
            value: Some(value),
            traceparent: None,
            tracestate: None,
        })
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl Jobs for Fake {
    type Batch<'a> = Read;

    fn poll(&self, _: &ReadLimits) -> Result<Polled<Read>, Error> {
        let mut world = self.0.lock();
        if !std::mem::replace(&mut world.joined, true) {
            return Ok(Polled::Assigned(vec![0]));
        }
        if world.paused || world.next == world.events.len() {
            return Ok(Polled::Idle);
        }
        let read = world.events.iter().cloned().enumerate().skip(world.next).collect();
        world.next = world.events.len();
        Ok(Polled::Batch(Read(read)))
    }

    fn assign(&self, _: &[Partition]) -> Result<(), Error> {
        Ok(())
    }

    fn unassign(&self) -> Result<(), Error> {
        Ok(())
    }

    fn rewind(&self, _: Duration) -> Result<Vec<(Partition, Option<i64>)>, Error> {
        let mut world = self.0.lock();
        world.next = world.committed;
        Ok(Vec::new())
    }

    fn pause(&self) -> Result<(), Error> {
        self.0.lock().paused = true;
        Ok(())
    }

    fn resume(&self) -> Result<(), Error> {
        self.0.lock().paused = false;
        Ok(())
    }

    fn lag_records(&self) -> Option<u64> {
        None
    }
}

impl Ledger for Fake {
    fn append(&mut self, outgoing: &Outgoing) -> Result<(), Fault> {
        let mut world = self.0.lock();
        assert!(outgoing.records.iter().all(|record| record.topic == OutTopic::DeadLetters));
        world.appended = outgoing.offsets.first().map_or(0, |(_, next)| usize::try_from(*next).unwrap());
        let done = format!("{} letters to {}", outgoing.records.len(), world.appended);
        world.done.push(done);
        Ok(())
    }

    fn commit(&mut self, _: Duration) -> Result<(), Fault> {
        let mut world = self.0.lock();
        if std::mem::take(&mut world.loses) {
            return Err(Fault::Replace(Error::new("commit", Blame::Unreachable, "no answer")));
        }
        world.committed = world.appended;
        world.done.push("committed".to_owned());
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn replace(&mut self, _: Duration) -> Result<(), Error> {
        self.0.lock().done.push("replaced".to_owned());
        Ok(())
    }
}

impl EndOffsets for Fake {
    fn ask(&mut self, _: Duration) -> Result<Positions, Error> {
        Ok(Positions::zero(4))
    }
}

impl Recorder for Fake {
    fn partitions(&self) -> u32 {
        4
    }

    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked) {
        let refuses = std::mem::take(&mut self.0.lock().refuses);
        let answer = if refuses { "refused" } else { "acked" };
        self.0.lock().done.push(format!("{} records {answer}", records.len()));
        acked(if refuses {
            Err(Error::new("record", Blame::Unreachable, "no leader"))
        } else {
            Ok(Positions::zero(4))
        });
    }
}

/// A stop, what is no event, and another stop.
fn events() -> Vec<Vec<u8>> {
    let stop = |who: u32| proto::InboundEvent {
        gateway: "gateway-1".into(),
        message_id: format!("m-{who}"),
        kind: InboundKind::Reply.number(),
        channel: 1,
        address: format!("+3361234567{who}"),
        text: "STOP".into(),
        tenant: "acme".into(),
        ..Default::default()
    };
    vec![stop(1).encode_to_vec(), b"\xff no event".to_vec(), stop(2).encode_to_vec()]
}

/// What is done until the reader has committed, after `goes_wrong` once; and what was counted.
fn done(goes_wrong: impl FnOnce(&mut World)) -> (Vec<String>, Exposition) {
    let fake = Fake::default();
    fake.0.lock().events = events();
    goes_wrong(&mut fake.0.lock());
    let folder = tempfile::tempdir().unwrap();
    let bus = Embedded::open(folder.path(), Config::default()).unwrap();
    let (metrics, exposition) = Metrics::install();
    let subjects = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
    let parts = Parts {
        filter: Filter::new(4, subjects),
        recorder: Arc::new(fake.clone()),
        policy: Current::default(),
        tenants: JobTenants::read(bus, 4, Duration::ZERO, metrics.clone()),
        topic: "t.inbound.v1".to_owned(),
        metrics,
        health: Health::new(),
    };
    let stop = AtomicBool::new(false);
    let mut reader = Reader::new(fake.clone(), fake.clone(), fake.clone(), parts, &stop);
    for _ in 0..6 {
        // What fails is tried again.
        let _ = reader.step();
    }
    (std::mem::take(&mut fake.0.lock().done), exposition)
}

fn counted_once(exposition: &Exposition) {
    let text = exposition.render();
    for line in [
        r#"tamis_suppression_records_total{reason="stop_reply",source="reply"} 2"#,
        r#"tamis_dead_letters_total{code="BAD_TAG"} 1"#,
    ] {
        assert!(text.lines().any(|had| had == line), "{line} is not in\n{text}");
    }
}

/// Guarantees (G1): what is not durable is not committed: its events are read and recorded again, and with the ack the offsets go in one
/// transaction with the dead letter of what could not be read.
/// Fails when: offsets are committed before the ack or without it, or a dead letter is dropped.
#[test]
fn g1_offsets_and_dead_letters_are_committed_after_the_ack() {
    let (done, exposition) = done(|world| world.refuses = true);
    assert_eq!(done, ["replaced", "2 records refused", "2 records acked", "1 letters to 3", "committed"]);
    counted_once(&exposition);
}

/// Guarantees: when nobody knows how a transaction ended, its writer is replaced before anything else, and the events are read again from
/// what is committed; what is read twice counts once.
/// Fails when: the reader goes on from where it had read, or counts what it has not committed.
#[test]
fn what_was_not_committed_is_recorded_again_and_counts_once() {
    let (done, exposition) = done(|world| world.loses = true);
    let once = ["2 records acked", "1 letters to 3"];
    assert_eq!(done, [&["replaced"][..], &once, &["replaced"], &once, &["committed"]].concat());
    counted_once(&exposition);
}
