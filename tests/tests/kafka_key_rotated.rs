//! The identity key is rotated while services run, on a real Apache Kafka.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tamis_bus::{Bus, Recorder};
use tamis_campaign::{Channel, Purpose};
use tamis_subject::{Key, Region, SCHEME, Subjects};
use tamis_tests::process::{self, Service};
use tamis_tests::{kafka, key_rotated, people, suite};
use tamis_wire::record;

/// People who opt out, at most; as many others never do. A rotation takes half a minute, and a fast machine takes some hundred
/// opt-outs a second: many more than come in that time.
const PEOPLE: u64 = 100_000;

/// Guarantees G1 and G4: while two services run and the key under them is rotated, nobody is written to who opted out before
/// the job was written, under whichever key, and everybody else is, once; afterwards nothing of the first scheme is left, and a
/// key that is not the log's is refused at start: the one from before the rotation, and one with another second step.
/// Fails when: a worker makes subjects with another key than its filter's; the tombstone comes before the copy; a partition is
/// chosen by the new subject; the check of the new scheme is not written.
#[test]
fn g1_nobody_who_opted_out_is_written_to_while_the_key_is_rotated() {
    let prefix = "rotated";
    let bus = kafka::bus(prefix);
    let dir = tempfile::tempdir().expect("a folder");
    let key_file = dir.path().join("tamis.key");
    Key::create_file(&key_file).expect("a key");
    let old = std::fs::read(&key_file).expect("it was made");
    let lines = format!(
        "kind = \"kafka\"\nbootstrap_servers = \"{}\"\nprefix = \"{prefix}\"\ngroup = \"{prefix}\"",
        kafka::broker().bootstrap()
    );
    let start = |name: &str| {
        let (path, admin, api) = process::config(dir.path(), name, &lines, "[router]\nworkers = 1\n");
        let service = Service::start(&path, admin, api);
        service.wait_ready();
        (path, service)
    };
    let ((config, mut one), (_, mut two)) = (start("one"), start("two"));

    let done = AtomicBool::new(false);
    let doors = [one.api, two.api];
    let (count, told) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let scheduler = bus.scheduler().expect("jobs can be sent");
            let mut n = 0;
            // Goes on for a while after the rotation.
            let mut left = 200;
            while n < PEOPLE && left > 0 {
                left -= u64::from(done.load(Ordering::Relaxed));
                opt_out(doors[(n % 2) as usize], n);
                let id = format!("job-{n}");
                let who = [n, n / 2, PEOPLE + n];
                suite::send(&scheduler, &[people::job(&id, "acme", Channel::Sms, Purpose::Marketing, &who)]);
                n += 1;
            }
            n
        });
        // Some are there before.
        std::thread::sleep(Duration::from_secs(2));
        let told = key_rotated::told(key_rotated::rotate(&config, "4s"));
        done.store(true, Ordering::Relaxed);
        (sending.join().expect("it sends"), told)
    });
    assert!(told.contains("\"scheme\":2") && told.contains("\"blocked_again\":0"), "{told}");
    assert!(count < PEOPLE, "the rotation ended while people opted out");

    let (arrivals, outcomes) = suite::collect(&*bus, count as usize);
    suite::books_close(&outcomes, count as usize);
    let expected = (0..count).map(|n| ((format!("job-{n}"), format!("crm-{}", PEOPLE + n)), 1)).collect();
    suite::same(&arrivals, &expected);
    let records = key_rotated::records(&*bus);
    assert_eq!(key_rotated::by_scheme(&records), BTreeMap::from([(2, count as usize)]));
    let key = Key::read(&key_file).expect("a key");
    let subjects = Subjects::new(&key, Region::parse("FR").expect("FR is a region"));
    let partitions = bus.recorder().expect("opt-outs can be written").partitions();
    let places: HashSet<_> = (0..count)
        .map(|n| {
            let address = people::recipient(Channel::Sms, n).address;
            let first = subjects.first().phone(&address).expect("a number");
            (record::partition_of(&first, partitions), subjects.advance(first, SCHEME))
        })
        .collect();
    // Else nobody could say which of a person's records is the latest.
    assert!(
        records.iter().all(|(partition, record)| places.contains(&(*partition, record.subject))),
        "each person's records are in the partition that the first scheme chose"
    );
    assert!(one.stop().success() && two.stop().success(), "both drain");

    let new = std::fs::read(&key_file).expect("it is there");
    let code = |name: &str, key: &[u8]| {
        write_key(&key_file, key);
        let (path, _, _) = process::config(dir.path(), name, &lines, "");
        key_rotated::code_of_run(&path)
    };
    assert_eq!(code("old", &old), Some(5), "the key from before");
    let mut other = old.clone();
    other.extend_from_slice("0a".repeat(32).as_bytes());
    assert_eq!(code("other", &other), Some(5), "another second step");
    write_key(&key_file, &new);
    let (_, mut again) = start("again");
    assert!(again.stop().success(), "the key that the file has");
}

/// Puts the file's bytes in place; its mode stays.
fn write_key(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("the test's folder can be written");
}

/// Opts person `n` out, as often as it takes: a service that waits for the new key says so.
fn opt_out(api: std::net::SocketAddr, n: u64) {
    let address = people::recipient(Channel::Sms, n).address;
    let body =
        format!(r#"{{"tenant":"acme","channel":"sms","reason":"unsubscribed","addresses":["{address}"]}}"#);
    suite::wait("the opt-out is taken", || {
        process::post(api, "/v1/suppressions", &body).is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    });
}
