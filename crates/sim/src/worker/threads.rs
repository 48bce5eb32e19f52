//! The threads beside the worker's own: the barrier, the follower, the recall.

use super::{Recall, Worker};
use crate::faults::Fault;
use crate::mutant::Mutant;
use crate::shadow::Outcome;
use crate::world::Env;
use crate::{DEDUPE_MS, LIMITS, Ms};
use tamis_bus::Positions;
use tamis_pipeline::control::{Control, Input, Reach, Ticket};

/// How long the recall waits for open transactions, ms.
const RECALL_MS: Ms = 3_000;

impl Worker {
    /// The barrier's thread: takes the questions that are there, then asks, then answers them all.
    pub(crate) fn ask(&mut self, env: &mut Env) -> bool {
        let Some((tickets, asked_at)) = self.asking.take() else {
            if self.asks.is_empty() {
                return false;
            }
            self.asking = Some((std::mem::take(&mut self.asks), self.clock(env)));
            return true;
        };
        let end = if env.dice.fault(Fault::EndUnknown) { None } else { self.end(env) };
        for ticket in tickets {
            self.mail.push_back(Input::End { ticket, asked_at, end: end.clone() });
        }
        true
    }

    fn end(&mut self, env: &Env) -> Option<Positions> {
        let logs = &env.cluster.suppressions;
        if env.mutant == Some(Mutant::NoBarrier) {
            return Some(Positions::zero(logs.len()));
        }
        if env.mutant == Some(Mutant::LastStableAsBarrier) {
            let stable: Option<Vec<i64>> = logs.iter().map(|log| log.stable()).collect();
            return stable.map(Positions::new);
        }
        let end = env.cluster.ends()?;
        let before = std::mem::replace(&mut self.last_end, end.clone());
        Some(if env.mutant == Some(Mutant::BarrierBeforeRead) { before } else { end })
    }

    /// The follower's thread: loads, then starts the worker, then goes on following.
    pub(crate) fn follow(&mut self, env: &mut Env) -> bool {
        if env.now < self.filter_stalls_until || self.finished {
            return false;
        }
        let partitions = env.cluster.suppressions.len();
        let partition = env.dice.index(partitions);
        if env.mutant == Some(Mutant::FilterLags) && self.is_loaded() && self.filter.is_behind(&env.cluster) {
            let told = env.cluster.suppressions.iter().map(|log| log.readable).collect();
            self.mail
                .push_back(Input::Filter(Reach { position: Positions::new(told), gaps: self.filter.gaps }));
        }
        let mut moved = false;
        for turn in 0..partitions {
            let partition = (partition + turn) % partitions;
            moved |=
                self.filter.follow(partition, &env.cluster.suppressions[partition], 1 + env.dice.below(6));
            if moved {
                break;
            }
        }
        let mut reach = self.filter.reach(partitions);
        if env.mutant == Some(Mutant::GapsIgnored) {
            reach.gaps = 0;
        }
        if self.is_loaded() {
            if moved {
                self.mail.push_back(Input::Filter(reach));
            }
            return moved;
        }
        if self.target.is_none() {
            self.target = if env.dice.fault(Fault::EndUnknown) { None } else { env.cluster.ends() };
            moved |= self.target.is_some();
        }
        if self.target.as_ref().is_some_and(|target| reach.position.reaches(target)) {
            env.say(|| format!("worker {}: filter loaded at {:?}", self.id, reach.position));
            self.control = Some(Control::new(LIMITS, reach));
            self.feed(env, Input::Tick);
            return true;
        }
        moved
    }

    pub(super) fn order_recall(&mut self, env: &Env, ticket: Ticket, taking_over: bool) {
        let early = env.mutant == Some(Mutant::RecallEndEarly);
        let end = |partition: usize| {
            if early { self.recall_ends[partition] } else { env.cluster.outcomes[partition].end() }
        };
        let partitions = self.consumer.assigned.iter().map(|partition| *partition as usize);
        let ends = partitions.map(|partition| (partition, end(partition))).collect();
        self.recall = Some(Recall { ticket, since: env.now, window: taking_over, ends });
    }

    /// The recall's thread: reads `outcomes` to the end that was asked, waiting for what is open before it.
    pub(crate) fn recall(&mut self, env: &mut Env) -> bool {
        let Some(recall) = self.recall.take() else { return false };
        let open =
            recall.ends.iter().any(|(partition, end)| env.cluster.outcomes[*partition].stable() < *end);
        let waits = open && env.mutant != Some(Mutant::RecallNotWaiting);
        let late = env.now > recall.since + RECALL_MS;
        if waits && !late {
            self.recall = Some(recall);
            return false;
        }
        let known = !waits && !env.dice.fault(Fault::RecallRefused);
        if known {
            let since = self.wall(env) - DEDUPE_MS as i64;
            for (partition, end) in recall.ends {
                let entries = env.cluster.outcomes[partition].entries.iter().take(end as usize);
                let outcomes: Vec<Outcome> =
                    entries.filter(|entry| entry.fate.is_readable()).map(|entry| entry.value).collect();
                let looks = env.mutant != Some(Mutant::OffsetsBelieved);
                self.done[partition] =
                    outcomes.iter().filter(|_| looks).map(|outcome| outcome.offset).collect();
                if !recall.window {
                    continue;
                }
                let window = &mut self.windows[partition];
                window.clear();
                if env.mutant == Some(Mutant::RecallNotRead) {
                    continue;
                }
                for outcome in outcomes {
                    if !outcome.duplicate && outcome.decided_at > since {
                        let id = env.shadow.jobs[usize::from(outcome.job)].id;
                        window.note(id, outcome.offset, outcome.decided_at);
                    }
                }
            }
        }
        env.say(|| format!("worker {}: recall {}", self.id, if known { "done" } else { "failed" }));
        self.mail.push_back(Input::Recalled { ticket: recall.ticket, known });
        true
    }
}
