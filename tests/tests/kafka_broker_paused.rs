//! A broker that stands still, on a real Apache Kafka of its own.

use std::time::{Duration, Instant};

use tamis_bus::Bus;
use tamis_campaign::{Channel, Purpose};
use tamis_tests::process::{self, Service};
use tamis_tests::{kafka, people, suite};

/// Guarantees G5: when the suppression log cannot be asked, the service holds within five seconds and says so, whether
/// jobs wait or not; when it can be asked again, it goes on by itself and nothing is lost. A drain that such a broker keeps
/// waiting is ended by a second signal.
/// Fails when: the barrier answers by guess, or a hold does not end; a second signal is not heard.
#[test]
fn g5_it_holds_while_the_broker_stands_still_and_goes_on_by_itself() {
    let broker = kafka::own_broker();
    let bus = kafka::bus_on(&broker, "paused");
    let dir = tempfile::tempdir().expect("a folder");
    tamis_subject::Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let lines = format!(
        "kind = \"kafka\"\nbootstrap_servers = \"{}\"\nprefix = \"paused\"\ngroup = \"paused\"",
        broker.bootstrap()
    );
    let (path, admin, api) = process::config(dir.path(), "one", &lines, "");
    let mut service = Service::start(&path, admin, api);
    service.wait_ready();
    assert_eq!(service.metric("tamis_holding"), Some(0.0));

    broker.pause().expect("the broker can be paused");
    let paused = Instant::now();
    suite::wait("it holds", || service.metric("tamis_holding") == Some(1.0));
    let held_after = paused.elapsed();
    assert!(!service.ready(), "and /readyz says so");
    println!("holds {held_after:?} after the broker stood still");
    std::thread::sleep(Duration::from_secs(8));
    broker.resume().expect("the broker can be resumed");
    suite::wait("it goes on by itself", || service.ready() && service.metric("tamis_holding") == Some(0.0));

    let jobs: Vec<_> = (0..50)
        .map(|i| {
            people::job(&format!("after-{i}"), "acme", Channel::Sms, Purpose::Marketing, &[i, i + 1_000])
        })
        .collect();
    suite::send(&bus.scheduler().expect("jobs can be sent"), &jobs);
    let (arrivals, outcomes) = suite::collect(&*bus, 50);
    suite::books_close(&outcomes, 50);
    assert_eq!(arrivals.len(), 100);
    assert!(arrivals.values().all(|n| *n == 1));
    assert!(service.stop().success(), "it drains");

    let mut service = Service::start(&path, admin, api);
    service.wait_ready();
    broker.pause().expect("the broker can be paused");
    service.signal("TERM");
    std::thread::sleep(Duration::from_secs(2));
    assert!(service.is_running(), "it drains, for as long as it may");
    assert_eq!(service.stop().code(), Some(130), "asked twice, it ends at once");
}
