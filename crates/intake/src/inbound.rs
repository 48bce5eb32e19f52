//! What gateways write to `inbound`, read on a thread of its own: each event's records are durable first, and only then are its
//! offset and the dead letters of what could not be read committed, in one transaction. The texts live for as long as a batch.
//!
//! The suppression log is never written in a transaction, so a crash between ack and commit has the same events read again and the
//! same records written again. A stop said twice is one stop. A start said twice might take away a stop that came between: so a start
//! is written only where it is newer than what it lifts, by the logs' own times ([`said`]).
//!
//! - Nothing is read before the filter is loaded, since only then is it known that the key is the log's; nor while it is outdated.
//! - Nothing is committed that is not acked. After anything but a clean commit every partition goes back to its committed offset,
//!   asked of the log, and the writer is replaced first where the end of the transaction is not known.
//! - A rebalance is told between two batches: whatever was in hand is committed or dropped by then, and the partitions are given back.

mod reader;
mod said;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tamis_bus::{Bus, Error, Recorder};
use tamis_pipeline::Filter;
use tamis_policy::Current;
use tamis_telemetry::{Check, Health, Metrics};
use tamis_wire::DeadLetterCode;

use self::reader::Reader;
use crate::JobTenants;

/// Between two tries of what failed.
const RETRY: Duration = Duration::from_millis(500);
/// How often it is looked whether to stop, or whether the filter is loaded.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the reader works with.
#[derive(Clone)]
pub struct Parts {
    /// Whose key makes subjects, and what a start is looked up in.
    pub filter: Filter,
    /// The writer of the suppression log, shared with the other doors.
    pub recorder: Arc<dyn Recorder>,
    /// Tenants, their senders and words.
    pub policy: Current,
    /// Whose the jobs are that events name.
    pub tenants: JobTenants,
    /// Full name of the topic, for dead letters.
    pub topic: String,
    /// Counts.
    pub metrics: Metrics,
    /// Has the line `inbound`.
    pub health: Health,
}

/// The thread that reads `inbound`.
#[derive(Debug)]
pub struct Inbound {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Inbound {
    /// Starts it; it joins its group once the filter is loaded. On a log without the topic it ends at once.
    ///
    /// # Panics
    /// When the system gives no thread.
    #[must_use]
    pub fn start<B: Bus>(bus: Arc<B>, parts: Parts) -> Self {
        for code in DeadLetterCode::ALL {
            parts.metrics.declare_dead_letter(code.as_str());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let run = move || {
            let health = parts.health.clone();
            let _end = End(&health);
            run(&*bus, parts, &told);
        };
        let thread = std::thread::Builder::new()
            .name("inbound".to_owned())
            .spawn(run)
            .expect("a thread can be made at start: out of memory otherwise");
        Self { stop, thread }
    }

    /// Has the batch in hand finished and the group left; `false` when that took longer than `timeout`. What is not committed is read
    /// again by whoever comes next.
    #[must_use]
    pub fn drain(self, timeout: Duration) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        let mut left = timeout;
        while !self.thread.is_finished() && !left.is_zero() {
            let pause = LOOK_EVERY.min(left);
            std::thread::sleep(pause);
            left -= pause;
        }
        self.thread.is_finished()
    }
}

/// Tells when the thread ends, however it does.
struct End<'a>(&'a Health);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let detail = if std::thread::panicking() { "ended by a defect: restart" } else { "not read here" };
        self.0.set(Check::Inbound, true, detail);
    }
}

fn run<B: Bus>(bus: &B, parts: Parts, stop: &AtomicBool) {
    let stopped = || stop.load(Ordering::Relaxed);
    parts.health.set(Check::Inbound, true, "waits for the filter");
    while !parts.filter.is_loaded() {
        if stopped() {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    parts.health.set(Check::Inbound, true, "joining");
    while !stopped() {
        match open(bus) {
            Ok(Some((jobs, ledger, ends))) => return Reader::new(jobs, ledger, ends, parts, stop).run(),
            Ok(None) => return,
            Err(error) => {
                parts.metrics.error("inbound", if error.retry() { "unreachable" } else { "refused" });
                tracing::warn!(%error, "inbound cannot be opened; trying again");
                std::thread::sleep(RETRY);
            }
        }
    }
}

type Opened<B> = (<B as Bus>::Jobs, <B as Bus>::Ledger, <B as Bus>::EndOffsets);

fn open<B: Bus>(bus: &B) -> Result<Option<Opened<B>>, Error> {
    let Some((jobs, ledger)) = bus.inbound()? else { return Ok(None) };
    Ok(Some((jobs, ledger, bus.end_offsets()?)))
}
