//! The purge's part of Kafka: committed offsets of other groups, where logs start and end, DeleteRecords.
//!
//! Every client is its own and does nothing else, and is made anew after an error: questions that a broker never
//! answered would keep its connection busy.

use super::client::{self, Watch, drop_aside};
use super::end_offsets::{Edge, list_offsets};
use super::{Config, Names, topics};
use crate::types::after;
use crate::{Blame, ContentTopic, Error, First, Partition, Purger, Reader, Span};
use rdkafka::admin::AdminClient;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A look wants one record of each partition: little is fetched, and nothing is fetched ahead.
const LOOK_TUNING: [(&str, &str); 5] = [
    ("fetch.wait.max.ms", "50"),
    ("fetch.message.max.bytes", "131072"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.min.messages", "1"),
    ("queued.max.messages.kbytes", "1024"),
];

/// Asks and deletes for the purge.
pub struct KafkaPurger {
    config: Arc<Config>,
    names: Arc<Names>,
    admin: Option<AdminClient<Watch>>,
    looker: Option<BaseConsumer<Watch>>,
    /// A client for each group asked about, under that group's name; none of them ever joins it or commits.
    groups: BTreeMap<String, BaseConsumer<Watch>>,
}

impl KafkaPurger {
    pub(super) fn new(config: &Arc<Config>, names: &Arc<Names>) -> Self {
        Self {
            config: Arc::clone(config),
            names: Arc::clone(names),
            admin: None,
            looker: None,
            groups: BTreeMap::new(),
        }
    }

    /// Does `work`; after an error every client is let go.
    fn with<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let done = work(self);
        if done.is_err() {
            self.let_go();
        }
        done
    }

    fn let_go(&mut self) {
        if let Some(admin) = self.admin.take() {
            drop_aside(admin, false);
        }
        let groups = std::mem::take(&mut self.groups).into_values();
        for consumer in self.looker.take().into_iter().chain(groups) {
            drop_aside(consumer, false);
        }
    }

    fn admin(&mut self) -> Result<&AdminClient<Watch>, Error> {
        if self.admin.is_none() {
            self.admin = Some(topics::admin(&self.config)?);
        }
        Ok(self.admin.as_ref().expect("it was just made"))
    }

    fn group(&mut self, group: &str) -> Result<&BaseConsumer<Watch>, Error> {
        if !self.groups.contains_key(group) {
            let mut client = client::base(&self.config);
            client
                .set("group.id", group)
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                // What is committed, not what an open transaction may commit: with `read_committed` the answer would
                // wait for the router's next commit, again and again (KIP-447).
                .set("isolation.level", "read_uncommitted");
            let consumer = client
                .create_with_context(Watch::default())
                .map_err(|e| client::error("open group's offsets", &e))?;
            self.groups.insert(group.to_owned(), consumer);
        }
        Ok(&self.groups[group])
    }

    fn looker(&mut self) -> Result<&BaseConsumer<Watch>, Error> {
        if self.looker.is_none() {
            let mut client = client::base(&self.config);
            client::tune(&mut client, &self.config, &LOOK_TUNING);
            client
                // librdkafka wants a name to assign by hand; nothing is ever joined or committed under it.
                .set("group.id", format!("{}-purge", self.config.group))
                .set("enable.auto.commit", "false")
                .set("enable.auto.offset.store", "false")
                // What was aborted can be read by who wants to: it counts as content that is there.
                .set("isolation.level", "read_uncommitted")
                .set("enable.partition.eof", "true")
                // The log's start may move on between the question and the look.
                .set("auto.offset.reset", "earliest");
            let consumer =
                client.create_with_context(Watch::default()).map_err(|e| client::error("open look", &e))?;
            self.looker = Some(consumer);
        }
        Ok(self.looker.as_ref().expect("it was just made"))
    }
}

impl Purger for KafkaPurger {
    fn committed(
        &mut self,
        topic: ContentTopic,
        reader: Reader<'_>,
        timeout: Duration,
    ) -> Result<Vec<Option<i64>>, Error> {
        const VERB: &str = "read group's offsets";
        self.with(|this| {
            let name = this.names.content(topic).to_owned();
            let group = match reader {
                Reader::Own if topic == ContentTopic::Inbound => this.config.inbound_group(),
                Reader::Own => this.config.group.clone(),
                Reader::Group(group) => group.to_owned(),
            };
            let partitions = client::partitions(this.admin()?.inner(), &name, timeout)?;
            let consumer = this.group(&group)?;
            // Serves the client's own news, which would pile up otherwise. There is never a record.
            let _ = consumer.poll(Duration::ZERO);
            let mut asked = TopicPartitionList::with_capacity(partitions as usize);
            for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
                asked.add_partition(&name, partition);
            }
            let answer = consumer.committed_offsets(asked, timeout).map_err(|e| client::error(VERB, &e))?;
            // Copied into plain values at once: a list that outlives its consumer hangs it.
            let mut committed = vec![None; partitions as usize];
            for element in answer.elements() {
                element.error().map_err(|e| client::error(VERB, &e))?;
                let slot = usize::try_from(element.partition()).ok().and_then(|at| committed.get_mut(at));
                if let (Some(slot), Offset::Offset(offset)) = (slot, element.offset()) {
                    *slot = Some(offset);
                }
            }
            Ok(committed)
        })
    }

    fn spans(&mut self, topic: ContentTopic, timeout: Duration) -> Result<Vec<Span>, Error> {
        self.with(|this| {
            let name = this.names.content(topic).to_owned();
            let client = this.admin()?.inner();
            let partitions = client::partitions(client, &name, timeout)?;
            let starts = list_offsets(client, &name, partitions, Edge::Start, timeout)?;
            // Asked last: a start is never beyond it.
            let ends = list_offsets(client, &name, partitions, Edge::End, timeout)?;
            let pairs = starts.as_slice().iter().zip(ends.as_slice());
            Ok(pairs.map(|(&start, &end)| Span { start, end }).collect())
        })
    }

    fn delete_before(
        &mut self,
        topic: ContentTopic,
        up_to: &[(Partition, i64)],
        timeout: Duration,
    ) -> Result<(), Error> {
        const VERB: &str = "delete records";
        self.with(|this| {
            let mut asked = TopicPartitionList::with_capacity(up_to.len());
            for &(partition, offset) in up_to {
                asked
                    .add_partition_offset(this.names.content(topic), partition, Offset::Offset(offset))
                    .map_err(|e| client::error(VERB, &e))?;
            }
            let answer = topics::wait(this.admin()?.delete_records(&asked, &topics::options(timeout)));
            let answer = answer.map_err(|e| client::error(VERB, &e))?;
            for element in answer.elements() {
                element.error().map_err(|e| client::error(VERB, &e))?;
            }
            Ok(())
        })
    }

    fn first(
        &mut self,
        topic: ContentTopic,
        from: &[(Partition, i64)],
        timeout: Duration,
    ) -> Result<Vec<(Partition, Option<First>)>, Error> {
        self.with(|this| {
            let name = this.names.content(topic).to_owned();
            let consumer = this.looker()?;
            let mut list = TopicPartitionList::with_capacity(from.len());
            for &(partition, offset) in from {
                let at = Offset::Offset(offset);
                list.add_partition_offset(&name, partition, at).map_err(|e| client::error("look", &e))?;
            }
            consumer.assign(&list).map_err(|e| client::error("begin look", &e))?;
            let found = look(consumer, &name, from.len(), timeout);
            // A pause outlives the assignment.
            consumer.resume(&list).map_err(|e| client::error("end look", &e))?;
            consumer.unassign().map_err(|e| client::error("end look", &e))?;
            found
        })
    }
}

/// Reads until each partition has told a record or its end. One topic at a time, since an end tells its partition
/// only.
fn look(
    consumer: &BaseConsumer<Watch>,
    topic: &str,
    partitions: usize,
    timeout: Duration,
) -> Result<Vec<(Partition, Option<First>)>, Error> {
    const VERB: &str = "look at first records";
    let refused = |e: KafkaError| client::error(VERB, &e);
    let mut found: BTreeMap<Partition, Option<First>> = BTreeMap::new();
    let deadline = after(timeout);
    while found.len() < partitions && Instant::now() < deadline {
        match consumer.poll(deadline.saturating_duration_since(Instant::now())) {
            Some(Ok(record)) => {
                let (partition, offset) = (record.partition(), record.offset());
                let timestamp_ms = record.timestamp().to_millis().unwrap_or(0);
                drop(record);
                found.entry(partition).or_insert(Some(First { offset, timestamp_ms }));
                // One is enough: the others of this partition need not come.
                let mut done = TopicPartitionList::with_capacity(1);
                done.add_partition(topic, partition);
                consumer.pause(&done).map_err(refused)?;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                found.entry(partition).or_insert(None);
            }
            Some(Err(report)) => {
                if let Some(error) = client::lasting(VERB, &report) {
                    return Err(error);
                }
            }
            None => {}
        }
    }
    if found.is_empty() && partitions > 0 {
        return Err(Error::new(VERB, Blame::Unreachable, "no partition answered in time"));
    }
    Ok(found.into_iter().collect())
}

impl Drop for KafkaPurger {
    fn drop(&mut self) {
        self.let_go();
    }
}
