//! A member of a group of tamis's own: reads `send-jobs`, or `inbound`.

use super::Config;
use super::client::{self, Watch, drop_aside};
use super::fetched::{Fetched, Queue};
use crate::types::after;
use crate::{Batch, Blame, Error, JobRecord, Jobs, Partition, Polled, ReadLimits};
use bumpalo::Bump;
use parking_lot::Mutex;
use rdkafka::bindings::rd_kafka_resp_err_t;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What the consumer is made of. Memory is bounded by `queued.max.messages.kbytes` (all partitions together) plus
/// one fetch, for each worker (what they cost: benches/results, allocator); `fetch.queue.backoff.ms` is 1,000 by default, which would stop the line for a second whenever the
/// queue is full; statistics carry the log's end, from which the lag is told.
const TUNING: [(&str, &str); 8] = [
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "1000000"),
    ("queued.max.messages.kbytes", "16384"),
    ("max.partition.fetch.bytes", "2097152"),
    // What is of 8 MiB and more, jemalloc gives back to the system as soon as it is freed.
    ("fetch.max.bytes", "4194304"),
    client::LOOKED_AT,
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("check.crcs", "true"),
];

const READ: &str = "read records";
/// How long news of the group may be waited for by those who wait for records.
const NEWS_EVERY: Duration = Duration::from_millis(10);
/// Records taken at once at most.
const TOGETHER: usize = 256;

/// How many records before a record is read its value is asked for.
const AHEAD: usize = 8;

/// A change of the assignment that the group asks for.
#[derive(Debug)]
enum Asked {
    Assign(Vec<Partition>),
    Revoke,
}

/// The consumer's context: writes down what the group asks for, and answers nothing.
///
/// librdkafka waits for the answer (`WAIT_ASSIGN_CALL`, `WAIT_UNASSIGN_CALL` in its group's state machine) until
/// `rd_kafka_assign` is called, from wherever; the event only holds the list, and destroying it answers nothing.
/// While it waits it has paused fetching, so an open transaction can be ended in peace.
#[derive(Debug, Default)]
pub(super) struct Member {
    watch: Watch,
    asked: Mutex<VecDeque<Asked>>,
    /// Set when the consumer ends: then nobody is there to answer, and closing would wait for ever.
    closing: AtomicBool,
    /// Next offset that will be fetched and last stable offset, as of the last statistics.
    ends: Mutex<BTreeMap<Partition, (i64, i64)>>,
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.watch.look(&statistics);
        let mut ends = self.ends.lock();
        ends.clear();
        for partition in statistics.topics.values().flat_map(|topic| topic.partitions.values()) {
            ends.insert(partition.partition, (partition.next_offset, partition.ls_offset));
        }
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: rd_kafka_resp_err_t,
        partitions: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::Acquire) {
            // An error here means that it is closed already.
            let _ = consumer.unassign();
            return;
        }
        let asked = if what == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Asked::Assign(partitions.elements().iter().map(|element| element.partition()).collect())
        } else {
            Asked::Revoke
        };
        self.asked.lock().push_back(asked);
    }
}

/// Reads a topic as one member of its group.
pub struct KafkaJobs {
    /// Where the records come; news of the group, and of the client, stay in the consumer's own. `None` only while it is dropped.
    queue: Option<Queue>,
    /// `None` as above.
    consumer: Option<Arc<BaseConsumer<Member>>>,
    topic: String,
    assigned: RefCell<Vec<Partition>>,
    /// One past the last record read, of the partitions read since they were assigned.
    read: RefCell<BTreeMap<Partition, i64>>,
    /// Told of a rebalance, not answered yet: what comes in between is of an assignment that ends.
    unanswered: Cell<bool>,
    paused: Cell<bool>,
    /// An error met after records, told at the next call.
    late: Cell<Option<Error>>,
}

impl KafkaJobs {
    pub(super) fn join(config: &Config, group: &str, topic: &str) -> Result<Self, Error> {
        const VERB: &str = "join group";
        let mut client = client::base(config);
        client::tune(&mut client, config, &TUNING);
        client
            .set("group.id", group)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "range")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Member> =
            client.create_with_context(Member::default()).map_err(|e| client::error(VERB, &e))?;
        consumer.context().watch.keep_brokers(consumer.client(), &client);
        consumer.subscribe(&[topic]).map_err(|e| client::error(VERB, &e))?;
        let queue = Queue::of_records(&consumer);
        Ok(Self {
            queue: Some(queue),
            consumer: Some(Arc::new(consumer)),
            topic: topic.to_owned(),
            assigned: RefCell::default(),
            read: RefCell::default(),
            unanswered: Cell::new(false),
            paused: Cell::new(false),
            late: Cell::new(None),
        })
    }

    /// For the ledger, which names the member in each transaction. Weak, so that the consumer ends here.
    pub(super) fn membership(&self) -> Weak<BaseConsumer<Member>> {
        Arc::downgrade(self.shared())
    }

    fn shared(&self) -> &Arc<BaseConsumer<Member>> {
        self.consumer.as_ref().expect("it is taken in drop only")
    }

    fn consumer(&self) -> &BaseConsumer<Member> {
        self.shared()
    }

    fn queue(&self) -> &Queue {
        self.queue.as_ref().expect("as above")
    }

    fn member(&self) -> &Member {
        self.consumer().context()
    }

    fn told<B>(&self) -> Option<Polled<B>> {
        let asked = self.member().asked.lock().pop_front()?;
        self.unanswered.set(true);
        Some(match asked {
            Asked::Assign(partitions) => Polled::Assigned(partitions),
            Asked::Revoke => Polled::Revoked,
        })
    }

    /// The partitions as librdkafka's list: made for one call and dropped with it, for a list that outlives its
    /// consumer makes `rd_kafka_destroy` hang.
    fn list(&self) -> TopicPartitionList {
        let assigned = self.assigned.borrow();
        let mut list = TopicPartitionList::with_capacity(assigned.len());
        for partition in assigned.iter() {
            list.add_partition(&self.topic, *partition);
        }
        list
    }

    /// What the consumer's own queue has: news of the group, or what the client has to report.
    fn news<B>(&self) -> Result<Option<Polled<B>>, Error> {
        while let Some(polled) = self.consumer().poll(Duration::ZERO) {
            match polled {
                Ok(_) if self.unanswered.get() => {}
                Ok(_) => return Err(Error::new(READ, Blame::Internal, "a record came by the group's queue")),
                Err(report) => client::lasting(READ, &report).map_or(Ok(()), Err)?,
            }
        }
        Ok(self.told())
    }

    fn committed(&self, timeout: Duration) -> Result<Vec<(Partition, Offset)>, Error> {
        const VERB: &str = "read committed offsets";
        let list =
            self.consumer().committed_offsets(self.list(), timeout).map_err(|e| client::error(VERB, &e))?;
        list.elements()
            .iter()
            .map(|element| {
                element.error().map_err(|e| client::error(VERB, &e))?;
                Ok((element.partition(), element.offset()))
            })
            .collect()
    }

    /// Takes out of `records`, from number `from` on, the client's reports, and what is none of this assignment's; what of the
    /// reports does not pass by itself.
    fn sort_out(&self, records: &mut Vec<Fetched<'_>>, from: usize) -> Option<Error> {
        let mut failed = None;
        for at in (from..records.len()).rev() {
            let Some(report) = records[at].report() else { continue };
            failed = client::lasting(READ, &report).or(failed);
            let report = records.remove(at);
            self.stay_at(&report, &records[at..]);
        }
        if self.unanswered.get() {
            records.truncate(from);
        }
        failed
    }

    /// Goes back to where a report stands, unless a record of its partition came after it: for the client it was a record, and a pause
    /// would end behind it, which the next record may not be.
    fn stay_at(&self, report: &Fetched<'_>, later: &[Fetched<'_>]) {
        let partition = report.partition();
        let is_passed = later.iter().any(|record| record.partition() == partition);
        if self.assigned.borrow().contains(&partition) && !is_passed {
            let at = Offset::Offset(report.offset());
            // Without a time to wait it is only begun, and tells nothing.
            let _ = self.consumer().seek(&self.topic, partition, at, Duration::ZERO);
        }
    }

    fn note_read(&self, records: &[Fetched<'_>]) {
        let mut read = self.read.borrow_mut();
        // Neighbours are mostly of one partition: one look-up a run.
        for run in records.chunk_by(|one, next| one.partition() == next.partition()) {
            if let Some(last) = run.last() {
                read.insert(last.partition(), last.offset() + 1);
            }
        }
    }
}

impl Jobs for KafkaJobs {
    type Batch<'a> = KafkaBatch<'a>;

    fn poll(&self, limits: &ReadLimits) -> Result<Polled<KafkaBatch<'_>>, Error> {
        if let Some(error) = self.late.take() {
            return Err(error);
        }
        let mut deadline = after(limits.wait);
        let mut records = Vec::new();
        let (mut bytes, mut largest) = (0, 1);
        let mut failed = None;
        while failed.is_none() && records.len() < limits.records_max && bytes < limits.bytes_max {
            match self.news() {
                Ok(None) => {}
                Ok(Some(told)) => return Ok(told),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let before = records.len();
            // The first as soon as it is there, others together.
            let room = (limits.records_max - before).min((limits.bytes_max - bytes).div_ceil(largest));
            let most = if before == 0 { 1 } else { room.min(TOGETHER) };
            self.queue().take(self.consumer(), left.min(NEWS_EVERY), most, &mut records);
            failed = self.sort_out(&mut records, before);
            for record in &records[before..] {
                let length = record.value().map_or(0, <[u8]>::len);
                bytes += length;
                largest = largest.max(length);
            }
            if before == 0 && !records.is_empty() {
                deadline = after(limits.fill);
            } else if records.len() == before && left.is_zero() {
                break;
            }
        }
        match failed {
            Some(error) if records.is_empty() => return Err(error),
            failed => self.late.set(failed),
        }
        self.note_read(&records);
        Ok(if records.is_empty() {
            Polled::Idle
        } else {
            Polled::Batch(KafkaBatch { records, kept: Bump::new() })
        })
    }

    fn assign(&self, partitions: &[Partition]) -> Result<(), Error> {
        const VERB: &str = "assign partitions";
        debug_assert!(self.assigned.borrow().is_empty(), "the assignment before was given back");
        partitions.iter().try_for_each(|partition| {
            self.queue().bring(self.consumer(), &self.topic, *partition).map_err(|e| client::error(VERB, &e))
        })?;
        self.assigned.replace(partitions.to_vec());
        self.read.borrow_mut().clear();
        // Without offsets: librdkafka asks the group's, waiting for those of transactions still open (KIP-447).
        self.consumer().assign(&self.list()).map_err(|e| client::error(VERB, &e))?;
        self.unanswered.set(false);
        if self.paused.get() { self.pause() } else { Ok(()) }
    }

    fn unassign(&self) -> Result<(), Error> {
        self.assigned.borrow_mut().clear();
        self.read.borrow_mut().clear();
        self.consumer().unassign().map_err(|e| client::error("give partitions back", &e))?;
        self.unanswered.set(false);
        Ok(())
    }

    fn rewind(&self, timeout: Duration) -> Result<Vec<(Partition, Option<i64>)>, Error> {
        const VERB: &str = "go back to committed offsets";
        if self.assigned.borrow().is_empty() {
            return Ok(Vec::new());
        }
        let deadline = after(timeout);
        let committed = self.committed(timeout)?;
        let mut list = TopicPartitionList::with_capacity(committed.len());
        for (partition, offset) in &committed {
            let offset = if let Offset::Offset(_) = offset { *offset } else { Offset::Beginning };
            list.add_partition_offset(&self.topic, *partition, offset)
                .map_err(|e| client::error(VERB, &e))?;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let list = self.consumer().seek_partitions(list, left).map_err(|e| client::error(VERB, &e))?;
        let mut read = self.read.borrow_mut();
        for element in list.elements() {
            match element.error() {
                Ok(()) => {}
                // Not begun yet: it has delivered nothing, and begins at its committed offset by itself.
                Err(e)
                    if e.rdkafka_error_code() == Some(RDKafkaErrorCode::State)
                        && !read.contains_key(&element.partition()) => {}
                Err(e) => return Err(client::error(VERB, &e)),
            }
        }
        read.clear();
        let offset = |offset: Offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        Ok(committed.into_iter().map(|(partition, at)| (partition, offset(at))).collect())
    }

    fn pause(&self) -> Result<(), Error> {
        self.paused.set(true);
        self.consumer().pause(&self.list()).map_err(|e| client::error("pause", &e))
    }

    fn resume(&self) -> Result<(), Error> {
        self.paused.set(false);
        self.consumer().resume(&self.list()).map_err(|e| client::error("resume", &e))
    }

    fn lag_records(&self) -> Option<u64> {
        let (assigned, read, ends) = (self.assigned.borrow(), self.read.borrow(), self.member().ends.lock());
        let mut lag = 0;
        for partition in assigned.iter() {
            let (next, end) = ends.get(partition).copied().filter(|(_, end)| *end >= 0)?;
            let next = read.get(partition).copied().unwrap_or(next);
            lag += end.saturating_sub(next.max(0)).max(0).unsigned_abs();
        }
        Some(lag)
    }
}

impl Drop for KafkaJobs {
    fn drop(&mut self) {
        // Before its consumer.
        self.queue = None;
        if let Some(consumer) = self.consumer.take() {
            consumer.context().closing.store(true, Ordering::Release);
            // Answers a rebalance nobody answered; an error means that there is nothing to give back.
            let _ = consumer.unassign();
            drop_aside(consumer, true);
        }
    }
}

/// Records read together. Each pins the fetch it came with until this is dropped.
pub struct KafkaBatch<'a> {
    records: Vec<Fetched<'a>>,
    /// What is kept of their headers.
    kept: Bump,
}

impl KafkaBatch<'_> {
    /// Asks memory for records that are read soon after number `at`: they came long ago for a cache.
    #[inline]
    fn foresee(&self, at: usize) {
        if let Some(later) = self.records.get(at + 2 * AHEAD) {
            later.foresee();
        }
        if let Some(soon) = self.records.get(at + AHEAD) {
            soon.foresee_value();
        }
    }
}

impl Batch for KafkaBatch<'_> {
    fn records(&self) -> impl Iterator<Item = JobRecord<'_>> {
        self.records.iter().enumerate().map(|(at, record)| {
            self.foresee(at);
            let headers = record.headers();
            let header = |name| {
                let value = headers.as_ref().and_then(|headers| headers.last(name));
                value.map(|value| &*self.kept.alloc_slice_copy(value))
            };
            JobRecord {
                partition: record.partition(),
                offset: record.offset(),
                timestamp_ms: record.timestamp_ms(),
                value: record.value(),
                traceparent: header(c"traceparent"),
                tracestate: header(c"tracestate"),
            }
        })
    }

    fn len(&self) -> usize {
        self.records.len()
    }
}

/// Blames nobody yet: the consumer of a ledger's transaction has gone.
pub(super) fn gone(verb: &'static str) -> Error {
    Error::new(verb, Blame::Internal, "the member of the group was dropped before its ledger")
}
