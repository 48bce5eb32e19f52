//! What the thread tells, and that it carries out what the control says, on the embedded log.

use super::*;
use tamis_bus::Bus as _;
use tamis_bus::embedded::{Config, Embedded, EmbeddedPurger};

fn purge(options: &Options, health: &Health) -> (Purge<EmbeddedPurger>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let bus = Embedded::open(dir.path(), Config::default()).expect("an empty folder can be opened");
    let purger = bus.purger().expect("a purger");
    let stop = Arc::new(AtomicBool::new(false));
    (Purge::new(purger, options, Metrics::detached(), health.clone(), stop), dir)
}

fn line(health: &Health) -> String {
    let lines = health.json_lines();
    lines.lines().find(|line| line.contains("\"purge\"")).expect("there is a line for it").to_owned()
}

fn healthy() -> Health {
    let health = Health::new();
    for &check in Check::ALL {
        health.set(check, true, "good");
    }
    health
}

/// Guarantees: a gateway group that stands still is named in `/readyz` for as long as it does, with its channel, and the
/// service stays ready: the other gateways want their deliveries.
/// Fails when: the check fails with it, or the name is left out.
#[test]
fn who_stands_still_is_named_and_the_service_stays_ready() {
    let health = healthy();
    let groups = ["gateway-b", "gateway-a", "gateway-a"].map(str::to_owned).to_vec();
    let options = Options { readers: BTreeMap::from([(Channel::Fax, groups)]), ..Options::default() };
    let (mut purge, _dir) = purge(&options, &health);
    assert!(line(&health).contains("nobody stands still"), "{}", line(&health));
    let topic = ContentTopic::Deliveries(Channel::Fax);
    purge.carry_out(Call::Still { topic, reader: 0, still: true });
    purge.carry_out(Call::Still { topic, reader: 1, still: true });
    assert!(line(&health).contains("fax gateway-a, fax gateway-b"), "{}", line(&health));
    assert!(health.is_ready());
    purge.carry_out(Call::Still { topic, reader: 0, still: false });
    assert!(!line(&health).contains("gateway-a") && line(&health).contains("gateway-b"));
}

/// Guarantees: with `purge.enabled = false` nothing is ever deleted, and `/readyz` says so.
/// Fails when: readers are asked about all the same.
#[test]
fn a_purge_that_is_off_says_so_and_has_no_readers() {
    let health = healthy();
    let readers = BTreeMap::from([(Channel::Sms, vec!["gateway".to_owned()])]);
    let (purge, _dir) = purge(&Options { enabled: false, readers, ..Options::default() }, &health);
    assert!(purge.readers.iter().all(|of| of.names.is_empty()));
    assert!(line(&health).contains("off"), "{}", line(&health));
}

/// Guarantees: the thread goes through every topic and comes to rest, and ends when it is told to.
#[test]
fn a_round_ends_and_the_thread_with_it() {
    let (purge, _dir) = purge(&Options::default(), &healthy());
    let stop = purge.stop.clone();
    let thread = std::thread::spawn(move || purge.run());
    std::thread::sleep(Duration::from_millis(200));
    assert!(!thread.is_finished());
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("it ends well");
}
