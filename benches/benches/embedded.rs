//! The embedded log end to end: jobs submitted, read, copied to deliveries, committed and deleted, by one
//! worker; and what durability costs. A copy without any deciding is the ceiling of the line on this log. The
//! disk bounds it. `cargo bench -p tamis-benches --bench embedded`

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{Batch, Bus, Jobs, KeyedRecord, Ledger, OutRecord, OutTopic, Outgoing, Polled, ReadLimits};
use tamis_bus::{Recorder, Scheduler};
use tamis_campaign::Channel;

/// What the scheduler lets wait for its acks.
const OUTSTANDING_BYTES: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

fn copy(batch: &impl Batch, outgoing: &mut Outgoing) {
    outgoing.clear();
    let mut offsets = BTreeMap::new();
    for job in batch.records() {
        let from = outgoing.arena.len();
        outgoing.arena.extend_from_slice(job.value.unwrap());
        outgoing.records.push(OutRecord {
            topic: OutTopic::Deliveries(Channel::Sms),
            partition: job.partition,
            offset: job.offset,
            part: 0,
            key: 0..0,
            value: from..outgoing.arena.len(),
            traceparent: 0..0,
            tracestate: 0..0,
        });
        offsets.insert(job.partition, job.offset + 1);
    }
    outgoing.offsets.extend(offsets);
}

fn median(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let ms = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    (ms(50), ms(99))
}

fn line(count: usize, bytes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let bus = Embedded::open(dir.path(), Config::default()).unwrap();
    let scheduler = bus.scheduler().unwrap();
    let (sender, acks) = mpsc::channel::<Result<(), tamis_bus::Error>>();
    let begun = Instant::now();
    let outstanding = OUTSTANDING_BYTES / bytes;
    for number in 0..count {
        if number >= outstanding {
            acks.recv().unwrap().unwrap();
        }
        let sender = sender.clone();
        let acked = Box::new(move |answer: Result<_, _>| sender.send(answer.map(drop)).unwrap());
        scheduler.submit(&number.to_string(), vec![number as u8; bytes], acked);
    }
    (0..count.min(outstanding)).for_each(|_| acks.recv().unwrap().unwrap());
    let submitted = begun.elapsed();

    let (jobs, mut ledger) = bus.join(0).unwrap();
    ledger.replace(PATIENCE).unwrap();
    let limits = ReadLimits {
        wait: Duration::from_millis(100),
        fill: Duration::from_millis(10),
        bytes_max: 8 << 20,
        records_max: 10_000,
    };
    let (mut outgoing, mut done, mut commits) = (Outgoing::default(), 0, Vec::new());
    let begun = Instant::now();
    while done < count {
        match jobs.poll(&limits).unwrap() {
            Polled::Batch(batch) => {
                copy(&batch, &mut outgoing);
                done += batch.len();
                let begun = Instant::now();
                ledger.append(&outgoing).unwrap();
                ledger.commit(PATIENCE).unwrap();
                commits.push(begun.elapsed());
            }
            Polled::Assigned(partitions) => jobs.assign(&partitions).unwrap(),
            Polled::Idle | Polled::Revoked => {}
        }
    }
    let routed = begun.elapsed();
    let rate = |time: Duration| {
        let second = count as f64 / time.as_secs_f64();
        format!("{second:>8.0} jobs/s {:>5.0} MB/s", second * bytes as f64 / 1e6)
    };
    let (p50, p99) = median(commits);
    println!(
        "{count:>7} x {bytes:>6} B | submitted {} | routed {} | append+commit {p50:.2} ms p50 {p99:.2} p99",
        rate(submitted),
        rate(routed)
    );
}

fn suppression_acks() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Embedded::open(dir.path(), Config::default()).unwrap();
    let recorder = bus.recorder().unwrap();
    let times = (0..2_000_u32).map(|number| {
        let (sender, acks) = mpsc::channel();
        let record = KeyedRecord::new(0, number.to_be_bytes().to_vec(), vec![0; 60]);
        let begun = Instant::now();
        recorder.submit(vec![record], Box::new(move |answer| sender.send(answer.map(drop)).unwrap()));
        acks.recv().unwrap().unwrap();
        begun.elapsed()
    });
    let (p50, p99) = median(times.collect());
    println!("one suppression record, submitted to acked: {p50:.2} ms p50 {p99:.2} p99");
}

fn main() {
    suppression_acks();
    line(10_000, 40_000);
    line(300_000, 430);
}
