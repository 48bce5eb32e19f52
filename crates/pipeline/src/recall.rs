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
use tamis_wire::decided;

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
        let mut recalled: BTreeMap<Partition, Known> = BTreeMap::new();
        let (mut left, mut last) = (order.partitions.clone(), LAST_FIRST);
        while !left.is_empty() {
            for (wanted, read) in self.read_from(&mut history, &left, Start::Last(last), false)? {
                if read.reached || last >= LAST_MOST {
                    left.retain(|left| left.partition != wanted.partition);
                    let known = Known { partition: wanted.partition, table: None, done: read.done };
                    recalled.insert(wanted.partition, known);
                }
            }
            last = last.saturating_mul(LAST_TIMES);
        }
        // Where something is done past the offset of a partition that is taken over, others have decided since: its table is not whole.
        let behind = |wanted: &Wanted| recalled[&wanted.partition].done.past() > 0;
        let others =
            |wanted: &&Wanted| wanted.window || (order.taking_over && self.window_s > 0 && behind(wanted));
        let window: Vec<Wanted> = order.partitions.iter().filter(others).copied().collect();
        if !window.is_empty() {
            let since_ms = unix_ms() - i64::from(self.window_s) * 1_000 - SLACK_MS;
            for (wanted, read) in self.read_from(&mut history, &window, Start::Since(since_ms), true)? {
                recalled.entry(wanted.partition).and_modify(|known| known.table = read.table);
            }
        }
        Ok(recalled.into_values().collect())
    }

    /// Reads these partitions from `start` to the end as of now: the window's jobs, or what is done.
    fn read_from(
        &self,
        history: &mut B::History,
        partitions: &[Wanted],
        start: Start,
        window: bool,
    ) -> Result<Vec<(Wanted, Read)>, Stop> {
        let numbers: Vec<Partition> = partitions.iter().map(|wanted| wanted.partition).collect();
        history.begin(&numbers, start, ASK_TIMEOUT)?;
        let mut reader = Reader::new(self.prints, window.then_some(self.window_s), partitions, unix_ms());
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
                return Ok(reader.read.into_values().collect());
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

/// What was read of a partition so far.
struct Read {
    table: Option<Table>,
    done: Done,
    /// Whether an outcome of a job before the group's offset was among it.
    reached: bool,
}

/// Reads outcomes.
struct Reader {
    prints: Prints,
    read: BTreeMap<Partition, (Wanted, Read)>,
    now_s: u32,
    /// Records that were no outcomes.
    damaged: u64,
}

impl Reader {
    /// Reads the jobs of a window, or what is done.
    fn new(prints: Prints, window_s: Option<u32>, partitions: &[Wanted], now_ms: UnixMs) -> Self {
        let read = |wanted: &Wanted| Read {
            table: window_s.map(Table::new),
            done: Done::new(wanted.from),
            reached: false,
        };
        let read = partitions.iter().map(|wanted| (wanted.partition, (*wanted, read(wanted)))).collect();
        Self { prints, read, now_s: seconds(now_ms), damaged: 0 }
    }

    fn take(&mut self, partition: Partition, value: &[u8]) {
        let Some((wanted, read)) = self.read.get_mut(&partition) else { return };
        for one in decided(value) {
            // Nothing of tamis writes a record that is damaged. What was before it counts.
            let Ok(one) = one else {
                self.damaged += 1;
                continue;
            };
            let print = self.prints.of(one.tenant, one.job_id);
            match &mut read.table {
                Some(table) if one.verdict.is_some_and(settles) => {
                    table.recall(print, one.source_offset, seconds(one.decided_at_ms), self.now_s);
                }
                Some(_) => {}
                None => {
                    read.done.note(one.source_offset, print);
                    read.reached |= one.source_offset < wanted.from;
                }
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
        let wanted = Wanted { partition: 4, from: 0, window: true };
        let mut reader = Reader::new(prints, Some(3_600), &[wanted], 1_000_000);
        reader.take(4, &all.encode_to_vec());
        reader.take(5, &all.encode_to_vec());
        reader.take(4, b"\x0a\xff");
        assert_eq!((reader.read.len(), reader.damaged), (1, 1));
        let (_, read) = reader.read.get_mut(&4).expect("it was asked for");
        let table = read.table.as_mut().expect("it was asked for");
        for verdict in Verdict::ALL {
            let said = table.look(prints.of("acme", &verdict.to_string()), 70, 1_000);
            let expected = matches!(verdict, Verdict::Routed | Verdict::Empty);
            assert_eq!(said == Said::Before, expected, "{verdict}");
        }
    }

    /// Guarantees (G4): every outcome tells that its record is done, whatever its verdict; one of a job before the group's offset that
    /// nothing older is wanted. Fails when: only what was sent counts as done, or the offsets are not looked at.
    #[test]
    fn what_is_past_the_groups_offset_is_done_whatever_its_verdict() {
        let prints = Prints::random();
        let wanted = Wanted { partition: 0, from: 10, window: false };
        let mut reader = Reader::new(prints, None, &[wanted], 1_000_000);
        let outcome = |(verdict, offset): (&Verdict, i64)| JobOutcome {
            job_id: offset.to_string(),
            tenant: "acme".into(),
            verdict: verdict.number(),
            source_offset: offset,
            ..JobOutcome::default()
        };
        let past = JobOutcomes { outcomes: Verdict::ALL.iter().zip(10..).map(outcome).collect() };
        reader.take(0, &past.encode_to_vec());
        assert!(!reader.read[&0].1.reached);
        let before = JobOutcomes { outcomes: vec![outcome((&Verdict::Routed, 9))] };
        reader.take(0, &before.encode_to_vec());
        let (_, read) = &reader.read[&0];
        assert!(read.reached && read.table.is_none());
        assert_eq!(read.done.past(), Verdict::ALL.len());
        for offset in 10..10 + i64::try_from(Verdict::ALL.len()).unwrap() {
            assert!(read.done.has(offset, || Some(prints.of("acme", &offset.to_string()))), "{offset}");
        }
    }
}
