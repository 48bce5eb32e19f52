//! What single calls cost on a broker of one's own, on this machine: commit, barrier, poll, headers.
//!
//! `cargo run --release -p tamis-bus --example kafka_figures`. The broker shares the machine's cores, and its data
//! is in the page cache: figures to compare with each other, not with a cluster's.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tamis_bus::kafka::{Config, Kafka, topics};
use tamis_bus::{
    Batch, Bus, EndOffsets, Jobs, KeyedRecord, Ledger, OutRecord, OutTopic, Outgoing, Polled, ReadLimits,
    Recorder, Scheduler,
};
use tamis_campaign::Channel;

const PATIENCE: Duration = Duration::from_secs(30);
const JOBS: usize = 400_000;
const JOB_BYTES: usize = 430;

fn show(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |per_mille: usize| took[(took.len() - 1) * per_mille / 1_000];
    println!("{what}: median {:?}, p99 {:?}, of {}", at(500), at(990), took.len());
}

fn send_jobs(bus: &Kafka) {
    let scheduler = bus.scheduler().unwrap();
    let (sender, receiver) = mpsc::channel();
    for number in 0..JOBS {
        let sender = sender.clone();
        let acked = Box::new(move |answer: Result<_, _>| sender.send(answer.is_ok()).unwrap());
        scheduler.submit(&format!("job-{number}"), vec![b'x'; JOB_BYTES], acked);
    }
    drop(sender);
    assert!(receiver.iter().all(|ok| ok));
}

fn main() {
    let broker =
        kafka_harness::Broker::start(&kafka_harness::Options { tmpfs: true, ..Default::default() }).unwrap();
    let config = Config::new(broker.bootstrap());
    topics::apply(&config, PATIENCE).unwrap();
    let bus = Kafka::new(config).unwrap();

    let (recorder, mut ends) = (bus.recorder().unwrap(), bus.end_offsets().unwrap());
    let (mut acks, mut asks) = (Vec::new(), Vec::new());
    ends.ask(PATIENCE).unwrap();
    for round in 0..1_000 {
        let (sender, receiver) = mpsc::channel();
        let record = KeyedRecord::new(round % 8, vec![1; 32], vec![2; 60]);
        let began = Instant::now();
        recorder.submit(vec![record], Box::new(move |answer| sender.send(answer.unwrap()).unwrap()));
        receiver.recv().unwrap();
        acks.push(began.elapsed());
        let began = Instant::now();
        ends.ask(PATIENCE).unwrap();
        asks.push(began.elapsed());
    }
    show("one suppression acked (linger 1 ms)", acks);
    show("end offsets of 8 partitions", asks);

    send_jobs(&bus);
    let (jobs, mut ledger) = bus.join(0).unwrap();
    ledger.replace(PATIENCE).unwrap();
    let limits = ReadLimits {
        wait: Duration::from_millis(500),
        fill: Duration::from_millis(50),
        bytes_max: 8 << 20,
        records_max: 10_000,
    };
    let (mut read, mut polling, mut viewing) = (0, Duration::ZERO, Duration::ZERO);
    let (mut appends, mut commits, mut wrote, mut appending) =
        (Vec::new(), Vec::new(), 0_u32, Duration::ZERO);
    let whole = Instant::now();
    while read < JOBS {
        let began = Instant::now();
        match jobs.poll(&limits).unwrap() {
            Polled::Assigned(partitions) => jobs.assign(&partitions).unwrap(),
            Polled::Revoked => jobs.unassign().unwrap(),
            Polled::Idle => {}
            Polled::Batch(batch) => {
                polling += began.elapsed();
                let began = Instant::now();
                let outgoing = copies(&batch);
                viewing += began.elapsed();
                read += batch.len();
                let began = Instant::now();
                ledger.append(&outgoing).unwrap();
                appending += began.elapsed();
                wrote += u32::try_from(batch.len()).unwrap();
                appends.push(began.elapsed());
                let began = Instant::now();
                ledger.commit(PATIENCE).unwrap();
                commits.push(began.elapsed());
            }
        }
    }
    println!("copied {} jobs a second with one worker", read as u128 * 1_000 / whole.elapsed().as_millis());
    println!("poll {} ns a record (waiting included)", polling.as_nanos() / read as u128);
    println!("view and copy {} ns a record", viewing.as_nanos() / read as u128);
    println!("append {} ns a record, headers and offsets included", appending.as_nanos() / u128::from(wrote));
    show("append", appends);
    show("commit of up to 10,000 records", commits);

    let mut small = Vec::new();
    for _ in 0..1_000 {
        let outgoing = Outgoing { offsets: vec![(0, 1)], ..one_record() };
        ledger.append(&outgoing).unwrap();
        let began = Instant::now();
        ledger.commit(PATIENCE).unwrap();
        small.push(began.elapsed());
    }
    show("commit of one record", small);
    println!("kafka clients still being dropped: {}", tamis_bus::kafka::clients_being_dropped());
}

fn one_record() -> Outgoing {
    let mut outgoing = Outgoing { arena: vec![b'x'; JOB_BYTES], ..Outgoing::default() };
    outgoing.records.push(record(0, 0, 0..JOB_BYTES));
    outgoing
}

fn record(partition: i32, offset: i64, value: std::ops::Range<usize>) -> OutRecord {
    OutRecord {
        topic: OutTopic::Deliveries(Channel::Sms),
        partition,
        offset,
        part: 0,
        key: value.start..value.start + 12,
        value,
        traceparent: 0..0,
        tracestate: 0..0,
    }
}

fn copies(batch: &impl Batch) -> Outgoing {
    let mut outgoing = Outgoing::default();
    let mut offsets = BTreeMap::new();
    for job in batch.records() {
        let from = outgoing.arena.len();
        outgoing.arena.extend_from_slice(job.value.unwrap());
        outgoing.records.push(record(job.partition, job.offset, from..outgoing.arena.len()));
        offsets.insert(job.partition, job.offset + 1);
    }
    outgoing.offsets = offsets.into_iter().collect();
    outgoing
}
