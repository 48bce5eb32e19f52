//! A gateway that writes what it hears back to `inbound`, and how far tamis has read it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tamis_bus::kafka::Kafka;
use tamis_bus::{Bus, ContentTopic, Purger, Reader};
use tamis_campaign::{Channel, InboundKind};
use tamis_intake::JobTenants;
use tamis_intake::inbound::{Inbound, Parts};
use tamis_pipeline::Running;
use tamis_policy::Current;
use tamis_telemetry::{Health, Metrics};
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1 as proto;

use crate::people;
use crate::suite::wait;

/// How long the broker may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Writes to `inbound`.
pub struct Gateway {
    producer: BaseProducer,
    topic: String,
}

impl Gateway {
    /// To the topic of this bus.
    ///
    /// # Panics
    /// When there is no client to be had.
    #[must_use]
    pub fn open(bus: &Kafka) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &bus.config().bootstrap_servers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        Self { producer, topic: format!("{}.inbound.v1", bus.config().prefix) }
    }

    /// Writes `values`, each under its number; they are acked when this returns. Without a partition its key chooses.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn send(&self, partition: Option<i32>, values: &[Vec<u8>]) {
        for (number, value) in values.iter().enumerate() {
            let key = format!("m-{number}");
            let mut record = BaseRecord::to(&self.topic).key(&key).payload(value);
            record.partition = partition;
            self.producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
        }
        self.producer.flush(TIMEOUT).expect("the broker acks");
    }

    /// As [`Gateway::send`], events.
    pub fn say(&self, partition: Option<i32>, events: &[proto::InboundEvent]) {
        let values: Vec<_> = events.iter().map(proto::InboundEvent::encode_to_vec).collect();
        self.send(partition, &values);
    }
}

/// What person `n` replies to `acme`; `id` is the message's.
#[must_use]
pub fn reply(n: u64, text: &str, id: &str) -> proto::InboundEvent {
    proto::InboundEvent {
        gateway: "gateway-1".into(),
        message_id: id.into(),
        kind: InboundKind::Reply.number(),
        channel: Channel::Sms.number(),
        address: people::recipient(Channel::Sms, n).address,
        text: text.into(),
        tenant: "acme".into(),
        ..Default::default()
    }
}

/// Reads `inbound` in this process, beside a running service.
#[must_use]
pub fn read(bus: &Arc<Kafka>, running: &Running, health: &Health) -> Inbound {
    let metrics = Metrics::detached();
    let partitions = running.recorder().partitions();
    let parts = Parts {
        tenants: JobTenants::read(bus.clone(), partitions, Duration::from_secs(3_600), metrics.clone()),
        filter: running.filter(),
        recorder: running.recorder(),
        policy: Current::default(),
        topic: format!("{}.inbound.v1", bus.config().prefix),
        metrics,
        health: health.clone(),
    };
    Inbound::start(bus.clone(), parts)
}

/// Events that are there and not committed; `None` while the broker does not say.
pub fn unread(purger: &mut impl Purger) -> Option<i64> {
    let committed = purger.committed(ContentTopic::Inbound, Reader::Own, TIMEOUT).ok()?;
    let spans = purger.spans(ContentTopic::Inbound, TIMEOUT).ok()?;
    let behind = spans
        .iter()
        .zip(committed)
        .map(|(span, at)| span.end - at.unwrap_or(0).max(span.start).min(span.end));
    Some(behind.sum())
}

/// Waits until everything is read: the offset after the last event, or the marker behind it.
///
/// # Panics
/// When that takes too long.
pub fn wait_read(bus: &Kafka) {
    let mut purger = bus.purger().expect("a purger");
    wait("inbound is read", || unread(&mut purger) == Some(0));
}
