//! What the play stands on: a log of its own, and the line in front of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tamis_bus::embedded::{self, Embedded};
use tamis_bus::kafka::{self, Kafka, topics};
use tamis_bus::topic_name;
use tamis_pipeline::Options;

use crate::context;
use crate::exit_code::Outcome;

/// How long the brokers may take to make the topics.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a broker may take to answer at all.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);

/// An embedded log in `dir`.
pub(crate) fn embedded(dir: &Path) -> Outcome<Arc<Embedded>> {
    let config = embedded::Config { workers: context::cores(), ..embedded::Config::default() };
    Ok(Embedded::open(dir, config)?)
}

/// Kafka at `servers`, with topics and a group of its own under `name`: they stay there afterwards.
pub(crate) fn kafka(servers: &str, name: &str) -> Outcome<Arc<Kafka>> {
    let config = kafka::Config {
        prefix: name.to_owned(),
        group: name.to_owned(),
        instance: name.to_owned(),
        ..kafka::Config::new(servers)
    };
    let kafka = Kafka::new(config)?;
    kafka.probe(REACH_TIMEOUT)?;
    topics::apply(kafka.config(), TOPICS_TIMEOUT)?;
    Ok(Arc::new(kafka))
}

/// The line, reading the topics under `prefix`.
pub(crate) fn options(prefix: &str) -> Options {
    Options { workers: context::cores(), jobs_topic: topic_name(prefix, "send-jobs"), ..Options::default() }
}
