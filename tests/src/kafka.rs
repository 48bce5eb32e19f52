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
    let patience = std::time::Duration::from_secs(30);
    topics::apply(&config, patience).expect("topics can be made");
    // A busy broker has made a topic before it tells everybody of it.
    crate::suite::wait("the topics are told", || {
        topics::check_needed(&config, patience).is_ok_and(|f| f.is_empty())
    });
    Arc::new(Kafka::new(config).expect("the settings are good"))
}
