//! Whether the worker group has settled, for `/readyz`: each worker has its partitions, or is a spare without.

use std::sync::atomic::{AtomicU64, Ordering};

use tamis_telemetry::{Check, Health};

/// One bit a worker.
pub(crate) struct Group {
    settled: AtomicU64,
    all: u64,
    health: Health,
}

impl Group {
    /// A group of `workers` (at most 64), none of them settled.
    pub(crate) fn new(workers: u16, health: Health) -> Self {
        let all = (0..workers.min(64)).fold(0, |bits, worker| bits | 1u64 << worker);
        health.set(Check::Group, workers == 0, if workers == 0 { "no workers here" } else { "joining" });
        Self { settled: AtomicU64::new(0), all, health }
    }

    /// Worker `worker` has settled, or no longer.
    pub(crate) fn set(&self, worker: u16, settled: bool) {
        let bit = 1u64 << (worker % 64);
        let before = if settled {
            self.settled.fetch_or(bit, Ordering::AcqRel)
        } else {
            self.settled.fetch_and(!bit, Ordering::AcqRel)
        };
        if (before & bit != 0) != settled {
            let now = if settled { before | bit } else { before & !bit };
            let ok = now == self.all;
            self.health.set(Check::Group, ok, if ok { "settled" } else { "joining or rebalancing" });
        }
    }
}
