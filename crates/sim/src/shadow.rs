//! The shadow: knows what was written, acked and decided, and judges each commit at the moment it is decided.
//!
//! It keeps books of its own and never asks the workers: what is read, what the filter held and what was decided
//! before comes from the logs' full history. A decision counts when its transaction's end is decided, for from then
//! on nothing can take it back; what is aborted was never said.

use crate::kafka::Cluster;
use crate::kafka::log::{Fate, Producer};
use crate::{DEDUPE_MS, JobId, Ms, PARTITIONS_MAX, People, SKEW_MS, SUPPRESSIONS_MAX, home, people};

/// A job as the log has it: its number in [`Shadow::jobs`].
pub(crate) type JobRef = u16;

/// Next offsets of the suppression log.
pub(crate) type Ends = [i64; SUPPRESSIONS_MAX];

/// What is written to `deliveries`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delivery {
    pub(crate) job: JobRef,
    pub(crate) to: People,
}

/// What is written to `outcomes`, with what the shadow judges it by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) job: JobRef,
    pub(crate) offset: i64,
    pub(crate) duplicate: bool,
    pub(crate) forwarded: People,
    pub(crate) suppressed: People,
    /// The worker's wall clock.
    pub(crate) decided_at: i64,
    /// The world's time.
    pub(crate) decided: Ms,
    /// What was acked when the control put its question.
    pub(crate) acked: Ends,
    /// What the filter had applied.
    pub(crate) filter: Ends,
}

/// A job that was written.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) to: People,
    /// What was acked when it was written.
    acked: Ends,
    /// Still waiting for the scheduler's own transaction, or what became of it.
    pub(crate) fate: Fate,
    decided: bool,
}

/// A broken promise.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which: G1 to G7, or `liveness`.
    pub promise: &'static str,
    /// How.
    pub text: String,
}

/// The books.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) jobs: Vec<Job>,
    /// Every suppression before it is acked.
    pub(crate) acked: Ends,
    committed: [i64; PARTITIONS_MAX],
    /// When a job of this id was last sent, or found to have nobody left.
    sent: [Option<Ms>; JobId::MAX as usize + 1],
    pub(crate) violation: Option<Violation>,
}

impl Shadow {
    pub(crate) fn new() -> Self {
        Self {
            jobs: Vec::with_capacity(32),
            acked: [0; SUPPRESSIONS_MAX],
            committed: [0; PARTITIONS_MAX],
            sent: [None; JobId::MAX as usize + 1],
            violation: None,
        }
    }

    /// Notes a broken promise; the first is kept.
    pub(crate) fn broken(&mut self, promise: &'static str, text: String) {
        self.violation.get_or_insert(Violation { promise, text });
    }

    /// The scheduler writes a job. Its number.
    pub(crate) fn write(&mut self, id: JobId, to: People, fate: Fate) -> JobRef {
        self.jobs.push(Job { id, to, acked: self.acked, fate, decided: false });
        self.jobs.len() as JobRef - 1
    }

    /// How many jobs wait for a decision.
    pub(crate) fn undecided(&self) -> usize {
        self.jobs.iter().filter(|job| !job.decided && job.fate.is_readable()).count()
    }

    /// The end of `writer`'s transaction was decided: it will be visible, whatever happens. Judges it.
    pub(crate) fn on_commit(&mut self, cluster: &Cluster, writer: Producer) {
        let mut next = [None; PARTITIONS_MAX];
        for (partition, offset) in cluster.group.held_by(writer) {
            next[partition as usize] = Some(offset);
        }
        for (partition, next) in next.into_iter().enumerate().take(cluster.partitions()) {
            self.judge_partition(cluster, writer, partition, next);
        }
    }

    fn judge_partition(&mut self, cluster: &Cluster, writer: Producer, partition: usize, next: Option<i64>) {
        let from = self.committed[partition];
        let to = next.unwrap_or(from);
        let outcomes: Vec<Outcome> = cluster.outcomes[partition].open_of(writer).copied().collect();
        let deliveries: Vec<Delivery> = cluster.deliveries[partition].open_of(writer).copied().collect();
        let mut expected = from;
        for outcome in &outcomes {
            // Skips markers and what the scheduler aborted.
            while expected < outcome.offset && !is_job(cluster, partition, expected) {
                expected += 1;
            }
            if outcome.offset != expected || outcome.offset >= to {
                let text = format!(
                    "partition {partition}: a transaction decides offset {}, where {expected} is next and offsets go to {to}",
                    outcome.offset
                );
                return self.broken("G4", text);
            }
            expected += 1;
            self.judge(cluster, partition, outcome, &deliveries);
        }
        while expected < to && !is_job(cluster, partition, expected) {
            expected += 1;
        }
        if expected < to {
            let text = format!(
                "partition {partition}: offsets go to {to}, and the job at {expected} was never decided"
            );
            return self.broken("G4", text);
        }
        let stray =
            deliveries.iter().find(|d| !outcomes.iter().any(|o| o.job == d.job && o.forwarded == d.to));
        if let Some(stray) = stray {
            let text = format!(
                "partition {partition}: job {} is delivered without an outcome that says so",
                stray.job
            );
            return self.broken("G4", text);
        }
        self.committed[partition] = to.max(from);
        if to < from {
            self.broken("G4", format!("partition {partition}: offsets go back from {from} to {to}"));
        }
    }

    fn judge(&mut self, cluster: &Cluster, partition: usize, outcome: &Outcome, deliveries: &[Delivery]) {
        let number = outcome.job;
        let at = cluster.jobs[partition].at(outcome.offset).map(|entry| entry.value);
        let job = &mut self.jobs[usize::from(number)];
        if at != Some(number) || !job.fate.is_readable() {
            return self.broken("G4", format!("job {number} is decided and was never written"));
        }
        if std::mem::replace(&mut job.decided, true) {
            return self.broken("G4", format!("job {number} is decided twice"));
        }
        let (id, to, acked) = (job.id, job.to, job.acked);
        let sent = deliveries.iter().filter(|delivery| delivery.job == number).count();
        if sent != usize::from(outcome.forwarded != 0) {
            return self.broken("G4", format!("job {number} has {sent} deliveries beside its outcome"));
        }
        self.judge_repeat(id, outcome);
        if outcome.duplicate {
            return;
        }
        if outcome.forwarded & outcome.suppressed != 0 || outcome.forwarded | outcome.suppressed != to {
            self.broken("G6", format!("job {number}: its recipients do not add up"));
        }
        for person in people(outcome.forwarded) {
            let home = home(person, cluster.suppressions.len());
            let log = &cluster.suppressions[home];
            // Whatever the worker says it asked, what was acked before the job was written counts.
            let known = outcome.acked[home].max(acked[home]);
            let lifted = log.lifted_between(person, known, outcome.filter[home].max(known));
            if log.in_force(person, known) && !lifted {
                let text = format!(
                    "job {number} reaches person {person}, whose opt-out was acked before offset {known} of suppressions {home}; the filter stood at {}",
                    outcome.filter[home]
                );
                return self.broken("G1", text);
            }
        }
        for person in people(outcome.suppressed) {
            let home = home(person, cluster.suppressions.len());
            if !cluster.suppressions[home].in_force(person, outcome.filter[home]) {
                return self
                    .broken("G3", format!("job {number} drops person {person} without a record in force"));
            }
        }
    }

    fn judge_repeat(&mut self, id: JobId, outcome: &Outcome) {
        let sent = &mut self.sent[usize::from(id)];
        let age = sent.map(|sent| outcome.decided.abs_diff(sent));
        let number = outcome.job;
        if outcome.duplicate {
            if age.is_none_or(|age| age > DEDUPE_MS + 2 * SKEW_MS) {
                self.broken("G7", format!("job {number} is dropped as a repeat of {id}, which was not sent"));
            }
        } else {
            *sent = Some(outcome.decided);
            if age.is_some_and(|age| age + 2 * SKEW_MS < DEDUPE_MS) {
                self.broken("G7", format!("job {number} sends {id} a second time"));
            }
        }
    }

    /// At rest: what a `read_committed` reader of each log sees, counted without the books.
    pub(crate) fn audit(&mut self, cluster: &Cluster) {
        for partition in 0..cluster.partitions() {
            let (jobs, outcomes) = (&cluster.jobs[partition], &cluster.outcomes[partition]);
            let deliveries = &cluster.deliveries[partition];
            if outcomes.stable() != outcomes.end() || deliveries.stable() != deliveries.end() {
                return self.broken("liveness", format!("partition {partition}: a transaction stays open"));
            }
            let mut seen = outcomes.entries.iter().filter(|e| e.fate.is_readable()).map(|e| e.value);
            for entry in jobs.entries.iter().filter(|entry| entry.fate.is_readable()) {
                let Some(outcome) = seen.next().filter(|outcome| outcome.job == entry.value) else {
                    return self.broken("G4", format!("job {} has no outcome in its place", entry.value));
                };
                let to: Vec<People> = deliveries
                    .entries
                    .iter()
                    .filter(|e| e.fate.is_readable() && e.value.job == entry.value)
                    .map(|e| e.value.to)
                    .collect();
                if to != [outcome.forwarded][usize::from(outcome.forwarded == 0)..] {
                    return self
                        .broken("G4", format!("job {} is not delivered as its outcome says", entry.value));
                }
            }
            if seen.next().is_some() {
                return self.broken("G4", format!("partition {partition}: more outcomes than jobs"));
            }
        }
    }
}

/// Whether a reader of committed jobs gets this offset, or must wait for it.
fn is_job(cluster: &Cluster, partition: usize, offset: i64) -> bool {
    let fate = cluster.jobs[partition].at(offset).map(|entry| entry.fate);
    matches!(fate, Some(Fate::Plain | Fate::Committed | Fate::Open))
}
