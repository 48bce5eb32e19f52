//! Whose a reply is that names the job it answers: which tenant each job was sent for, read from `outcomes`, where every process has
//! its decisions, for `router.dedupe_window` back. In memory, by fingerprint.
//!
//! It is a help and no promise: while it is being read, or for a job that is older, the next rule decides whose a reply is, and nobody
//! is dropped for want of an owner (semantics, section 3).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tamis_bus::{Bus, Error, History, Partition, Start};
use tamis_campaign::{UnixMs, Verdict};
use tamis_telemetry::Metrics;
use tamis_window::{Owners, Prints};
use tamis_wire::decided;

use crate::now_ms;

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one poll waits; also how soon it is noticed that nobody wants to know any more.
const POLL_WAIT: Duration = Duration::from_millis(200);
/// Between two looks whether the thread has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Between two tries of what failed.
const RETRY: Duration = Duration::from_secs(1);
/// Outcomes are looked for from that long before: as for duplicates, clocks may differ, and a record is written after its jobs are decided.
const SLACK_MS: i64 = 10 * 60 * 1_000;

/// Tells whose a job is. Clones share what is known; with the last of them, or when it is told to, the thread that reads ends.
#[derive(Debug, Clone)]
pub struct JobTenants(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    owners: RwLock<Owners>,
    ended: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl JobTenants {
    /// Begins to read `outcomes`, of `partitions`; a job is known for `window` from its decision. Without a window none is.
    ///
    /// # Panics
    /// When the system gives no thread.
    #[must_use]
    pub fn read<B: Bus>(bus: Arc<B>, partitions: u32, window: Duration, metrics: Metrics) -> Self {
        let window_s = u32::try_from(window.as_secs()).unwrap_or(u32::MAX);
        let owners = RwLock::new(Owners::new(Prints::random(), window_s));
        let shared = Arc::new(Shared { owners, ended: AtomicBool::new(false), thread: Mutex::default() });
        if window_s > 0 {
            let reading = Reading {
                shared: Arc::downgrade(&shared),
                partitions: (0..i32::try_from(partitions).unwrap_or(i32::MAX)).collect(),
                metrics,
            };
            let since_ms = now_ms() - i64::from(window_s) * 1_000 - SLACK_MS;
            let thread = std::thread::Builder::new()
                .name("job-tenants".to_owned())
                .spawn(move || reading.run(&*bus, since_ms))
                .expect("a thread can be made at start: out of memory otherwise");
            *shared.thread.lock() = Some(thread);
        }
        Self(shared)
    }

    /// Ends the reading, and waits up to `most` until its thread has let go of the log: an embedded one overwrites what was deleted
    /// when the last who has it lets go.
    pub fn end(&self, most: Duration) {
        self.0.ended.store(true, Ordering::Release);
        let (thread, begun) = (self.0.thread.lock().take(), Instant::now());
        while thread.as_ref().is_some_and(|thread| !thread.is_finished()) && begun.elapsed() < most {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The tenant of the job; `None` when it is not known, or several have a job of that id.
    #[must_use]
    pub fn of(&self, job_id: &str) -> Option<Box<str>> {
        self.0.owners.read().tenant(job_id, seconds(now_ms())).map(Into::into)
    }
}

/// The thread that reads.
struct Reading {
    shared: Weak<Shared>,
    partitions: Vec<Partition>,
    metrics: Metrics,
}

impl Reading {
    fn run<B: Bus>(&self, bus: &B, mut since_ms: UnixMs) {
        while self.shared().is_some() {
            let Err(error) = self.follow(bus, &mut since_ms) else { return };
            self.metrics.error("job_tenants", if error.retry() { "unreachable" } else { "refused" });
            tracing::warn!(%error, "whose jobs are is not read; trying again");
            std::thread::sleep(RETRY);
        }
    }

    /// Reads back and then on, until nobody wants to know any more. `since_ms` is from where to read after an error.
    fn follow<B: Bus>(&self, bus: &B, since_ms: &mut UnixMs) -> Result<(), Error> {
        let mut history = bus.history()?;
        history.begin(&self.partitions, Start::Since(*since_ms), ASK_TIMEOUT)?;
        while !history.poll(POLL_WAIT, &mut |_, value| self.take(value))? {
            if self.shared().is_none() {
                return Ok(());
            }
        }
        let Some(jobs) = self.shared().map(|shared| shared.owners.read().jobs()) else { return Ok(()) };
        tracing::info!(jobs, "whose jobs are is known");
        while let Some(shared) = self.shared() {
            shared.owners.write().tidy(seconds(now_ms()));
            drop(shared);
            *since_ms = now_ms() - SLACK_MS;
            history.follow(POLL_WAIT, &mut |_, value| self.take(value))?;
        }
        Ok(())
    }

    /// What is known, as long as somebody wants to know.
    fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.upgrade().filter(|shared| !shared.ended.load(Ordering::Acquire))
    }

    /// Only what was sent is answered.
    fn take(&self, value: &[u8]) {
        let Some(shared) = self.shared() else { return };
        let (now_s, mut owners, mut full) = (seconds(now_ms()), shared.owners.write(), false);
        for one in decided(value) {
            match one {
                Ok(one) if one.verdict == Some(Verdict::Routed) => {
                    full |= !owners.note(one.tenant, one.job_id, seconds(one.decided_at_ms), now_s);
                }
                Ok(_) => {}
                Err(_) => self.metrics.error("job_tenants", "damaged"),
            }
        }
        if full {
            self.metrics.error("job_tenants", "full");
        }
    }
}

/// Unix seconds, as the window counts them.
fn seconds(ms: UnixMs) -> u32 {
    u32::try_from(ms.max(0) / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_bus::embedded::{Config, Embedded};
    use tamis_bus::{Ledger, OutRecord, OutTopic, Outgoing};
    use tamis_wire::Message as _;
    use tamis_wire::proto::campaign::v1::{JobOutcome, JobOutcomes};

    fn decide(ledger: &mut impl Ledger, jobs: &[(&str, &str, Verdict)]) {
        let outcome = |(tenant, job_id, verdict): &(&str, &str, Verdict)| JobOutcome {
            job_id: (*job_id).into(),
            tenant: (*tenant).into(),
            verdict: verdict.number(),
            decided_at_ms: now_ms(),
            ..JobOutcome::default()
        };
        let arena = JobOutcomes { outcomes: jobs.iter().map(outcome).collect() }.encode_to_vec();
        let record = OutRecord {
            topic: OutTopic::Outcomes,
            partition: 1,
            offset: 0,
            part: 0,
            key: 0..0,
            value: 0..arena.len(),
            traceparent: 0..0,
            tracestate: 0..0,
        };
        let outgoing =
            Outgoing { arena, records: vec![record], decided_at_ms: now_ms(), ..Outgoing::default() };
        ledger.append(&outgoing).expect("the log takes it");
        ledger.commit(ASK_TIMEOUT).expect("and keeps it");
    }

    /// Guarantees: what was decided before the start and what is decided after it are both known; what was not sent is nobody's; the
    /// thread ends with the last handle.
    /// Fails when: reading ends where the log ended at first, or every verdict counts.
    #[test]
    fn jobs_of_before_and_of_now_are_their_tenants() {
        let dir = tempfile::tempdir().expect("a folder");
        let bus = Embedded::open(dir.path(), Config::default()).expect("a log");
        let (_jobs, mut ledger) = bus.join(0).expect("a member");
        ledger.replace(ASK_TIMEOUT).expect("a writer");
        decide(&mut ledger, &[("acme", "job-1", Verdict::Routed), ("acme", "job-2", Verdict::Empty)]);
        let tenants = JobTenants::read(bus.clone(), 8, Duration::from_secs(60), Metrics::detached());
        let wait = |job_id: &str| {
            (0..500).find_map(|_| {
                std::thread::sleep(Duration::from_millis(10));
                tenants.of(job_id)
            })
        };
        assert_eq!(wait("job-1").as_deref(), Some("acme"));
        decide(&mut ledger, &[("globex", "job-3", Verdict::Routed)]);
        assert_eq!(wait("job-3").as_deref(), Some("globex"));
        assert_eq!((tenants.of("job-2"), tenants.of("job-4")), (None, None));
        let weak = Arc::downgrade(&tenants.0);
        drop(tenants);
        let gone = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            weak.strong_count() == 0 && Arc::strong_count(&bus) == 1
        });
        assert!(gone, "the thread has let go of the log");
    }
}
