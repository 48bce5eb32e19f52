//! Whether anything holds (G5), told in one place: `tamis_holding` and `/readyz`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tamis_telemetry::{Check, Health, Metrics};

/// The reasons to hold, each set by its own thread.
pub(crate) struct Holding {
    workers: AtomicU64,
    log_silent: AtomicBool,
    loading: AtomicBool,
    metrics: Metrics,
    health: Health,
}

impl Holding {
    pub(crate) fn new(metrics: Metrics, health: Health) -> Self {
        let holding = Self {
            workers: AtomicU64::new(0),
            log_silent: AtomicBool::new(false),
            loading: AtomicBool::new(true),
            metrics,
            health,
        };
        holding.tell();
        holding
    }

    /// Worker `worker` (0 to 63) holds, or no longer.
    pub(crate) fn set_worker(&self, worker: u16, holds: bool) {
        let bit = 1u64 << (worker % 64);
        let before = if holds {
            self.workers.fetch_or(bit, Ordering::AcqRel)
        } else {
            self.workers.fetch_and(!bit, Ordering::AcqRel)
        };
        if (before & bit != 0) != holds {
            if holds {
                tracing::warn!(worker, "worker holds: the suppression log is ahead or cannot be asked");
            } else {
                tracing::info!(worker, "worker goes on");
            }
        }
        self.tell();
    }

    /// The filter is loaded and the workers have joined.
    pub(crate) fn loaded(&self) {
        self.loading.store(false, Ordering::Release);
        self.tell();
    }

    /// The suppression log does not answer, or the filter does not come after it.
    pub(crate) fn set_log_silent(&self, silent: bool) {
        if self.log_silent.swap(silent, Ordering::AcqRel) != silent {
            if silent {
                tracing::warn!("suppression log is silent or the filter is behind: holding");
            } else {
                tracing::info!("suppression log answers again");
            }
            self.tell();
        }
    }

    fn tell(&self) {
        let holds = self.loading.load(Ordering::Acquire)
            || self.workers.load(Ordering::Acquire) != 0
            || self.log_silent.load(Ordering::Acquire);
        self.metrics.holding(holds);
        let detail = if holds { "holding: the filter is behind or its log cannot be asked" } else { "fresh" };
        self.health.set(Check::Freshness, !holds, detail);
    }
}
