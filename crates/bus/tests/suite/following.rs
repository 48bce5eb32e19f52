//! Where a follower may stand, and which log it stands in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tamis_bus::{Blame, Bus, Follower, Partition, Positions, Recorder};

use super::{PATIENCE, acked, suppression};

/// Writes to each partition as many records as `counts` has for it, under keys of their own that begin with `name`.
fn write<B: Bus>(bus: &B, name: &str, counts: [usize; 4]) {
    let recorder = bus.recorder().unwrap();
    let records = (0..).zip(counts).flat_map(|(partition, count)| {
        (0..count).map(move |number| suppression(partition, &format!("{name}-{partition}-{number}"), name))
    });
    acked(|acked| recorder.submit(records.collect(), acked)).unwrap();
}

/// Reads `count` records, and whatever comes within a moment after them; their offsets by partition.
fn read<F: Follower>(follower: &mut F, count: usize) -> BTreeMap<Partition, Vec<i64>> {
    let mut read: BTreeMap<Partition, Vec<i64>> = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let brought = follower.poll(Duration::from_millis(300), 7, &mut |record| {
            read.entry(record.partition).or_default().push(record.offset);
        });
        let so_far = read.values().map(Vec::len).sum::<usize>();
        if brought.unwrap() == 0 && so_far >= count {
            return read;
        }
        assert!(Instant::now() < deadline, "{so_far} of {count} records in time");
    }
}

/// Guarantees: a follower gets exactly what comes after the position it was opened at, whether that is the beginning, the
/// middle or the end of a partition. Fails when: it begins one off, or anywhere else.
pub fn a_follower_goes_on_from_where_it_is_put<B: Bus>(bus: &B) {
    write(bus, "before", [10, 10, 10, 0]);
    let mut follower = bus.follower(&Positions::new(vec![0, 4, 10, 0])).unwrap();
    let expected = BTreeMap::from([(0, (0..10).collect()), (1, (4..10).collect())]);
    assert_eq!(read(&mut follower, 16), expected);
    write(bus, "after", [1, 1, 1, 1]);
    let expected = BTreeMap::from([(0, vec![10]), (1, vec![10]), (2, vec![10]), (3, vec![0])]);
    assert_eq!(read(&mut follower, 4), expected);
}

/// Guarantees: what is no position of this log is refused as the caller's error.
pub fn a_follower_needs_a_position_for_each_partition<B: Bus>(bus: &B) {
    for from in [vec![], vec![0; 3], vec![0; 5], vec![0, -1, 0, 0]] {
        let refused = bus.follower(&Positions::new(from.clone())).err().expect("refused");
        assert_eq!(refused.blame(), Blame::Internal, "{from:?}");
    }
}

/// Guarantees: a follower that is put beyond the log's end says so and is handed nothing, however full the other partitions
/// are, instead of waiting for the log to come to it. Fails when: it begins anew, or waits.
pub fn a_position_beyond_the_end_is_told<B: Bus>(bus: &B) {
    write(bus, "key", [3, 3, 0, 0]);
    for from in [vec![3, 4, 0, 0], vec![3, 3, 0, 1]] {
        let mut follower = bus.follower(&Positions::new(from.clone())).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let error = loop {
            let polled = follower.poll(Duration::from_millis(200), 7, &mut |_| panic!("a record"));
            if let Err(error) = polled {
                break error;
            }
            assert!(Instant::now() < deadline, "nothing was told of {from:?}");
        };
        assert_eq!(error.blame(), Blame::Internal);
        assert!(error.to_string().contains("truncated or recreated"), "{error}");
    }
}

/// Guarantees: a log is the same for whoever opens it, after records and a restart, and no other is like it. `open` opens
/// the same log again once the earlier one is dropped.
pub fn a_log_is_told_from_every_other<B: Bus>(open: impl Fn() -> Arc<B>, other: &B) {
    let bus = open();
    let first = bus.suppression_log(PATIENCE).unwrap();
    assert_eq!(first.partitions, 4);
    assert!(!first.cluster.is_empty() && !first.topic.is_empty());
    write(&*bus, "key", [1, 1, 1, 1]);
    assert_eq!(bus.suppression_log(PATIENCE).unwrap(), first);
    drop(bus);
    assert_eq!(open().suppression_log(PATIENCE).unwrap(), first);
    assert_ne!(other.suppression_log(PATIENCE).unwrap().topic, first.topic);
}
