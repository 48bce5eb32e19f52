//! What every client has in common: its properties, what it tells by itself, its errors, its end.

use super::Config;
use crate::{Blame, Error};
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, Statistics, bindings};
use std::ffi::CString;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

/// Properties that a promise rests on, so that `[bus.client]` may not set them. (G1: isolation of input; G4:
/// idempotence, commits in the transaction only, the eager protocol.)
const RESERVED: [&str; 16] = [
    "acks",
    "request.required.acks",
    "bootstrap.servers",
    "metadata.broker.list",
    "enable.idempotence",
    "transactional.id",
    "transaction.timeout.ms",
    "isolation.level",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "group.id",
    "group.protocol",
    "partition.assignment.strategy",
    "partitioner",
    "delivery.report.only.error",
];

/// How long a client that is no longer wanted may take to go before it is left to itself.
const DROP_LIMIT: Duration = Duration::from_secs(10);

/// See [`clients_being_dropped`].
static BEING_DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Kafka clients that were let go and have not gone yet: 0 in a healthy process, a few for moments; one that
/// stays is leaked memory (`rd_kafka_destroy` hangs when something of the client is still held).
#[must_use]
pub fn clients_being_dropped() -> usize {
    BEING_DROPPED.load(Ordering::Relaxed)
}

/// Drops a client on a thread of its own, and waits for it within [`DROP_LIMIT`] if `wait`.
pub(super) fn drop_aside<T: Send + 'static>(client: T, wait: bool) {
    BEING_DROPPED.fetch_add(1, Ordering::Relaxed);
    let (gone, is_gone) = mpsc::channel();
    let spawned = std::thread::Builder::new().name("kafka-drop".to_owned()).spawn(move || {
        drop(client);
        BEING_DROPPED.fetch_sub(1, Ordering::Relaxed);
        // Nobody listens when nobody waits.
        let _ = gone.send(());
    });
    // Without a thread the closure, and with it the client, was dropped right here.
    if spawned.is_err() {
        BEING_DROPPED.fetch_sub(1, Ordering::Relaxed);
    } else if wait && is_gone.recv_timeout(DROP_LIMIT).is_err() {
        tracing::warn!(seconds = DROP_LIMIT.as_secs(), "a kafka client does not end; left to itself");
    }
}

/// Refuses what librdkafka does not know and what is not the operator's to set.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    let refuse = |detail| Err(Error::new("read bus.client", Blame::Configuration, detail));
    if let Some(name) = config.client.keys().find(|name| RESERVED.contains(&name.as_str())) {
        return refuse(format!("`{name}` is set by tamis, its promises rest on it"));
    }
    // librdkafka names the property, and of the value only what an enumeration expects: no secret is in it.
    match base(config).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, _, name, _)) => {
            refuse(format!("`{name}` is unknown or has a bad value"))
        }
        Err(error) => refuse(error.to_string()),
    }
}

/// Brokers, the operator's properties, and what is the same for all clients.
pub(super) fn base(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.bootstrap_servers).set("client.id", "tamis");
    // librdkafka's defaults (100 ms growing to 10 s) make a broker's restart last ten seconds longer than it does.
    client.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "1000");
    client.set_log_level(RDKafkaLogLevel::Warning);
    for (name, value) in &config.client {
        client.set(name, value);
    }
    client
}

/// Sets `defaults`, except where the operator did.
pub(super) fn tune(client: &mut ClientConfig, config: &Config, defaults: &[(&str, &str)]) {
    for (name, value) in defaults {
        if !config.client.contains_key(*name) {
            client.set(*name, *value);
        }
    }
}

/// Has librdkafka tell of every connection that is lost. By itself it logs one on which a single request is under way at a
/// level below warnings, calls back for none, and keeps silent about the third of its kind within 30 s
/// (`rd_kafka_broker_conn_closed`, `rd_kafka_broker_set_error`); and the end of a transaction is such a single request. Its
/// debugging of brokers has a line for each, and few others.
pub(super) fn tell_all(client: &mut ClientConfig) {
    let debug = client.get("debug").map_or("broker".to_owned(), |more| format!("{more},broker"));
    client.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
}

/// In what is said of a broker that librdkafka lets go by itself, most often one of `bootstrap.servers` once it has learnt the
/// real ones. Ends of transactions go to the coordinator, which has a connection of its own.
const LET_GO: &str = "(_DESTROY_BROKER)";

/// For a client that lives long: how often it is looked whether it knows a broker ([`Watch::keep_brokers`]).
pub(super) const LOOKED_AT: (&str, &str) = ("statistics.interval.ms", "2000");

/// What a client tells by itself: logged, and counted as reasons for doubt.
#[derive(Debug, Default)]
pub(super) struct Watch {
    doubts: AtomicU64,
    home: OnceLock<Home>,
}

/// A client, and the brokers that it began with.
#[derive(Debug)]
struct Home {
    client: AtomicPtr<bindings::rd_kafka_t>,
    brokers: CString,
}

impl Watch {
    /// Disconnections, time-outs and errors so far. If it moved during a transaction, an answer may have been
    /// lost or may come late, and the next transaction of this producer's epoch could be hit by it (KIP-890).
    pub(super) fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }

    /// One more reason for doubt.
    pub(super) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// Has `client`, whose context this is, begin anew with the brokers of its `properties` whenever it knows none any more: when it is
    /// polled, within [`LOOKED_AT`], which is to be among them.
    ///
    /// A cluster whose brokers are all fenced, as those of one that stood still are for a moment, says that it has none, and
    /// librdkafka lets go of those that it knew. It begins anew by itself, unless the very answer that began it ends it, which
    /// happens now and then; then it never tries again (librdkafka #5301).
    pub(super) fn keep_brokers<C: ClientContext>(&self, client: &Client<C>, properties: &ClientConfig) {
        let brokers = properties.get("bootstrap.servers").unwrap_or_default();
        if let Ok(brokers) = CString::new(brokers) {
            // Set before for the same client only, as a context is made with it.
            let _ = self.home.set(Home { client: AtomicPtr::new(client.native_ptr()), brokers });
        }
    }

    /// Looks at a client's statistics.
    pub(super) fn look(&self, statistics: &Statistics) {
        let mut known = statistics.brokers.values();
        if known.any(|broker| matches!(broker.source.as_str(), "configured" | "learned")) {
            return;
        }
        if let Some(home) = self.home.get() {
            tracing::warn!(
                "a kafka client knows no broker any more; it begins anew with those of the settings"
            );
            home.add_brokers();
        }
    }
}

impl Home {
    #[expect(unsafe_code, reason = "rdkafka has no such call")]
    fn add_brokers(&self) {
        // SAFETY: a context is told by its client, which is therefore alive; the call takes a copy, from any thread.
        unsafe {
            bindings::rd_kafka_brokers_add(self.client.load(Ordering::Acquire), self.brokers.as_ptr());
        }
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // FAIL: a connection broke; REQTMOUT: a request had no answer in time; TIMEOUT: the same in sum.
        if matches!(facility, "FAIL" | "REQTMOUT" | "TIMEOUT") && !message.contains(LET_GO) {
            self.doubt();
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::debug!(facility, message, "librdkafka warns"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::trace!(facility, message, "librdkafka says");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.doubt();
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }

    fn stats(&self, statistics: Statistics) {
        self.look(&statistics);
    }
}

impl ConsumerContext for Watch {}

/// Our error for rdkafka's. Its text has codes and names, never a record.
pub(super) fn error(verb: &'static str, error: &KafkaError) -> Error {
    let code = match error {
        // Not among those that rdkafka itself has a code for.
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    };
    let blame = code.map_or(Blame::Internal, blame);
    // A configuration error carries the value, which may be a password.
    let detail = match error {
        KafkaError::ClientConfig(_, what, name, _) => format!("{what}: `{name}`"),
        other => other.to_string(),
    };
    let blame = if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) {
        Blame::Configuration
    } else {
        blame
    };
    Error::new(verb, blame, detail)
}

/// Who must act on librdkafka's code.
pub(super) fn blame(code: RDKafkaErrorCode) -> Blame {
    use RDKafkaErrorCode as Code;
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::RequestTimedOut
        | Code::WaitingForCoordinator
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::RebalanceInProgress
        | Code::ConcurrentTransactions
        | Code::KafkaStorageError
        | Code::UnstableOffsetCommit
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::ThrottlingQuotaExceeded
        | Code::QueueFull => Blame::Unreachable,
        Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication
        | Code::SSL
        | Code::UnsupportedSASLMechanism
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidTransactionTimeout
        | Code::PolicyViolation
        | Code::InvalidConfig
        | Code::InvalidArgument => Blame::Configuration,
        Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::FencedInstanceId
        | Code::UnknownMemberId
        | Code::IllegalGeneration
        | Code::InvalidProducerIdMapping
        | Code::UnknownProducerId => Blame::Fenced,
        // rdkafka's own list, open to new codes.
        _ => Blame::Internal,
    }
}

/// What a consumer's poll reported, if it does not pass by itself. Lost connections, leaders that move and
/// coordinators that load are librdkafka's to wait out; a fatal error, a missing topic, a refused login are not.
pub(super) fn lasting(verb: &'static str, report: &KafkaError) -> Option<Error> {
    if let KafkaError::MessageConsumptionFatal(_) = report {
        return Some(error(verb, report));
    }
    let code = report.rdkafka_error_code()?;
    match code {
        // Asked at join, when the group decides, and on every revoke: the next poll joins again.
        RDKafkaErrorCode::PollExceeded
        | RDKafkaErrorCode::UnknownMemberId
        | RDKafkaErrorCode::IllegalGeneration
        | RDKafkaErrorCode::PartitionEOF => None,
        other => match blame(other) {
            Blame::Unreachable => None,
            Blame::Configuration | Blame::Fenced | Blame::Internal => Some(error(verb, report)),
        },
    }
}

/// How many partitions `topic` has.
///
/// # Errors
/// [`Blame::Unreachable`] without an answer in time; [`Blame::Configuration`] when there is no such topic.
pub(super) fn partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<u32, Error> {
    const VERB: &str = "read topic's partitions";
    let metadata = client.fetch_metadata(Some(topic), timeout).map_err(|e| error(VERB, &e))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let count = found.map_or(0, |found| found.partitions().len());
    match u32::try_from(count) {
        Ok(count @ 1..) => Ok(count),
        Ok(_) | Err(_) => Err(Error::new(
            VERB,
            Blame::Configuration,
            format!("topic {topic} is missing: `tamis topics apply`"),
        )),
    }
}
