//! Recall: the thread that reads back, for its worker, what was decided before in the partitions that it takes over (G7).
//!
//! It is a thread of its own so that the worker goes on serving its group. The worker asks only after the offsets of the
//! partitions are settled, so that all that earlier owners decided stands before the end that is asked for now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use tamis_bus::{Blame, Bus, Error, History, Partition};
use tamis_campaign::{UnixMs, Verdict};
use tamis_telemetry::Metrics;
use tamis_window::{Prints, Table};
use tamis_wire::{DamagedOutcomes, decided};

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

/// What a worker asks of its recall.
pub(crate) struct Order {
    pub(crate) ticket: Ticket,
    /// Partitions to read back.
    pub(crate) partitions: Vec<Partition>,
}

/// The tables that were read back, a partition each.
pub(crate) type Recalled = Vec<(Partition, Table)>;

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

/// Why there are no tables.
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
        while let Some(Order { ticket, partitions }) = next.take() {
            let watch = Stopwatch::start();
            let recalled = match self.read(&partitions) {
                Ok(recalled) => {
                    let jobs: usize = recalled.iter().map(|(_, table)| table.jobs()).sum();
                    let (worker, partitions, seconds) = (self.worker, recalled.len(), watch.seconds());
                    tracing::info!(worker, partitions, jobs, seconds, "jobs decided before are known");
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

    fn read(&self, partitions: &[Partition]) -> Result<Recalled, Stop> {
        let mut history = self.bus.history()?;
        let now_ms = unix_ms();
        let since_ms = now_ms - i64::from(self.window_s) * 1_000 - SLACK_MS;
        history.begin(partitions, since_ms, ASK_TIMEOUT)?;
        let mut reader = Reader::new(self.prints, self.window_s, partitions, now_ms);
        let mut quiet = Stopwatch::start();
        loop {
            let mut came = 0;
            let done = history.poll(POLL_WAIT, &mut |partition, value| {
                came += 1;
                reader.take(partition, value);
            })?;
            if reader.damaged > 0 {
                tracing::warn!(records = reader.damaged, "outcomes are damaged; what they say is not known");
                self.metrics.error("recall", "damaged");
                reader.damaged = 0;
            }
            if done {
                return Ok(reader.tables.into_iter().collect());
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

/// Fills tables from outcomes.
struct Reader {
    prints: Prints,
    tables: BTreeMap<Partition, Table>,
    now_s: u32,
    /// Records that were no outcomes.
    damaged: u64,
}

impl Reader {
    fn new(prints: Prints, window_s: u32, partitions: &[Partition], now_ms: UnixMs) -> Self {
        let tables = partitions.iter().map(|partition| (*partition, Table::new(window_s))).collect();
        Self { prints, tables, now_s: seconds(now_ms), damaged: 0 }
    }

    fn take(&mut self, partition: Partition, value: &[u8]) {
        let Some(table) = self.tables.get_mut(&partition) else { return };
        for one in decided(value) {
            match one {
                Ok(one) if one.verdict.is_some_and(settles) => {
                    let print = self.prints.of(one.tenant, one.job_id);
                    table.recall(print, one.source_offset, seconds(one.decided_at_ms), self.now_s);
                }
                Ok(_) => {}
                // Nothing of tamis writes such a record. What was before it counts.
                Err(DamagedOutcomes { .. }) => self.damaged += 1,
            }
        }
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

    /// Fails when: every outcome is taken for a job that was sent, or only the routed ones are.
    #[test]
    fn only_what_was_routed_or_empty_is_not_to_be_sent_again() {
        let prints = Prints::random();
        let outcome = |verdict: &Verdict| JobOutcome {
            job_id: verdict.to_string(),
            tenant: "acme".into(),
            verdict: verdict.number(),
            decided_at_ms: 900_000,
            ..JobOutcome::default()
        };
        let all = JobOutcomes { outcomes: Verdict::ALL.iter().map(outcome).collect() };
        let mut reader = Reader::new(prints, 3_600, &[4], 1_000_000);
        reader.take(4, &all.encode_to_vec());
        reader.take(5, &all.encode_to_vec());
        reader.take(4, b"\x0a\xff");
        assert_eq!((reader.tables.len(), reader.damaged), (1, 1));
        let table = reader.tables.get_mut(&4).expect("it was asked for");
        for verdict in Verdict::ALL {
            let said = table.look(prints.of("acme", &verdict.to_string()), 70, 1_000);
            let expected = matches!(verdict, Verdict::Routed | Verdict::Empty);
            assert_eq!(said == Said::Before, expected, "{verdict}");
        }
    }
}
