//! A process with one worker: the control, and a carrier that does what the pipeline's threads do around it.
//!
//! Each thread is a function that takes one step: [`Worker::work`] (`worker.rs` of the pipeline), [`Worker::write`]
//! (`produce.rs`, `commit.rs`), [`Worker::ask`] (`barrier.rs`), [`Worker::follow`] (`follow.rs`), [`Worker::recall`],
//! and [`Worker::beat`], the client's own. They talk by mail, as there.

pub(crate) mod consumer;
pub(crate) mod filter;
mod threads;
mod window;
pub(crate) mod writer;

use crate::faults::Fault;
use crate::kafka::group::EARLIER;
use crate::mutant::Mutant;
use crate::shadow::{Ends, Outcome};
use crate::world::Env;
use crate::{LIMITS, Ms, PARTITIONS_MAX, SUPPRESSIONS_MAX};
use consumer::{Asked, Consumer, Read};
use filter::{Filter, Snapshot};
use std::collections::VecDeque;
use tamis_bus::Positions;
use tamis_pipeline::control::{Call, Control, Input, Ticket};
use window::Window;
use writer::{Around, Order, Outgoing, Writer};

/// Calls after which a control counts as one that never comes to rest.
const CALLS_MAX: u32 = 200;

/// What the worker's thread does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Poll { read: bool },
    Wait { until: Ms },
    Nothing,
}

#[derive(Debug)]
struct Batch {
    records: Vec<Read>,
    /// When the control asked for it, and what was acked then.
    question: Option<Question>,
    /// When the log's end was asked for it.
    asked_at: Ms,
    /// Since when the control has known the answer.
    answered: Option<Ms>,
}

#[derive(Debug, Clone, Copy)]
struct Question {
    ticket: Ticket,
    at: Ms,
    acked: Ends,
}

/// A recall under way.
#[derive(Debug)]
struct Recall {
    ticket: Ticket,
    since: Ms,
    /// Whether the window is read back: partitions were assigned since all was known last.
    window: bool,
    /// A partition of `outcomes`, and how far it is read.
    ends: Vec<(usize, i64)>,
}

/// The process.
#[derive(Debug)]
pub(crate) struct Worker {
    id: u8,
    born: Ms,
    /// What its wall clock is off by, ms.
    pub(crate) skew: i64,
    /// It stands still until then.
    pub(crate) paused_until: Ms,
    pub(crate) filter: Filter,
    pub(crate) filter_stalls_until: Ms,
    pub(crate) writer_stalls_until: Ms,
    /// The log's end at the start: the filter is loaded when it has come so far.
    target: Option<Positions>,
    control: Option<Control>,
    next: Next,
    mail: VecDeque<Input>,
    pub(crate) consumer: Consumer,
    batch: Option<Batch>,
    decided: Option<Outgoing>,
    writer: Writer,
    cancel: bool,
    asks: Vec<Ticket>,
    /// Questions that are being asked, and since when.
    asking: Option<(Vec<Ticket>, Ms)>,
    last_end: Positions,
    recall: Option<Recall>,
    recall_ends: [i64; PARTITIONS_MAX],
    windows: [Window; PARTITIONS_MAX],
    /// Jobs that have outcomes, as of the last recall.
    done: [Vec<i64>; PARTITIONS_MAX],
    pub(crate) holds: bool,
    pub(crate) draining: bool,
    pub(crate) finished: bool,
}

impl Worker {
    /// A process that has just started.
    pub(crate) fn new(id: u8, env: &Env, skew: i64, snapshot: Option<Snapshot>) -> Self {
        Self {
            id,
            born: env.now,
            skew,
            paused_until: 0,
            filter: snapshot.map_or_else(Filter::new, |snapshot| snapshot.filter),
            filter_stalls_until: 0,
            writer_stalls_until: 0,
            target: None,
            control: None,
            next: Next::Nothing,
            mail: VecDeque::new(),
            consumer: Consumer::new(),
            batch: None,
            decided: None,
            writer: Writer::new(id),
            cancel: false,
            asks: Vec::new(),
            asking: None,
            last_end: Positions::zero(env.cluster.suppressions.len()),
            recall: None,
            recall_ends: [0; PARTITIONS_MAX],
            windows: Default::default(),
            done: Default::default(),
            holds: false,
            draining: false,
            finished: false,
        }
    }

    /// Its clock, which only goes forward.
    fn clock(&self, env: &Env) -> Ms {
        env.now - self.born
    }

    fn wall(&self, env: &Env) -> i64 {
        env.now as i64 + self.skew
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.control.is_some()
    }

    /// Nothing under way: it polls for jobs and there are none.
    pub(crate) fn is_at_rest(&self, env: &Env) -> bool {
        let polls = matches!(self.next, Next::Poll { .. });
        let settled = self.control.as_ref().is_some_and(Control::is_settled);
        polls
            && settled
            && !self.holds
            && self.mail.is_empty()
            && self.writer.is_idle()
            && !self.consumer.has_records(&env.cluster)
    }

    /// The worker's thread. Whether there was anything to do.
    pub(crate) fn work(&mut self, env: &mut Env) -> bool {
        let input = match self.next {
            Next::Nothing => return false,
            Next::Wait { until } => match self.mail.pop_front() {
                Some(mail) => mail,
                None if env.now >= until => Input::Tick,
                None => return false,
            },
            Next::Poll { read } => match self.mail.pop_front() {
                Some(mail) => mail,
                None => self.poll(env, read),
            },
        };
        let did = input != Input::Idle;
        self.feed(env, input);
        did
    }

    /// When it would wake by itself.
    pub(crate) fn wakes_at(&self) -> Ms {
        match self.next {
            Next::Wait { until } => until,
            Next::Poll { .. } | Next::Nothing => 0,
        }
    }

    /// Begins to drain.
    pub(crate) fn drain(&mut self) {
        if self.is_loaded() && !self.draining {
            self.draining = true;
            self.mail.push_back(Input::Drain);
        }
    }

    fn poll(&mut self, env: &mut Env, read: bool) -> Input {
        match self.consumer.told() {
            Some(Asked::Assign(partitions)) => return Input::Assigned(partitions),
            Some(Asked::Revoke) => return Input::Revoked,
            None => {}
        }
        if env.dice.fault(Fault::PollFailed) {
            return Input::PollFailed;
        }
        if self.consumer.paused && !env.dice.fault(Fault::StrayRecords) {
            return Input::Idle;
        }
        let (first, most) = (env.dice.index(PARTITIONS_MAX), 1 + env.dice.below(4));
        let committed = env.mutant != Some(Mutant::ReadUncommitted);
        let records = self.consumer.read(&env.cluster, first, most, committed);
        if records.is_empty() {
            return Input::Idle;
        }
        env.say(|| format!("worker {}: read {}", self.id, list(&records)));
        if read {
            if self.batch.is_some() || self.decided.is_some() {
                env.shadow.broken("G4", format!("worker {} reads a batch while it has one", self.id));
            }
            self.batch = Some(Batch { records, question: None, asked_at: 0, answered: None });
        }
        Input::Batch
    }

    fn feed(&mut self, env: &mut Env, input: Input) {
        let mut input = Some(input);
        let mut rounds = 0;
        while let Some(given) = input.take() {
            let clock = self.clock(env);
            if let Input::End { ticket, asked_at, .. } = &given
                && let Some(batch) = &mut self.batch
                && batch.question.is_some_and(|question| question.ticket == *ticket)
            {
                batch.asked_at = *asked_at;
                batch.answered.get_or_insert(clock);
            }
            let fresh = given == Input::Batch;
            let Some(control) = &mut self.control else { return };
            let calls = control.on(clock, given);
            for call in calls {
                rounds += 1;
                if let Some(answer) = self.carry_out(env, call, fresh) {
                    input = Some(answer);
                }
            }
            if rounds > CALLS_MAX {
                return env.shadow.broken("liveness", format!("worker {}: its control never rests", self.id));
            }
        }
        self.check_patience(env);
    }

    /// G5: a question, or a filter, that takes too long ends in a hold.
    fn check_patience(&self, env: &mut Env) {
        let Some(batch) = &self.batch else { return };
        let since = batch.answered.or_else(|| batch.question.map(|question| question.at));
        if since.is_some_and(|since| self.clock(env) >= since + LIMITS.patience_ms) {
            let text = format!("worker {} waits for the filter without end and does not hold", self.id);
            env.shadow.broken("G5", text);
        }
    }

    fn carry_out(&mut self, env: &mut Env, call: Call, fresh: bool) -> Option<Input> {
        match call {
            Call::Poll { read, .. } => self.next = Next::Poll { read },
            Call::Wait(ms) => self.next = Next::Wait { until: env.now + ms },
            Call::Finish => {
                self.next = Next::Nothing;
                self.finished = true;
            }
            Call::Decide => return Some(self.decide(env)),
            Call::Rewind => return Some(Input::Rewound(self.rewind(env))),
            Call::Drop => {
                self.batch = None;
                self.decided = None;
            }
            Call::Assign(partitions) => {
                env.say(|| format!("worker {}: takes {partitions:?}", self.id));
                self.consumer.assign(&partitions);
                // What an older one finds is not taken.
                self.recall = None;
                for &partition in &partitions {
                    let end = env.cluster.outcomes[partition as usize].end();
                    self.recall_ends[partition as usize] = end;
                }
            }
            Call::Unassign => {
                env.say(|| format!("worker {}: gives its partitions back", self.id));
                self.consumer.unassign();
            }
            Call::Pause => self.consumer.paused = true,
            Call::Resume => self.consumer.paused = false,
            Call::AskEnd(ticket) => {
                self.asks.push(ticket);
                // The first question after a batch is the batch's, and so is a later one: a hold's probes have no batch.
                match self.batch.as_mut() {
                    Some(Batch { question: Some(question), .. }) => question.ticket = ticket,
                    Some(batch) if fresh => {
                        let at = env.now - self.born;
                        batch.question = Some(Question { ticket, at, acked: env.shadow.acked });
                    }
                    Some(_) | None => {}
                }
            }
            Call::Recall { ticket, taking_over } => self.order_recall(env, ticket, taking_over),
            Call::Write { fresh_until } => match self.decided.take() {
                Some(outgoing) => self.writer.orders.push_back(Order::Write { outgoing, fresh_until }),
                None => env.shadow.broken("liveness", format!("worker {} writes nothing", self.id)),
            },
            Call::Cancel => self.cancel = true,
            Call::Replace => self.writer.orders.push_back(Order::Replace),
            Call::Hold(holds) => {
                env.say(|| format!("worker {}: {}", self.id, if holds { "holds" } else { "goes on" }));
                self.holds = holds;
            }
        }
        None
    }

    fn rewind(&mut self, env: &mut Env) -> bool {
        let most = self.consumer.assigned.len();
        if env.dice.fault(Fault::RewindRefused) {
            return false;
        }
        let half = env.dice.fault(Fault::RewindHalf);
        let stable = !matches!(env.mutant, Some(Mutant::PendingOffsetsIgnored | Mutant::ReadUncommitted));
        let seek = env.mutant != Some(Mutant::NoSeek);
        let count = if half { most / 2 } else { most };
        let mut ask = |partition| {
            let group = &env.cluster.group;
            if env.dice.fault(Fault::OffsetsOld) {
                group.committed_earlier(partition, stable, 1 + env.dice.index(EARLIER))
            } else {
                group.committed(partition, stable)
            }
        };
        let well = self.consumer.rewind(count, seek, &mut ask) && !half;
        env.say(|| format!("worker {}: {}", self.id, if well { "rewound" } else { "could not rewind" }));
        well
    }

    /// View, sieve, window: under one view of the filter.
    fn decide(&mut self, env: &mut Env) -> Input {
        let Some(batch) = self.batch.take() else { return Input::Tick };
        let now = self.wall(env);
        let own_offset = env.mutant != Some(Mutant::NoOwnOffset);
        let mut outgoing = Outgoing { asked_at: batch.asked_at, ..Outgoing::default() };
        let mut filter = [0; SUPPRESSIONS_MAX];
        filter.copy_from_slice(&self.filter.position);
        for record in &batch.records {
            let partition = record.partition as usize;
            if self.done[partition].contains(&record.offset) {
                continue;
            }
            let (id, to) = {
                let job = &env.shadow.jobs[usize::from(record.job)];
                (job.id, job.to)
            };
            let window = &mut self.windows[partition];
            let duplicate = window.is_repeat(id, record.offset, now, own_offset);
            let (forwarded, suppressed) =
                if duplicate { (0, 0) } else { (to & !self.filter.in_force, to & self.filter.in_force) };
            if !duplicate {
                window.note(id, record.offset, now);
            }
            let outcome = Outcome {
                job: record.job,
                offset: record.offset,
                duplicate,
                forwarded,
                suppressed,
                decided_at: now,
                decided: env.now,
                acked: batch.question.map(|question| question.acked).unwrap_or_default(),
                filter,
            };
            outgoing.outcomes.push((partition, outcome));
            match outgoing.offsets.iter_mut().find(|(p, _)| *p == record.partition) {
                Some((_, next)) => *next = record.offset + 1,
                None => outgoing.offsets.push((record.partition, record.offset + 1)),
            }
        }
        env.say(|| format!("worker {}: decided {}, filter at {filter:?}", self.id, list(&batch.records)));
        self.decided = Some(outgoing);
        Input::Decided
    }

    /// The writer's thread.
    pub(crate) fn write(&mut self, env: &mut Env) -> bool {
        if self.writer.is_idle() || env.now < self.writer_stalls_until {
            return false;
        }
        let consumer = &self.consumer;
        let mut around = Around {
            cancel: &mut self.cancel,
            clock: env.now - self.born,
            member: consumer.metadata(),
            position: &|partition| consumer.position(partition),
        };
        if let Some(answer) = self.writer.step(env, &mut around) {
            self.mail.push_back(answer);
        }
        true
    }

    /// The client's own thread. It joins once the filter is loaded.
    pub(crate) fn beat(&mut self, env: &mut Env) -> bool {
        self.is_loaded() && !self.finished && self.consumer.beat(&mut env.cluster, env.now)
    }
}

fn list(records: &[Read]) -> String {
    let each = |record: &Read| format!("job {} ({}/{})", record.job, record.partition, record.offset);
    records.iter().map(each).collect::<Vec<_>>().join(", ")
}
