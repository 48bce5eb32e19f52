//! What is said twice is sent once (G7), on a real Apache Kafka.

use std::sync::Arc;

use tamis_bus::Bus;
use tamis_bus::kafka::{Config, Kafka};
use tamis_tests::process::{self, Service};
use tamis_tests::{kafka, said_twice, suite};

#[test]
fn g7_what_is_said_twice_is_sent_once() {
    said_twice::what_is_said_twice_is_sent_once(&kafka::bus("said-twice"));
}

/// Guarantees G7: what was sent by a worker that still lives, or that has left, is not sent again by the one that its
/// partitions went to. Fails when: the recall is answered without reading, or a table is kept although another worker has
/// decided since.
#[test]
fn g7_what_one_worker_has_sent_is_not_sent_again_by_another() {
    let first = kafka::bus("said-to-another");
    let second = Config { instance: "second".to_owned(), ..first.config().clone() };
    let second = Arc::new(Kafka::new(second).expect("the settings are good"));
    let subjects = suite::subjects();
    let scheduler = first.scheduler().expect("jobs can be sent");
    let mut accountant = said_twice::Accountant::open(&*first);
    let jobs = said_twice::jobs(300);

    let (one, _) = suite::start(&first, &subjects, 1);
    suite::send(&scheduler, &jobs);
    accountant.wait_for(300);
    // The second one takes some partitions over.
    let (two, _) = suite::start(&second, &subjects, 1);
    suite::send(&scheduler, &jobs);
    accountant.wait_for(600);
    // The first one leaves, and comes back to partitions in which the second has decided meanwhile.
    assert!(one.drain(said_twice::DRAIN), "it drains");
    let more: Vec<_> = (0..300).map(|n| said_twice::job(&format!("more-{n}"), "acme", n)).collect();
    suite::send(&scheduler, &more);
    accountant.wait_for(900);
    let (one, _) = suite::start(&first, &subjects, 1);
    suite::send(&scheduler, &jobs);
    suite::send(&scheduler, &more);
    let verdicts = accountant.wait_for(1_500);
    assert!(two.drain(said_twice::DRAIN) && one.drain(said_twice::DRAIN), "both drain");
    let (arrivals, _) = suite::collect(&*first, "checker", 1_500);
    assert_eq!(arrivals.len(), 600);
    assert!(arrivals.values().all(|times| *times == 1), "each was sent once");
    assert_eq!(verdicts.len(), 600);
}

/// Guarantees G7: what a process that was killed with -9, in the midst of it, has sent is not sent again by the next one, and
/// what it had not is sent. Fails when: the recall is answered without reading, or reads only to the last stable offset.
#[test]
fn g7_what_a_killed_process_has_sent_is_not_sent_again() {
    let prefix = "said-and-killed";
    let bus = kafka::bus(prefix);
    let dir = tempfile::tempdir().expect("a folder");
    tamis_subject::Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let lines = format!(
        "kind = \"kafka\"\nbootstrap_servers = \"{}\"\nprefix = \"{prefix}\"\ngroup = \"{prefix}\"",
        kafka::broker().bootstrap()
    );
    let more = "[bus.client]\n\"session.timeout.ms\" = \"3000\"\n\"heartbeat.interval.ms\" = \"500\"\n[router]\nworkers = 1\n";
    let start = |name: &str| {
        let (path, admin, api) = process::config(dir.path(), name, &lines, more);
        let service = Service::start(&path, admin, api);
        service.wait_ready();
        service
    };
    let scheduler = bus.scheduler().expect("jobs can be sent");
    let mut accountant = said_twice::Accountant::open(&*bus);
    let jobs = said_twice::jobs(2_000);
    let mut victim = start("victim");
    suite::send(&scheduler, &jobs[..1_000]);
    accountant.wait_for(1_000);
    suite::send(&scheduler, &jobs[1_000..]);
    victim.kill();
    let mut next = start("next");
    suite::send(&scheduler, &jobs);
    let verdicts = accountant.wait_for(4_000);
    said_twice::each_was_sent_once(&*bus, &verdicts, 2_000, 1);
    assert!(next.stop().success(), "it drains");
}
