//! What is said twice is sent once (G7), on a real Apache Kafka.

use std::sync::Arc;
use std::time::Duration;

use tamis_bus::Bus;
use tamis_bus::kafka::{Config, Kafka};
use tamis_tests::process::{self, Service};
use tamis_tests::{kafka, said_twice, suite};
use tamis_wire::proto::campaign::v1 as proto;

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
    let (arrivals, _) = suite::collect(&*first, 1_500);
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

/// Guarantees G4 and G6 where the group's offsets are behind what was decided, as a coordinator that has just moved tells them, or as one
/// that has lost some: no job is decided again, whatever its verdict, with a window of duplicates and without; what came after them is
/// decided, and the offsets go on.
/// Fails when: the group's offsets alone say where to go on: each record has two outcomes then, and without a window its people
/// get it twice.
#[test]
fn g4_what_was_decided_is_not_decided_again_when_the_groups_offsets_are_old() {
    for (prefix, window) in [("old-offsets", Duration::from_secs(3_600)), ("old-offsets-off", Duration::ZERO)]
    {
        let (bus, subjects) = (kafka::bus(prefix), suite::subjects());
        let scheduler = bus.scheduler().expect("jobs can be sent");
        let mut accountant = said_twice::Accountant::open(&*bus);
        let some = |name: &str| -> Vec<proto::SendJob> {
            let with = |n: u64, mut job: proto::SendJob| {
                match n % 5 {
                    3 => job.channel = 77,
                    4 => job.not_before_ms = i64::MAX,
                    _ => {}
                }
                job
            };
            (0..100).map(|n| with(n, said_twice::job(&format!("{name}-{n}"), "acme", n))).collect()
        };
        let mut outcomes = 0;
        for (round, by) in [("a", 3), ("b", 1_000), ("c", 1), ("d", 0)] {
            let running = said_twice::start_with(&bus, &subjects, window);
            suite::send(&scheduler, &some(round));
            outcomes += 100;
            accountant.wait_for(outcomes);
            assert!(running.drain(said_twice::DRAIN), "it drains");
            let offsets = kafka::set_offsets_back(&bus, by);
            assert_eq!(
                usize::try_from(offsets).ok(),
                Some(outcomes),
                "the offsets go on behind what was done"
            );
        }
        let (arrivals, told) = suite::collect(&*bus, outcomes);
        assert_eq!(told.len(), outcomes, "one outcome for each");
        assert_eq!(arrivals.len(), 4 * 60);
        assert!(arrivals.values().all(|times| *times == 1), "each was sent once");
    }
}
