//! The identity key is rotated, on the embedded bus.

use std::path::Path;
use std::time::Duration;

use tamis_bus::Bus;
use tamis_bus::embedded::{Config, Embedded};
use tamis_subject::{Key, KeyFile, Region, Subjects};
use tamis_tests::process::{self, Service};
use tamis_tests::{key_rotated, said_twice, suite};

const SEED: u64 = 20_261_126;

/// Guarantees: a rotation that is killed with -9 anywhere, again and again, is finished by the one that is let, and the opt-outs
/// are the same afterwards, with nothing of the first scheme left.
/// Fails when: a second rotation is begun instead; the tombstone comes before the copy.
#[test]
fn g1_a_rotation_that_is_killed_is_finished_by_the_next() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, config, subjects) = home(dir.path());
    let campaign = suite::campaign(&subjects, SEED, 300);
    {
        let bus = open(&data);
        let (running, _) = suite::start(&bus, &subjects, 1);
        suite::opt_out(&bus.recorder().expect("opt-outs can be written"), &campaign.records);
        assert!(running.drain(said_twice::DRAIN), "it drains");
    }
    // As one that is killed right after it has changed the key file.
    let file = KeyFile::lock(&dir.path().join("tamis.key")).expect("nobody else has it");
    file.add_step().expect("a step");
    drop(file);
    for ms in [2, 5, 10, 15, 20, 30, 40, 50] {
        let mut rotation = key_rotated::rotate(&config, "30s");
        std::thread::sleep(Duration::from_millis(ms));
        let _ = rotation.kill();
        let _ = rotation.wait();
    }
    let begun = Key::read(&dir.path().join("tamis.key")).expect("a key").scheme();
    let begun_only = {
        let schemes = key_rotated::records_by_scheme(&*open(&data));
        schemes.keys().any(|scheme| *scheme < begun)
    };
    let told = key_rotated::told(key_rotated::rotate(&config, "30s"));
    let scheme = Key::read(&dir.path().join("tamis.key")).expect("a key").scheme();
    assert_eq!(scheme, if begun_only { begun } else { begun + 1 }, "what was begun is finished first");
    assert!(told.contains(&format!("\"scheme\":{scheme}")), "{told}");
    let bus = open(&data);
    let schemes = key_rotated::records_by_scheme(&*bus);
    assert_eq!(schemes.keys().copied().collect::<Vec<_>>(), [scheme], "{schemes:?}");
    the_same_are_blocked(dir.path(), &bus, &campaign);
}

/// Guarantees: the command has the running service rotate; what it is told while it is at it counts, and a service that is
/// killed with -9 meanwhile goes on with it when it is asked again.
/// Fails when: the service does not take the new key; a door writes with another key than the filter's.
#[test]
fn g1_a_running_service_rotates_its_own_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, config, subjects) = home(dir.path());
    let campaign = suite::campaign(&subjects, SEED + 1, 300);
    {
        let bus = open(&data);
        let (running, _) = suite::start(&bus, &subjects, 1);
        suite::opt_out(&bus.recorder().expect("opt-outs can be written"), &campaign.records);
        assert!(running.drain(said_twice::DRAIN), "it drains");
    }
    let lines = lines(&data);
    for ms in [300, 1_500, 2_600] {
        let (path, admin, api) = process::config(dir.path(), "one", &lines, "");
        let mut service = Service::start(&path, admin, api);
        service.wait_ready();
        let mut rotation = key_rotated::rotate(&config, "30s");
        std::thread::sleep(Duration::from_millis(ms));
        service.kill();
        let _ = rotation.wait();
    }
    let (path, admin, api) = process::config(dir.path(), "one", &lines, "");
    let mut service = Service::start(&path, admin, api);
    service.wait_ready();
    let told = key_rotated::told(key_rotated::rotate(&path, "30s"));
    let scheme = Key::read(&dir.path().join("tamis.key")).expect("a key").scheme();
    assert!(told.contains(&format!("\"scheme\":{scheme}")), "{told}");
    let body = r#"{"tenant":"acme","channel":"sms","reason":"unsubscribed","addresses":["+33698765432"]}"#;
    let answer = process::post(api, "/v1/suppressions", body).unwrap_or_default();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let look_up = r#"{"tenant":"acme","addresses":["06 98 76 54 32"]}"#;
    let answer = process::post(api, "/v1/suppressions/lookup", look_up).unwrap_or_default();
    assert!(answer.contains("unsubscribed"), "{answer}");
    assert!(service.stop().success(), "it drains");

    let bus = open(&data);
    let schemes = key_rotated::records_by_scheme(&*bus);
    assert_eq!(schemes.keys().copied().collect::<Vec<_>>(), [scheme], "{schemes:?}");
    the_same_are_blocked(dir.path(), &bus, &campaign);
}

/// A key, a place for a log, and settings for both.
fn home(dir: &Path) -> (std::path::PathBuf, std::path::PathBuf, Subjects) {
    let key = Key::create_file(&dir.join("tamis.key")).expect("a key");
    let data = dir.join("data");
    let (config, _, _) = process::config(dir, "rotate", &lines(&data), "");
    (data, config, Subjects::new(&key, Region::parse("FR").expect("FR is a region")))
}

fn lines(data: &Path) -> String {
    format!("kind = \"embedded\"\ndata_dir = \"{}\"", data.display())
}

fn open(data: &Path) -> std::sync::Arc<Embedded> {
    Embedded::open(data, Config { workers: 2, ..Config::default() }).expect("the log opens")
}

/// Sends the campaign under the key that there is now.
fn the_same_are_blocked(dir: &Path, bus: &std::sync::Arc<Embedded>, campaign: &suite::Campaign) {
    let key = Key::read(&dir.join("tamis.key")).expect("a key");
    let subjects = Subjects::new(&key, Region::parse("FR").expect("FR is a region"));
    let (running, _) = suite::start(bus, &subjects, 2);
    suite::send(&bus.scheduler().expect("jobs can be sent"), &campaign.jobs);
    let (arrivals, outcomes) = suite::collect(&**bus, campaign.jobs.len());
    suite::books_close(&outcomes, campaign.jobs.len());
    suite::same(&arrivals, &campaign.expected);
    assert!(running.drain(said_twice::DRAIN), "it drains");
}
