//! Whether anything holds (G5), told in one place: `tamis_holding` and `/readyz`.

use parking_lot::Mutex;
use tamis_telemetry::{Check, Health, Metrics};

/// The reasons to hold, each set by its own thread. One lock covers changing them and telling, so that what was
/// told last is what is.
pub(crate) struct Holding {
    reasons: Mutex<Reasons>,
    metrics: Metrics,
    health: Health,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Reasons {
    /// One bit a worker.
    workers: u64,
    log_silent: bool,
    loading: bool,
}

impl Reasons {
    fn any(self) -> bool {
        self.loading || self.log_silent || self.workers != 0
    }
}

impl Holding {
    pub(crate) fn new(metrics: Metrics, health: Health) -> Self {
        let reasons = Reasons { workers: 0, log_silent: false, loading: true };
        let holding = Self { reasons: Mutex::new(reasons), metrics, health };
        holding.tell(reasons);
        holding
    }

    /// Worker `worker` (0 to 63) holds, or no longer.
    pub(crate) fn set_worker(&self, worker: u16, holds: bool) {
        let bit = 1u64 << (worker % 64);
        let changed = self.change(|reasons| {
            reasons.workers = if holds { reasons.workers | bit } else { reasons.workers & !bit };
        });
        match (changed, holds) {
            (false, _) => {}
            (true, true) => {
                tracing::warn!(worker, "worker holds: the suppression log is ahead or cannot be asked")
            }
            (true, false) => tracing::info!(worker, "worker goes on"),
        }
    }

    /// The filter is loaded and the workers have joined.
    pub(crate) fn loaded(&self) {
        self.change(|reasons| reasons.loading = false);
    }

    /// The suppression log does not answer, or the filter does not come after it.
    pub(crate) fn set_log_silent(&self, silent: bool) {
        let changed = self.change(|reasons| reasons.log_silent = silent);
        match (changed, silent) {
            (false, _) => {}
            (true, true) => tracing::warn!("suppression log is silent or the filter is behind: holding"),
            (true, false) => tracing::info!("suppression log answers again"),
        }
    }

    /// Whether `change` changed anything; if so, it was told.
    fn change(&self, change: impl FnOnce(&mut Reasons)) -> bool {
        let mut reasons = self.reasons.lock();
        let before = *reasons;
        change(&mut reasons);
        if *reasons != before {
            self.tell(*reasons);
        }
        *reasons != before
    }

    fn tell(&self, reasons: Reasons) {
        let holds = reasons.any();
        self.metrics.holding(holds);
        let detail = if holds { "holding: the filter is behind or its log cannot be asked" } else { "fresh" };
        self.health.set(Check::Freshness, !holds, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two go on at the same moment, again and again; whoever comes second must be the one to tell.
    #[test]
    fn the_last_of_several_threads_to_go_on_ends_the_hold() {
        let health = Health::new();
        for &check in Check::ALL {
            health.set(check, true, "good");
        }
        let holding = Holding::new(Metrics::detached(), health.clone());
        holding.loaded();
        let step = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let (holding, health, step) = (&holding, &health, &step);
                scope.spawn(move || {
                    for _ in 0..100_000 {
                        step.wait();
                        holding.set_worker(worker, true);
                        step.wait();
                        holding.set_worker(worker, false);
                        step.wait();
                        assert!(health.is_ready(), "{}", health.json_lines());
                    }
                });
            }
        });
    }
}
