//! The embedded log under kill -9: nothing that was acked is lost, nothing is delivered twice (G4).
//!
//! The process that is killed is this very test, started again with a directory in its environment. It does not
//! prove anything about a loss of power: the kernel keeps what a killed process has written.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod suite;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use suite::{PATIENCE, copies, join, read_tail};
use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{
    Batch, Bus, Follower, Jobs, KeyedRecord, Ledger, Polled, ReadLimits, Recorder, Scheduler, TailTopic,
};
use tamis_campaign::Channel;

const DIR: &str = "TAMIS_TEST_KILLED_DIR";
const ROUND: &str = "TAMIS_TEST_KILLED_ROUND";
const KILLS: usize = 20;
/// Jobs, and records, that wait for their ack at most.
const OUTSTANDING: usize = 64;

fn open(dir: &Path) -> Arc<Embedded> {
    Embedded::open(dir, Config { partitions: 4, ..Config::default() }).unwrap()
}

/// Routes what is there, until a read brings nothing, if `to_the_end`; else for ever.
fn route(bus: &Embedded, to_the_end: bool) {
    let (jobs, mut ledger) = join(bus);
    let limits = ReadLimits {
        wait: Duration::from_millis(100),
        fill: Duration::from_millis(1),
        bytes_max: 1 << 16,
        records_max: 100,
    };
    loop {
        match jobs.poll(&limits).unwrap() {
            Polled::Batch(batch) => {
                let read: Vec<_> = batch
                    .records()
                    .map(|record| suite::Job {
                        partition: record.partition,
                        offset: record.offset,
                        value: record.value.unwrap().to_vec(),
                    })
                    .collect();
                ledger.append(&copies(&read)).unwrap();
                ledger.commit(PATIENCE).unwrap();
            }
            Polled::Idle if to_the_end => return,
            Polled::Idle | Polled::Assigned(_) | Polled::Revoked => {}
        }
    }
}

/// Submits numbers without end, and notes each in `file` once it is acked.
fn submit_for_ever(file: PathBuf, first: usize, submit: impl Fn(usize, tamis_bus::Acked)) {
    let outstanding = Arc::new(AtomicUsize::new(0));
    for number in first.. {
        while outstanding.load(Ordering::SeqCst) >= OUTSTANDING {
            thread::sleep(Duration::from_micros(100));
        }
        outstanding.fetch_add(1, Ordering::SeqCst);
        let (file, outstanding) = (file.clone(), Arc::clone(&outstanding));
        let acked: tamis_bus::Acked = Box::new(move |answer| {
            answer.unwrap();
            let mut file = OpenOptions::new().create(true).append(true).open(&file).unwrap();
            file.write_all(format!("{number}\n").as_bytes()).unwrap();
            outstanding.fetch_sub(1, Ordering::SeqCst);
        });
        submit(number, acked);
    }
}

#[test]
#[ignore = "the process that the kill test starts and kills"]
fn process_to_be_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = PathBuf::from(dir);
    let round: usize = std::env::var_os(ROUND).unwrap().to_str().unwrap().parse().unwrap();
    let (bus, first) = (open(&dir), round * 1_000_000);
    let (scheduler, recorder) = (bus.scheduler().unwrap(), bus.recorder().unwrap());
    let (jobs_file, records_file) = (dir.join("acked-jobs"), dir.join("acked-records"));
    thread::spawn(move || {
        submit_for_ever(jobs_file, first, |number, acked| {
            scheduler.submit(&number.to_string(), number.to_string().into_bytes(), acked);
        });
    });
    thread::spawn(move || {
        submit_for_ever(records_file, first, |number, acked| {
            let (key, value) = (number.to_string().into_bytes(), vec![1; 40]);
            recorder.submit(vec![KeyedRecord::new((number % 4) as i32, key, value)], acked);
        });
    });
    route(&bus, false);
}

fn noted(file: &Path) -> BTreeSet<usize> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn killed_again_and_again_it_loses_nothing_acked_and_delivers_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {random}");
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "process_to_be_killed"])
            .envs([(DIR, dir.path().as_os_str()), (ROUND, round.to_string().as_ref())])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_millis(40 + random % 200));
        assert!(child.try_wait().unwrap().is_none(), "the process has ended before it was killed");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    let bus = open(dir.path());
    route(&bus, true);
    let (jobs, records) = (noted(&dir.path().join("acked-jobs")), noted(&dir.path().join("acked-records")));
    assert!(jobs.len() > KILLS && records.len() > KILLS, "too little was done to prove anything");

    let mut tail = bus.tail(TailTopic::Deliveries(Channel::Sms), "gateway", true).unwrap();
    let delivered = read_tail(&mut tail, jobs.len());
    let once: BTreeSet<usize> =
        delivered.iter().map(|(_, _, value)| std::str::from_utf8(value).unwrap().parse().unwrap()).collect();
    assert_eq!(once.len(), delivered.len(), "a job was delivered twice");
    let lost: Vec<_> = jobs.difference(&once).collect();
    assert!(lost.is_empty(), "{} acked jobs were never delivered", lost.len());

    let mut kept = BTreeSet::new();
    let mut follower = bus.follower(&tamis_bus::Positions::zero(4)).unwrap();
    let mut each = |record: tamis_bus::LogRecord<'_>| {
        kept.insert(std::str::from_utf8(record.key).unwrap().parse::<usize>().unwrap());
    };
    while follower.poll(Duration::ZERO, 10_000, &mut each).unwrap() > 0 {}
    let lost: Vec<_> = records.difference(&kept).collect();
    assert!(lost.is_empty(), "{} acked suppression records are lost", lost.len());
    println!("{} jobs and {} records acked over {KILLS} kills", jobs.len(), records.len());
}
