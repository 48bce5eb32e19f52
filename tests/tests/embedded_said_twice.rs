//! What is said twice is sent once (G7), on the embedded bus.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tamis_bus::Bus;
use tamis_bus::embedded::{Config, Embedded};
use tamis_subject::{Key, Region, Subjects};
use tamis_tests::process::{self, Service};
use tamis_tests::{embedded, said_twice, suite, tamis_bin};

#[test]
fn g7_what_is_said_twice_is_sent_once() {
    let bus = embedded::open();
    said_twice::what_is_said_twice_is_sent_once(&bus.bus);
}

#[test]
fn without_a_window_nothing_is_a_duplicate() {
    let bus = embedded::open();
    said_twice::without_a_window_nothing_is_a_duplicate(&bus.bus, &suite::subjects());
}

/// Guarantees G7: what a process that was killed with -9 has sent is not sent again by the next one.
/// Fails when: the recall is answered without reading.
#[test]
fn g7_what_a_killed_process_has_sent_is_not_sent_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let data = dir.path().join("data");
    let lines = format!("kind = \"embedded\"\ndata_dir = \"{}\"", data.display());
    let (path, admin, api) = process::config(dir.path(), "one", &lines, "");
    let mut service = Service::start(&path, admin, api);
    service.wait_ready();
    let mut sender = Command::new(tamis_bin())
        .args(["jobs", "send", "-", "--config"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut stdin = sender.stdin.take().expect("it was piped");
    for n in 0..200 {
        writeln!(
            stdin,
            r#"{{"job_id":"twice-{n}","tenant":"acme","channel":"sms","content_text":"hello","recipients":[{{"address":"+33612{n:06}","contact":"crm-{n}"}}]}}"#
        )
        .expect("the command reads");
    }
    drop(stdin);
    assert!(sender.wait().expect("it ends").success(), "the jobs are sent");
    let routed = r#"tamis_jobs_total{channel="sms",verdict="routed"} 200"#;
    suite::wait("all are routed", || {
        process::get(admin, "/metrics").is_some_and(|text| text.contains(routed))
    });
    service.kill();

    let bus =
        Embedded::open(&data, Config { workers: 2, ..Config::default() }).expect("the store mends itself");
    let subjects = Subjects::new(&key, Region::parse("FR").expect("FR is a region"));
    let (running, _) = suite::start(&bus, &subjects, 2);
    suite::send(&bus.scheduler().expect("jobs can be sent"), &said_twice::jobs(200));
    let verdicts = said_twice::Accountant::open(&*bus).wait_for(400);
    said_twice::each_was_sent_once(&*bus, &verdicts, 200, 1);
    assert!(running.drain(said_twice::DRAIN), "it drains");
}
