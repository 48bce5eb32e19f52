//! A reader of a result topic, as a gateway has one.

use super::Config;
use super::client::{self, Watch, drop_aside};
use crate::types::after;
use crate::{Error, Partition, Tail, TailRecord};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Memory is bounded as for jobs.
const TUNING: [(&str, &str); 4] = [
    ("fetch.queue.backoff.ms", "5"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.wait.max.ms", "100"),
    client::LOOKED_AT,
];

/// Counts rebalances: what was read before one is not this reader's to commit any more.
#[derive(Default)]
struct Reader {
    watch: Watch,
    rebalances: AtomicU64,
}

impl ClientContext for Reader {
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

impl ConsumerContext for Reader {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.rebalances.fetch_add(1, Ordering::AcqRel);
    }
}

/// Reads one result topic for one group, committed records only.
pub struct KafkaTail {
    /// `None` only while it is dropped.
    consumer: Option<BaseConsumer<Reader>>,
    topic: String,
    handed_on: BTreeMap<Partition, i64>,
    rebalances: u64,
}

impl KafkaTail {
    pub(super) fn open(
        config: &Config,
        topic: &str,
        group: &str,
        from_beginning: bool,
    ) -> Result<Self, Error> {
        const VERB: &str = "open tail";
        let mut client = client::base(config);
        client::tune(&mut client, config, &TUNING);
        client
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", if from_beginning { "earliest" } else { "latest" });
        let consumer: BaseConsumer<Reader> =
            client.create_with_context(Reader::default()).map_err(|e| client::error(VERB, &e))?;
        consumer.context().watch.keep_brokers(consumer.client(), &client);
        consumer.subscribe(&[topic]).map_err(|e| client::error(VERB, &e))?;
        Ok(Self {
            consumer: Some(consumer),
            topic: topic.to_owned(),
            handed_on: BTreeMap::new(),
            rebalances: 0,
        })
    }

    fn consumer(&self) -> &BaseConsumer<Reader> {
        self.consumer.as_ref().expect("it is taken in drop only")
    }

    fn forget_after_rebalance(&mut self) {
        let rebalances = self.consumer().context().rebalances.load(Ordering::Acquire);
        if rebalances != self.rebalances {
            self.rebalances = rebalances;
            self.handed_on.clear();
        }
    }
}

impl Tail for KafkaTail {
    fn poll(
        &mut self,
        wait: Duration,
        most: usize,
        each: &mut dyn FnMut(TailRecord<'_>),
    ) -> Result<usize, Error> {
        let deadline = after(wait);
        let mut count = 0;
        while count < most {
            let left =
                if count == 0 { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            let polled = self.consumer.as_ref().expect("it is taken in drop only").poll(left);
            match polled {
                Some(Ok(record)) => {
                    let headers = record.headers();
                    each(TailRecord {
                        partition: record.partition(),
                        offset: record.offset(),
                        timestamp_ms: record.timestamp().to_millis().unwrap_or(0),
                        key: record.key().unwrap_or_default(),
                        value: record.payload().unwrap_or_default(),
                        headers: headers
                            .iter()
                            .flat_map(|headers| headers.iter())
                            .map(|header| (header.key, header.value.unwrap_or_default()))
                            .collect(),
                    });
                    let (partition, next) = (record.partition(), record.offset() + 1);
                    drop(record);
                    self.forget_after_rebalance();
                    self.handed_on.insert(partition, next);
                    count += 1;
                    continue;
                }
                Some(Err(report)) => {
                    if let Some(error) = client::lasting("read results", &report) {
                        return Err(error);
                    }
                }
                None => self.forget_after_rebalance(),
            }
            if left.is_zero() {
                break;
            }
        }
        Ok(count)
    }

    fn commit(&mut self) -> Result<(), Error> {
        const VERB: &str = "commit tail";
        if self.handed_on.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(self.handed_on.len());
        for (partition, next) in &self.handed_on {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*next))
                .map_err(|e| client::error(VERB, &e))?;
        }
        self.consumer().commit(&list, CommitMode::Sync).map_err(|e| client::error(VERB, &e))?;
        self.handed_on.clear();
        Ok(())
    }
}

impl Drop for KafkaTail {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            drop_aside(consumer, true);
        }
    }
}
