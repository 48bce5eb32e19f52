//! Follows the suppression log from a position on.

use super::Config;
use super::client::{self, Watch, drop_aside};
use super::fetched::{Fetched, Queue};
use crate::types::after;
use crate::{Error, Follower, LogRecord, Positions};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// An opt-out should be here as soon as it is durable: the broker answers at the first byte. Memory as for jobs.
const TUNING: [(&str, &str); 8] = [
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "100"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "1000000"),
    ("queued.max.messages.kbytes", "4096"),
    ("fetch.max.bytes", "4194304"),
    ("check.crcs", "true"),
    client::LOOKED_AT,
];

/// Reads the suppression log, every partition of it. It belongs to no group and commits nothing.
pub struct KafkaFollower {
    /// `None` only while it is dropped.
    consumer: Option<BaseConsumer<Watch>>,
}

impl KafkaFollower {
    pub(super) fn open(
        config: &Config,
        topic: &str,
        from: &Positions,
        timeout: Duration,
    ) -> Result<Self, Error> {
        const VERB: &str = "open suppression log";
        let mut client = client::base(config);
        client::tune(&mut client, config, &TUNING);
        client
            // librdkafka wants a name to assign by hand; nothing is ever joined or committed under it.
            .set("group.id", format!("{}-follower", config.group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Only non-transactional writers are here, and nothing may ever hold an acked record back.
            .set("isolation.level", "read_uncommitted")
            // A position that the log no longer has must be an alarm, not a silent jump.
            .set("auto.offset.reset", "error");
        let consumer: BaseConsumer<Watch> =
            client.create_with_context(Watch::default()).map_err(|e| client::error(VERB, &e))?;
        consumer.context().keep_brokers(consumer.client(), &client);
        let partitions = client::partitions(consumer.client(), topic, timeout)?;
        from.check(VERB, partitions)?;
        let mut list = TopicPartitionList::new();
        for (partition, next) in (0..).zip(from.as_slice()) {
            // The first record that is left may be a later one.
            let at = if *next == 0 { Offset::Beginning } else { Offset::Offset(*next) };
            list.add_partition_offset(topic, partition, at).map_err(|e| client::error(VERB, &e))?;
        }
        consumer.assign(&list).map_err(|e| client::error(VERB, &e))?;
        Ok(Self { consumer: Some(consumer) })
    }
}

impl Follower for KafkaFollower {
    fn poll(
        &mut self,
        wait: Duration,
        most: usize,
        each: &mut dyn FnMut(LogRecord<'_>),
    ) -> Result<usize, Error> {
        let consumer = self.consumer.as_ref().expect("it is taken in drop only");
        let deadline = after(wait);
        // After the first record only what is here already.
        let first = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match consumer.poll(left) {
                Some(Ok(record)) => break record,
                Some(Err(report)) => lasting(&report).map_or(Ok(()), Err)?,
                None => {}
            }
            if left.is_zero() {
                return Ok(0);
            }
        };
        each(LogRecord {
            partition: first.partition(),
            offset: first.offset(),
            timestamp_ms: first.timestamp().to_millis().unwrap_or(0),
            key: first.key().unwrap_or_default(),
            value: first.payload(),
        });
        let (mut count, mut error) = (1, None);
        let mut records = Vec::new();
        Queue::of_all(consumer).take(consumer, Duration::ZERO, most - 1, &mut records);
        // Each lets go of its fetch as soon as it has been told.
        for record in records {
            match record.report() {
                None => {
                    each(log_record(&record));
                    count += 1;
                }
                Some(report) => error = error.take().or_else(|| lasting(&report)),
            }
        }
        error.map_or(Ok(count), Err)
    }
}

fn log_record<'a>(record: &'a Fetched<'_>) -> LogRecord<'a> {
    LogRecord {
        partition: record.partition(),
        offset: record.offset(),
        timestamp_ms: record.timestamp_ms(),
        key: record.key(),
        value: record.value(),
    }
}

/// What does not pass by itself.
fn lasting(report: &KafkaError) -> Option<Error> {
    truncated(report).or_else(|| client::lasting("read suppression log", report))
}

impl Drop for KafkaFollower {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            drop_aside(consumer, true);
        }
    }
}

/// The position is not in the log any more: it was cut or made anew.
fn truncated(report: &KafkaError) -> Option<Error> {
    match report.rdkafka_error_code()? {
        RDKafkaErrorCode::AutoOffsetReset
        | RDKafkaErrorCode::OffsetOutOfRange
        | RDKafkaErrorCode::LogTruncation => Some(Error::truncated()),
        _ => None,
    }
}
