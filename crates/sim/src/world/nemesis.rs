//! What strikes from outside: processes that die or stand still, leaders that change, clocks that jump.

use super::World;
use crate::faults::Fault;
use crate::mutant::Mutant;
use crate::worker::Worker;
use crate::worker::filter::Snapshot;
use crate::{COMPACTION_LAG_MS, Ms, TOMBSTONES_MS};

/// What a kind of fault does, to the worker in that place or to something else.
type Strike = fn(&mut World, usize);

/// The kinds that need no opportunity of their own.
const STRIKES: [(Fault, Strike); 13] = [
    (Fault::Crash, World::kill),
    (Fault::Pause, World::pause),
    (Fault::Drain, World::begin_drain),
    (Fault::Slow, World::jump),
    (Fault::WallClock, World::set_clock),
    (Fault::PutOut, World::put_out),
    (Fault::LeaderChange, World::change_leader),
    (Fault::FilterStalls, World::stall_filter),
    (Fault::WriterStalls, World::stall_writer),
    (Fault::Stranger, World::let_a_stranger_write),
    (Fault::LogStartBack, World::bring_purged_jobs_back),
    (Fault::Compaction, World::compact),
    (Fault::Snapshot, World::write_snapshot),
];

impl World {
    /// One of them, perhaps; and who has ended begins anew.
    pub(super) fn nemesis(&mut self) -> bool {
        let place = self.env.dice.index(self.workers.len());
        if self.workers[place].as_ref().is_none_or(|worker| worker.finished) {
            self.leave(place);
            self.start(place);
            return true;
        }
        let (kind, strike) = STRIKES[self.env.dice.index(STRIKES.len())];
        let strikes = self.env.dice.fault(kind);
        if strikes {
            strike(self, place);
        }
        strikes
    }

    /// A time between a moment and some seconds, ms.
    fn long(&mut self) -> Ms {
        let magnitude = 9 + self.env.dice.below(5);
        200 + self.env.dice.below(1 << magnitude)
    }

    fn worker(&mut self, place: usize) -> &mut Worker {
        self.workers[place].as_mut().expect("a strike is at a process that lives")
    }

    fn tell(&mut self, place: usize, what: &str) {
        self.env.say(|| format!("nemesis: worker {place} {what}"));
    }

    fn kill(&mut self, place: usize) {
        self.workers[place] = None;
        self.tell(place, "is killed");
    }

    fn pause(&mut self, place: usize) {
        let until = self.env.now + 8 * self.long();
        self.worker(place).paused_until = until;
        self.tell(place, "stands still");
    }

    fn begin_drain(&mut self, place: usize) {
        self.worker(place).drain();
        self.tell(place, "is to drain");
    }

    fn jump(&mut self, _: usize) {
        let long = self.long();
        // Often long enough for the tombstones, twice for the window.
        let jump = if self.env.dice.one_in(2) { 2 * TOMBSTONES_MS } else { long };
        self.env.now += jump;
        self.env.say(|| format!("nemesis: {jump} ms go by"));
    }

    fn set_clock(&mut self, place: usize) {
        let skew = self.skew();
        self.worker(place).skew = skew;
        self.tell(place, "has its clock set");
    }

    fn put_out(&mut self, place: usize) {
        let member = self.worker(place).consumer.member();
        self.env.cluster.group.remove(member, self.env.now);
        self.tell(place, "is put out of the group");
    }

    fn stall_filter(&mut self, place: usize) {
        let until = self.env.now + 2 * self.long();
        self.worker(place).filter_stalls_until = until;
        self.tell(place, "has its filter stalled");
    }

    fn stall_writer(&mut self, place: usize) {
        let until = self.env.now + self.long();
        self.worker(place).writer_stalls_until = until;
        self.tell(place, "has its writer stalled");
    }

    fn change_leader(&mut self, _: usize) {
        let partition = self.env.dice.index(self.env.cluster.suppressions.len());
        let (more, less) = (self.env.dice.below(3) as i64, self.env.dice.below(3) as i64);
        self.env.cluster.suppressions[partition].change_leader(more, less);
        self.env.say(|| format!("nemesis: a new leader of suppressions {partition}"));
    }

    fn let_a_stranger_write(&mut self, _: usize) {
        let partition = self.env.dice.index(self.env.cluster.suppressions.len());
        self.env.cluster.suppressions[partition].stranger(self.env.now);
        self.env.say(|| format!("nemesis: a stranger's transaction on suppressions {partition}"));
    }

    fn bring_purged_jobs_back(&mut self, _: usize) {
        let partition = self.env.dice.index(self.env.cluster.partitions());
        let back = 1 + self.env.dice.below(4) as i64;
        let log = &mut self.env.cluster.jobs[partition];
        log.start = (log.start - back).max(0);
        let start = log.start;
        self.env.say(|| format!("nemesis: partition {partition} begins at {start} again"));
    }

    fn compact(&mut self, _: usize) {
        let lag = if self.env.mutant == Some(Mutant::CompactionAtOnce) { 0 } else { COMPACTION_LAG_MS };
        let (clean, collect) = (self.env.now.saturating_sub(lag), self.env.now.saturating_sub(TOMBSTONES_MS));
        for partition in 0..self.env.cluster.suppressions.len() {
            let read_by_all = self.read_by_all(partition);
            self.env.cluster.suppressions[partition].compact(clean, collect, read_by_all);
        }
        self.env.say(|| "nemesis: suppressions are compacted".to_owned());
    }

    fn write_snapshot(&mut self, place: usize) {
        let taken_at = self.env.now;
        let worker = self.worker(place);
        if worker.is_loaded() {
            let filter = worker.filter;
            self.snapshots[place] = Some(Snapshot { filter, taken_at });
            self.tell(place, "writes a snapshot");
        }
    }

    /// A process that drained leaves the group; one that was killed does not.
    pub(super) fn leave(&mut self, place: usize) {
        if let Some(worker) = self.workers[place].take() {
            self.env.cluster.group.remove(worker.consumer.member(), self.env.now);
        }
    }
}
