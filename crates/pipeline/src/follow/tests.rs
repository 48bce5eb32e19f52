//! What is read of the suppression log, and where reading ends.

use std::sync::mpsc;

use super::*;
use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{Acked, KeyedRecord};
use tamis_campaign::{Identity, RecordReason, Source};
use tamis_subject::{Key, Region};
use tamis_telemetry::Exposition;
use tamis_wire::record::{Scope, State};

struct Desk {
    reader: Reader,
    metrics: Metrics,
    exposition: Exposition,
}

impl Desk {
    fn new(skip_unreadable: bool) -> Self {
        let key = Key::generate().expect("the system has random bytes");
        let subjects = Subjects::new(&key, Region::parse("FR").expect("FR is a region"));
        let (metrics, exposition) = Metrics::install();
        Self { reader: Reader::new(4, subjects, skip_unreadable), metrics, exposition }
    }

    fn read(&mut self, partition: i32, offset: i64, (key, value): &(Vec<u8>, Vec<u8>)) -> Option<Step> {
        let record = LogRecord { partition, offset, timestamp_ms: 1, key, value: Some(value) };
        self.reader.read(&self.metrics, &record)
    }

    fn counted(&self, kind: &str) -> Option<String> {
        let line = format!("tamis_errors_total{{stage=\"follow\",kind=\"{kind}\"}} ");
        self.exposition.render().lines().find_map(|had| had.strip_prefix(&line).map(ToOwned::to_owned))
    }
}

fn opt_out() -> Record {
    Record {
        subject: Subject::from_bytes([7; 16]),
        identity: Identity::Phone,
        scope: Scope::Platform,
        channel: None,
        reason: RecordReason::Objected,
        state: State::InForce,
        effective_at_ms: 0,
        expires_at_ms: 0,
        source: Source::Api,
        evidence: "".into(),
        scheme: SCHEME,
    }
}

fn written(record: &Record) -> (Vec<u8>, Vec<u8>) {
    (record::key(record), record::encode(record))
}

/// No protobuf, a field out of range, a key of another record, a control record of a kind that
/// is not known.
fn unreadable() -> [(Vec<u8>, Vec<u8>); 4] {
    let (key, value) = written(&opt_out());
    [
        (b"key".to_vec(), b"no protobuf".to_vec()),
        (key.clone(), [&value[..], &[0x38, 99]].concat()),
        ([&key[..], b"x"].concat(), value),
        (vec![0, 9], Vec::new()),
    ]
}

/// Guarantees (G5): past a record that can't be read, nothing of its partition is taken any more, it is named, and other
/// partitions go on.
#[test]
fn the_filter_goes_no_further_than_a_record_that_cannot_be_read_g5() {
    for bad in unreadable() {
        let mut desk = Desk::new(false);
        assert!(matches!(desk.read(3, 16, &written(&opt_out())), Some(Step::Apply { .. })));
        assert_eq!(desk.reader.stuck_at(), None);
        assert!(desk.read(3, 17, &bad).is_none());
        assert!(desk.read(3, 18, &written(&opt_out())).is_none());
        assert!(desk.read(3, 19, &record::heartbeat()).is_none());
        assert!(desk.read(3, 20, &bad).is_none());
        assert!(matches!(desk.read(1, 5, &written(&opt_out())), Some(Step::Apply { .. })));
        let told = "record at partition 3 offset 17 cannot be read: holding";
        assert_eq!(desk.reader.stuck_at().as_deref(), Some(told));
        assert_eq!(desk.counted("unreadable_record").as_deref(), Some("1"));
        assert!(desk.read(1, 6, &bad).is_none());
        let told = "record at partition 1 offset 6, partition 3 offset 17 cannot be read: holding";
        assert_eq!(desk.reader.stuck_at().as_deref(), Some(told));
    }
}

/// Guarantees: where an operator wrote it, a record that can't be read is counted and passed over, and what comes after it
/// counts; another key than the log's is no such record.
#[test]
fn a_record_that_cannot_be_read_is_passed_over_where_that_is_written() {
    let mut desk = Desk::new(true);
    for (offset, bad) in (17..).zip(&unreadable()) {
        assert!(matches!(desk.read(3, offset, bad), Some(Step::Advance)));
    }
    assert!(matches!(desk.read(3, 21, &written(&opt_out())), Some(Step::Apply { .. })));
    assert_eq!(desk.reader.stuck_at(), None);
    assert_eq!(desk.counted("skipped_record").as_deref(), Some("4"));
    assert_eq!(desk.counted("unreadable_record"), None);
    desk.read(0, 0, &record::key_check(SCHEME, [1; 16]));
    assert!(desk.reader.wrong_key && !desk.reader.key_checked);
}

/// Guarantees (G5): a record of a scheme that this key has no step for holds, and says what is missing; where an operator wrote
/// it, it is passed over. The key check of a later scheme holds whatever is written: it is in the log before any such record,
/// and no answer of the barrier is reached without it.
#[test]
fn a_record_of_a_later_scheme_holds_for_want_of_the_key_g5() {
    for scheme in [SCHEME + 1, 99] {
        let later = written(&Record { scheme, ..opt_out() });
        let mut desk = Desk::new(false);
        assert!(desk.read(2, 4, &later).is_none());
        assert!(desk.reader.outdated);
        let told = desk.reader.stuck_at().expect("it holds");
        assert!(told.contains("partition 2 offset 4") && told.contains("new key file"), "{told}");
        let mut desk = Desk::new(true);
        assert!(matches!(desk.read(2, 4, &later), Some(Step::Advance)));
        assert!(!desk.reader.outdated);
        desk.reader.loaded = true;
        assert!(desk.read(2, 5, &record::key_check(SCHEME + 1, [1; 16])).is_none());
        assert!(desk.reader.outdated);
    }
}

/// A writer whose records never arrive: the key check does not come back, so that loading does not end.
struct Deaf;

impl Recorder for Deaf {
    fn partitions(&self) -> u32 {
        4
    }

    fn submit(&self, _records: Vec<KeyedRecord>, _acked: Acked) {}
}

/// Guarantees: while the filter loads, `/readyz` says how far it is, and is red.
#[test]
fn loading_is_told_while_it_lasts() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config { partitions: 4, ..Config::default() };
    let bus = Embedded::open(dir.path(), config).expect("an empty folder can be opened");
    let recorder = bus.recorder().expect("records can be written");
    let (sender, acked) = mpsc::channel();
    let beats = (0..3).map(|partition| {
        let (key, value) = record::heartbeat();
        KeyedRecord::new(partition, key, value)
    });
    recorder.submit(beats.collect(), Box::new(move |answer| drop(sender.send(answer))));
    acked.recv_timeout(Duration::from_secs(30)).expect("the log answers").expect("it takes them");
    let Desk { reader, metrics, .. } = Desk::new(false);
    let subjects = reader.subjects;
    let (health, stop) = (Health::new(), Arc::new(AtomicBool::new(false)));
    let follow = Follow {
        bus,
        recorder: Arc::new(Deaf),
        subjects: subjects.clone(),
        skip_unreadable: false,
        filter: Filter::new(4, subjects.clone()),
        snapshots: None,
        offered: Offered::default(),
        metrics,
        health: health.clone(),
        stop: stop.clone(),
    };
    let thread = std::thread::spawn(move || follow.run(|| panic!("it was loaded")));
    let told = r#"{"check":"filter","ok":false,"detail":"loading: 3 records, 100 %"#;
    let since = Stopwatch::start();
    while !health.json_lines().contains(told) {
        assert!(since.elapsed() < Duration::from_secs(30), "{}", health.json_lines());
        std::thread::sleep(Duration::from_millis(10));
    }
    stop.store(true, Ordering::Relaxed);
    assert!(thread.join().expect("it does not panic").is_ok());
}
