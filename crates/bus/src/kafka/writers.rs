//! Durable writers outside transactions: the recorder of suppressions and the scheduler of jobs.

use super::client::{self, Watch, drop_aside};
use super::{Config, headers};
use crate::types::after;
use crate::{Acked, Blame, Error, KeyedRecord, Positions, Recorder, Scheduler};
use parking_lot::{Mutex, RwLock};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Statistics};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Acknowledged within moments: hardly any lingering. A record that is not durable after this time is given up and
/// told so; it may still turn up, which a suppression and a job under its id bear.
const TUNING: [(&str, &str); 7] = [
    ("linger.ms", "1"),
    ("compression.type", "lz4"),
    ("queue.buffering.max.kbytes", "65536"),
    // An import has so many on their way; with fewer a full queue is waited for, a millisecond a time.
    ("queue.buffering.max.messages", "500000"),
    ("message.timeout.ms", "15000"),
    ("retry.backoff.max.ms", "500"),
    client::LOOKED_AT,
];

/// How long a full queue is waited for.
const QUEUE_WAIT: Duration = Duration::from_secs(10);

/// Records of one call that are not yet all answered.
struct Pending {
    state: Mutex<State>,
}

struct State {
    open: usize,
    next: Vec<i64>,
    failed: Option<Error>,
    acked: Option<Acked>,
}

impl Pending {
    fn new(records: usize, partitions: usize, acked: Acked) -> Arc<Self> {
        let state = State { open: records, next: vec![-1; partitions], failed: None, acked: Some(acked) };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Counts one answer; the last one calls `acked`, outside the lock.
    fn answer(&self, answer: Result<(i32, i64), Error>) {
        let finished = {
            let mut state = self.state.lock();
            match answer {
                Ok((partition, next)) => {
                    let slot = usize::try_from(partition).ok().and_then(|p| state.next.get_mut(p));
                    if let Some(slot) = slot {
                        *slot = next.max(*slot);
                    }
                }
                Err(error) => state.failed = state.failed.take().or(Some(error)),
            }
            state.open -= 1;
            if state.open > 0 {
                return;
            }
            let answer = match state.failed.take() {
                Some(error) => Err(error),
                None => Ok(Positions::new(std::mem::take(&mut state.next))),
            };
            state.acked.take().map(|acked| (acked, answer))
        };
        if let Some((acked, answer)) = finished {
            acked(answer);
        }
    }
}

/// Hands delivery reports to the calls that wait for them.
#[derive(Default)]
struct Clerk {
    watch: Watch,
}

impl ClientContext for Clerk {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.watch.look(&statistics);
    }
}

impl ProducerContext for Clerk {
    type DeliveryOpaque = Arc<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Arc<Pending>) {
        pending.answer(match result {
            Ok(record) => Ok((record.partition(), record.offset() + 1)),
            Err((error, _)) => Err(client::error("write record", error)),
        });
    }
}

/// One idempotent producer for a topic, made anew after a fatal error.
struct Durable {
    client: ClientConfig,
    topic: String,
    producer: RwLock<Option<Arc<ThreadedProducer<Clerk>>>>,
}

impl Durable {
    fn open(config: &Config, topic: &str) -> Result<Self, Error> {
        let mut client = client::base(config);
        client::tune(&mut client, config, &TUNING);
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // As Java's clients do, so that a key has one partition whoever writes it.
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", config.topics.max_message_bytes.to_string());
        let durable = Self { client, topic: topic.to_owned(), producer: RwLock::new(None) };
        durable.producer()?;
        Ok(durable)
    }

    /// The producer, a new one if the last has met a fatal error.
    fn producer(&self) -> Result<Arc<ThreadedProducer<Clerk>>, Error> {
        let usable = |producer: &Arc<ThreadedProducer<Clerk>>| producer.client().fatal_error().is_none();
        if let Some(producer) = self.producer.read().as_ref().filter(|producer| usable(producer)) {
            return Ok(Arc::clone(producer));
        }
        let mut place = self.producer.write();
        if let Some(producer) = place.as_ref().filter(|producer| usable(producer)) {
            return Ok(Arc::clone(producer));
        }
        if let Some(old) = place.take() {
            drop_aside(old, false);
        }
        let producer: ThreadedProducer<Clerk> = self
            .client
            .create_with_context(Clerk::default())
            .map_err(|e| client::error("open writer", &e))?;
        producer.context().watch.keep_brokers(producer.client(), &self.client);
        Ok(Arc::clone(place.insert(Arc::new(producer))))
    }

    /// Hands one record over, waiting while the queue is full; its answer goes to the record's opaque.
    fn send(&self, producer: &ThreadedProducer<Clerk>, record: BaseRecord<'_, [u8], [u8], Arc<Pending>>) {
        let deadline = after(QUEUE_WAIT);
        let mut sent = producer.send(record);
        while let Err((error, again)) = sent {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || Instant::now() >= deadline {
                again.delivery_opaque.answer(Err(client::error("write record", &error)));
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
            sent = producer.send(again);
        }
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.get_mut().take() {
            // Those still waiting must hear from what is on its way, not that it was thrown away.
            let _ = producer.flush(Duration::from_secs(5));
            drop_aside(producer, true);
        }
    }
}

/// Writes suppression records: idempotent, `acks=all`, never in a transaction.
pub struct KafkaRecorder {
    durable: Durable,
    partitions: u32,
    /// Records in the queue up to which it surely has room: half of what it takes, in number and, at 1 KiB each, in bytes.
    roomy: usize,
}

impl KafkaRecorder {
    pub(super) fn open(config: &Config, topic: &str, timeout: Duration) -> Result<Self, Error> {
        let durable = Durable::open(config, topic)?;
        let partitions = client::partitions(durable.producer()?.client(), topic, timeout)?;
        // Both are set, by us or by an operator, and librdkafka has taken them.
        let most =
            |name| durable.client.get(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or_default();
        let roomy = most("queue.buffering.max.messages").min(most("queue.buffering.max.kbytes")) / 2;
        Ok(Self { durable, partitions, roomy })
    }
}

impl Recorder for KafkaRecorder {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked) {
        let partitions = self.partitions as usize;
        if records.is_empty() {
            return acked(Ok(Positions::new(vec![-1; partitions])));
        }
        let out_of_range =
            |record: &KeyedRecord| usize::try_from(record.partition).map_or(true, |p| p >= partitions);
        if records.iter().any(out_of_range) {
            return acked(Err(Error::new("write record", Blame::Internal, "no such partition")));
        }
        let producer = match self.durable.producer() {
            Ok(producer) => producer,
            Err(error) => return acked(Err(error)),
        };
        let pending = Pending::new(records.len(), partitions, acked);
        for record in &records {
            let keyed = BaseRecord::with_opaque_to(&self.durable.topic, Arc::clone(&pending))
                .partition(record.partition)
                .key(record.key.as_slice());
            // Without a payload it is a tombstone.
            let whole = match &record.value {
                Some(value) => keyed.payload(value.as_slice()),
                None => keyed,
            };
            self.durable.send(&producer, whole);
        }
    }

    fn has_room(&self) -> bool {
        let producer = self.durable.producer.read();
        let waiting = producer.as_ref().map(|producer| producer.in_flight_count());
        waiting.and_then(|waiting| usize::try_from(waiting).ok()).is_some_and(|waiting| waiting < self.roomy)
    }
}

/// Writes jobs as a campaign scheduler does.
pub struct KafkaScheduler {
    durable: Durable,
}

impl KafkaScheduler {
    pub(super) fn open(config: &Config, topic: &str) -> Result<Self, Error> {
        Ok(Self { durable: Durable::open(config, topic)? })
    }
}

impl Scheduler for KafkaScheduler {
    fn submit(&self, job_id: &str, value: Vec<u8>, acked: Acked) {
        let producer = match self.durable.producer() {
            Ok(producer) => producer,
            Err(error) => return acked(Err(error)),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let time = headers::rfc3339(i64::try_from(now).unwrap_or(i64::MAX));
        let pending = Pending::new(1, 0, acked);
        self.durable.send(
            &producer,
            BaseRecord::with_opaque_to(&self.durable.topic, pending)
                .key(job_id.as_bytes())
                .payload(value.as_slice())
                .headers(headers::event(job_id, "/tamis/scheduler", "tamis.send-job.v1", &time)),
        );
    }
}
