//! What is read of the suppression log, and where reading ends.

use std::sync::mpsc;

use super::*;
use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{Acked, KeyedRecord};
use tamis_campaign::Source;
use tamis_subject::{Key, Region};
use tamis_telemetry::Exposition;
use tamis_wire::record::Scope;

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
    Record { reason: RecordReason::Objected, ..Record::plain(Subject::from_bytes([7; 16]), Scope::Platform) }
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

fn write(recorder: &dyn Recorder, records: Vec<KeyedRecord>) -> Positions {
    let (sender, acked) = mpsc::channel();
    recorder.submit(records, Box::new(move |answer| drop(sender.send(answer))));
    acked.recv_timeout(Duration::from_secs(30)).expect("the log answers").expect("it takes them")
}

fn wait(told: impl Fn() -> String, done: impl Fn(&str) -> bool) {
    let since = Stopwatch::start();
    while !done(&told()) {
        assert!(since.elapsed() < Duration::from_secs(30), "{}", told());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Guarantees: from the log's time to now, never less than nothing; from when it is to count where that is later; lifts and
/// consents are no opt-outs.
#[test]
fn an_opt_out_is_timed_from_when_the_log_took_it() {
    let now = 1_000_000;
    let after = |record: &Record, recorded_at_ms| effective_after(record, recorded_at_ms, now);
    assert_eq!(after(&opt_out(), now - 250), Some(0.25));
    assert_eq!(after(&opt_out(), now + 250), Some(0.0));
    let later = |effective_at_ms| Record { effective_at_ms, ..opt_out() };
    assert_eq!(after(&later(now - 100), now - 60_000), Some(0.1));
    assert_eq!(after(&later(now + 60_000), now - 60_000), Some(0.0));
    let of = |reason| Record { reason, ..opt_out() };
    assert_eq!(after(&of(RecordReason::ConsentWithdrawn), now), Some(0.0));
    assert_eq!(after(&of(RecordReason::Consent), now), None);
    assert_eq!(after(&Record { state: State::Lifted, ..opt_out() }, now), None);
}

/// Guarantees: whatever door an opt-out came in by, it is timed once, under that door's name, when the filter has it; those that were
/// there at the start are not, nor is what stops nobody, nor a copy that a rotation makes.
#[test]
fn opt_outs_of_every_door_are_timed() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config { partitions: 4, ..Config::default() };
    let bus = Embedded::open(dir.path(), config).expect("an empty folder can be opened");
    let recorder: Arc<dyn Recorder> = Arc::new(bus.recorder().expect("records can be written"));
    let Desk { reader, metrics, exposition } = Desk::new(false);
    let subjects = reader.subjects;
    let keyed = |record: &Record| {
        let (key, value) = written(record);
        KeyedRecord::new(record::partition_of(&record.subject, 4), key, value)
    };
    write(&*recorder, vec![keyed(&opt_out())]);
    let stop = Arc::new(AtomicBool::new(false));
    let filter = Filter::new(4, subjects.clone());
    let follow = Follow {
        bus,
        recorder: recorder.clone(),
        subjects: subjects.clone(),
        skip_unreadable: false,
        filter: filter.clone(),
        snapshots: None,
        offered: Offered::default(),
        metrics,
        health: Health::new(),
        stop: stop.clone(),
    };
    let thread = std::thread::spawn(move || follow.run(|| ()));
    wait(|| filter.is_loaded().to_string(), |loaded| loaded == "true");
    for source in Source::ALL {
        let said = Record { source: *source, ..opt_out() };
        // Of other people: this log keeps only the last record of a key.
        let of = |n| Record { subject: Subject::from_bytes([n; 16]), ..said.clone() };
        let consent = Record { reason: RecordReason::Consent, ..of(8) };
        let lift = Record { state: State::Lifted, ..of(9) };
        let copied = of(10);
        let copy = record::encode_copy(&copied, 1);
        let copy = KeyedRecord::new(record::partition_of(&copied.subject, 4), record::key(&copied), copy);
        let end = write(&*recorder, vec![keyed(&said), keyed(&lift), keyed(&consent), copy]);
        wait(|| format!("{:?}", filter.position()), |_| filter.position().reaches(&end));
    }
    stop.store(true, Ordering::Relaxed);
    assert!(thread.join().expect("it does not panic").is_ok());
    let text = exposition.render();
    for source in Source::ALL {
        let line = format!("tamis_optout_effective_seconds_count{{source=\"{}\"}} 1", source.as_str());
        assert!(text.lines().any(|had| had == line), "{line} is not in\n{text}");
    }
}

/// Guarantees: while the filter loads, `/readyz` says how far it is, and is red.
#[test]
fn loading_is_told_while_it_lasts() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config { partitions: 4, ..Config::default() };
    let bus = Embedded::open(dir.path(), config).expect("an empty folder can be opened");
    let beats = (0..3).map(|partition| {
        let (key, value) = record::heartbeat();
        KeyedRecord::new(partition, key, value)
    });
    write(&bus.recorder().expect("records can be written"), beats.collect());
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
    wait(|| health.json_lines(), |lines| lines.contains(told));
    stop.store(true, Ordering::Relaxed);
    assert!(thread.join().expect("it does not panic").is_ok());
}
