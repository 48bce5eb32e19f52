//! Workers that are killed, paused and stopped, on a real Apache Kafka.

use std::time::Duration;

use tamis_tests::people::Dice;
use tamis_tests::process::{self, Service};
use tamis_tests::{kafka, suite};

use tamis_bus::Bus;

/// Guarantees G4 and G1: with two processes, one killed with -9 again and again and the other paused past its session,
/// each surviving recipient arrives exactly once and nobody who opted out does.
/// Fails when: offsets are committed outside the transaction (doubled), the partitions are not rewound after an abort (lost),
/// or the input is read uncommitted.
#[test]
fn g4_each_survivor_arrives_exactly_once_while_workers_are_killed_and_paused() {
    let prefix = "killed";
    let bus = kafka::bus(prefix);
    let dir = tempfile::tempdir().expect("a folder");
    let key = tamis_subject::Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let region = tamis_subject::Region::parse("FR").expect("FR is a region");
    let subjects = tamis_subject::Subjects::new(&key, region);
    let seed = 20_261_124;
    let campaign = suite::campaign(&subjects, seed, 3_000);
    suite::opt_out(&bus.recorder().expect("opt-outs can be written"), &campaign.records);

    let lines = format!(
        "kind = \"kafka\"\nbootstrap_servers = \"{}\"\nprefix = \"{prefix}\"\ngroup = \"{prefix}\"",
        kafka::broker().bootstrap()
    );
    let more = "[bus.client]\n\"session.timeout.ms\" = \"3000\"\n\"heartbeat.interval.ms\" = \"500\"\n[router]\nworkers = 1\n";
    let start = |name: &str| {
        let (path, admin, api) = process::config(dir.path(), name, &lines, more);
        Service::start(&path, admin, api)
    };
    let (mut victim, mut sleeper) = (start("victim"), start("sleeper"));
    sleeper.wait_ready();

    let scheduler = bus.scheduler().expect("jobs can be sent");
    let mut dice = Dice::new(seed);
    for (round, jobs) in campaign.jobs.chunks(300).enumerate() {
        suite::send(&scheduler, jobs);
        std::thread::sleep(Duration::from_millis(50 + dice.roll(1_500)));
        victim.kill();
        if round % 4 == 1 {
            // Past the session time-out: the group goes on without it, and what it held must not come twice.
            sleeper.signal("STOP");
            victim = start("victim");
            std::thread::sleep(Duration::from_millis(4_500));
            sleeper.signal("CONT");
        } else {
            victim = start("victim");
        }
    }
    let (arrivals, outcomes) = suite::collect(&*bus, campaign.jobs.len());
    suite::books_close(&outcomes, campaign.jobs.len());
    suite::same(&arrivals, &campaign.expected);
    assert!(victim.stop().success() && sleeper.stop().success(), "both drain");
}
