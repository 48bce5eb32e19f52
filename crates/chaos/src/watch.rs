//! Watches the processes and the outcomes while things are broken: who is ready, how long they hold, what is decided.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tamis_bus::{Bus, Tail as _, TailTopic, kafka::Kafka};
use tamis_tests::process::get;
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1::JobOutcomes;

use crate::history::{History, Micros};
use crate::world::World;

/// Between two looks at a process.
const EVERY: Duration = Duration::from_millis(250);

/// A stretch of time in which a process held (G5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Which process, from 0.
    pub process: usize,
    /// Since when.
    pub since: Micros,
    /// How long.
    pub long: Micros,
}

/// What is seen of one process.
#[derive(Debug, Clone, Copy, Default)]
struct Sight {
    ready: bool,
    holds_since: Option<Micros>,
}

#[derive(Default)]
struct Seen {
    now: Vec<Sight>,
    holds: Vec<Hold>,
}

struct Shared {
    history: Arc<History>,
    seen: Mutex<Seen>,
    stop: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }
}

/// Running watchers.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(world: &World, history: &Arc<History>) -> Result<Self> {
        let seen = Seen { now: vec![Sight::default(); world.processes.len()], holds: Vec::new() };
        let shared = Arc::new(Shared {
            history: Arc::clone(history),
            seen: Mutex::new(seen),
            stop: AtomicBool::new(false),
        });
        let mut watch = Self { shared, threads: Vec::new() };
        for (place, process) in world.processes.iter().enumerate() {
            let admin = process.admin;
            watch.spawn(move |shared| look(shared, place, admin))?;
        }
        let bus = Arc::clone(&world.bus);
        watch.spawn(move |shared| follow(shared, &bus))?;
        Ok(watch)
    }

    fn spawn(&mut self, work: impl FnOnce(&Shared) + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || work(&shared));
        self.threads.push(thread.context("start a watcher")?);
        Ok(())
    }

    /// Whether every process said that it is ready when it was last asked.
    pub(crate) fn all_ready(&self) -> bool {
        self.shared.seen().now.iter().all(|sight| sight.ready)
    }

    /// Every hold so far.
    pub(crate) fn holds(&self) -> Vec<Hold> {
        self.shared.seen().holds.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Asks one process again and again.
fn look(shared: &Shared, place: usize, admin: SocketAddr) {
    while shared.goes_on() {
        let ready = get(admin, "/readyz").map(|answer| answer.starts_with("HTTP/1.1 200"));
        let holds = get(admin, "/metrics").and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("tamis_holding ")).map(|value| value.trim() != "0")
        });
        let now = shared.history.now();
        let mut seen = shared.seen();
        let sight = seen.now[place];
        let holds_since = match holds {
            Some(true) => Some(sight.holds_since.unwrap_or(now)),
            // A process that does not answer is not holding: it is dead, or stands still.
            Some(false) | None => None,
        };
        if let (Some(since), None) = (sight.holds_since, holds_since) {
            seen.holds.push(Hold { process: place, since, long: now - since });
        }
        seen.now[place] = Sight { ready: ready == Some(true), holds_since };
        drop(seen);
        std::thread::sleep(EVERY);
    }
}

/// Reads outcomes as they come.
fn follow(shared: &Shared, bus: &Kafka) {
    while shared.goes_on() {
        std::thread::sleep(EVERY);
        let Ok(mut tail) = bus.tail(TailTopic::Outcomes, "watch", true) else { continue };
        while shared.goes_on() {
            let polled = tail.poll(Duration::from_millis(100), 10_000, &mut |record| {
                let now = shared.history.now();
                let mut book = shared.history.book();
                for outcome in JobOutcomes::decode(record.value).unwrap_or_default().outcomes {
                    book.decided(&outcome.job_id, now);
                }
            });
            if polled.is_err() {
                // Read again from where it began: outcomes that were seen are seen.
                break;
            }
        }
    }
}

/// What a process says it has lost (`tamis_recipients_lost_total`, over all stages).
pub(crate) fn lost(admin: SocketAddr) -> f64 {
    let text = get(admin, "/metrics").unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("tamis_recipients_lost_total"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
