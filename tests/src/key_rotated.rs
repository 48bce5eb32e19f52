//! What is looked at after a rotation of the identity key.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tamis_bus::{Bus, Follower, Positions, Recorder};
use tamis_wire::record::{self, Entry, Record};

/// The records that the log has, by what came last under each key, with the partition of each.
#[must_use]
pub fn records<B: Bus>(bus: &B) -> Vec<(i32, Record)> {
    let mut last = BTreeMap::new();
    let partitions = bus.recorder().expect("the log can be written").partitions();
    let beginning = Positions::zero(partitions as usize);
    let mut follower = bus.follower(&beginning).expect("the log can be followed");
    let mut idle = 0;
    while idle < 4 {
        let came = follower.poll(Duration::from_millis(250), 10_000, &mut |one| {
            last.insert((one.partition, one.key.to_vec()), one.value.map(<[u8]>::to_vec));
        });
        idle = if came.expect("the log can be read") == 0 { idle + 1 } else { 0 };
    }
    let mut records = Vec::new();
    for ((partition, key), value) in last {
        let Some(value) = value else { continue };
        match record::decode(&key, &value).expect("what is in the log can be read") {
            Entry::Record(record) | Entry::Copy { record, .. } => records.push((partition, record)),
            Entry::Heartbeat | Entry::KeyCheck { .. } => {}
        }
    }
    records
}

/// How many of them there are of each scheme.
#[must_use]
pub fn by_scheme(records: &[(i32, Record)]) -> BTreeMap<u32, usize> {
    let mut schemes = BTreeMap::new();
    for (_, record) in records {
        *schemes.entry(record.scheme).or_default() += 1;
    }
    schemes
}

/// The same, read now.
#[must_use]
pub fn records_by_scheme<B: Bus>(bus: &B) -> BTreeMap<u32, usize> {
    by_scheme(&records(bus))
}

/// `tamis keys rotate`, begun.
#[must_use]
pub fn rotate(config: &Path, grace: &str) -> Child {
    Command::new(crate::tamis_bin())
        .args(["keys", "rotate", "--json", "--grace", grace, "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// What it has printed, once it has ended well.
#[must_use]
pub fn told(rotation: Child) -> String {
    let Output { status, stdout, stderr } = rotation.wait_with_output().expect("it can be waited for");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("JSON is text")
}

/// The exit code of `tamis run`, which must end by itself.
#[must_use]
pub fn code_of_run(config: &Path) -> Option<i32> {
    let mut child = Command::new(crate::tamis_bin())
        .args(["run", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(30) {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("it runs");
}
