//! What was purged and comes back with a broker's restart is purged again, on a real Apache Kafka.

use std::time::Duration;

use kafka_harness::{Broker, Options};
use tamis_bus::kafka::{Config, Kafka, topics};
use tamis_bus::{Bus, ContentTopic, Purger};
use tamis_tests::process::{self, Service};
use tamis_tests::{said_twice, suite};

const PREFIX: &str = "again";
const TIMEOUT: Duration = Duration::from_secs(30);
const JOBS: usize = 50;

/// Jobs that can be read; nothing while a broker that has just started does not know its leaders.
fn readable(purger: &mut impl Purger) -> Option<i64> {
    let spans = purger.spans(ContentTopic::Jobs, TIMEOUT).ok()?;
    Some(spans.iter().map(|span| span.end - span.start).sum())
}

/// Guarantees: a broker keeps where its logs begin in memory and writes it down once a minute by default; one that is
/// killed in between has every purged job back when it starts again. They are purged again within seconds, by the process
/// that ran all along.
/// Fails when: the purge remembers what it has deleted and deletes only what is new, instead of asking where the log begins.
#[test]
fn what_a_killed_broker_brings_back_is_purged_again() {
    let home = tempfile::tempdir().expect("a folder");
    // It never writes down where the logs begin.
    let options = Options {
        data_dir: Some(home.path().join("kafka")),
        properties: "log.flush.start.offset.checkpoint.interval.ms=3600000".to_owned(),
        ..Options::default()
    };
    let mut broker = Broker::start(&options).expect("a broker starts: Java 17 and Maven are needed");
    let config = Config {
        prefix: PREFIX.to_owned(),
        group: PREFIX.to_owned(),
        instance: "checker".to_owned(),
        ..Config::new(broker.bootstrap())
    };
    topics::apply(&config, TIMEOUT).expect("topics are made");
    let bus = Kafka::new(config).expect("the settings are good");
    tamis_subject::Key::create_file(&home.path().join("tamis.key")).expect("a key");
    let lines = format!(
        "kind = \"kafka\"\nbootstrap_servers = \"{}\"\nprefix = \"{PREFIX}\"\ngroup = \"{PREFIX}\"",
        broker.bootstrap()
    );
    let (path, admin, api) = process::config(home.path(), "one", &lines, "[router]\nworkers = 1\n");
    let mut service = Service::start(&path, admin, api);
    service.wait_ready();

    let mut accountant = said_twice::Accountant::open(&bus);
    suite::send(&bus.scheduler().expect("jobs can be sent"), &said_twice::jobs(JOBS as u64));
    accountant.wait_for(JOBS);
    let mut purger = bus.purger().expect("a purger");
    suite::wait("the jobs are purged", || readable(&mut purger) == Some(0));

    // The process stands still, so that it is seen what the broker brings back.
    service.signal("STOP");
    broker.restart().expect("it starts again");
    let mut purger = bus.purger().expect("a purger");
    let mut back = None;
    suite::wait("the broker answers", || {
        back = readable(&mut purger);
        back.is_some()
    });
    assert!(back >= Some(JOBS as i64), "{back:?} of {JOBS} jobs are back: else this test shows nothing");
    service.signal("CONT");
    suite::wait("the jobs are purged again", || readable(&mut purger) == Some(0));
    assert!(service.stop().success(), "it drains");
}
