//! A suppression record that can't be read: the service holds and names it, and goes past it only where an operator wrote so.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{Bus, KeyedRecord, Recorder};
use tamis_campaign::{Channel, RecordReason};
use tamis_subject::{Key, Region, Subjects};
use tamis_tests::process::{self, Service, get};
use tamis_tests::{embedded, people, suite, tamis_bin};
use tamis_wire::record;

/// How long a service that holds is looked at.
const HELD: Duration = Duration::from_secs(4);

/// Writes a record that is none; its offset.
fn spoil(recorder: &dyn Recorder, partition: i32) -> i64 {
    let record = KeyedRecord::new(partition, b"spoilt".to_vec(), b"no record".to_vec());
    let (sender, acked) = mpsc::channel();
    recorder.submit(vec![record], Box::new(move |answer| drop(sender.send(answer))));
    let reached =
        acked.recv_timeout(Duration::from_secs(10)).expect("the log answers").expect("it takes anything");
    reached.as_slice()[partition as usize] - 1
}

/// Sends a job as `tamis jobs send` does.
fn send(config: &Path, job: &str) {
    let mut command = Command::new(tamis_bin())
        .args(["jobs", "send", "-", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut stdin = command.stdin.take().expect("it was piped");
    writeln!(stdin, "{job}").expect("the command reads");
    drop(stdin);
    assert!(command.wait().expect("it ends").success(), "the job is sent");
}

/// Guarantees (G5): a service whose log has a record that can't be read routes nothing, is not ready and says which record it
/// is. Started again with `suppression.skip_unreadable`, it says so, counts the record, goes past it, and honours what comes
/// after it. Fails when: the record is passed over unasked, or not named, or ends what comes after it.
#[test]
fn a_record_that_cannot_be_read_is_named_and_passed_over_only_where_that_is_written_g5() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let subjects = Subjects::new(&key, Region::parse("FR").expect("FR is a region"));
    let data = dir.path().join("data");
    let stop = people::record(&subjects, Channel::Sms, 1, "acme", None, RecordReason::StopReply);
    let bus = Embedded::open(&data, Config::default()).expect("an empty folder can be opened");
    let recorder = bus.recorder().expect("records can be written");
    let partition = record::partition_of(&stop.subject, recorder.partitions());
    assert_eq!(spoil(&recorder, partition), 0);
    suite::opt_out(&recorder, &[stop]);
    drop((recorder, bus));
    let lines = format!("kind = \"embedded\"\ndata_dir = \"{}\"", data.display());
    let (path, admin, api) = process::config(dir.path(), "one", &lines, "");
    let mut service = Service::start(&path, admin, api);
    let line = format!(
        r#"{{"check":"filter","ok":false,"detail":"record at partition {partition} offset 0 cannot be read: holding"}}"#
    );
    suite::wait("/readyz names the record", || {
        get(admin, "/readyz").is_some_and(|text| text.contains(&line))
    });
    let (stopped, other) =
        (people::recipient(Channel::Sms, 1).address, people::recipient(Channel::Sms, 2).address);
    send(
        &path,
        &format!(
            r#"{{"job_id":"j1","tenant":"acme","channel":"sms","content_text":"hello","recipients":[{{"address":"{stopped}"}},{{"address":"{other}"}}]}}"#
        ),
    );
    std::thread::sleep(HELD);
    let counted = |line: &str| get(admin, "/metrics").is_some_and(|text| text.lines().any(|had| had == line));
    let routed = r#"tamis_jobs_total{channel="sms",verdict="routed"} 1"#;
    assert!(!service.ready() && !counted(routed), "it goes on");
    assert_eq!(service.metric("tamis_holding"), Some(1.0));
    assert!(counted(r#"tamis_errors_total{stage="follow",kind="unreadable_record"} 1"#));
    assert!(service.stop().success());

    let skip = [("TAMIS_SUPPRESSION__SKIP_UNREADABLE", "true")];
    let mut service = Service::start_with(&path, admin, api, &skip);
    service.wait_ready();
    suite::wait("the job is routed", || counted(routed));
    assert!(counted(r#"tamis_errors_total{stage="follow",kind="skipped_record"} 1"#));
    assert!(counted(r#"tamis_recipients_total{channel="sms",outcome="forwarded",reason="none"} 1"#));
    assert!(counted(r#"tamis_recipients_total{channel="sms",outcome="suppressed",reason="stop_reply"} 1"#));
    let log = service.log();
    let passed = format!("passed over partition={partition} offset=0");
    for told in
        ["suppression.skip_unreadable: suppression records that can't be read are passed over", &passed]
    {
        assert!(log.contains(told), "{told} is not in\n{log}");
    }
    assert!(service.stop().success());
}

/// Guarantees (G5): the same of a record that comes to a service that runs; it is ready until then.
#[test]
fn a_record_that_cannot_be_read_stops_a_filter_that_was_loaded_g5() {
    let open = embedded::open();
    let bus = Arc::clone(&open.bus);
    let (running, health) = suite::start(&bus, &suite::subjects(), 1);
    let offset = spoil(&*running.recorder(), 3);
    let line = format!(
        r#"{{"check":"filter","ok":false,"detail":"record at partition 3 offset {offset} cannot be read: holding"}}"#
    );
    suite::wait("/readyz names the record", || health.json_lines().contains(&line));
    // Heartbeats come and go; it stays so.
    std::thread::sleep(HELD);
    let told = health.json_lines();
    assert!(told.contains(&line), "{told}");
    let fresh = r#"{"check":"freshness","ok":false"#;
    assert!(told.contains(fresh), "the workers hold too: {told}");
    assert!(running.drain(Duration::from_secs(15)), "it drains");
}
