//! The log on Apache Kafka: the one place that knows rdkafka.
//!
//! What each client may never be talked out of (isolation, acknowledgements, commits by hand) is set here after
//! whatever the operator passes through in `[bus.client]`; asking for something else there is refused.

mod client;
mod end_offsets;
mod fetched;
mod follower;
mod headers;
mod history;
mod identity;
mod jobs;
mod ledger;
mod purger;
mod tail;
pub mod topics;
mod writers;

pub use client::clients_being_dropped;
pub use end_offsets::KafkaEndOffsets;
pub use follower::KafkaFollower;
pub use history::KafkaHistory;
pub use jobs::{KafkaBatch, KafkaJobs};
pub use ledger::KafkaLedger;
pub use purger::KafkaPurger;
pub use tail::KafkaTail;
pub use writers::{KafkaRecorder, KafkaScheduler};

use crate::{
    Bus, ContentTopic, Error, LogIdentity, OutTopic, Positions, TailTopic, deliveries_noun, topic_name,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tamis_campaign::Channel;

/// Kafka's own default for `transaction.timeout.ms` is 60 s, which is how long a dead worker's open transaction
/// holds every `read_committed` reader back; 10 s is what the freshness bound (G2) leaves room for.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long opening a reader or a writer waits for the first answer of a broker.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach Kafka, and under which names.
#[derive(Clone)]
pub struct Config {
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// First part of every topic name.
    pub prefix: String,
    /// The router's consumer group.
    pub group: String,
    /// Unique in the group and stable: with the worker's number, or `inbound`, it makes the transactional id.
    pub instance: String,
    /// librdkafka properties as they are, for TLS, SASL and tuning. May hold secrets: never printed.
    pub client: BTreeMap<String, String>,
    /// How long the brokers let a transaction be open.
    pub transaction_timeout: Duration,
    /// What the topics should be.
    pub topics: topics::Settings,
}

impl Config {
    /// The contract's defaults (section 5) for these brokers.
    #[must_use]
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            prefix: "tamis".to_owned(),
            group: "tamis-router".to_owned(),
            instance: "tamis-1".to_owned(),
            client: BTreeMap::new(),
            transaction_timeout: TRANSACTION_TIMEOUT,
            topics: topics::Settings::default(),
        }
    }
}

impl Config {
    /// The group of the doors that read `inbound`.
    pub(crate) fn inbound_group(&self) -> String {
        format!("{}-inbound", self.group)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bootstrap_servers, prefix, group, instance, client, transaction_timeout, topics } = self;
        f.debug_struct("Config")
            .field("bootstrap_servers", bootstrap_servers)
            .field("prefix", prefix)
            .field("group", group)
            .field("instance", instance)
            .field("client", &client.keys())
            .field("transaction_timeout", transaction_timeout)
            .field("topics", topics)
            .finish()
    }
}

/// Full topic names under one prefix.
#[derive(Debug)]
struct Names {
    jobs: String,
    suppressions: String,
    outcomes: String,
    dead_letters: String,
    inbound: String,
    /// In the order of [`slot`].
    deliveries: Vec<String>,
}

impl Names {
    fn new(prefix: &str) -> Self {
        let name = |noun| topic_name(prefix, noun);
        Self {
            jobs: name("send-jobs"),
            suppressions: name("suppressions"),
            outcomes: name("outcomes"),
            dead_letters: name("dead-letters"),
            inbound: name("inbound"),
            deliveries: Channel::ALL.iter().map(|channel| name(deliveries_noun(*channel))).collect(),
        }
    }

    fn deliveries(&self, channel: Channel) -> &str {
        &self.deliveries[slot(channel)]
    }

    fn out(&self, topic: OutTopic) -> &str {
        match topic {
            OutTopic::Deliveries(channel) => self.deliveries(channel),
            OutTopic::Outcomes => &self.outcomes,
            OutTopic::DeadLetters => &self.dead_letters,
        }
    }

    fn content(&self, topic: ContentTopic) -> &str {
        match topic {
            ContentTopic::Jobs => &self.jobs,
            ContentTopic::Deliveries(channel) => self.deliveries(channel),
            ContentTopic::Inbound => &self.inbound,
        }
    }

    fn tail(&self, topic: TailTopic) -> &str {
        match topic {
            TailTopic::Deliveries(channel) => self.deliveries(channel),
            TailTopic::Outcomes => &self.outcomes,
            TailTopic::DeadLetters => &self.dead_letters,
        }
    }
}

/// The channel's place in arrays of all channels.
fn slot(channel: Channel) -> usize {
    match channel {
        Channel::Sms => 0,
        Channel::Email => 1,
        Channel::Voice => 2,
        Channel::Fax => 3,
        Channel::Mail => 4,
    }
}

/// The log on Apache Kafka.
#[derive(Debug, Clone)]
pub struct Kafka {
    config: Arc<Config>,
    names: Arc<Names>,
}

impl Kafka {
    /// Checks the settings; asks no broker.
    ///
    /// # Errors
    /// [`crate::Blame::Configuration`] for a client property that librdkafka does not know, or one that tamis's promises
    /// rest on and that is therefore not the operator's to set.
    pub fn new(config: Config) -> Result<Self, Error> {
        client::check(&config)?;
        let names = Arc::new(Names::new(&config.prefix));
        Ok(Self { config: Arc::new(config), names })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether a broker answers within `timeout`.
    ///
    /// # Errors
    /// [`crate::Blame::Unreachable`] when none does.
    pub fn probe(&self, timeout: Duration) -> Result<(), Error> {
        topics::probe(&self.config, timeout)
    }
}

impl Bus for Kafka {
    type Jobs = KafkaJobs;
    type Ledger = KafkaLedger;
    type EndOffsets = KafkaEndOffsets;
    type Follower = KafkaFollower;
    type Recorder = KafkaRecorder;
    type Scheduler = KafkaScheduler;
    type Tail = KafkaTail;
    type History = KafkaHistory;
    type Purger = KafkaPurger;

    fn join(&self, worker: u16) -> Result<(KafkaJobs, KafkaLedger), Error> {
        let (config, names) = (&self.config, &self.names);
        let jobs = KafkaJobs::join(config, &config.group, &names.jobs)?;
        let ledger = KafkaLedger::new(config, names, &names.jobs, &worker.to_string(), jobs.membership());
        Ok((jobs, ledger))
    }

    fn inbound(&self) -> Result<Option<(KafkaJobs, KafkaLedger)>, Error> {
        let (config, names) = (&self.config, &self.names);
        let jobs = KafkaJobs::join(config, &config.inbound_group(), &names.inbound)?;
        // No worker has a number like that.
        let ledger = KafkaLedger::new(config, names, &names.inbound, "inbound", jobs.membership());
        Ok(Some((jobs, ledger)))
    }

    fn end_offsets(&self) -> Result<KafkaEndOffsets, Error> {
        KafkaEndOffsets::open(&self.config, &self.names.suppressions)
    }

    fn follower(&self, from: &Positions) -> Result<KafkaFollower, Error> {
        KafkaFollower::open(&self.config, &self.names.suppressions, from, OPEN_TIMEOUT)
    }

    fn suppression_log(&self, timeout: Duration) -> Result<LogIdentity, Error> {
        identity::ask(&self.config, &self.names.suppressions, timeout)
    }

    fn recorder(&self) -> Result<KafkaRecorder, Error> {
        KafkaRecorder::open(&self.config, &self.names.suppressions, OPEN_TIMEOUT)
    }

    fn scheduler(&self) -> Result<KafkaScheduler, Error> {
        KafkaScheduler::open(&self.config, &self.names.jobs)
    }

    fn tail(&self, topic: TailTopic, group: &str, from_beginning: bool) -> Result<KafkaTail, Error> {
        KafkaTail::open(&self.config, self.names.tail(topic), group, from_beginning)
    }

    fn history(&self) -> Result<KafkaHistory, Error> {
        KafkaHistory::open(&self.config, &self.names.outcomes)
    }

    fn purger(&self) -> Result<KafkaPurger, Error> {
        Ok(KafkaPurger::new(&self.config, &self.names))
    }
}
