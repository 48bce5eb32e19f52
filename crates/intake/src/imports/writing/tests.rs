//! What came between, on a log that can't keep a condition, as Kafka can't.

use tamis_bus::{Acked, LogRecord};
use tamis_campaign::Channel;
use tamis_pipeline::Filter;
use tamis_subject::{Key, Region, Subject, Subjects};
use tamis_wire::record::{Record, Scope, State};

use super::super::ACK_TIMEOUT;
use super::*;

/// A log of one partition: every record in its order, whatever its condition.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    records: Vec<(Vec<u8>, Vec<u8>)>,
    /// What somebody else says right after the next batch.
    after: Vec<KeyedRecord>,
}

impl Inner {
    fn take(&mut self, record: KeyedRecord) {
        self.records.push((record.key, record.value.unwrap()));
    }
}

impl Recorder for Log {
    fn partitions(&self) -> u32 {
        1
    }

    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked) {
        let reached = {
            let mut log = self.0.lock();
            records.into_iter().for_each(|record| log.take(record));
            let reached = log.records.len() as i64;
            std::mem::take(&mut log.after).into_iter().for_each(|record| log.take(record));
            reached
        };
        acked(Ok(Positions::new(vec![reached])));
    }
}

struct Reading(Log, usize);

impl Follower for Reading {
    fn poll(
        &mut self,
        _: Duration,
        most: usize,
        each: &mut dyn FnMut(LogRecord<'_>),
    ) -> Result<usize, Error> {
        let log = self.0.0.lock();
        let more: Vec<_> = log.records.iter().enumerate().skip(self.1).take(most).collect();
        for (offset, (key, value)) in &more {
            let (offset, value) = (*offset as i64, Some(value.as_slice()));
            each(LogRecord { partition: 0, offset, timestamp_ms: 0, key, value });
        }
        self.1 += more.len();
        Ok(more.len())
    }
}

fn world(log: &Log) -> World {
    let subjects = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
    let following = log.clone();
    World {
        filter: Filter::new(1, subjects),
        recorder: Arc::new(log.clone()),
        follow: Arc::new(move |from| {
            let at = usize::try_from(from.as_slice()[0]).unwrap();
            Ok(Box::new(Reading(following.clone(), at)) as Box<dyn Follower>)
        }),
        metrics: Metrics::detached(),
        ack_timeout: ACK_TIMEOUT,
    }
}

fn keyed(person: u8, source: Source, effective_at_ms: i64, state: State) -> KeyedRecord {
    let record = Record {
        channel: Some(Channel::Sms),
        reason: RecordReason::StopReply,
        state,
        effective_at_ms,
        source,
        ..Record::plain(Subject::from_bytes([person; 16]), Scope::Tenant("acme".into()))
    };
    KeyedRecord::new(0, record::key(&record), record::encode(&record))
}

/// What the log has last of a person.
fn last(log: &Log, of: &KeyedRecord) -> Option<Vec<u8>> {
    log.0.lock().records.iter().rev().find(|(key, _)| *key == of.key).map(|(_, value)| value.clone())
}

/// Guarantees G1: what somebody else says of a person before a batch that puts that person's opt-out off is said again after it,
/// also where it was read with an earlier batch, before the filter had it.
/// Fails when: a batch listens only from where the last one has stopped.
#[test]
fn g1_what_was_read_with_an_earlier_batch_counts_for_the_next() {
    let log = Log::default();
    let world = world(&log);
    let mut careful = Careful::open(&world).unwrap();
    let said = keyed(2, Source::Api, 0, State::InForce);
    log.0.lock().after = vec![said.clone()];
    let far = 4_000_000_000_000;
    let moment = |person| vec![keyed(person, Source::Import, far, State::InForce)];
    careful.write(moment(1), &Positions::zero(1)).unwrap();
    // The filter has come to the end of the first batch, and no further.
    let (_, others) = careful.write(moment(2), &Positions::new(vec![1])).unwrap();
    assert_eq!((others, last(&log, &said)), (1, said.value.clone()));
}

/// Guarantees G1: of what others say while an import is on its way an opt-out stays as it is, and a lift that came before a row
/// does not outlast it.
#[test]
fn g1_an_opt_out_between_stays_and_a_lift_before_a_row_does_not() {
    for (said, counts) in
        [(keyed(1, Source::Api, 0, State::InForce), false), (keyed(1, Source::Api, 0, State::Lifted), true)]
    {
        let log = Log::default();
        let world = world(&log);
        log.0.lock().take(said.clone());
        let ours = keyed(1, Source::Import, 0, State::InForce);
        let mut careful = Careful::open(&world).unwrap();
        careful.write(vec![ours.clone()], &Positions::zero(1)).unwrap();
        assert_eq!(last(&log, &said), if counts { ours.value } else { said.value });
    }
}
