//! A real Apache Kafka, one broker shared by the tests of a file, a prefix for each test.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_harness::{Broker, Options};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tamis_bus::kafka::{Config, Kafka, topics};

/// The shared broker.
#[must_use]
pub fn broker() -> &'static Broker {
    kafka_harness::shared()
}

/// A broker for one test, which may pause or kill it.
#[must_use]
pub fn own_broker() -> Broker {
    Broker::start(&Options::default()).expect("a broker starts: Java 17 and Maven are needed")
}

/// A log with fresh topics on the shared broker.
#[must_use]
pub fn bus(prefix: &str) -> Arc<Kafka> {
    bus_on(broker(), prefix)
}

/// A log with fresh topics.
#[must_use]
pub fn bus_on(broker: &Broker, prefix: &str) -> Arc<Kafka> {
    bus_with(broker, prefix, BTreeMap::new())
}

/// A log with fresh topics and these properties of its clients.
#[must_use]
pub fn bus_with(broker: &Broker, prefix: &str, client: BTreeMap<String, String>) -> Arc<Kafka> {
    let config = Config {
        prefix: prefix.to_owned(),
        group: prefix.to_owned(),
        instance: "checker".to_owned(),
        client,
        ..Config::new(broker.bootstrap())
    };
    let patience = std::time::Duration::from_secs(30);
    topics::apply(&config, patience).expect("topics can be made");
    // A busy broker has made a topic before it tells everybody of it.
    crate::suite::wait("the topics are told", || {
        topics::check_needed(&config, patience).is_ok_and(|f| f.is_empty())
    });
    Arc::new(Kafka::new(config).expect("the settings are good"))
}

/// Sets the offsets of the router's group back by up to `by` in each partition, and says what they were in all. Nobody may be in
/// the group.
///
/// # Panics
/// When the broker does not do it.
pub fn set_offsets_back(bus: &Kafka, by: i64) -> i64 {
    let patience = std::time::Duration::from_secs(10);
    let topic = tamis_bus::topic_name(&bus.config().prefix, "send-jobs");
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &bus.config().bootstrap_servers).set("group.id", &bus.config().group);
    let consumer: BaseConsumer = client.create().expect("a client");
    let metadata = consumer.fetch_metadata(Some(&topic), patience).expect("the topic is told");
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        list.add_partition(&topic, partition.id());
    }
    let committed = consumer.committed_offsets(list, patience).expect("the offsets are told");
    let (mut earlier, mut all) = (TopicPartitionList::new(), 0);
    for element in committed.elements() {
        let Offset::Offset(at) = element.offset() else { continue };
        all += at;
        let to = Offset::Offset((at - by).max(0));
        earlier.add_partition_offset(&topic, element.partition(), to).expect("a good offset");
    }
    // A list that outlives its consumer makes its end hang.
    drop(committed);
    consumer.commit(&earlier, CommitMode::Sync).expect("the offsets are taken");
    all
}
