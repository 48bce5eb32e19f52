//! The embedded log keeps what every log promises, and what it promises on its own.

#![allow(clippy::unwrap_used)]

mod suite;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use suite::{PATIENCE, acked, copies, join, read_jobs, read_tail, send_jobs};
use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{
    Blame, Bus, ContentTopic, Fault, Follower, Jobs, KeyedRecord, Ledger, Polled, Positions, Purger,
    ReadLimits, Reader, Recorder, Scheduler, Tail, TailTopic,
};
use tamis_campaign::Channel;
use tempfile::{TempDir, tempdir};

const SMS: TailTopic = TailTopic::Deliveries(Channel::Sms);

fn config() -> Config {
    Config { partitions: 4, ..Config::default() }
}

fn open(dir: &Path, config: Config) -> Arc<Embedded> {
    Embedded::open(dir, config).unwrap()
}

fn fresh() -> (Arc<Embedded>, TempDir) {
    let dir = tempdir().unwrap();
    (open(dir.path(), config()), dir)
}

#[test]
fn jobs_are_read_in_order() {
    let (bus, _dir) = fresh();
    suite::jobs_are_read_in_order(&*bus);
}

#[test]
fn a_batch_is_no_larger_than_it_may_be() {
    let (bus, _dir) = fresh();
    suite::a_batch_is_no_larger_than_it_may_be(&*bus);
}

#[test]
fn offsets_and_deliveries_are_committed_together() {
    let (bus, _dir) = fresh();
    suite::offsets_and_deliveries_are_committed_together(&*bus);
}

#[test]
fn an_aborted_transaction_shows_nothing_and_its_jobs_come_again() {
    let (bus, _dir) = fresh();
    suite::an_aborted_transaction_shows_nothing_and_its_jobs_come_again(&*bus);
}

#[test]
fn jobs_not_committed_come_again_to_the_next_process() {
    let dir = tempdir().unwrap();
    suite::jobs_not_committed_come_again_to_the_next_process(|| open(dir.path(), config()));
}

#[test]
fn a_replaced_ledger_is_fenced() {
    let (bus, _dir) = fresh();
    suite::a_replaced_ledger_is_fenced(&*bus);
}

#[test]
fn end_offsets_never_lag_an_ack() {
    let (bus, _dir) = fresh();
    suite::end_offsets_never_lag_an_ack(&*bus);
}

#[test]
fn a_follower_reaches_the_end_over_gaps() {
    let (bus, _dir) = fresh();
    suite::a_follower_reaches_the_end_over_gaps(&*bus);
}

#[test]
fn a_follower_goes_on_from_where_it_is_put() {
    let (bus, _dir) = fresh();
    suite::following::a_follower_goes_on_from_where_it_is_put(&*bus);
}

#[test]
fn a_follower_needs_a_position_for_each_partition() {
    let (bus, _dir) = fresh();
    suite::following::a_follower_needs_a_position_for_each_partition(&*bus);
}

#[test]
fn a_position_beyond_the_end_is_told() {
    let (bus, _dir) = fresh();
    suite::following::a_position_beyond_the_end_is_told(&*bus);
}

#[test]
fn a_log_is_told_from_every_other() {
    let (dir, (other, _dir)) = (tempdir().unwrap(), fresh());
    suite::following::a_log_is_told_from_every_other(|| open(dir.path(), config()), &*other);
}

/// Guarantees: a store of before there were ids gets one when it is opened, and keeps it. It says that it keeps everything.
#[test]
fn a_store_without_an_id_gets_one() {
    let dir = tempdir().unwrap();
    let of = |bus: &Embedded| bus.suppression_log(PATIENCE).unwrap();
    let first = of(&open(dir.path(), config()));
    let store = redb::Database::open(dir.path().join("bus.redb")).unwrap();
    let transaction = store.begin_write().unwrap();
    {
        let meta: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
        let mut meta = transaction.open_table(meta).unwrap();
        redb::Table::retain(&mut meta, |name, _| !name.starts_with("id-")).unwrap();
    }
    transaction.commit().unwrap();
    drop(store);
    let second = of(&open(dir.path(), config()));
    assert_ne!(second.topic, first.topic);
    assert_eq!(of(&open(dir.path(), config())), second);
    assert_eq!(second.tombstones_kept, None);
}

#[test]
fn a_tombstone_leaves_nothing_under_its_key() {
    let dir = tempdir().unwrap();
    let bus = open(dir.path(), config());
    suite::a_tombstone_leaves_nothing_under_its_key(&*bus);
}

#[test]
fn a_tail_goes_on_where_its_group_committed() {
    let (bus, _dir) = fresh();
    suite::a_tail_goes_on_where_its_group_committed(&*bus);
}

#[test]
fn results_carry_their_source_as_id() {
    let (bus, _dir) = fresh();
    suite::results_carry_their_source_as_id(&*bus);
}

#[test]
fn going_back_shows_what_was_committed_in_its_order() {
    let (bus, _dir) = fresh();
    suite::history::going_back_shows_what_was_committed_in_its_order(&*bus);
}

#[test]
fn going_back_goes_on_with_what_is_committed_later() {
    let (bus, _dir) = fresh();
    suite::history::going_back_goes_on_with_what_is_committed_later(&*bus);
}

/// Guarantees: what comes back from gateways has no topic here: there is nothing to join, and nothing for the purge to do.
#[test]
fn there_is_no_inbound() {
    let (bus, _dir) = fresh();
    assert!(bus.inbound().unwrap().is_none());
    let (mut purger, topic) = (bus.purger().unwrap(), ContentTopic::Inbound);
    assert_eq!(purger.spans(topic, PATIENCE).unwrap(), []);
    assert!(purger.committed(topic, Reader::Own, PATIENCE).unwrap().is_empty());
    purger.delete_before(topic, &[(0, 1)], PATIENCE).unwrap();
}

#[test]
fn going_back_begins_at_a_time() {
    let (bus, _dir) = fresh();
    suite::history::going_back_begins_at_a_time(&*bus);
}

#[test]
fn going_back_begins_before_the_end() {
    let (bus, _dir) = fresh();
    suite::history::going_back_begins_before_the_end(&*bus);
}

#[test]
fn jobs_can_be_deleted_up_to_what_the_router_has_committed() {
    let (bus, _dir) = fresh();
    suite::purging::jobs_can_be_deleted_up_to_what_the_router_has_committed(&*bus);
}

#[test]
fn deliveries_can_be_deleted_up_to_what_a_group_has_committed() {
    let (bus, _dir) = fresh();
    suite::purging::deliveries_can_be_deleted_up_to_what_a_group_has_committed(&*bus);
}

#[test]
fn a_look_at_an_empty_topic_takes_no_time() {
    let (bus, _dir) = fresh();
    suite::purging::a_look_at_an_empty_topic_takes_no_time(&*bus);
}

#[test]
fn a_second_open_is_refused_and_says_why() {
    let (_bus, dir) = fresh();
    let error = Embedded::open(dir.path(), config()).err().expect("refused");
    assert_eq!(error.blame(), Blame::Configuration);
    assert!(error.to_string().contains("the store is in use by another process"), "{error}");
}

#[test]
fn another_number_of_partitions_is_refused() {
    let dir = tempdir().unwrap();
    drop(open(dir.path(), config()));
    let error = Embedded::open(dir.path(), Config { partitions: 5, ..config() }).err().expect("refused");
    assert_eq!(error.blame(), Blame::Configuration);
}

#[cfg(unix)]
#[test]
fn content_lies_in_files_of_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempdir().unwrap();
    let dir = parent.path().join("var/tamis");
    let _bus = open(&dir, config());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("bus.redb")), 0o600);
}

/// Guarantees: once the router has committed past a job, no call of the log shows it any more, not even after a
/// restart, and not even to one who asks from the first offset on.
#[test]
fn a_committed_job_can_not_be_read_again_by_any_call() {
    let dir = tempdir().unwrap();
    let bus = open(dir.path(), config());
    send_jobs(&*bus, 0..10);
    let (jobs, mut ledger) = join(&*bus);
    let read = read_jobs(&jobs, 10);
    ledger.append(&copies(&read)).unwrap();
    ledger.commit(PATIENCE).unwrap();
    drop((jobs, ledger, bus));
    let store = redb::Database::open(dir.path().join("bus.redb")).unwrap();
    let transaction = redb::ReadableDatabase::begin_read(&store).unwrap();
    let jobs: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("send-jobs");
    let left = redb::ReadableTableMetadata::len(&transaction.open_table(jobs).unwrap()).unwrap();
    assert_eq!(left, 0);
}

/// Guarantees: deliveries go when the last of the named readers has committed, and not before.
#[test]
fn a_delivery_is_deleted_once_every_named_reader_has_committed_past_it() {
    let dir = tempdir().unwrap();
    let readers = BTreeMap::from([(Channel::Sms, vec!["gateway".to_owned(), "archive".to_owned()])]);
    let bus = open(dir.path(), Config { readers, ..config() });
    send_jobs(&*bus, 0..10);
    let (jobs, mut ledger) = join(&*bus);
    ledger.append(&copies(&read_jobs(&jobs, 10))).unwrap();
    ledger.commit(PATIENCE).unwrap();
    for (reader, left) in [("gateway", 10), ("archive", 0)] {
        let mut tail = bus.tail(SMS, reader, true).unwrap();
        assert_eq!(read_tail(&mut tail, 10).len(), 10);
        tail.commit().unwrap();
        let mut other = bus.tail(SMS, "someone else", true).unwrap();
        assert_eq!(read_tail(&mut other, left).len(), left, "after {reader} has committed");
    }
}

/// Guarantees: once the log was closed, what was deleted is not in the raw file either, and the file is no larger for it,
/// whatever the values' sizes are and however often the log was opened in between.
/// Fails when: free pages are left as they are (looked at before the close: then the values are there), or what the
/// filler's commits need is not written over in its turn (with one of the `ROUNDS` less), or the filler is deleted all at once
/// (then the file grows).
#[test]
fn deleted_records_are_overwritten_in_the_file() {
    // How many values, and how much longer each is than the one before, in canaries.
    for (values, longer) in [(300, 11), (2_000, 0), (120, 240), (177, 116), (504, 5), (896, 0)] {
        let dir = tempdir().unwrap();
        let file = dir.path().join("bus.redb");
        let canary = b"zq7-canary-4jvk2x";
        let count = |bytes: &[u8]| bytes.windows(canary.len()).filter(|window| window == canary).count();
        for _ in 0..2 {
            let bus = open(dir.path(), config());
            let scheduler = bus.scheduler().unwrap();
            for number in 0..values {
                let value = canary.repeat(1 + number * longer);
                acked(|acked| scheduler.submit(&format!("job-{number}"), value, acked)).unwrap();
            }
            drop(scheduler);
            let (jobs, mut ledger) = join(&*bus);
            let mut outgoing = copies(&read_jobs(&jobs, values));
            outgoing.records.clear();
            ledger.append(&outgoing).unwrap();
            ledger.commit(PATIENCE).unwrap();
            let before = std::fs::read(&file).unwrap();
            assert!(count(&before) > values / 2, "the fault bites: deleting leaves bytes");
            drop((jobs, ledger, bus));
            let after = std::fs::read(&file).unwrap();
            println!("{values} by {longer}: {} before, {} after", count(&before), count(&after));
            assert_eq!(count(&after), 0, "{values} by {longer}");
            assert!(after.len() <= before.len(), "{values} by {longer}");
        }
    }
}

#[test]
fn deliveries_older_than_the_retention_are_deleted() {
    let dir = tempdir().unwrap();
    let bus = open(dir.path(), Config { deliveries_retention_ms: 300, ..config() });
    send_jobs(&*bus, 0..10);
    let (jobs, mut ledger) = join(&*bus);
    ledger.append(&copies(&read_jobs(&jobs, 10))).unwrap();
    ledger.commit(PATIENCE).unwrap();
    std::thread::sleep(Duration::from_millis(1_000));
    assert_eq!(read_tail(&mut bus.tail(SMS, "gateway", true).unwrap(), 0), []);
}

/// Guarantees: results can't be written twice, even by a ledger that isn't fenced.
#[test]
fn offsets_that_do_not_move_on_are_refused() {
    let (bus, _dir) = fresh();
    send_jobs(&*bus, 0..10);
    let (jobs, mut ledger) = join(&*bus);
    let outgoing = copies(&read_jobs(&jobs, 10));
    ledger.append(&outgoing).unwrap();
    ledger.commit(PATIENCE).unwrap();
    ledger.append(&outgoing).unwrap();
    assert!(matches!(ledger.commit(PATIENCE), Err(Fault::Replace(_))));
    ledger.replace(PATIENCE).unwrap();
    assert_eq!(read_tail(&mut bus.tail(SMS, "gateway", true).unwrap(), 10).len(), 10);
}

#[test]
fn the_partitions_are_dealt_out_to_the_workers_once() {
    let dir = tempdir().unwrap();
    let bus = open(dir.path(), Config { workers: 3, ..config() });
    let limits = ReadLimits { wait: Duration::ZERO, fill: Duration::ZERO, bytes_max: 1, records_max: 1 };
    let mut dealt = Vec::new();
    for worker in 0..3 {
        let (jobs, _ledger) = bus.join(worker).unwrap();
        let Polled::Assigned(own) = jobs.poll(&limits).unwrap() else { panic!("told first") };
        dealt.extend(own);
    }
    dealt.sort_unstable();
    assert_eq!(dealt, [0, 1, 2, 3]);
    assert!(bus.join(3).is_err());
}

/// Guarantees: a key's earlier record is gone with the later one's ack, and offsets go on, also after a restart.
#[test]
fn the_suppression_log_is_compacted_as_it_is_written() {
    let dir = tempdir().unwrap();
    let record = |value: u8| vec![KeyedRecord::new(1, vec![7], vec![value])];
    for value in 0..3 {
        let bus = open(dir.path(), config());
        let recorder = bus.recorder().unwrap();
        let reached = acked(|acked| recorder.submit(record(value), acked)).unwrap();
        assert_eq!(reached.as_slice(), [-1, i64::from(value) + 1, -1, -1]);
        let mut seen = Vec::new();
        let mut follower = bus.follower(&Positions::zero(4)).unwrap();
        let each =
            &mut |record: tamis_bus::LogRecord<'_>| seen.push((record.offset, record.value.unwrap()[0]));
        assert_eq!(follower.poll(Duration::ZERO, 10, each).unwrap(), 1);
        assert_eq!(seen, [(i64::from(value), value)]);
    }
}

/// Guarantees: a record that must not replace what came after an offset replaces nothing else, and a tombstone deletes what it
/// was meant for and no later record.
/// Fails when: the place of the record that is there is not looked at.
#[test]
fn a_record_under_a_condition_replaces_only_what_its_writer_has_seen() {
    let dir = tempdir().unwrap();
    let bus = open(dir.path(), config());
    let recorder = bus.recorder().unwrap();
    let write = |value: Option<u8>, unless_after| {
        let value = value.map(|value| vec![value]);
        let record = KeyedRecord { partition: 1, key: vec![7], value, unless_after };
        acked(|acked| recorder.submit(vec![record], acked)).unwrap().as_slice()[1]
    };
    let there = || {
        let mut seen = Vec::new();
        let mut follower = bus.follower(&Positions::zero(4)).unwrap();
        let each =
            &mut |record: tamis_bus::LogRecord<'_>| seen.push((record.offset, record.value.unwrap()[0]));
        follower.poll(Duration::ZERO, 10, each).unwrap();
        seen
    };
    assert_eq!((write(Some(1), Some(-1)), there()), (1, vec![(0, 1)]), "there was nothing");
    assert_eq!((write(Some(2), Some(-1)), there()), (1, vec![(0, 1)]));
    assert_eq!((write(Some(3), Some(0)), there()), (2, vec![(1, 3)]));
    assert_eq!((write(None, Some(0)), there()), (2, vec![(1, 3)]), "it is another by now");
    assert_eq!((write(None, Some(1)), there()), (2, vec![]));
    assert_eq!((write(None, None), there()), (2, vec![]), "there is nothing any more");
    assert_eq!((write(Some(4), Some(-1)), there()), (3, vec![(2, 4)]), "an offset is never used twice");
}
