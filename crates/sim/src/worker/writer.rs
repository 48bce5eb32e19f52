//! The writer's thread: produces a batch in a transaction with its offsets, commits, aborts, opens itself anew.
//!
//! One request a step, in any order that the client allows: records go out while the offsets are sent, and everything
//! is answered before the end. As the ledger does, it does not go on in an epoch in which an answer may still come.

use crate::Mutant;
use crate::faults::Fault;
use crate::kafka::transactions::{Places, Refused};
use crate::kafka::{OFFSETS, deliveries, outcomes};
use crate::shadow::{Delivery, Outcome};
use crate::world::Env;
use crate::{Ms, PARTITIONS_MAX};
use std::collections::VecDeque;
use tamis_bus::Partition;
use tamis_pipeline::control::{Input, Wrote};

/// A decided batch.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// With the partition of the job.
    pub(crate) outcomes: Vec<(usize, Outcome)>,
    pub(crate) offsets: Vec<(Partition, i64)>,
    /// When the log's end was asked for it, by the worker's clock.
    pub(crate) asked_at: Ms,
}

/// What the worker asks for.
#[derive(Debug)]
pub(crate) enum Order {
    Write { outgoing: Outgoing, fresh_until: Ms },
    Replace,
}

/// What the writer is told about its worker at each step.
pub(crate) struct Around<'a> {
    pub(crate) cancel: &'a mut bool,
    /// The worker's clock.
    pub(crate) clock: Ms,
    /// The member, as the group knows it now.
    pub(crate) member: (u32, i64),
    /// Where the consumer stands now.
    pub(crate) position: &'a dyn Fn(Partition) -> Option<i64>,
}

#[derive(Debug)]
enum Doing {
    Nothing,
    Producing { outgoing: Outgoing, fresh_until: Ms, left: Places },
    Committing,
    Aborting,
    Opening,
}

/// The writer of one worker.
#[derive(Debug)]
pub(crate) struct Writer {
    id: u8,
    epoch: Option<u32>,
    /// An answer of an earlier transaction may still be under way.
    doubtful: bool,
    /// Whether the broker knows of the transaction.
    begun: bool,
    doing: Doing,
    pub(crate) orders: VecDeque<Order>,
}

/// An end of a transaction that is still under way.
#[derive(Debug)]
pub(crate) struct Limbo {
    pub(crate) writer: u8,
    pub(crate) epoch: u32,
    pub(crate) commit: bool,
}

impl Writer {
    pub(crate) fn new(id: u8) -> Self {
        Self {
            id,
            epoch: None,
            doubtful: false,
            begun: false,
            doing: Doing::Nothing,
            orders: VecDeque::new(),
        }
    }

    /// Whether it has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.doing, Doing::Nothing) && self.orders.is_empty()
    }

    /// One step. The answer to its worker, once there is one.
    pub(crate) fn step(&mut self, env: &mut Env, around: &mut Around<'_>) -> Option<Input> {
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Nothing => self.begin(env, around),
            Doing::Producing { outgoing, fresh_until, left } => {
                self.produce(env, around, outgoing, fresh_until, left)
            }
            Doing::Committing => self.end(env, true),
            Doing::Aborting => self.end(env, false),
            Doing::Opening => self.open(env),
        }
    }

    fn begin(&mut self, env: &mut Env, around: &mut Around<'_>) -> Option<Input> {
        match self.orders.pop_front()? {
            Order::Replace => {
                self.epoch = None;
                self.doing = Doing::Opening;
                None
            }
            Order::Write { outgoing, fresh_until } => {
                // A cancel that was meant for the write before is void.
                *around.cancel = false;
                let in_doubt = self.doubtful && env.mutant != Some(Mutant::BeginInDoubt);
                if self.epoch.is_none() || in_doubt {
                    return Some(self.unknown(env, "is not fit to begin"));
                }
                let mut left: Places = 1 << OFFSETS;
                for (partition, outcome) in &outgoing.outcomes {
                    left |= 1 << outcomes(*partition);
                    if outcome.forwarded != 0 {
                        left |= 1 << deliveries(*partition);
                    }
                }
                self.begun = false;
                self.doing = Doing::Producing { outgoing, fresh_until, left };
                None
            }
        }
    }

    fn produce(
        &mut self,
        env: &mut Env,
        around: &mut Around<'_>,
        outgoing: Outgoing,
        fresh_until: Ms,
        left: Places,
    ) -> Option<Input> {
        if left == 0 {
            return self.check(env, around, &outgoing, fresh_until);
        }
        let mut rest = left;
        for _ in 0..env.dice.below(u64::from(left.count_ones())) {
            rest &= rest - 1;
        }
        let place = rest.trailing_zeros() as u8;
        let epoch = self.epoch.expect("a transaction begins with an epoch");
        let sent = if place == OFFSETS {
            self.send_offsets(env, around, &outgoing, epoch)
        } else {
            self.send_records(env, &outgoing, epoch, place)
        };
        match sent {
            Ok(true) => {
                self.begun = true;
                self.doing = Doing::Producing { outgoing, fresh_until, left: left & !(1 << place) };
                None
            }
            Ok(false) => {
                self.begun = true;
                self.doing = Doing::Aborting;
                None
            }
            Err(Refused::Busy) => {
                self.doing = Doing::Producing { outgoing, fresh_until, left };
                None
            }
            Err(Refused::Fenced | Refused::Invalid) => Some(self.unknown(env, "is fenced")),
        }
    }

    fn send_offsets(
        &self,
        env: &mut Env,
        around: &Around<'_>,
        outgoing: &Outgoing,
        epoch: u32,
    ) -> Result<bool, Refused> {
        if env.dice.fault(Fault::OffsetsRefused) {
            return env.cluster.enter(self.id, epoch, OFFSETS, env.now).map(|()| false);
        }
        let mut offsets = outgoing.offsets.clone();
        if env.mutant == Some(Mutant::OffsetsFromPosition) {
            for (partition, next) in &mut offsets {
                *next = (around.position)(*partition).unwrap_or(*next);
            }
        }
        let member = (env.mutant != Some(Mutant::NoGeneration)).then_some(around.member);
        let taken = env.cluster.send_offsets(self.id, epoch, member, &offsets, env.now)?;
        if !taken {
            env.say(|| format!("worker {}: the group does not take its offsets {offsets:?}", self.id));
        }
        Ok(taken)
    }

    /// Adds the partition and writes its records; false when the transaction must be aborted.
    fn send_records(
        &self,
        env: &mut Env,
        outgoing: &Outgoing,
        epoch: u32,
        place: u8,
    ) -> Result<bool, Refused> {
        env.cluster.enter(self.id, epoch, place, env.now)?;
        if env.dice.fault(Fault::ProduceRefused) {
            return Ok(false);
        }
        let half = env.dice.fault(Fault::ProduceHalf);
        let most = if half { outgoing.outcomes.len() / 2 } else { outgoing.outcomes.len() };
        for (partition, outcome) in outgoing.outcomes.iter().take(most) {
            if outcomes(*partition) == place {
                env.cluster.outcomes[*partition].append(*outcome, Some(self.id));
            } else if deliveries(*partition) == place && outcome.forwarded != 0 {
                let delivery = Delivery { job: outcome.job, to: outcome.forwarded };
                env.cluster.deliveries[*partition].append(delivery, Some(self.id));
            }
        }
        Ok(!half)
    }

    /// What `commit` looks at before it commits.
    fn check(
        &mut self,
        env: &mut Env,
        around: &mut Around<'_>,
        outgoing: &Outgoing,
        fresh_until: Ms,
    ) -> Option<Input> {
        let looks = env.mutant != Some(Mutant::CommitUnchecked);
        if looks && (std::mem::replace(around.cancel, false) || around.clock > fresh_until) {
            env.say(|| format!("worker {}: aborts instead of a commit", self.id));
            self.doing = Doing::Aborting;
            return None;
        }
        let age = around.clock.saturating_sub(outgoing.asked_at);
        if age > crate::LIMITS.freshness_max_ms {
            env.shadow.broken("G2", format!("worker {} commits {age} ms after the barrier", self.id));
        }
        self.doing = Doing::Committing;
        None
    }

    fn end(&mut self, env: &mut Env, commit: bool) -> Option<Input> {
        let epoch = self.epoch.expect("a transaction begins with an epoch");
        if !self.begun {
            return Some(Input::Wrote(Wrote::Aborted));
        }
        let [lost, late, twice] = if commit {
            [Fault::CommitAnswerLost, Fault::CommitLate, Fault::CommitTwice]
        } else {
            [Fault::AbortAnswerLost, Fault::AbortLate, Fault::AbortTwice]
        };
        let what = if commit { "commit" } else { "abort" };
        if env.dice.fault(late) {
            env.limbo.push(Limbo { writer: self.id, epoch, commit });
            return Some(self.unknown(env, "had no answer in time; the request is under way"));
        }
        match env.end(self.id, epoch, commit) {
            Ok(_) => {}
            Err(Refused::Busy) => {
                self.doing = if commit { Doing::Committing } else { Doing::Aborting };
                return None;
            }
            Err(Refused::Fenced | Refused::Invalid) => {
                return Some(self.unknown(env, "is fenced at the end"));
            }
        }
        if env.dice.fault(lost) {
            return Some(self.unknown(env, "had no answer, and it was carried out"));
        }
        if env.dice.fault(twice) {
            env.limbo.push(Limbo { writer: self.id, epoch, commit });
            self.doubtful = true;
        }
        env.say(|| format!("worker {}: {what} answered", self.id));
        Some(Input::Wrote(if commit { Wrote::Committed } else { Wrote::Aborted }))
    }

    fn unknown(&mut self, env: &mut Env, why: &str) -> Input {
        env.say(|| format!("worker {}: its writer {why}", self.id));
        if env.mutant == Some(Mutant::UnknownIsAborted) && self.epoch.is_some() {
            return Input::Wrote(Wrote::Aborted);
        }
        Input::Wrote(Wrote::Unknown)
    }

    fn open(&mut self, env: &mut Env) -> Option<Input> {
        if env.dice.fault(Fault::OpenRefused) {
            return Some(Input::Replaced(false));
        }
        match env.cluster.writers[usize::from(self.id)].init() {
            Ok(epoch) => {
                if env.dice.fault(Fault::OpenAnswerLost) {
                    return Some(Input::Replaced(false));
                }
                env.say(|| format!("worker {}: writer opened, epoch {epoch}", self.id));
                self.epoch = Some(epoch);
                self.doubtful = false;
                Some(Input::Replaced(true))
            }
            Err(_) => {
                self.doing = Doing::Opening;
                None
            }
        }
    }
}

const _: () = assert!(2 * PARTITIONS_MAX < Places::BITS as usize, "every place has a bit");
