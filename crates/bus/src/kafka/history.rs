//! Goes back in `outcomes`.
//!
//! First the log's end is asked, then it waits until the last stable offset has come to it: by then every transaction
//! before that end has ended. Only then is anything fetched, so that the end of what a committed reader can see
//! (`PartitionEOF`, which librdkafka raises there, past gaps, markers and what was aborted) is beyond that end, too.

use super::Config;
use super::client::{self, Watch, drop_aside};
use super::end_offsets::{Edge, KafkaEndOffsets};
use crate::types::after;
use crate::{Error, History, Partition, Positions, Start};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// As much as a broker gives at once; memory as for jobs.
const TUNING: [(&str, &str); 8] = [
    ("fetch.wait.max.ms", "100"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "1000000"),
    ("queued.max.messages.kbytes", "32768"),
    ("max.partition.fetch.bytes", "4194304"),
    ("fetch.max.bytes", "16777216"),
    ("check.crcs", "true"),
    client::LOOKED_AT,
];
/// Between two looks whether open transactions have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads partitions of `outcomes` back. It belongs to no group and commits nothing.
pub struct KafkaHistory {
    config: Config,
    topic: String,
    ends: KafkaEndOffsets,
    start: Start,
    /// Where each partition ended when it was asked.
    ends_then: Vec<(Partition, i64)>,
    /// Those of them that had anything.
    targets: Vec<(Partition, i64)>,
    /// Made once every transaction before the targets has ended.
    reader: Option<BaseConsumer<Watch>>,
    /// Partitions that are not read to their target yet.
    open: BTreeSet<Partition>,
}

impl KafkaHistory {
    pub(super) fn open(config: &Config, topic: &str) -> Result<Self, Error> {
        Ok(Self {
            config: config.clone(),
            topic: topic.to_owned(),
            ends: KafkaEndOffsets::open(config, topic)?,
            start: Start::Since(0),
            ends_then: Vec::new(),
            targets: Vec::new(),
            reader: None,
            open: BTreeSet::new(),
        })
    }

    /// Whether every transaction before the targets has ended.
    fn is_settled(&mut self) -> Result<bool, Error> {
        let stable = self.ends.ask_for(Edge::Stable, ASK_TIMEOUT)?;
        Ok(self.targets.iter().all(|(partition, target)| of(&stable, *partition) >= *target))
    }

    /// Where the targets' partitions begin, those that have anything from there on.
    fn starts(&self, reader: &BaseConsumer<Watch>) -> Result<Vec<(Partition, i64)>, Error> {
        const VERB: &str = "find where to begin in outcomes";
        let since_ms = match self.start {
            Start::Since(since_ms) => since_ms.max(0),
            Start::Last(offsets) => {
                let from = |end: i64| (end - i64::from(offsets)).max(0);
                return Ok(self.targets.iter().map(|(partition, end)| (*partition, from(*end))).collect());
            }
        };
        if self.targets.is_empty() {
            return Ok(Vec::new());
        }
        let mut times = TopicPartitionList::with_capacity(self.targets.len());
        for (partition, _) in &self.targets {
            times
                .add_partition_offset(&self.topic, *partition, Offset::Offset(since_ms))
                .map_err(|e| client::error(VERB, &e))?;
        }
        let found = reader.offsets_for_times(times, ASK_TIMEOUT).map_err(|e| client::error(VERB, &e))?;
        let mut starts = Vec::new();
        for element in found.elements() {
            element.error().map_err(|e| client::error(VERB, &e))?;
            // Without an offset nothing is as young as that.
            if let Offset::Offset(start) = element.offset() {
                starts.push((element.partition(), start));
            }
        }
        Ok(starts)
    }

    /// Makes the reader, standing where it was asked to.
    fn start(&mut self) -> Result<BaseConsumer<Watch>, Error> {
        const VERB: &str = "open outcomes";
        let mut client = client::base(&self.config);
        client::tune(&mut client, &self.config, &TUNING);
        client
            // librdkafka wants a name to assign by hand; nothing is ever joined or committed under it.
            .set("group.id", format!("{}-history", self.config.group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            // What is asked for may be before the log's start, and retention goes on between the question and the fetch.
            .set("auto.offset.reset", "earliest");
        let reader: BaseConsumer<Watch> =
            client.create_with_context(Watch::default()).map_err(|e| client::error(VERB, &e))?;
        reader.context().keep_brokers(reader.client(), &client);
        // What comes afterwards comes from the end on.
        let mut places: BTreeMap<_, _> = self.ends_then.iter().copied().collect();
        self.open.clear();
        for (partition, start) in self.starts(&reader)? {
            self.open.insert(partition);
            places.insert(partition, start);
        }
        let mut starts = TopicPartitionList::new();
        for (partition, start) in places {
            starts
                .add_partition_offset(&self.topic, partition, Offset::Offset(start))
                .map_err(|e| client::error(VERB, &e))?;
        }
        reader.assign(&starts).map_err(|e| client::error(VERB, &e))?;
        Ok(reader)
    }
}

impl History for KafkaHistory {
    fn begin(&mut self, partitions: &[Partition], start: Start, timeout: Duration) -> Result<(), Error> {
        if let Some(reader) = self.reader.take() {
            drop_aside(reader, false);
        }
        let ends = self.ends.ask_for(Edge::End, timeout)?;
        self.ends_then = partitions.iter().map(|partition| (*partition, of(&ends, *partition))).collect();
        self.targets = self.ends_then.iter().copied().filter(|(_, target)| *target > 0).collect();
        self.start = start;
        Ok(())
    }

    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Partition, &[u8])) -> Result<bool, Error> {
        let deadline = after(wait);
        if self.targets.is_empty() {
            return Ok(true);
        }
        while self.reader.is_none() {
            if self.is_settled()? {
                self.reader = Some(self.start()?);
            } else if Instant::now() >= deadline {
                return Ok(false);
            } else {
                std::thread::sleep(LOOK_EVERY);
            }
        }
        let reader = self.reader.as_ref().expect("it was just made");
        while !self.open.is_empty() {
            match reader.poll(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok(record)) => each(record.partition(), record.payload().unwrap_or_default()),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.open.remove(&partition);
                }
                Some(Err(report)) => {
                    if let Some(error) = client::lasting("read outcomes", &report) {
                        return Err(error);
                    }
                }
                None => {}
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(self.open.is_empty())
    }

    fn follow(&mut self, wait: Duration, each: &mut dyn FnMut(Partition, &[u8])) -> Result<(), Error> {
        let deadline = after(wait);
        if self.reader.is_none() {
            self.reader = Some(self.start()?);
        }
        let reader = self.reader.as_ref().expect("it was just made");
        loop {
            match reader.poll(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok(record)) => each(record.partition(), record.payload().unwrap_or_default()),
                Some(Err(report)) => {
                    if let Some(error) = client::lasting("read outcomes", &report) {
                        return Err(error);
                    }
                }
                None => {}
            }
            if Instant::now() >= deadline {
                return Ok(());
            }
        }
    }
}

impl Drop for KafkaHistory {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            drop_aside(reader, false);
        }
    }
}

/// A partition's place in positions; 0 for one that the topic does not have.
fn of(positions: &Positions, partition: Partition) -> i64 {
    let place = usize::try_from(partition).ok();
    place.and_then(|place| positions.as_slice().get(place)).copied().unwrap_or(0)
}
