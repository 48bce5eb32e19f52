//! Whether the worker group has settled, for `/readyz`: each worker has its partitions, or is a spare without.

use parking_lot::Mutex;
use tamis_telemetry::{Check, Health};

/// One lock covers changing who has settled and telling, so that what was told last is what is.
pub(crate) struct Group {
    /// One bit a worker.
    settled: Mutex<u64>,
    all: u64,
    health: Health,
}

impl Group {
    /// A group of `workers` (at most 64), none of them settled.
    pub(crate) fn new(workers: u16, health: Health) -> Self {
        let all = (0..workers.min(64)).fold(0, |bits, worker| bits | 1u64 << worker);
        health.set(Check::Group, workers == 0, if workers == 0 { "no workers here" } else { "joining" });
        Self { settled: Mutex::new(0), all, health }
    }

    /// Worker `worker` has settled, or no longer.
    pub(crate) fn set(&self, worker: u16, settled: bool) {
        let bit = 1u64 << (worker % 64);
        let mut bits = self.settled.lock();
        let now = if settled { *bits | bit } else { *bits & !bit };
        if now != *bits {
            *bits = now;
            let ok = now == self.all;
            self.health.set(Check::Group, ok, if ok { "settled" } else { "joining or rebalancing" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two settle at the same moment, again and again; whoever comes second must be the one to tell.
    #[test]
    fn workers_that_settle_at_the_same_time_are_all_seen() {
        let health = Health::new();
        for &check in Check::ALL {
            health.set(check, true, "good");
        }
        let group = Group::new(2, health.clone());
        let step = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let (group, health, step) = (&group, &health, &step);
                scope.spawn(move || {
                    for _ in 0..100_000 {
                        step.wait();
                        group.set(worker, true);
                        step.wait();
                        assert!(health.is_ready(), "{}", health.json_lines());
                        step.wait();
                        group.set(worker, false);
                    }
                });
            }
        });
    }
}
