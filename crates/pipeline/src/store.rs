//! Whether the log takes what the workers write, for `/readyz`: no write is under way past its time.

use parking_lot::Mutex;
use tamis_telemetry::{Check, Health};

/// One lock covers changing whose write is late and telling, so that what was told last is what is.
pub(crate) struct Store {
    /// One bit a worker.
    late: Mutex<u64>,
    health: Health,
}

impl Store {
    /// An open log that nobody has written to.
    pub(crate) fn new(health: Health) -> Self {
        health.set(Check::Store, true, "open");
        Self { late: Mutex::new(0), health }
    }

    /// The write of worker `worker` (0 to 63) is late, or no longer.
    pub(crate) fn set(&self, worker: u16, late: bool) {
        let bit = 1u64 << (worker % 64);
        let mut bits = self.late.lock();
        let now = if late { *bits | bit } else { *bits & !bit };
        if now == *bits {
            return;
        }
        *bits = now;
        let ok = now == 0;
        self.health.set(Check::Store, ok, if ok { "open" } else { "the log does not end a write" });
        if late {
            tracing::warn!(worker, "a write is past its time and not ended: the log does not answer");
        } else {
            tracing::info!(worker, "the late write has ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: `/readyz` fails while any worker's write is late, and holds again with the last of them.
    /// Fails when: one worker that writes again speaks for another that does not.
    #[test]
    fn a_late_write_of_any_worker_makes_the_service_unready() {
        let health = Health::new();
        let store = Store::new(health.clone());
        for &check in Check::ALL {
            health.set(check, true, "good");
        }
        let ready = |worker, late| {
            store.set(worker, late);
            health.is_ready()
        };
        assert!(ready(0, false));
        assert!(!ready(0, true));
        assert!(!ready(1, true));
        assert!(!ready(0, false), "the other's is late yet");
        assert!(ready(1, false));
    }
}
