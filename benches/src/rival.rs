//! What both rivals stand on: a tuned consumer and a tuned transactional producer, and a commit without the
//! wrapper's waiting. They need not share the work out: each worker has its share of the partitions.

use anyhow::{Result, bail};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::time::{Duration, Instant};

use crate::setting::{PATIENCE, QUEUED_KBYTES, Setting, jobs_topic};

/// Workers of each contestant, where nothing else is said.
pub const WORKERS: u16 = 2;

/// How long a batch is filled, ms.
pub const BATCH_MS: u64 = 100;
/// What a batch holds at most, bytes.
pub const BATCH_BYTES: usize = 64 << 20;

/// One worker's clients.
pub struct Rival {
    /// Reads its partitions from the beginning.
    pub consumer: BaseConsumer,
    /// Writes in transactions.
    pub producer: ThreadedProducer<DefaultProducerContext>,
    /// Jobs of its partitions.
    pub jobs: i64,
    deliveries: String,
}

impl Rival {
    /// Opens the clients of worker `worker` of `workers`, counted from 0.
    ///
    /// # Errors
    /// When a client can't be made or the broker does not answer.
    pub fn open(
        setting: &Setting,
        group: &str,
        (worker, workers): (u16, u16),
        ends: &BTreeMap<i32, i64>,
    ) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", setting.bootstrap())
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", QUEUED_KBYTES)
            .create()?;
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", setting.bootstrap())
            .set("transactional.id", format!("{group}-{worker}"))
            .set("linger.ms", "50")
            .set("delivery.report.only.error", "true")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "1000000")
            .set("message.max.bytes", "16777216")
            .set("compression.type", setting.codec())
            .create()?;
        producer.init_transactions(PATIENCE)?;
        let mine = ends.iter().filter(|(partition, _)| *partition % i32::from(workers) == i32::from(worker));
        let mut list = TopicPartitionList::new();
        let mut jobs = 0;
        for (partition, end) in mine {
            list.add_partition_offset(&jobs_topic(), *partition, Offset::Beginning)?;
            jobs += end;
        }
        consumer.assign(&list)?;
        let deliveries = tamis_bus::topic_name("bench", "deliveries.sms");
        Ok(Self { consumer, producer, jobs, deliveries })
    }

    /// Reads for `fill` after the first job, or until `bytes_max` are read.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn read(&self, fill: Duration, bytes_max: usize) -> Result<Vec<BorrowedMessage<'_>>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut deadline = Instant::now() + PATIENCE;
        while bytes < bytes_max {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(message) = self.consumer.poll(left) else { break };
            let message = message?;
            if batch.is_empty() {
                deadline = Instant::now() + fill;
            }
            bytes += message.payload_len();
            batch.push(message);
            if left.is_zero() {
                break;
            }
        }
        Ok(batch)
    }

    /// Hands one delivery over.
    ///
    /// # Errors
    /// When the client refuses it for another reason than a full queue.
    pub fn send(
        &self,
        partition: i32,
        key: &[u8],
        value: &[u8],
        headers: Option<OwnedHeaders>,
    ) -> Result<()> {
        let mut record = BaseRecord::to(&self.deliveries).partition(partition).key(key).payload(value);
        record.headers = headers;
        while let Err((error, again)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(1));
            record = again;
        }
        Ok(())
    }

    /// Commits what was sent, with the offsets of `batch`.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn commit(&self, batch: &[BorrowedMessage<'_>]) -> Result<()> {
        let mut next = BTreeMap::new();
        for message in batch {
            next.insert(message.partition(), message.offset() + 1);
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next {
            list.add_partition_offset(&jobs_topic(), partition, Offset::Offset(offset))?;
        }
        let Some(group) = self.consumer.group_metadata() else { bail!("the consumer has no group") };
        self.producer.send_offsets_to_transaction(&list, &group, PATIENCE)?;
        self.commit_transaction()
    }

    #[allow(unsafe_code)] // rdkafka's own call waits in steps of 100 ms: a rival held to that would flatter us.
    fn commit_transaction(&self) -> Result<()> {
        let ms = i32::try_from(PATIENCE.as_millis())?;
        // SAFETY: the handle is the live client's, borrowed for the whole call; the error, if any, is ours: read
        // while it lives, its text copied, destroyed once.
        unsafe {
            let error =
                rdkafka::bindings::rd_kafka_commit_transaction(self.producer.client().native_ptr(), ms);
            if error.is_null() {
                return Ok(());
            }
            let text = CStr::from_ptr(rdkafka::bindings::rd_kafka_error_string(error));
            let text = text.to_string_lossy().into_owned();
            rdkafka::bindings::rd_kafka_error_destroy(error);
            bail!("commit: {text}")
        }
    }
}
