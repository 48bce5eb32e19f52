//! What strikes from outside: processes that die or stand still, leaders that change, clocks that jump.

use super::World;
use crate::faults::Fault;
use crate::mutant::Mutant;
use crate::worker::filter::Snapshot;
use crate::{COMPACTION_LAG_MS, Ms, TOMBSTONES_MS};

/// The kinds that need no opportunity of their own.
const KINDS: [Fault; 12] = [
    Fault::Crash,
    Fault::Pause,
    Fault::Drain,
    Fault::Slow,
    Fault::WallClock,
    Fault::PutOut,
    Fault::LeaderChange,
    Fault::FilterStalls,
    Fault::Stranger,
    Fault::LogStartBack,
    Fault::Compaction,
    Fault::Snapshot,
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
        let kind = KINDS[self.env.dice.index(KINDS.len())];
        if !self.env.dice.fault(kind) {
            return false;
        }
        self.strike(kind, place);
        true
    }

    fn strike(&mut self, kind: Fault, place: usize) {
        let now = self.env.now;
        let magnitude = 9 + self.env.dice.below(5);
        let long = 200 + self.env.dice.below(1 << magnitude);
        match kind {
            Fault::Crash => {
                self.env.say(|| format!("nemesis: kills worker {place}"));
                self.workers[place] = None;
                return;
            }
            Fault::Slow => {
                // Now and then long enough for the window and the tombstones to pass.
                let jump: Ms = if self.env.dice.one_in(4) { 2 * TOMBSTONES_MS } else { long };
                self.env.now += jump;
                self.env.say(|| format!("nemesis: {jump} ms go by"));
                return;
            }
            Fault::LeaderChange => return self.change_leader(),
            Fault::Stranger => {
                let partition = self.env.dice.index(self.env.cluster.suppressions.len());
                self.env.cluster.suppressions[partition].stranger(now);
                return self.env.say(|| format!("nemesis: a stranger's transaction on suppressions {partition}"));
            }
            Fault::LogStartBack => {
                let partition = self.env.dice.index(self.env.cluster.partitions());
                let back = 1 + self.env.dice.below(4) as i64;
                let log = &mut self.env.cluster.jobs[partition];
                log.start = (log.start - back).max(0);
                let start = log.start;
                return self.env.say(|| format!("nemesis: partition {partition} begins at {start} again"));
            }
            Fault::Compaction => {
                for partition in 0..self.env.cluster.suppressions.len() {
                    let read_by_all = self.read_by_all(partition);
                    let lag = if self.env.mutant == Some(Mutant::CompactionAtOnce) { 0 } else { COMPACTION_LAG_MS };
                    let (clean, collect) = (now.saturating_sub(lag), now.saturating_sub(TOMBSTONES_MS));
                    self.env.cluster.suppressions[partition].compact(clean, collect, read_by_all);
                }
                return self.env.say(|| "nemesis: suppressions are compacted".to_owned());
            }
            _ => {}
        }
        let skew = self.skew();
        let Some(worker) = &mut self.workers[place] else { return };
        let what = match kind {
            Fault::Pause => {
                worker.paused_until = now + 8 * long;
                "stands still"
            }
            Fault::Drain => {
                worker.drain();
                "is to drain"
            }
            Fault::WallClock => {
                worker.skew = skew;
                "has its clock set"
            }
            Fault::PutOut => {
                let member = worker.consumer.member();
                self.env.cluster.group.remove(member, now);
                "is put out of the group"
            }
            Fault::FilterStalls => {
                worker.filter_stalls_until = now + 2 * long;
                "has its filter stalled"
            }
            Fault::Snapshot if worker.is_loaded() => {
                self.snapshots[place] = Some(Snapshot { filter: worker.filter, taken_at: now });
                "writes a snapshot"
            }
            _ => return,
        };
        self.env.say(|| format!("nemesis: worker {place} {what}"));
    }

    fn change_leader(&mut self) {
        let partition = self.env.dice.index(self.env.cluster.suppressions.len());
        let (more, less) = (self.env.dice.below(3) as i64, self.env.dice.below(3) as i64);
        self.env.cluster.suppressions[partition].change_leader(more, less);
        self.env.say(|| format!("nemesis: a new leader of suppressions {partition}"));
    }

    /// A process that drained leaves the group; one that was killed does not.
    pub(super) fn leave(&mut self, place: usize) {
        if let Some(worker) = self.workers[place].take() {
            self.env.cluster.group.remove(worker.consumer.member(), self.env.now);
        }
    }
}
