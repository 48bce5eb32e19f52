//! What every log promises to the purge.

use super::{PATIENCE, SMS, copies, group, join, read_jobs, read_tail, send_jobs};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tamis_bus::{Bus, ContentTopic, Jobs, Ledger, Partition, Purger, Reader, Span, Tail};
use tamis_campaign::Channel;

const DELIVERIES: ContentTopic = ContentTopic::Deliveries(Channel::Sms);

fn records(spans: &[Span]) -> i64 {
    spans.iter().map(|span| span.end - span.start).sum()
}

/// Guarantees: what the router has committed is told as the log has it, jobs before it can be deleted, and then no
/// reader of any group can have them; jobs that are not committed stay, and are routed afterwards.
/// Fails when: the committed offsets are a client's own positions (then they are ahead of the first commit).
pub fn jobs_can_be_deleted_up_to_what_the_router_has_committed<B: Bus>(bus: &B) {
    let mut purger = bus.purger().unwrap();
    let (jobs, mut ledger) = join(bus);
    send_jobs(bus, 0..30);
    let first = read_jobs(&jobs, 30);
    let before = purger.committed(ContentTopic::Jobs, Reader::Own, PATIENCE).unwrap();
    assert!(before.iter().all(|offset| offset.unwrap_or(0) == 0), "read is not committed: {before:?}");
    ledger.append(&copies(&first)).unwrap();
    ledger.commit(PATIENCE).unwrap();
    send_jobs(bus, 30..40);
    let later = read_jobs(&jobs, 10);

    let committed = purger.committed(ContentTopic::Jobs, Reader::Own, PATIENCE).unwrap();
    let up_to: Vec<(Partition, i64)> =
        (0..).zip(&committed).filter_map(|(partition, offset)| Some((partition, (*offset)?))).collect();
    purger.delete_before(ContentTopic::Jobs, &up_to, PATIENCE).unwrap();
    purger.delete_before(ContentTopic::Jobs, &up_to, PATIENCE).unwrap();
    let spans = purger.spans(ContentTopic::Jobs, PATIENCE).unwrap();
    assert_eq!(records(&spans), 10, "{spans:?}");
    let from: Vec<_> = (0..).zip(&spans).map(|(partition, span)| (partition, span.start)).collect();
    let found: BTreeMap<_, _> =
        purger.first(ContentTopic::Jobs, &from, PATIENCE).unwrap().into_iter().collect();
    for (partition, span) in (0..).zip(&spans) {
        let first = later.iter().find(|job| job.partition == partition).map(|job| job.offset);
        assert_eq!(found[&partition].map(|first| first.offset), first, "partition {partition}: {span:?}");
    }
    jobs.rewind(PATIENCE).unwrap();
    assert_eq!(read_jobs(&jobs, 10).len(), 10, "what was not committed is still there");
}

/// Guarantees: a group that has committed nothing is told as such and not as 0 or as the end; one that has committed
/// is told by partition; what is deleted is gone for every group; the timestamp of the first record is the log's own.
/// Fails when: "nothing committed" is read as an offset, which would delete what nobody has read.
pub fn deliveries_can_be_deleted_up_to_what_a_group_has_committed<B: Bus>(bus: &B) {
    let mut purger = bus.purger().unwrap();
    let (jobs, mut ledger) = join(bus);
    send_jobs(bus, 0..20);
    ledger.append(&copies(&read_jobs(&jobs, 20))).unwrap();
    ledger.commit(PATIENCE).unwrap();
    let name = group();
    let gateway = Reader::Group(&name);
    let nothing = purger.committed(DELIVERIES, gateway, PATIENCE).unwrap();
    assert!(nothing.iter().all(Option::is_none), "{nothing:?}");

    let spans = purger.spans(DELIVERIES, PATIENCE).unwrap();
    let from: Vec<_> = (0..).zip(&spans).map(|(partition, span)| (partition, span.start)).collect();
    let found = purger.first(DELIVERIES, &from, PATIENCE).unwrap();
    assert_eq!(found.len(), spans.len());
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    for (_, first) in &found {
        let age_ms = first.map_or(0, |first| now_ms as i64 - first.timestamp_ms);
        assert!((-1_000..60_000).contains(&age_ms), "{age_ms} ms old");
    }

    let mut tail = bus.tail(SMS, &name, true).unwrap();
    assert_eq!(read_tail(&mut tail, 20).len(), 20);
    tail.commit().unwrap();
    let committed = purger.committed(DELIVERIES, gateway, PATIENCE).unwrap();
    let up_to: Vec<_> = (0..)
        .zip(&committed)
        .filter_map(|(partition, offset)| Some((partition, (*offset)?)))
        .filter(|(_, offset)| *offset > 0)
        .collect();
    assert!(!up_to.is_empty());
    purger.delete_before(DELIVERIES, &up_to, PATIENCE).unwrap();
    let spans = purger.spans(DELIVERIES, PATIENCE).unwrap();
    let from: Vec<_> = (0..).zip(&spans).map(|(partition, span)| (partition, span.start)).collect();
    let found = purger.first(DELIVERIES, &from, PATIENCE).unwrap();
    assert!(found.iter().all(|(_, first)| first.is_none()), "markers are no records: {found:?} in {spans:?}");
    assert_eq!(read_tail(&mut bus.tail(SMS, &group(), true).unwrap(), 0), []);
}

/// Guarantees: an answer comes in time, however many partitions are empty.
pub fn a_look_at_an_empty_topic_takes_no_time<B: Bus>(bus: &B) {
    let mut purger = bus.purger().unwrap();
    let spans = purger.spans(DELIVERIES, PATIENCE).unwrap();
    let from: Vec<_> = (0..).zip(&spans).map(|(partition, span)| (partition, span.start)).collect();
    let began = Instant::now();
    let found = purger.first(DELIVERIES, &from, PATIENCE).unwrap();
    assert!(found.len() == spans.len() && found.iter().all(|(_, first)| first.is_none()), "{found:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
