//! No content left behind: what every reader has committed past is deleted, on a thread with connections of its own.
//!
//! [`control`] says what may be deleted; this thread asks, deletes and tells. It is in nobody's way: the line does not
//! wait for it, and a purge that fails is tried again in the next round.

pub mod control;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tamis_bus::{ContentTopic, Error, Purger, Reader};
use tamis_campaign::Channel;
use tamis_telemetry::{Check, Content, Health, Metrics};

use crate::clock::{monotonic_ms, unix_ms};
use control::{Call, Control, Duty, Input, Limits, Moment, Seen};

/// Between two rounds: "unreadable within seconds of the commit" is this and the time that a round takes.
const ROUND_MS: u64 = 2_000;
/// Between two looks at the oldest records: a look fetches a record of each partition, a question costs nothing.
const LOOK_MS: u64 = 10_000;
/// A gateway that has left the same record unread for so long is told: ten times the slowest commit interval that
/// clients have by default (5 s, `auto.commit.interval.ms`), and a bit.
const STILL_MS: u64 = 60_000;
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is looked whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is deleted, and what is too old.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether anything is deleted (`purge.enabled`). How old content is, is told in any case.
    pub enabled: bool,
    /// The groups that must have read a channel's deliveries (`purge.readers`); without any they are left to retention.
    pub readers: BTreeMap<Channel, Vec<String>>,
    /// Content that can be read for longer than this is an alarm (`router.content_max_age`).
    pub content_max_age: Duration,
}

impl Default for Options {
    /// The contract's defaults (section 5).
    fn default() -> Self {
        Self { enabled: true, readers: BTreeMap::new(), content_max_age: Duration::from_secs(86_400) }
    }
}

/// One topic's readers, by name.
struct Readers {
    topic: ContentTopic,
    /// `None` is tamis's own group.
    names: Vec<Option<String>>,
    still: Vec<bool>,
}

/// What the purge thread works with.
pub(crate) struct Purge<P> {
    log: P,
    control: Control,
    readers: Vec<Readers>,
    enabled: bool,
    failing: bool,
    metrics: Metrics,
    health: Health,
    stop: Arc<AtomicBool>,
}

impl<P: Purger> Purge<P> {
    pub(crate) fn new(
        log: P,
        options: &Options,
        metrics: Metrics,
        health: Health,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let readers: Vec<Readers> = ContentTopic::ALL
            .into_iter()
            .map(|topic| {
                let names = if options.enabled { names(topic, options) } else { Vec::new() };
                Readers { topic, still: vec![false; names.len()], names }
            })
            .collect();
        let duties: Vec<Duty> =
            readers.iter().map(|of| Duty { topic: of.topic, readers: of.names.len() }).collect();
        let limits = Limits {
            round_ms: ROUND_MS,
            look_ms: LOOK_MS,
            still_ms: STILL_MS,
            content_max_age_ms: u64::try_from(options.content_max_age.as_millis()).unwrap_or(u64::MAX),
        };
        let control = Control::new(limits, &duties);
        let purge =
            Self { log, control, readers, enabled: options.enabled, failing: false, metrics, health, stop };
        purge.tell_health();
        purge
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        let mut input = Input::Tick;
        while !self.stop.load(Ordering::Relaxed) {
            let moment = Moment { now: monotonic_ms(), unix_ms: unix_ms() };
            let mut answer = Input::Tick;
            for call in self.control.on(moment, input) {
                if let Some(answered) = self.carry_out(call) {
                    answer = answered;
                }
            }
            input = answer;
        }
    }

    fn carry_out(&mut self, call: Call) -> Option<Input> {
        match call {
            Call::Ask(topic) => {
                let seen = self.ask(topic);
                return Some(Input::Seen(self.noted(seen)));
            }
            Call::Delete { topic, up_to } => {
                let deleted = self.log.delete_before(topic, &up_to, TIMEOUT);
                return Some(Input::Deleted(self.noted(deleted).is_some()));
            }
            Call::Look { topic, from } => {
                let found = self.log.first(topic, &from, TIMEOUT);
                return Some(Input::Looked(self.noted(found).unwrap_or_default()));
            }
            Call::Residence { topic, age_ms } => {
                let seconds = Duration::from_millis(age_ms).as_secs_f64();
                self.metrics.content_residence_seconds(content(topic), seconds);
            }
            Call::Lag { topic, records } => self.metrics.purge_reader_lag_records(content(topic), records),
            Call::Still { topic, reader, still } => self.stands_still(topic, reader, still),
            Call::Overdue(overdue) => {
                self.metrics.content_overdue(overdue);
                if overdue {
                    tracing::warn!("content can be read for longer than router.content_max_age");
                } else {
                    tracing::info!("content is no longer overdue");
                }
            }
            Call::Wait(ms) => self.wait(ms),
        }
        None
    }

    /// Committed offsets first: then no good one is beyond an end.
    fn ask(&mut self, topic: ContentTopic) -> Result<Seen, Error> {
        let names = &self.readers[topic.index()].names;
        let mut committed = Vec::with_capacity(names.len());
        for name in names {
            let reader = name.as_deref().map_or(Reader::Own, Reader::Group);
            committed.push(self.log.committed(topic, reader, TIMEOUT)?);
        }
        Ok(Seen { committed, spans: self.log.spans(topic, TIMEOUT)? })
    }

    /// Counts an error; says once that the purge fails, and once that it goes on.
    fn noted<T>(&mut self, done: Result<T, Error>) -> Option<T> {
        match done {
            Ok(value) => {
                if std::mem::replace(&mut self.failing, false) {
                    tracing::info!("purge goes on");
                }
                Some(value)
            }
            Err(error) => {
                self.metrics.error("purge", if error.retry() { "unreachable" } else { "refused" });
                if std::mem::replace(&mut self.failing, true) {
                    tracing::debug!(%error, "purge fails");
                } else {
                    tracing::warn!(%error, "purge fails; content stays until it can be done");
                }
                None
            }
        }
    }

    fn stands_still(&mut self, topic: ContentTopic, reader: usize, still: bool) {
        let of = &mut self.readers[topic.index()];
        of.still[reader] = still;
        let group = of.names[reader].as_deref().unwrap_or(own(topic));
        if still {
            tracing::warn!(topic = topic.as_str(), group, "reader stands still; the purge waits for it");
        } else {
            tracing::info!(topic = topic.as_str(), group, "reader goes on");
        }
        let count = of.still.iter().filter(|still| **still).count();
        self.metrics.purge_readers_standing_still(content(topic), u32::try_from(count).unwrap_or(u32::MAX));
        self.tell_health();
    }

    /// Names every reader that stands still, in one line of `/readyz`.
    fn tell_health(&self) {
        if !self.enabled {
            self.health.set(Check::Purge, true, "off: content stays until the topics' retention ends");
            return;
        }
        let still = self.readers.iter().flat_map(|of| {
            let names = of.names.iter().zip(&of.still).filter(|(_, still)| **still);
            names.map(|(name, _)| {
                format!("{} {}", of.topic.as_str(), name.as_deref().unwrap_or(own(of.topic)))
            })
        });
        let still: Vec<String> = still.collect();
        if still.is_empty() {
            self.health.set(Check::Purge, true, "nobody stands still");
        } else {
            self.health.set(Check::Purge, true, format!("waits for who stands still: {}", still.join(", ")));
        }
    }

    fn wait(&self, ms: u64) {
        let until = monotonic_ms() + ms;
        while !self.stop.load(Ordering::Relaxed) && monotonic_ms() < until {
            let left = Duration::from_millis(until.saturating_sub(monotonic_ms()));
            std::thread::sleep(LOOK_EVERY.min(left));
        }
    }
}

/// Who must have read a topic: the router its jobs, the doors what comes back, the named groups their deliveries, each named once.
fn names(topic: ContentTopic, options: &Options) -> Vec<Option<String>> {
    match topic {
        ContentTopic::Jobs | ContentTopic::Inbound => vec![None],
        ContentTopic::Deliveries(channel) => {
            let mut names: Vec<_> =
                options.readers.get(&channel).into_iter().flatten().cloned().map(Some).collect();
            names.sort();
            names.dedup();
            names
        }
    }
}

/// How a group of tamis's own is called where others have their names.
fn own(topic: ContentTopic) -> &'static str {
    match topic {
        ContentTopic::Jobs | ContentTopic::Deliveries(_) => "router",
        ContentTopic::Inbound => "intake",
    }
}

fn content(topic: ContentTopic) -> Content {
    match topic {
        ContentTopic::Jobs => Content::Jobs,
        ContentTopic::Deliveries(channel) => Content::Deliveries(channel),
        ContentTopic::Inbound => Content::Inbound,
    }
}

#[cfg(test)]
mod tests;
