//! A real Apache Kafka, one broker shared by the tests of a file, a prefix for each test.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_harness::{Broker, Options};
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
    let config = Config {
        prefix: prefix.to_owned(),
        group: prefix.to_owned(),
        instance: "checker".to_owned(),
        client: BTreeMap::new(),
        ..Config::new(broker.bootstrap())
    };
    topics::apply(&config, std::time::Duration::from_secs(30)).expect("topics can be made");
    Arc::new(Kafka::new(config).expect("the settings are good"))
}
