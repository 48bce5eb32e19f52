//! Recall: the thread that reads back, for its worker, what was decided before: after each return to the group's offsets the records
//! that are done (G4), and the jobs of the window in the partitions that it takes over (G7).
//!
//! It is a thread of its own so that the worker goes on serving its group. The worker asks only after the offsets of the
//! partitions are settled, so that all that earlier owners decided stands before the end that is asked for now. Outcomes of a
//! partition stand in the order of their jobs: one of a job before the group's offset has all those past it behind it, so that a
//! few are read back from the end, and more only when none such is among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use tamis_bus::{Blame, Bus, Error, History, Partition, Start};
use tamis_campaign::{UnixMs, Verdict};
use tamis_telemetry::Metrics;
use tamis_window::{Done, Prints, Table};
use tamis_wire::{Decided, decided};

use crate::clock::{Stopwatch, unix_ms};
use crate::control::Ticket;
use crate::worker::Mail;

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one poll waits; also how soon it is noticed that nobody wants the answer any more.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// How long nothing may come. A transaction that is open holds it up for as long as the broker lets one be open (10 s).
const PATIENCE: Duration = Duration::from_secs(30);
/// Records are looked for from that long before the window begins: the log's clock and those of the workers that decided
/// may differ, and a record is written after its jobs are decided. What counts is judged by each job's own time.
const SLACK_MS: i64 = 10 * 60 * 1000;

/// Offsets before the end of `outcomes` that are read first, and how many times as many next. A transaction has two, its outcomes and
/// its marker.
const LAST_FIRST: u32 = 256;
const LAST_TIMES: u32 = 64;
/// The most; whatever is done further back than so many is decided again.
const LAST_MOST: u32 = LAST_FIRST * LAST_TIMES * LAST_TIMES;

/// What a worker asks of its recall.
pub(crate) struct Order {
    pub(crate) ticket: Ticket,
    /// Whether the partitions are taken over: others may have decided in them.
    pub(crate) taking_over: bool,
    pub(crate) partitions: Vec<Wanted>,
}

/// A partition to read back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) partition: Partition,
    /// The group's offset.
    pub(crate) from: i64,
    /// Whether the jobs of the window are wanted.
    pub(crate) window: bool,
}

/// What was read back of a partition.
pub(crate) struct Known {
    pub(crate) partition: Partition,
    /// The jobs of the window, where they were wanted.
    pub(crate) table: Option<Table>,
    pub(crate) done: Done,
}

/// The recall's thread.
pub(crate) struct Recall<B: Bus> {
    pub(crate) worker: u16,
    pub(crate) bus: Arc<B>,
    pub(crate) prints: Prints,
    pub(crate) window_s: u32,
    pub(crate) orders: Receiver<Order>,
    pub(crate) answers: Sender<Mail>,
    pub(crate) metrics: Metrics,
}

/// Why nothing is known.
enum Stop {
    /// Nobody wants them any more.
    Unwanted(Option<Order>),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<B: Bus> Recall<B> {
    /// Serves until its worker is gone.
    pub(crate) fn run(self) {
        let mut next = self.orders.recv().ok();
        while let Some(order) = next.take() {
            let (ticket, watch) = (order.ticket, Stopwatch::start());
            let recalled = match self.read(&order) {
                Ok(recalled) => {
                    self.tell(&recalled, order.taking_over, watch.seconds());
                    Some(recalled)
                }
                Err(Stop::Failed(error)) => {
                    self.metrics.error("recall", if error.retry() { "unreachable" } else { "refused" });
                    tracing::warn!(%error, worker = self.worker, "outcomes cannot be read back; trying again");
                    None
                }
                Err(Stop::Unwanted(Some(order))) => {
                    next = Some(order);
                    continue;
                }
                Err(Stop::Unwanted(None)) => return,
            };
            if self.answers.send(Mail::Recalled { ticket, recalled }).is_err() {
                return;
            }
            next = self.orders.recv().ok();
        }
    }

    fn tell(&self, recalled: &[Known], taking_over: bool, seconds: f64) {
        let (worker, partitions) = (self.worker, recalled.len());
        let jobs: usize = recalled.iter().filter_map(|known| known.table.as_ref()).map(Table::jobs).sum();
        if taking_over {
            tracing::info!(worker, partitions, jobs, seconds, "jobs decided before are known");
        }
        for Known { partition, done, .. } in recalled.iter().filter(|known| known.done.past() > 0) {
            self.metrics.error("recall", "offset_behind");
            let records = done.past();
            tracing::warn!(
                worker,
                partition,
                records,
                "the group's offset is behind what was decided; these records are not decided again"
            );
        }
    }

    fn read(&self, order: &Order) -> Result<Vec<Known>, Stop> {
        let mut history = self.bus.history()?;
        let done = self.read_done(&mut history, &order.partitions)?;
        // Where something is done past the offset of a partition that is taken over, others have decided since: its table is not whole.
        let others = |wanted: &&Wanted| {
            wanted.window || (order.taking_over && self.window_s > 0 && done[&wanted.partition].past() > 0)
        };
        let window: Vec<Partition> =
            order.partitions.iter().filter(others).map(|wanted| wanted.partition).collect();
        let mut tables = self.read_tables(&mut history, &window)?;
        let known = |(partition, done)| Known { partition, table: tables.remove(&partition), done };
        Ok(done.into_iter().map(known).collect())
    }

    /// What is done past the group's offsets, read from far enough before the end.
    fn read_done(&self, history: &mut B::History, wanted: &[Wanted]) -> Result<Dones, Stop> {
        let mut all = Dones::new();
        let (mut left, mut last) = (wanted.to_vec(), LAST_FIRST);
        while !left.is_empty() {
            let mut read: Dones =
                left.iter().map(|wanted| (wanted.partition, Done::new(wanted.from))).collect();
            let numbers = read.keys().copied().collect();
            self.read_outcomes(history, numbers, Start::Last(last), |partition, one| {
                note_done(&mut read, self.prints, partition, one);
            })?;
            read.retain(|_, done| done.is_whole() || last >= LAST_MOST);
            left.retain(|wanted| !read.contains_key(&wanted.partition));
            all.append(&mut read);
            last = last.saturating_mul(LAST_TIMES);
        }
        Ok(all)
    }

    /// The jobs of the window in these partitions.
    fn read_tables(&self, history: &mut B::History, partitions: &[Partition]) -> Result<Tables, Stop> {
        let (now_ms, window_s) = (unix_ms(), self.window_s);
        let since_ms = now_ms - i64::from(window_s) * 1_000 - SLACK_MS;
        let mut tables: Tables =
            partitions.iter().map(|&partition| (partition, Table::new(window_s))).collect();
        if !partitions.is_empty() {
            self.read_outcomes(history, partitions.to_vec(), Start::Since(since_ms), |partition, one| {
                note_sent(&mut tables, self.prints, seconds(now_ms), partition, one);
            })?;
        }
        Ok(tables)
    }

    /// Reads the outcomes of these partitions from `start` to the end as of now.
    fn read_outcomes(
        &self,
        history: &mut B::History,
        partitions: Vec<Partition>,
        start: Start,
        mut take: impl FnMut(Partition, &Decided<'_>),
    ) -> Result<(), Stop> {
        history.begin(&partitions, start, ASK_TIMEOUT)?;
        let mut quiet = Stopwatch::start();
        loop {
            let (mut came, mut damaged) = (0, 0);
            let done = history.poll(POLL_WAIT, &mut |partition, value| {
                came += 1;
                damaged += u64::from(!each(value, |one| take(partition, one)));
            })?;
            if damaged > 0 {
                tracing::warn!(records = damaged, "outcomes are damaged; what they say is not known");
                self.metrics.error("recall", "damaged");
            }
            if done {
                return Ok(());
            }
            if came > 0 {
                quiet = Stopwatch::start();
            } else if quiet.elapsed() > PATIENCE {
                let what = "nothing came in time: a transaction stays open, or the log stands still";
                return Err(Error::new("read outcomes", Blame::Unreachable, what).into());
            }
            match self.orders.try_recv() {
                Ok(order) => return Err(Stop::Unwanted(Some(order))),
                Err(TryRecvError::Disconnected) => return Err(Stop::Unwanted(None)),
                Err(TryRecvError::Empty) => {}
            }
        }
    }
}

/// By partition.
type Dones = BTreeMap<Partition, Done>;
type Tables = BTreeMap<Partition, Table>;

/// Hands on the outcomes of a record. `false` when it is damaged, as nothing of tamis writes one; what was before the damage counts.
fn each(value: &[u8], mut take: impl FnMut(&Decided<'_>)) -> bool {
    decided(value).try_for_each(|one| one.map(|one| take(&one))).is_ok()
}

/// The record of every outcome is done.
fn note_done(all: &mut Dones, prints: Prints, partition: Partition, one: &Decided<'_>) {
    if let Some(done) = all.get_mut(&partition) {
        done.note(one.source_offset, prints.of(one.tenant, one.job_id));
    }
}

/// Not every outcome is one of a job that was sent.
fn note_sent(all: &mut Tables, prints: Prints, now_s: u32, partition: Partition, one: &Decided<'_>) {
    if let Some(table) = all.get_mut(&partition)
        && one.verdict.is_some_and(settles)
    {
        table.recall(prints.of(one.tenant, one.job_id), one.source_offset, seconds(one.decided_at_ms), now_s);
    }
}

/// Whether a job with this verdict is not to be sent again (G7).
pub(crate) fn settles(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Routed | Verdict::Empty => true,
        Verdict::Refused | Verdict::Deferred | Verdict::Duplicate | Verdict::Expired => false,
    }
}

/// Unix seconds, as the window counts them.
pub(crate) fn seconds(ms: UnixMs) -> u32 {
    u32::try_from(ms.max(0) / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_window::Said;
    use tamis_wire::Message as _;
    use tamis_wire::proto::campaign::v1::{JobOutcome, JobOutcomes};

    /// An outcome of each verdict, from this offset on; the job is named as its verdict.
    fn outcomes(from: i64) -> Vec<u8> {
        let outcome = |(verdict, source_offset): (&Verdict, i64)| JobOutcome {
            job_id: verdict.to_string(),
            tenant: "acme".into(),
            verdict: verdict.number(),
            decided_at_ms: 900_000,
            source_offset,
            ..JobOutcome::default()
        };
        JobOutcomes { outcomes: Verdict::ALL.iter().zip(from..).map(outcome).collect() }.encode_to_vec()
    }

    /// Guarantees (G7): of the window are those jobs that were routed or empty, in the partitions that are asked for.
    /// Fails when: every outcome is taken for a job that was sent, or only the routed ones are.
    #[test]
    fn only_what_was_routed_or_empty_is_not_to_be_sent_again() {
        let prints = Prints::random();
        let mut tables = Tables::from([(4, Table::new(3_600))]);
        for partition in [4, 5] {
            assert!(each(&outcomes(0), |one| note_sent(&mut tables, prints, 1_000, partition, one)));
        }
        assert_eq!(tables.len(), 1);
        for verdict in Verdict::ALL {
            let table = tables.get_mut(&4).expect("it was asked for");
            let said = table.look(prints.of("acme", &verdict.to_string()), 70, 1_000);
            let expected = matches!(verdict, Verdict::Routed | Verdict::Empty);
            assert_eq!(said == Said::Before, expected, "{verdict}");
        }
    }

    /// Guarantees (G4): every outcome tells that its record is done, whatever its verdict.
    /// Fails when: only what was sent counts as done, or damage takes away what was before it, or is not told.
    #[test]
    fn what_has_an_outcome_is_done_whatever_its_verdict() {
        let prints = Prints::random();
        let mut dones = Dones::from([(0, Done::new(10))]);
        let damaged = [&outcomes(10)[..], b"\x0a\xff"].concat();
        assert!(!each(&damaged, |one| note_done(&mut dones, prints, 0, one)));
        let done = &dones[&0];
        assert_eq!(done.past(), Verdict::ALL.len());
        for (verdict, offset) in Verdict::ALL.iter().zip(10..) {
            assert!(done.has(offset, || Some(prints.of("acme", &verdict.to_string()))), "{verdict}");
        }
    }
}
