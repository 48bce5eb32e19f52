//! One worker: carries out what the control asks for, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tamis_bus::{Batch, Jobs, Outgoing, Partition, Polled};
use tamis_policy::Current;
use tamis_telemetry::{Metrics, Stage};
use tamis_wire::Packed;

use crate::Options;
use crate::barrier::Ask;
use crate::clock::{Stopwatch, monotonic_ms, unix_ms};
use crate::control::{Call, Control, Input, Reach, Ticket, Wrote};
use crate::filter::Filter;
use crate::group::Group;
use crate::holding::Holding;
use crate::line::{Line, Sight};
use crate::produce::Order;
use crate::read;
use crate::recall::{self, Known, Wanted};
use crate::store::Store;
use crate::tally::Tally;

/// How long reading the committed offsets may take.
const REWIND_TIMEOUT: Duration = Duration::from_secs(5);

/// What comes to a worker from other threads.
pub(crate) enum Mail {
    /// Something for the control.
    Input(Input),
    /// The filter has moved.
    Filter(Reach),
    /// The writer is done, and gives the memory back.
    Wrote { wrote: Wrote, outgoing: Outgoing },
    /// What was decided before, or `None` when it could not be read.
    Recalled { ticket: Ticket, recalled: Option<Vec<Known>> },
}

/// A worker's parts.
pub(crate) struct Worker {
    pub(crate) id: u16,
    pub(crate) options: Arc<Options>,
    pub(crate) control: Control,
    pub(crate) line: Line,
    pub(crate) filter: Filter,
    pub(crate) policy: Current,
    pub(crate) mailbox: Receiver<Mail>,
    pub(crate) address: Sender<Mail>,
    pub(crate) asks: Sender<Ask>,
    pub(crate) orders: Sender<Order>,
    pub(crate) recall: Sender<recall::Order>,
    /// The recall that was asked for last; what an older one found is of before.
    pub(crate) recalling: Ticket,
    pub(crate) cancel: Arc<AtomicBool>,
    pub(crate) holding: Arc<Holding>,
    pub(crate) group: Arc<Group>,
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Metrics,
}

/// A batch between its decision and its commit.
struct Decided {
    outgoing: Outgoing,
    tally: Tally,
}

/// What the worker has in hand.
struct Hand<'j, J: Jobs> {
    jobs: &'j J,
    read: Option<J::Batch<'j>>,
    decided: Option<Decided>,
    /// Counted once it is committed, so that what is decided twice counts once.
    writing: Option<Tally>,
    spare: Vec<Outgoing>,
    /// The committed offsets, as of the last rewind.
    committed: Vec<(Partition, Option<i64>)>,
}

impl<J: Jobs> Hand<'_, J> {
    fn drop_batch(&mut self) {
        self.read = None;
        if let Some(decided) = self.decided.take() {
            self.spare.push(decided.outgoing);
        }
    }
}

impl Worker {
    /// Works until drained. The member leaves the group when the caller drops `jobs`.
    pub(crate) fn run<J: Jobs>(mut self, jobs: &J) {
        let mut hand =
            Hand { jobs, read: None, decided: None, writing: None, spare: Vec::new(), committed: Vec::new() };
        let mut input = Input::Tick;
        loop {
            let now = monotonic_ms();
            let calls = self.control.on(now, input);
            self.group.set(self.id, self.control.is_settled());
            self.store.set(self.id, self.control.is_late(now));
            input = Input::Tick;
            for call in calls {
                match call {
                    Call::Finish => return,
                    Call::Poll { read, brief } => input = self.poll(&mut hand, read, brief),
                    Call::Wait(ms) => input = self.wait(&mut hand, ms),
                    Call::Decide => input = self.decide(&mut hand),
                    Call::Rewind => {
                        let rewound = jobs.rewind(REWIND_TIMEOUT).map(|committed| hand.committed = committed);
                        input = Input::Rewound(self.succeeded("rewind", rewound));
                    }
                    Call::Drop => hand.drop_batch(),
                    Call::Assign(partitions) => {
                        tracing::info!(
                            worker = self.id,
                            partitions = partitions.len(),
                            "partitions assigned"
                        );
                        self.line.window.keep_only(&partitions);
                        // What an older recall finds is not taken: tickets begin at 1.
                        self.recalling = 0;
                        self.succeeded("assign", jobs.assign(&partitions));
                    }
                    Call::Unassign => {
                        tracing::info!(worker = self.id, "partitions given back");
                        self.succeeded("unassign", jobs.unassign());
                    }
                    Call::Pause => {
                        self.succeeded("pause", jobs.pause());
                    }
                    Call::Resume => {
                        self.succeeded("resume", jobs.resume());
                    }
                    Call::AskEnd(ticket) => {
                        // The barrier ends after the workers; if it is gone, patience runs out and the worker holds.
                        let _ = self.asks.send(Ask { ticket, answer_to: self.address.clone() });
                    }
                    Call::Recall { ticket, taking_over } => {
                        self.recall(ticket, taking_over, &hand.committed);
                    }
                    Call::Write { fresh_until } => self.write(&mut hand, fresh_until),
                    Call::Cancel => self.cancel.store(true, Ordering::Release),
                    Call::Replace => self.order(Order::Replace),
                    Call::Hold(holds) => self.holding.set_worker(self.id, holds),
                }
            }
        }
    }

    /// Mail goes first: an answer that is there is never kept waiting by a poll.
    fn poll<J: Jobs>(&mut self, hand: &mut Hand<'_, J>, read: bool, brief: bool) -> Input {
        if let Ok(mail) = self.mailbox.try_recv() {
            return self.open(hand, mail);
        }
        match hand.jobs.poll(&read::limits(&self.options, brief)) {
            Ok(Polled::Batch(batch)) => {
                debug_assert!(hand.read.is_none(), "a batch is read only when the one before has left");
                if read {
                    hand.read = Some(batch);
                }
                Input::Batch
            }
            Ok(Polled::Idle) => {
                self.metrics.consumer_lag(hand.jobs.lag_records(), 0.0);
                Input::Idle
            }
            Ok(Polled::Assigned(partitions)) => Input::Assigned(partitions),
            Ok(Polled::Revoked) => Input::Revoked,
            Err(error) => {
                self.metrics.error("read", if error.retry() { "unreachable" } else { "refused" });
                tracing::warn!(%error, "jobs cannot be read; trying again");
                Input::PollFailed
            }
        }
    }

    fn wait<J: Jobs>(&mut self, hand: &mut Hand<'_, J>, ms: u64) -> Input {
        match self.mailbox.recv_timeout(Duration::from_millis(ms)) {
            Ok(mail) => self.open(hand, mail),
            Err(_) => Input::Tick,
        }
    }

    fn open<J: Jobs>(&mut self, hand: &mut Hand<'_, J>, mail: Mail) -> Input {
        match mail {
            Mail::Input(input) => input,
            Mail::Filter(reach) => Input::Filter(reach),
            Mail::Wrote { wrote, outgoing } => {
                if wrote == Wrote::Committed {
                    outgoing
                        .offsets
                        .iter()
                        .for_each(|&(partition, next)| self.line.window.committed(partition, next));
                }
                hand.spare.push(outgoing);
                if let (Some(tally), Wrote::Committed) = (hand.writing.take(), wrote) {
                    tally.publish(&self.metrics, unix_ms());
                }
                Input::Wrote(wrote)
            }
            Mail::Recalled { ticket, recalled } => {
                let known = recalled.is_some();
                if let Some(recalled) = recalled.filter(|_| ticket == self.recalling) {
                    for Known { partition, table, done } in recalled {
                        if let Some(table) = table {
                            self.line.window.recalled(partition, table);
                        }
                        self.line.window.done(partition, done);
                    }
                }
                Input::Recalled { ticket, known }
            }
        }
    }

    /// Has read back what is done in the partitions past the group's offsets, and of those that are taken over the jobs of the window,
    /// unless they are where this worker left them.
    fn recall(&mut self, ticket: Ticket, taking_over: bool, committed: &[(Partition, Option<i64>)]) {
        self.recalling = ticket;
        let missing = if taking_over { self.line.window.missing(committed) } else { Vec::new() };
        let wanted = |&(partition, committed): &(Partition, Option<i64>)| Wanted {
            partition,
            from: committed.unwrap_or(0),
            window: missing.contains(&partition),
        };
        let order = recall::Order { ticket, taking_over, partitions: committed.iter().map(wanted).collect() };
        self.recall.send(order).expect("the recall's thread lives as long as its worker");
    }

    /// View, sieve and splice, each job under one view of the filter. A batch is decided under several, each at least as far as the
    /// barrier's answer: a view only moves on, so that the filter's writer need not wait for a whole batch.
    fn decide<J: Jobs>(&mut self, hand: &mut Hand<'_, J>) -> Input {
        let Some(batch) = hand.read.take() else { return Input::Tick };
        let watch = Stopwatch::start();
        let mut outgoing = hand.spare.pop().unwrap_or_default();
        let (now_ms, mut tally) = (unix_ms(), Tally::default());
        self.line.begin(&mut outgoing, &self.policy.load(), now_ms);
        let mut records = batch.records();
        loop {
            let view = self.filter.read();
            let position = Packed::new(view.position());
            let sight = Sight { index: &view, key: view.key(), position: &position, now_ms };
            if !self.line.pass(&mut records, sight, &mut outgoing, &mut tally) {
                break;
            }
        }
        self.line.end(&mut outgoing);
        drop(records);
        drop(batch);
        self.metrics.consumer_lag(hand.jobs.lag_records(), tally.age_of_newest_s(unix_ms()));
        self.metrics.batch_seconds(Stage::Decide, watch.seconds());
        hand.decided = Some(Decided { outgoing, tally });
        Input::Decided
    }

    fn write<J: Jobs>(&self, hand: &mut Hand<'_, J>, fresh_until: u64) {
        if let Some(Decided { outgoing, tally }) = hand.decided.take() {
            hand.writing = Some(tally);
            self.order(Order::Write { outgoing, fresh_until });
        }
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("the writer's thread lives as long as its worker");
    }

    fn succeeded(&self, what: &'static str, result: Result<(), tamis_bus::Error>) -> bool {
        if let Err(error) = &result {
            self.metrics.error(what, if error.retry() { "unreachable" } else { "refused" });
            tracing::warn!(%error, worker = self.id, "log refused a call; trying again");
        }
        result.is_ok()
    }
}
