//! Reads everything that came out, as gateways and billing would, after the world has healed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tamis_bus::{Bus, Tail, TailTopic, kafka::Kafka};
use tamis_campaign::Channel;
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1::{JobOutcome, JobOutcomes};

/// How long nothing must come before it is the end.
const QUIET: Duration = Duration::from_secs(4);
/// How long something that is missing is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything that a `read_committed` reader can see.
#[derive(Debug, Default)]
pub struct Found {
    /// Deliveries: the channel of their topic, and their bytes.
    pub deliveries: Vec<(Channel, Vec<u8>)>,
    /// Outcomes.
    pub outcomes: Vec<JobOutcome>,
    /// What could not be read: where it was.
    pub dead_letters: Vec<String>,
    /// Records of the outcomes' topic that are no outcomes.
    pub unreadable: u64,
}

/// Reads until nothing more comes and at least `outcomes` are there, or patience is at its end.
pub(crate) fn read(bus: &Kafka, outcomes: usize) -> Result<Found> {
    let open = |topic: TailTopic, name: &str| {
        bus.tail(topic, &format!("checker-{name}"), true).with_context(|| format!("read {name}"))
    };
    let mut books = open(TailTopic::Outcomes, "outcomes")?;
    let mut letters = open(TailTopic::DeadLetters, "dead letters")?;
    let mut gateways = Vec::new();
    for channel in Channel::ALL {
        gateways.push((*channel, open(TailTopic::Deliveries(*channel), channel.as_str())?));
    }
    let mut found = Found::default();
    let (begun, mut last) = (Instant::now(), Instant::now());
    let short = Duration::from_millis(50);
    while last.elapsed() < QUIET || (found.outcomes.len() < outcomes && begun.elapsed() < PATIENCE) {
        let mut came = books.poll(short, 10_000, &mut |record| match JobOutcomes::decode(record.value) {
            Ok(batch) => found.outcomes.extend(batch.outcomes),
            Err(_) => found.unreadable += 1,
        })?;
        came += letters.poll(Duration::from_millis(1), 10_000, &mut |record| {
            found.dead_letters.push(String::from_utf8_lossy(record.key).into_owned());
        })?;
        for (channel, tail) in &mut gateways {
            came += tail.poll(Duration::from_millis(10), 10_000, &mut |record| {
                found.deliveries.push((*channel, record.value.to_vec()));
            })?;
        }
        if came > 0 {
            last = Instant::now();
        }
    }
    Ok(found)
}
