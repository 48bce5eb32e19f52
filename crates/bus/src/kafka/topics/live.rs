//! Asks the brokers and changes them.

use super::super::client::{self, Watch};
use super::{Cluster, Config, Configs, Existing, Finding, Mend, Severity, Wanted, plan, replicas, wanted};
use crate::types::after;
use crate::{Blame, Error};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long topics that look unfit are asked for again before it is believed. A broker learns of topics after the
/// controller has made them: asked in that moment, or just after its own start, it says that they are missing or have no
/// settings, and a service that believed it would refuse to start.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
const SETTLE_STEP: Duration = Duration::from_millis(250);

/// Whether a broker answers.
pub(in super::super) fn probe(config: &Config, timeout: Duration) -> Result<(), Error> {
    let admin = admin(config)?;
    match admin.inner().fetch_metadata(None, timeout) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::new("reach Kafka", Blame::Unreachable, e.to_string())),
    }
}

/// Reads what the brokers have of the topics of the contract.
///
/// # Errors
/// [`Blame::Unreachable`] when no broker answers within `timeout`; [`Blame::Configuration`] when reading is refused.
pub fn read(config: &Config, timeout: Duration) -> Result<Cluster, Error> {
    read_with(&admin(config)?, &wanted(config), timeout)
}

/// What stands in the way of `tamis run`, and what it should be told: the topics, compared.
///
/// # Errors
/// As [`read`].
pub fn check_needed(config: &Config, timeout: Duration) -> Result<Vec<Finding>, Error> {
    settled(&admin(config)?, &wanted(config), timeout, |finding| finding.severity == Severity::Refuse)
}

/// The comparison, asked for again for some seconds while any of it is `doubtful`.
fn settled(
    admin: &AdminClient<Watch>,
    wanted: &[Wanted],
    timeout: Duration,
    doubtful: impl Fn(&Finding) -> bool,
) -> Result<Vec<Finding>, Error> {
    let settled = after(SETTLE_LIMIT);
    loop {
        let findings = plan(wanted, &read_with(admin, wanted, timeout)?);
        if !findings.iter().any(&doubtful) || Instant::now() >= settled {
            return Ok(findings);
        }
        std::thread::sleep(SETTLE_STEP);
    }
}

/// Creates what is missing and strengthens what is weaker; deletes and weakens nothing. Returns what it did, a line
/// each, and returns when the brokers show it; what it left to the operator is what [`plan`] says afterwards.
///
/// # Errors
/// As [`read`], and when a broker refuses a change; what was done before stays done.
pub fn apply(config: &Config, timeout: Duration) -> Result<Vec<String>, Error> {
    let admin = admin(config)?;
    let wanted = wanted(config);
    let cluster = read_with(&admin, &wanted, timeout)?;
    let findings = plan(&wanted, &cluster);
    let mut done = Vec::new();
    for topic in &wanted {
        let mut changes = Configs::new();
        for finding in findings.iter().filter(|finding| finding.topic == topic.name) {
            match &finding.mend {
                Mend::Create => done.push(create(&admin, topic, cluster.brokers, timeout)?),
                Mend::Set { key, value } => {
                    changes.insert((*key).to_owned(), value.clone());
                }
                Mend::Operator => {}
            }
        }
        if let Some(existing) = cluster.topics.get(&topic.name).filter(|_| !changes.is_empty()) {
            done.push(alter(&admin, &topic.name, existing, &changes, timeout)?);
        }
    }
    if !done.is_empty() {
        // Who looks next must not be told that what was just made is missing.
        settled(&admin, &wanted, timeout, |finding| finding.mend != Mend::Operator)?;
    }
    Ok(done)
}

pub(in super::super) fn admin(config: &Config) -> Result<AdminClient<Watch>, Error> {
    client::base(config)
        .create_with_context(Watch::default())
        .map_err(|e| client::error("open admin client", &e))
}

pub(in super::super) fn options(timeout: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

fn read_with(admin: &AdminClient<Watch>, wanted: &[Wanted], timeout: Duration) -> Result<Cluster, Error> {
    const VERB: &str = "read topics";
    let metadata = admin.inner().fetch_metadata(None, timeout).map_err(|e| client::error(VERB, &e))?;
    let mut topics = BTreeMap::new();
    for found in metadata.topics() {
        let ours = wanted.iter().any(|topic| topic.name == found.name());
        if ours && found.error().is_none() && !found.partitions().is_empty() {
            let replicas = found.partitions().iter().map(|partition| partition.replicas().len()).min();
            let existing = Existing {
                partitions: u32::try_from(found.partitions().len()).unwrap_or(u32::MAX),
                replication: u16::try_from(replicas.unwrap_or(0)).unwrap_or(u16::MAX),
                ..Existing::default()
            };
            topics.insert(found.name().to_owned(), existing);
        }
    }
    let brokers = metadata.brokers().len();
    let names: Vec<String> = topics.keys().cloned().collect();
    for resource in describe(admin, names.iter().map(String::as_str), timeout)? {
        if let OwnedResourceSpecifier::Topic(name) = &resource.specifier
            && let Some(existing) = topics.get_mut(name)
        {
            take(existing, &resource);
        }
    }
    Ok(Cluster { brokers, topics })
}

/// The settings in force of these topics.
pub(in super::super) fn describe<'a>(
    admin: &AdminClient<Watch>,
    names: impl Iterator<Item = &'a str>,
    timeout: Duration,
) -> Result<Vec<ConfigResource>, Error> {
    const VERB: &str = "read topics' settings";
    let asked: Vec<ResourceSpecifier<'_>> = names.map(ResourceSpecifier::Topic).collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let answers = wait(admin.describe_configs(&asked, &options(timeout)));
    let answers = answers.map_err(|e| client::error(VERB, &e))?.into_iter();
    answers.map(|one| one.map_err(|code| Error::new(VERB, client::blame(code), code.to_string()))).collect()
}

fn take(existing: &mut Existing, resource: &ConfigResource) {
    for entry in &resource.entries {
        let Some(value) = &entry.value else { continue };
        existing.configs.insert(entry.name.clone(), value.clone());
        if entry.source == ConfigSource::DynamicTopic {
            existing.own.insert(entry.name.clone(), value.clone());
        }
    }
}

fn create(
    admin: &AdminClient<Watch>,
    topic: &Wanted,
    brokers: usize,
    timeout: Duration,
) -> Result<String, Error> {
    const VERB: &str = "create topic";
    let replicas = replicas(topic, brokers);
    let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
    let mut new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(i32::from(replicas)));
    for (key, value) in &topic.configs {
        new = new.set(key, value);
    }
    if replicas >= 3 {
        new = new.set("min.insync.replicas", "2");
    }
    let answers =
        wait(admin.create_topics([&new], &options(timeout))).map_err(|e| client::error(VERB, &e))?;
    for answer in answers {
        match answer {
            // Another instance that starts at the same time was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(Error::new(VERB, client::blame(code), format!("{name}: {code}")));
            }
        }
    }
    Ok(format!("{}: created, {} partitions, {replicas} replicas", topic.name, topic.partitions))
}

/// Kafka's AlterConfigs replaces all of a topic's own settings, so these go along unchanged.
fn alter(
    admin: &AdminClient<Watch>,
    name: &str,
    existing: &Existing,
    changes: &Configs,
    timeout: Duration,
) -> Result<String, Error> {
    const VERB: &str = "alter topic";
    let mut merged = existing.own.clone();
    merged.extend(changes.clone());
    let mut altered = AlterConfig::new(ResourceSpecifier::Topic(name));
    for (key, value) in &merged {
        altered = altered.set(key, value);
    }
    let answers =
        wait(admin.alter_configs([&altered], &options(timeout))).map_err(|e| client::error(VERB, &e))?;
    for answer in answers {
        answer.map_err(|(_, code)| Error::new(VERB, client::blame(code), format!("{name}: {code}")))?;
    }
    let changes: Vec<String> = changes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok(format!("{name}: set {}", changes.join(", ")))
}

/// Waits for rdkafka's admin futures, which a thread of its client completes: nothing else needs a runtime here.
pub(in super::super) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
