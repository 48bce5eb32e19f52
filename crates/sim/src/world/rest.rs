//! Rest: the faults stop, everybody goes on in turn, and everything must end well and soon.

use super::World;
use crate::Ms;
use crate::kafka::log::Producer;

/// Rounds in which everything must come to rest. The longest waits are a transaction's time-out and a member's; time
/// goes by at least [`PATIENCE_MS`] in a round in which nobody does anything.
const ROUNDS_MAX: u32 = 4_000;
const PATIENCE_MS: Ms = 50;

impl World {
    pub(super) fn rest(&mut self) {
        self.env.dice.calm = true;
        self.env.say(|| "the faults stop".to_owned());
        self.calm_down();
        if !self.until(Self::is_at_rest) {
            if let Some(place) = self.workers.iter().position(|w| w.as_ref().is_some_and(|w| w.holds)) {
                return self.env.shadow.broken("G5", format!("worker {place} holds although all is well"));
            }
            let undecided = self.env.shadow.undecided();
            let text = format!("it does not come to rest: {undecided} jobs wait");
            return self.env.shadow.broken("liveness", text);
        }
        if self.env.shadow.violation.is_some() {
            return;
        }
        self.env.shadow.audit(&self.env.cluster);
        if self.env.dice.one_in(4) {
            self.workers.iter_mut().flatten().for_each(|worker| worker.drain());
            let drained = |world: &Self| world.workers.iter().flatten().all(|worker| worker.finished);
            if !self.until(drained) {
                self.env.shadow.broken("liveness", "a drain does not end".to_owned());
            }
        }
    }

    /// Ends what only faults began.
    fn calm_down(&mut self) {
        let now = self.env.now;
        self.end_jobs(true);
        for log in &mut self.env.cluster.suppressions {
            if log.has_stranger() {
                log.stranger(now);
            }
        }
        for place in 0..self.workers.len() {
            match &mut self.workers[place] {
                Some(worker) if !worker.finished && !worker.draining => {
                    worker.paused_until = 0;
                    worker.filter_stalls_until = 0;
                    worker.writer_stalls_until = 0;
                }
                Some(_) => {
                    self.leave(place);
                    self.start(place);
                }
                None => self.start(place),
            }
        }
        self.heartbeat();
    }

    /// Rounds until `done`; false when they run out.
    fn until(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..ROUNDS_MAX {
            if self.env.shadow.violation.is_some() || done(self) {
                return true;
            }
            let did = self.round();
            self.env.now += 1;
            if !did {
                self.env.now = self.wakes_at().max(self.env.now + PATIENCE_MS).min(self.env.now + 1_000);
            }
        }
        false
    }

    /// Everybody takes a step. Whether anybody had something to do.
    fn round(&mut self) -> bool {
        let mut did = false;
        for place in 0..self.workers.len() {
            did |= self.with(place, |worker, env| {
                let mut did = worker.work(env);
                for _ in 0..4 {
                    did |= worker.write(env);
                }
                did |= worker.ask(env);
                did |= worker.follow(env);
                did |= worker.beat(env);
                did | worker.recall(env)
            });
        }
        for writer in 0..self.env.cluster.writers.len() {
            if self.env.cluster.writers[writer].time_out(self.env.now, crate::kafka::TRANSACTION_MS) {
                did = true;
            }
            while self.env.cluster.mark(writer as Producer, 0) {
                did = true;
            }
        }
        did |= self.env.cluster.group.go_on(self.env.now);
        did |= self.deliver_late();
        for partition in 0..self.env.cluster.suppressions.len() {
            did |= self.replicate_partition(partition);
        }
        did
    }

    /// When somebody wakes who waits for time alone.
    fn wakes_at(&self) -> Ms {
        self.workers.iter().flatten().map(|worker| worker.wakes_at()).max().unwrap_or(0)
    }

    fn is_at_rest(&self) -> bool {
        self.env.limbo.is_empty()
            && !self.env.cluster.is_marking()
            && !self.scheduler.has_open()
            && self.env.cluster.writers.iter().all(|writer| writer.since().is_none())
            && self.env.shadow.undecided() == 0
            && self.workers.iter().flatten().all(|worker| worker.is_at_rest(&self.env))
    }
}
