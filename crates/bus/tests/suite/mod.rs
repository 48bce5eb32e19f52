//! What every [`Bus`] promises, whatever is behind it: each function takes a fresh, empty log of a single worker
//! and panics when a promise is broken.
//!
//! Kafka takes seconds for a group to form, so everything waits up to [`PATIENCE`].

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)]

pub mod following;
pub mod history;
pub mod purging;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tamis_bus::{
    Batch, Bus, EndOffsets, Error, Fault, Follower, Jobs, KeyedRecord, Ledger, OutRecord, OutTopic, Outgoing,
    Partition, Polled, Positions, ReadLimits, Recorder, Scheduler, Tail, TailTopic,
};
use tamis_campaign::Channel;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
const LIMITS: ReadLimits = ReadLimits {
    wait: Duration::from_millis(200),
    fill: Duration::from_millis(5),
    bytes_max: 1 << 20,
    records_max: 1_000,
};
const SMS: TailTopic = TailTopic::Deliveries(Channel::Sms);

/// A job as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub partition: Partition,
    pub offset: i64,
    pub value: Vec<u8>,
}

/// Waits for an ack that `submit` gets.
pub fn acked(submit: impl FnOnce(tamis_bus::Acked)) -> Result<Positions, Error> {
    let (sender, receiver) = mpsc::channel();
    submit(Box::new(move |answer| sender.send(answer).unwrap()));
    receiver.recv_timeout(PATIENCE).expect("an ack in time")
}

/// Sends jobs `range`, each with its number as value, and waits for every ack.
pub fn send_jobs<B: Bus>(bus: &B, range: Range<u32>) {
    let scheduler = bus.scheduler().unwrap();
    let (sender, receiver) = mpsc::channel();
    for number in range.clone() {
        let sender = sender.clone();
        let acked = Box::new(move |answer: Result<Positions, Error>| sender.send(answer.map(drop)).unwrap());
        scheduler.submit(&format!("job-{number}"), number.to_string().into_bytes(), acked);
    }
    for _ in range {
        receiver.recv_timeout(PATIENCE).expect("an ack in time").unwrap();
    }
}

/// Joins as the only worker: everything is assigned and the ledger is open.
pub fn join<B: Bus>(bus: &B) -> (B::Jobs, B::Ledger) {
    let (jobs, mut ledger) = bus.join(0).unwrap();
    ledger.replace(PATIENCE).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no assignment in time");
        match jobs.poll(&LIMITS).unwrap() {
            Polled::Assigned(partitions) => {
                jobs.assign(&partitions).unwrap();
                break;
            }
            Polled::Idle | Polled::Revoked => {}
            Polled::Batch(_) => panic!("jobs before an assignment"),
        }
    }
    (jobs, ledger)
}

/// Reads until there are `count` jobs.
pub fn read_jobs<J: Jobs>(jobs: &J, count: usize) -> Vec<Job> {
    let deadline = Instant::now() + PATIENCE;
    let mut read = Vec::new();
    while read.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} jobs in time", read.len());
        if let Polled::Batch(batch) = jobs.poll(&LIMITS).unwrap() {
            assert!(!batch.is_empty());
            read.extend(batch.records().map(|record| Job {
                partition: record.partition,
                offset: record.offset,
                value: record.value.expect("a value").to_vec(),
            }));
        }
    }
    assert_eq!(read.len(), count, "more jobs than were sent");
    read
}

/// Guarantees: a batch has no more records than it may have, and no more bytes than it may have and one record; all come in such
/// batches. Fails when: records that are here already are taken without looking at the limits.
pub fn a_batch_is_no_larger_than_it_may_be<B: Bus>(bus: &B) {
    let scheduler = bus.scheduler().unwrap();
    for number in 0..200u32 {
        acked(|acked| scheduler.submit(&format!("job-{number}"), vec![7; 100], acked)).unwrap();
    }
    let (jobs, _ledger) = join(bus);
    let deadline = Instant::now() + PATIENCE;
    let (mut read, mut fullest) = (0, [0; 2]);
    while read < 200 {
        assert!(Instant::now() < deadline, "{read} of 200 jobs in time");
        let (at, bytes_max, records_max, most) =
            if read < 100 { (0, 1 << 20, 8, 8) } else { (1, 950, 1_000, 10) };
        if let Polled::Batch(batch) = jobs.poll(&ReadLimits { bytes_max, records_max, ..LIMITS }).unwrap() {
            assert!(batch.len() <= most, "{} records, {most} are the most", batch.len());
            fullest[at] = batch.len().max(fullest[at]);
            read += batch.len();
        }
    }
    assert_eq!(fullest, [8, 10], "all were there");
}

/// What a router would write: each job copied to the SMS deliveries, with its offset.
pub fn copies(jobs: &[Job]) -> Outgoing {
    let mut outgoing = Outgoing { decided_at_ms: 1_795_476_789_000, ..Outgoing::default() };
    let mut offsets = BTreeMap::new();
    for job in jobs {
        let from = outgoing.arena.len();
        outgoing.arena.extend_from_slice(&job.value);
        let range = from..outgoing.arena.len();
        outgoing.records.push(OutRecord {
            topic: OutTopic::Deliveries(Channel::Sms),
            partition: job.partition,
            offset: job.offset,
            part: 0,
            key: range.clone(),
            value: range,
            traceparent: 0..0,
            tracestate: 0..0,
        });
        let next = offsets.entry(job.partition).or_insert(0);
        *next = job.offset.max(*next - 1) + 1;
    }
    outgoing.offsets = offsets.into_iter().collect();
    outgoing
}

/// A reader's group of its own: tests share a broker, and members of one group that read different topics make it deal its
/// partitions anew, so that what was read and not committed is read again.
pub fn group() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("gateway-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Reads a topic until nothing has come for a while and at least `count` records are there.
pub fn read_tail<T: Tail>(tail: &mut T, count: usize) -> Vec<(Partition, i64, Vec<u8>)> {
    let deadline = Instant::now() + PATIENCE;
    let mut read = Vec::new();
    loop {
        let brought = tail.poll(Duration::from_millis(300), 1_000, &mut |record| {
            read.push((record.partition, record.offset, record.value.to_vec()));
        });
        if brought.unwrap() == 0 && read.len() >= count {
            return read;
        }
        assert!(Instant::now() < deadline, "{} of {count} records in time", read.len());
    }
}

fn sorted_numbers(values: impl Iterator<Item = Vec<u8>>) -> Vec<u32> {
    let mut numbers: Vec<u32> = values.map(|v| String::from_utf8(v).unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

pub fn suppression(partition: Partition, key: &str, value: &str) -> KeyedRecord {
    KeyedRecord::new(partition, key.as_bytes().to_vec(), value.as_bytes().to_vec())
}

/// Guarantees: every acked job is read once, each partition's with offsets that rise from where it began.
pub fn jobs_are_read_in_order<B: Bus>(bus: &B) {
    send_jobs(bus, 0..500);
    let (jobs, _ledger) = join(bus);
    let read = read_jobs(&jobs, 500);
    let mut last = BTreeMap::new();
    for job in &read {
        let before = last.insert(job.partition, job.offset);
        assert!(before.is_none_or(|before| before < job.offset), "partition {} goes back", job.partition);
    }
    assert_eq!(sorted_numbers(read.into_iter().map(|job| job.value)), (0..500).collect::<Vec<_>>());
}

/// Guarantees: after a commit the results are visible and the offsets are moved, so that a rewind brings nothing again.
pub fn offsets_and_deliveries_are_committed_together<B: Bus>(bus: &B) {
    send_jobs(bus, 0..100);
    let (jobs, mut ledger) = join(bus);
    let read = read_jobs(&jobs, 100);
    ledger.append(&copies(&read)).unwrap();
    ledger.commit(PATIENCE).unwrap();
    jobs.rewind(PATIENCE).unwrap();
    send_jobs(bus, 100..110);
    let later = read_jobs(&jobs, 10);
    assert_eq!(sorted_numbers(later.into_iter().map(|job| job.value)), (100..110).collect::<Vec<_>>());
    let delivered = read_tail(&mut bus.tail(SMS, &group(), true).unwrap(), 100);
    assert_eq!(sorted_numbers(delivered.into_iter().map(|(_, _, v)| v)), (0..100).collect::<Vec<_>>());
}

/// Guarantees: what was aborted is never visible, and its jobs are read again after a rewind (G4).
pub fn an_aborted_transaction_shows_nothing_and_its_jobs_come_again<B: Bus>(bus: &B) {
    send_jobs(bus, 0..50);
    let (jobs, mut ledger) = join(bus);
    let first = read_jobs(&jobs, 50);
    ledger.append(&copies(&first)).unwrap();
    match ledger.abort() {
        Ok(()) => {}
        Err(Fault::Replace(_) | Fault::Abort(_)) => ledger.replace(PATIENCE).unwrap(),
    }
    jobs.rewind(PATIENCE).unwrap();
    let again = read_jobs(&jobs, 50);
    assert_eq!(sorted_numbers(again.iter().map(|j| j.value.clone())), (0..50).collect::<Vec<_>>());
    let mut tail = bus.tail(SMS, &group(), true).unwrap();
    assert_eq!(read_tail(&mut tail, 0), [], "an aborted delivery is visible");
    ledger.append(&copies(&again)).unwrap();
    ledger.commit(PATIENCE).unwrap();
    let delivered = read_tail(&mut tail, 50);
    assert_eq!(sorted_numbers(delivered.into_iter().map(|(_, _, v)| v)), (0..50).collect::<Vec<_>>());
}

/// Guarantees: jobs that were read but not committed come again to the next process; committed ones don't.
/// `open` opens the same log again once the earlier one is dropped.
pub fn jobs_not_committed_come_again_to_the_next_process<B: Bus>(open: impl Fn() -> Arc<B>) {
    let bus = open();
    send_jobs(&*bus, 0..40);
    let (jobs, mut ledger) = join(&*bus);
    let mut read = read_jobs(&jobs, 40);
    read.sort_by_key(|job| (job.partition, job.offset));
    let partition = read[0].partition;
    let (done, left): (Vec<_>, Vec<_>) = read.into_iter().partition(|job| job.partition == partition);
    ledger.append(&copies(&done)).unwrap();
    ledger.commit(PATIENCE).unwrap();
    ledger.append(&copies(&left)).unwrap();
    drop((jobs, ledger, bus));

    let bus = open();
    let (jobs, _ledger) = join(&*bus);
    let mut again = read_jobs(&jobs, left.len());
    again.sort_by_key(|job| (job.partition, job.offset));
    assert_eq!(again, left);
    let delivered = read_tail(&mut bus.tail(SMS, &group(), true).unwrap(), done.len());
    assert_eq!(delivered.len(), done.len());
}

/// Guarantees: an older ledger under the same name can't write any more, so that nothing is doubled.
pub fn a_replaced_ledger_is_fenced<B: Bus>(bus: &B) {
    send_jobs(bus, 0..10);
    let (jobs, mut old) = join(bus);
    let read = read_jobs(&jobs, 10);
    old.append(&copies(&read)).unwrap();
    let (_other, mut new) = bus.join(0).unwrap();
    new.replace(PATIENCE).unwrap();
    assert!(old.commit(PATIENCE).is_err(), "a fenced ledger has committed");
    assert_eq!(read_tail(&mut bus.tail(SMS, &group(), true).unwrap(), 0), []);
}

/// Guarantees: whoever asks for the end offsets after an ack sees at least what was acked (the barrier, G1).
pub fn end_offsets_never_lag_an_ack<B: Bus>(bus: &B) {
    let (recorder, mut ends) = (bus.recorder().unwrap(), bus.end_offsets().unwrap());
    for round in 0..200 {
        let partition = (round % recorder.partitions()) as Partition;
        let record = suppression(partition, &format!("key-{}", round % 7), &round.to_string());
        let reached = acked(|acked| recorder.submit(vec![record], acked)).unwrap();
        let asked = ends.ask(PATIENCE).unwrap();
        assert!(asked.reaches(&reached), "round {round}: {asked:?} does not reach {reached:?}");
        for (other, next) in reached.as_slice().iter().enumerate() {
            assert_eq!(
                *next == -1,
                other != partition as usize,
                "positions of partitions not touched are -1"
            );
        }
    }
}

/// Guarantees: a follower from the beginning gets each key's last value last, and reaches the end offsets,
/// over whatever gaps compaction leaves.
pub fn a_follower_reaches_the_end_over_gaps<B: Bus>(bus: &B) {
    let (recorder, mut ends) = (bus.recorder().unwrap(), bus.end_offsets().unwrap());
    for round in 0..20 {
        let records = (0..30).map(|key| {
            let partition = (key % recorder.partitions()) as Partition;
            suppression(partition, &format!("key-{}", key % 11), &format!("{round}/{key}"))
        });
        acked(|acked| recorder.submit(records.collect(), acked)).unwrap();
    }
    let end = ends.ask(PATIENCE).unwrap();
    let mut position = Positions::zero(end.as_slice().len());
    let mut values = BTreeMap::new();
    let mut follower = bus.follower(&position).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !position.reaches(&end) {
        assert!(Instant::now() < deadline, "stands at {position:?} of {end:?}");
        follower
            .poll(Duration::from_millis(200), 7, &mut |record| {
                let at = &mut position.as_mut_slice()[record.partition as usize];
                assert!(record.offset >= *at, "offsets go back");
                *at = record.offset + 1;
                values.insert((record.partition, record.key.to_vec()), record.value.map(<[u8]>::to_vec));
            })
            .unwrap();
    }
    let mut expected = BTreeMap::new();
    for key in 0..30 {
        let partition = (key % recorder.partitions()) as Partition;
        let name = format!("key-{}", key % 11).into_bytes();
        expected.insert((partition, name), Some(format!("19/{key}").into_bytes()));
    }
    assert_eq!(values, expected);
}

/// Guarantees: after a tombstone a new follower finds nothing under its key, or the tombstone last; the end offsets reach
/// what it was acked with, and so does whoever follows once one more record is there.
pub fn a_tombstone_leaves_nothing_under_its_key<B: Bus>(bus: &B) {
    let (recorder, mut ends) = (bus.recorder().unwrap(), bus.end_offsets().unwrap());
    let write = |record| acked(|acked| recorder.submit(vec![record], acked)).unwrap();
    write(suppression(0, "kept", "1"));
    write(suppression(0, "gone", "1"));
    let gone = KeyedRecord { value: None, ..suppression(0, "gone", "") };
    let reached = write(gone);
    assert!(ends.ask(PATIENCE).unwrap().reaches(&reached));
    let end = write(suppression(0, "beat", "1")).as_slice()[0];
    let mut values = BTreeMap::new();
    let mut follower = bus.follower(&Positions::zero(recorder.partitions() as usize)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut position = 0;
    while position < end {
        assert!(Instant::now() < deadline, "stands at {position} of {end}");
        follower
            .poll(Duration::from_millis(200), 7, &mut |record| {
                position = record.offset + 1;
                values.insert(record.key.to_vec(), record.value.map(<[u8]>::to_vec));
            })
            .unwrap();
    }
    values.retain(|_, value| value.is_some());
    let kept = |key: &str| (key.as_bytes().to_vec(), Some(b"1".to_vec()));
    assert_eq!(values, BTreeMap::from([kept("beat"), kept("kept")]));
}

/// Guarantees: groups commit on their own; one that comes back goes on where it committed.
pub fn a_tail_goes_on_where_its_group_committed<B: Bus>(bus: &B) {
    let (jobs, mut ledger) = join(bus);
    let mut route = |range: Range<u32>| {
        let count = range.len();
        send_jobs(bus, range);
        ledger.append(&copies(&read_jobs(&jobs, count))).unwrap();
        ledger.commit(PATIENCE).unwrap();
    };
    route(0..20);
    let first = group();
    let mut tail = bus.tail(SMS, &first, true).unwrap();
    assert_eq!(read_tail(&mut tail, 20).len(), 20);
    tail.commit().unwrap();
    drop(tail);
    route(20..25);
    let mut again = bus.tail(SMS, &first, true).unwrap();
    let later = read_tail(&mut again, 5);
    assert_eq!(sorted_numbers(later.into_iter().map(|(_, _, v)| v)), (20..25).collect::<Vec<_>>());
    assert_eq!(read_tail(&mut bus.tail(SMS, &group(), true).unwrap(), 25).len(), 25);
}

/// Guarantees: a result carries the headers of the contract (section 2), with the source's place as id.
pub fn results_carry_their_source_as_id<B: Bus>(bus: &B) {
    send_jobs(bus, 0..1);
    let (jobs, mut ledger) = join(bus);
    let read = read_jobs(&jobs, 1);
    ledger.append(&copies(&read)).unwrap();
    ledger.commit(PATIENCE).unwrap();
    let mut seen = BTreeMap::new();
    let mut tail = bus.tail(SMS, &group(), true).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while seen.is_empty() && Instant::now() < deadline {
        tail.poll(Duration::from_millis(200), 1, &mut |record| {
            for (name, value) in &record.headers {
                seen.insert((*name).to_owned(), String::from_utf8(value.to_vec()).unwrap());
            }
        })
        .unwrap();
    }
    assert_eq!(seen["ce_specversion"], "1.0");
    assert_eq!(seen["ce_type"], "tamis.delivery.v1");
    assert_eq!(seen["content-type"], "application/protobuf");
    let place = format!(".send-jobs.v1/{}/{}", read[0].partition, read[0].offset);
    assert!(seen["ce_id"].ends_with(&place), "{}", seen["ce_id"]);
    assert!(seen["ce_time"].starts_with("2026-11-23T23:33:09"), "{}", seen["ce_time"]);
}
