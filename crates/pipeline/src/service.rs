//! The threads of the service, from start to drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::{Condvar, Mutex};
use tamis_bus::{Bus, Recorder};
use tamis_subject::Subjects;
use tamis_telemetry::{Check, Health, Metrics};
use tamis_window::Prints;
use tamis_wire::DeadLetterCode;

use crate::barrier::{Ask, Barrier};
use crate::control::{Control, Input, Limits};
use crate::filter::Filter;
use crate::follow::{Follow, Offered, heartbeat};
use crate::group::Group;
use crate::holding::Holding;
use crate::line::Line;
use crate::produce::Producer;
use crate::purge::Purge;
use crate::recall::Recall;
use crate::snapshots::Snapshots;
use crate::store::Store;
use crate::worker::{Mail, Worker};
use crate::{Options, Stopped};

/// How often every partition of the suppression log gets a heartbeat.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// How long an answer, or the filter, may take before a worker holds; with the barrier's own time-out below the
/// five seconds of the contract.
const PATIENCE_MS: u64 = 2_000;
/// Between two tries of what failed.
const RETRY_MS: u64 = 200;

/// A service that runs.
pub struct Running {
    filter: Filter,
    recorder: Arc<dyn Recorder>,
    offered: Offered,
    stop: Arc<AtomicBool>,
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
    snapshots: Option<Arc<Snapshots>>,
    /// The thread that writes one more snapshot at the end.
    at_end: Option<JoinHandle<()>>,
}

/// What the threads tell the service.
#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    stopped: Option<Stopped>,
    mailboxes: Vec<Sender<Mail>>,
    workers: Vec<JoinHandle<()>>,
    draining: bool,
}

impl State {
    fn stop_with(&self, stopped: Stopped) {
        tracing::error!(error = %stopped, "service cannot go on");
        self.inner.lock().stopped.get_or_insert(stopped);
        self.changed.notify_all();
    }
}

/// Starts the service: the filter at once, the workers as soon as it is loaded.
///
/// # Errors
/// When a client cannot be made from the settings.
pub fn start<B: Bus>(
    bus: Arc<B>,
    subjects: Subjects,
    options: Options,
    metrics: Metrics,
    health: Health,
) -> Result<Running, tamis_bus::Error> {
    for code in DeadLetterCode::ALL {
        metrics.declare_dead_letter(code.as_str());
    }
    let recorder: Arc<dyn Recorder> = Arc::new(bus.recorder()?);
    let filter = Filter::new(usize::try_from(recorder.partitions()).unwrap_or(0), subjects.clone());
    let offered = Offered::default();
    let holding = Arc::new(Holding::new(metrics.clone(), health.clone()));
    let group = Arc::new(Group::new(options.workers, health.clone()));
    let store = Arc::new(Store::new(health.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let state = Arc::new(State::default());
    let (asks, questions) = unbounded();
    let mut threads = Vec::new();

    threads.push(spawn("heartbeat", {
        let (recorder, stop) = (recorder.clone(), stop.clone());
        move || heartbeat(&*recorder, HEARTBEAT_EVERY, &stop)
    }));
    threads.push(spawn("barrier", {
        let barrier = Barrier {
            log: bus.end_offsets()?,
            asks: questions,
            filter: filter.clone(),
            holding: holding.clone(),
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        move || barrier.run()
    }));
    if options.workers > 0 {
        threads.push(spawn("purge", {
            let purger = bus.purger()?;
            let purge = Purge::new(purger, &options.purge, metrics.clone(), health.clone(), stop.clone());
            move || purge.run()
        }));
    } else {
        // Who routes purges as well.
        health.set(Check::Purge, true, "not this process's");
    }
    let snapshots = options.snapshots.clone().map(|options| {
        let made = Snapshots::new(options, filter.clone(), metrics.clone(), stop.clone());
        Arc::new(made)
    });
    let at_end = snapshots.clone().map(|snapshots| spawn("snapshot", move || snapshots.run()));
    let skip_unreadable = options.skip_unreadable;
    let crew = Crew {
        bus: bus.clone(),
        subjects: subjects.clone(),
        options: Arc::new(options),
        prints: Prints::random(),
        metrics: metrics.clone(),
        filter: filter.clone(),
        asks,
        holding,
        group,
        store,
        state: state.clone(),
    };
    threads.push(spawn("follow", {
        let follow = Follow {
            bus,
            recorder: recorder.clone(),
            subjects,
            skip_unreadable,
            filter: filter.clone(),
            snapshots: snapshots.clone(),
            offered: offered.clone(),
            metrics,
            health,
            stop: stop.clone(),
        };
        let state = state.clone();
        move || {
            if let Err(stopped) = follow.run(|| crew.begin()) {
                state.stop_with(stopped);
            }
        }
    }));
    Ok(Running { filter, recorder, offered, stop, state, threads, snapshots, at_end })
}

impl Running {
    /// The filter.
    #[must_use]
    pub fn filter(&self) -> Filter {
        self.filter.clone()
    }

    /// The writer of suppressions, shared with the doors they come in by.
    #[must_use]
    pub fn recorder(&self) -> Arc<dyn Recorder> {
        self.recorder.clone()
    }

    /// The writer of snapshots, if there is a folder for them.
    #[must_use]
    pub fn snapshots(&self) -> Option<Arc<Snapshots>> {
        self.snapshots.clone()
    }

    /// Takes the key that was made of the one in use by rotation: a filter is built under it beside the one in use, which takes
    /// its place when it has come as far. The key in use, or one that does not continue it, changes nothing.
    pub fn take_key(&self, subjects: Subjects) {
        *self.offered.lock() = Some(subjects);
    }

    /// Why the service stopped by itself, if it did.
    #[must_use]
    pub fn stopped(&self) -> Option<Stopped> {
        self.state.inner.lock().stopped.clone()
    }

    /// Finishes what is under way and ends; `false` when that took longer than `timeout`. What is not finished
    /// was not committed, and is decided again by whoever comes next (G4).
    #[must_use]
    pub fn drain(self, timeout: Duration) -> bool {
        let watch = crate::clock::Stopwatch::start();
        let (mailboxes, workers) = {
            let mut inner = self.state.inner.lock();
            inner.draining = true;
            (std::mem::take(&mut inner.mailboxes), std::mem::take(&mut inner.workers))
        };
        for mailbox in &mailboxes {
            // A worker that is gone needs no word.
            let _ = mailbox.send(Mail::Input(Input::Drain));
        }
        let in_time = |thread: &JoinHandle<()>| {
            while !thread.is_finished() && watch.elapsed() < timeout {
                std::thread::sleep(Duration::from_millis(5));
            }
            thread.is_finished()
        };
        let drained = workers.iter().all(in_time);
        if let Some(snapshots) = &self.snapshots {
            snapshots.hurry(timeout.saturating_sub(watch.elapsed()));
        }
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.iter().all(in_time);
        if !self.at_end.iter().all(in_time) {
            // Nothing is lost by it: the next start reads more of the log.
            tracing::warn!("the last snapshot was not written in time");
        }
        drained && ended
    }
}

/// By how much workers give way to all others of this process: a third of their weight in the scheduler (sched(7)).
const NICE: i32 = 5;

/// What the workers are made of.
struct Crew<B: Bus> {
    bus: Arc<B>,
    subjects: Subjects,
    options: Arc<Options>,
    prints: Prints,
    metrics: Metrics,
    filter: Filter,
    asks: Sender<Ask>,
    holding: Arc<Holding>,
    group: Arc<Group>,
    store: Arc<Store>,
    state: Arc<State>,
}

impl<B: Bus> Crew<B> {
    /// Joins the group; only now, when the filter is loaded.
    fn begin(self) {
        // Beside, since all threads that are made there, those of the log's clients as well, have its priority.
        let hired = std::thread::scope(|scope| {
            let hire = || {
                give_way();
                (0..self.options.workers).try_for_each(|id| self.hire(id))
            };
            scope.spawn(hire).join().expect("hiring has no defects")
        });
        match hired {
            Ok(()) => self.holding.loaded(),
            Err(error) => self.state.stop_with(Stopped::Log(error)),
        }
    }

    fn hire(&self, id: u16) -> Result<(), tamis_bus::Error> {
        let (jobs, ledger) = self.bus.join(id)?;
        let (address, mailbox): (Sender<Mail>, Receiver<Mail>) = unbounded();
        let (orders, taken) = unbounded();
        let (recall, recalls) = unbounded();
        let cancel = Arc::new(AtomicBool::new(false));
        self.filter.watch(address.clone());
        let limits = Limits {
            freshness_max_ms: self.options.freshness_max_ms,
            patience_ms: PATIENCE_MS,
            retry_ms: RETRY_MS,
        };
        let producer = Producer {
            ledger,
            orders: taken,
            answers: address.clone(),
            cancel: cancel.clone(),
            metrics: self.metrics.clone(),
        };
        let recalling = Recall {
            worker: id,
            bus: self.bus.clone(),
            prints: self.prints,
            window_s: self.options.window_s(),
            orders: recalls,
            answers: address.clone(),
            metrics: self.metrics.clone(),
        };
        let worker = Worker {
            id,
            options: self.options.clone(),
            control: Control::new(limits, self.filter.reach()),
            line: Line::new(self.subjects.clone(), self.prints, &self.options),
            filter: self.filter.clone(),
            policy: self.options.policy.clone(),
            mailbox,
            address: address.clone(),
            asks: self.asks.clone(),
            orders,
            recall,
            recalling: 0,
            cancel,
            holding: self.holding.clone(),
            group: self.group.clone(),
            store: self.store.clone(),
            metrics: self.metrics.clone(),
        };
        let mut inner = self.state.inner.lock();
        if inner.draining {
            return Ok(());
        }
        inner.mailboxes.push(address);
        inner.workers.push(spawn("produce", move || producer.run()));
        inner.workers.push(spawn("recall", move || recalling.run()));
        inner.workers.push(spawn("work", move || {
            worker.run(&jobs);
            drop(jobs);
        }));
        Ok(())
    }
}

/// Whatever this thread does, and those that it makes, comes after the doors, the filter and the barrier where processors are short: an opt-out
/// waits for each of a dozen threads in turn, while routing has work for all of them.
fn give_way() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "workers keep the priority of the others");
    }
}

/// A named thread; it ends when its channels close or `stop` is set.
fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("a thread can be made at start: out of memory otherwise")
}
