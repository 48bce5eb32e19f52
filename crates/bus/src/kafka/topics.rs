//! The topics of the contract: what they should be, what they are, and what is to be done about it.
//!
//! Pure but for the last module: [`wanted`] and [`plan`] take values and return values.

mod content;
mod live;
#[cfg(test)]
mod tests;

pub(super) use live::{admin, describe, options, probe, wait};
pub use live::{apply, check_needed, read};

use super::{Config, Names};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the operator says about topics (`[topics]`).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Partitions of every topic.
    pub partitions: u32,
    /// Replicas; 0 = three, or the number of brokers where there are fewer.
    pub replication: u16,
    /// The largest record, bytes.
    pub max_message_bytes: usize,
    /// How long content may wait: the longest outage tolerated.
    pub retention: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let retention = Duration::from_secs(24 * 3_600);
        Self { partitions: 8, replication: 0, max_message_bytes: 16 << 20, retention }
    }
}

/// A topic's settings by name. Values are what Kafka takes.
pub type Configs = BTreeMap<String, String>;

/// What a topic holds, from which its rules follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// What is sent: `send-jobs`.
    Jobs,
    /// What is sent: deliveries.
    Deliveries,
    /// What people reply: `inbound`.
    Replies,
    /// What was decided: `outcomes`.
    Outcomes,
    /// What could not be read: `dead-letters`.
    DeadLetters,
    /// Who opted out: `suppressions`.
    Suppressions,
}

impl Holds {
    /// Whether the number of partitions is part of the contract: outcomes mirror their jobs, and the suppression
    /// log's place of a subject depends on it.
    fn fixed_partitions(self) -> bool {
        match self {
            Self::Jobs | Self::Outcomes | Self::Suppressions => true,
            Self::Deliveries | Self::Replies | Self::DeadLetters => false,
        }
    }

    /// Whether content is in it, which must not stay.
    fn content(self) -> bool {
        match self {
            Self::Jobs | Self::Deliveries | Self::Replies => true,
            Self::Outcomes | Self::DeadLetters | Self::Suppressions => false,
        }
    }
}

/// A topic as it should be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its full name.
    pub name: String,
    /// What it holds.
    pub holds: Holds,
    /// Partitions.
    pub partitions: u32,
    /// Replicas; 0 as in [`Settings::replication`].
    pub replication: u16,
    /// Settings it is created with.
    pub configs: Configs,
}

/// A topic as it is.
#[derive(Debug, Clone, Default)]
pub struct Existing {
    /// Partitions.
    pub partitions: u32,
    /// The fewest replicas of a partition.
    pub replication: u16,
    /// Every setting in force.
    pub configs: Configs,
    /// Those of `configs` that were set for this topic.
    pub own: Configs,
}

/// What the brokers have.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// How many brokers there are.
    pub brokers: usize,
    /// The topics asked for that exist.
    pub topics: BTreeMap<String, Existing>,
}

/// Whether tamis can run with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot: a promise would not hold.
    Refuse,
    /// It can.
    Note,
}

/// What `apply` does about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    /// Creates the topic.
    Create,
    /// Sets one of its settings: only ever to something stronger.
    Set {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// Nothing: it is the operator's.
    Operator,
}

/// A difference between what should be and what is.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The topic's full name.
    pub topic: String,
    /// Whether tamis can run with it.
    pub severity: Severity,
    /// What is wrong and which command mends it.
    pub text: String,
    /// What `apply` does about it.
    pub mend: Mend,
}

/// Ten minutes, the longest of the 60 s to 10 min in which an active segment should be closed so that retention and
/// purge can take content off the disks.
const CONTENT_SEGMENT_MS: i64 = 600_000;

/// Shorter, and a busy topic is cut into more files than a broker likes to keep open.
const CONTENT_SEGMENT_MS_LEAST: i64 = 60_000;

/// 64 MiB: a segment's content goes as a whole, so that a large one stays until its last record was read.
const CONTENT_SEGMENT_BYTES: usize = 64 << 20;

/// Kafka's own limit.
const SEGMENT_BYTES_MOST: usize = i32::MAX as usize;

/// A minute, Kafka's default: how long a segment that is deleted stays on the disk under another name.
const FILE_DELETE_DELAY_MS: i64 = 60_000;

/// 20 minutes, twice the longest `router.freshness_max_ms`: no record replaces an earlier one before every batch whose
/// barrier came between the two has ended. Else an opt-out that is said once more after the barrier could take the
/// first one off the log before the filter reads it, and the filter would stand at the barrier's answer without it (G1).
const COMPACTION_LAG_MS: i64 = 1_200_000;

/// What outcomes and dead letters are created with, days; theirs is the operator's to set, and is never compared.
const HISTORY_DAYS: u64 = 365;
const DEAD_LETTER_DAYS: u64 = 30;

/// The topics of the contract, section 1.
#[must_use]
pub fn wanted(config: &Config) -> Vec<Wanted> {
    let names = Names::new(&config.prefix);
    let mut topics = vec![
        topic(config, names.jobs, Holds::Jobs),
        topic(config, names.suppressions, Holds::Suppressions),
        topic(config, names.outcomes, Holds::Outcomes),
        topic(config, names.dead_letters, Holds::DeadLetters),
        topic(config, names.inbound, Holds::Replies),
    ];
    topics.extend(names.deliveries.into_iter().map(|name| topic(config, name, Holds::Deliveries)));
    topics
}

fn topic(config: &Config, name: String, holds: Holds) -> Wanted {
    let settings = &config.topics;
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let retention = match holds {
        Holds::Jobs | Holds::Deliveries => settings.retention,
        Holds::Replies => settings.retention.min(days(1)),
        Holds::Outcomes => days(HISTORY_DAYS),
        Holds::DeadLetters => days(DEAD_LETTER_DAYS),
        Holds::Suppressions => Duration::ZERO,
    };
    let mut configs = Configs::new();
    let mut set = |key: &str, value: &str| configs.insert(key.to_owned(), value.to_owned());
    set("unclean.leader.election.enable", "false");
    // No two clocks are ever compared: times are the log's own.
    set("message.timestamp.type", "LogAppendTime");
    if holds == Holds::Suppressions {
        set("cleanup.policy", "compact");
        set("min.compaction.lag.ms", &COMPACTION_LAG_MS.to_string());
    } else {
        set("cleanup.policy", "delete");
        set("retention.ms", &retention.as_millis().to_string());
        set("max.message.bytes", &settings.max_message_bytes.to_string());
    }
    if holds.content() {
        set("segment.ms", &CONTENT_SEGMENT_MS.to_string());
        // Kafka refuses a record that is larger than a segment.
        let bytes =
            CONTENT_SEGMENT_BYTES.max(settings.max_message_bytes.saturating_mul(2)).min(SEGMENT_BYTES_MOST);
        set("segment.bytes", &bytes.to_string());
    }
    Wanted { name, holds, partitions: settings.partitions, replication: settings.replication, configs }
}

/// Three replicas, or as many as there are brokers.
fn replicas(wanted: &Wanted, brokers: usize) -> u16 {
    match wanted.replication {
        0 => u16::try_from(brokers.clamp(1, 3)).unwrap_or(3),
        asked => asked,
    }
}

/// Compares. In order of the topics asked for; what makes tamis refuse comes first in each.
#[must_use]
pub fn plan(wanted: &[Wanted], cluster: &Cluster) -> Vec<Finding> {
    let mut findings = Vec::new();
    for topic in wanted {
        match cluster.topics.get(&topic.name) {
            None => findings.push(Finding {
                topic: topic.name.clone(),
                severity: Severity::Refuse,
                text: format!(
                    "missing; `tamis topics apply` creates it with {} partitions and {} replicas{}",
                    topic.partitions,
                    replicas(topic, cluster.brokers),
                    content::explained(topic)
                ),
                mend: Mend::Create,
            }),
            Some(existing) => {
                let mut differences = Differences { topic, existing, found: Vec::new() };
                differences.cleanup();
                differences.compaction();
                differences.partitions();
                differences.size();
                differences.replication(cluster.brokers);
                differences.content();
                differences.found.sort_by_key(|finding| finding.severity == Severity::Note);
                findings.append(&mut differences.found);
            }
        }
    }
    findings
}

/// Collects what differs in one topic.
struct Differences<'a> {
    topic: &'a Wanted,
    existing: &'a Existing,
    found: Vec<Finding>,
}

impl Differences<'_> {
    fn add(&mut self, severity: Severity, mend: Mend, text: String) {
        self.found.push(Finding { topic: self.topic.name.clone(), severity, text, mend });
    }

    fn get(&self, key: &str) -> &str {
        self.existing.configs.get(key).map_or("", String::as_str)
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.get(key).parse().ok()
    }

    fn cleanup(&mut self) {
        let (is, should) = (self.get("cleanup.policy").to_owned(), &self.topic.configs["cleanup.policy"]);
        if is == *should {
            return;
        }
        if self.topic.holds == Holds::Suppressions {
            let text = format!(
                "cleanup.policy is {is}: opt-outs would be forgotten; `tamis topics apply` sets compact"
            );
            let mend = Mend::Set { key: "cleanup.policy", value: should.clone() };
            self.add(Severity::Refuse, mend, text);
        } else {
            // Turning deletion on deletes what is there: never apply's doing.
            let text = format!(
                "cleanup.policy is {is}, must be {should}; the operator sets it, which deletes what is past retention: \
                 `kafka-configs.sh --alter --topic {} --add-config cleanup.policy={should}`",
                self.topic.name
            );
            self.add(Severity::Refuse, Mend::Operator, text);
        }
    }

    fn compaction(&mut self) {
        let is = self.number("min.compaction.lag.ms").unwrap_or(0);
        if self.topic.holds == Holds::Suppressions && is < COMPACTION_LAG_MS {
            let text = format!(
                "min.compaction.lag.ms is {is}: an opt-out that is repeated may be compacted away before it is read; \
                 `tamis topics apply` sets {COMPACTION_LAG_MS}"
            );
            let mend = Mend::Set { key: "min.compaction.lag.ms", value: COMPACTION_LAG_MS.to_string() };
            self.add(Severity::Note, mend, text);
        }
    }

    fn partitions(&mut self) {
        let (is, should) = (self.existing.partitions, self.topic.partitions);
        if is == should {
            return;
        }
        if self.topic.holds.fixed_partitions() {
            let text = format!(
                "has {is} partitions, topics.partitions says {should}; set topics.partitions = {is}, or drain tamis \
                 and make the topic anew"
            );
            self.add(Severity::Refuse, Mend::Operator, text);
        } else {
            let text = format!("has {is} partitions, not {should}: records are placed modulo {is}");
            self.add(Severity::Note, Mend::Operator, text);
        }
    }

    fn size(&mut self) {
        let Some(should) = self.topic.configs.get("max.message.bytes") else { return };
        let is = self.number("max.message.bytes").unwrap_or(0);
        if is < should.parse().unwrap_or(i64::MAX) {
            let text = format!(
                "max.message.bytes is {is}, topics.max_message_bytes says {should}; `tamis topics apply` raises it"
            );
            self.add(Severity::Refuse, Mend::Set { key: "max.message.bytes", value: should.clone() }, text);
        }
    }

    fn replication(&mut self, brokers: usize) {
        let (is, should) = (self.existing.replication, replicas(self.topic, brokers));
        if is < should {
            let text = format!(
                "has {is} replicas, not {should}; the operator adds them: `kafka-reassign-partitions.sh`"
            );
            self.add(Severity::Note, Mend::Operator, text);
        }
        if is >= 3 && self.number("min.insync.replicas").unwrap_or(1) < 2 {
            let text = "min.insync.replicas is 1: an acked record may be on one disk only; `tamis topics apply` sets 2";
            let mend = Mend::Set { key: "min.insync.replicas", value: "2".to_owned() };
            self.add(Severity::Note, mend, text.to_owned());
        }
        if self.get("unclean.leader.election.enable") == "true" {
            let text = "unclean.leader.election.enable is true: acked records may be lost; `tamis topics apply` sets false";
            let mend = Mend::Set { key: "unclean.leader.election.enable", value: "false".to_owned() };
            self.add(Severity::Note, mend, text.to_owned());
        }
        if self.get("message.timestamp.type") != "LogAppendTime" {
            let text = "message.timestamp.type is not LogAppendTime: ages would be told by the writers' clocks; `tamis \
                        topics apply` sets it";
            let mend = Mend::Set { key: "message.timestamp.type", value: "LogAppendTime".to_owned() };
            self.add(Severity::Note, mend, text.to_owned());
        }
    }
}
