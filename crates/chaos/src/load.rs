//! What goes on meanwhile: jobs over all channels, opt-outs through the API and to the log, and a history of both.

mod jobs;
mod opt_outs;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tamis_bus::{Bus, Recorder, Scheduler};
use tamis_campaign::Channel;
use tamis_subject::Subjects;
use tamis_tests::people::Dice;

use crate::history::{History, Micros};
use crate::world::World;
use jobs::Desk;
use opt_outs::Door;

/// People of each kind of address: few enough that those who opted out are written to again.
const POPULATION: u64 = 6_000;
/// The last who opted out, to write to.
const RECENT_MOST: usize = 64;
/// How long answers that are under way are waited for in the end: past the log's own time-out.
const LAST_ANSWERS_LIMIT: Duration = Duration::from_secs(40);
/// Threads that opt people out by the API, and at the log.
const BY_API: usize = 2;

/// Who has just opted out, by what kind of address, with whom.
type Recent = (Channel, u64, String);

/// What the threads of the load share.
struct Shared {
    history: Arc<History>,
    scheduler: Box<dyn Scheduler>,
    recorder: Box<dyn Recorder>,
    subjects: Subjects,
    apis: Vec<SocketAddr>,
    recent: Mutex<Vec<Recent>>,
    stop: AtomicBool,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    fn now(&self) -> Micros {
        self.history.now()
    }

    fn note_recent(&self, who: Recent) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= RECENT_MOST {
            recent.remove(0);
        }
        recent.push(who);
    }

    fn some_recent(&self, dice: &mut Dice) -> Option<Recent> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.is_empty() { None } else { recent.get(place(dice, recent.len())).cloned() }
    }
}

/// A place in something of this length.
fn place(dice: &mut Dice, length: usize) -> usize {
    usize::try_from(dice.roll(length as u64)).unwrap_or(0)
}

/// A running load.
pub(crate) struct Load {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins; `retries` sends some jobs twice, as a scheduler does that did not hear.
    pub(crate) fn start(world: &World, history: &Arc<History>, seed: u64, retries: bool) -> Result<Self> {
        let shared = Arc::new(Shared {
            history: Arc::clone(history),
            scheduler: Box::new(world.bus.scheduler().context("open the scheduler")?),
            recorder: Box::new(world.bus.recorder().context("open the recorder")?),
            subjects: world.subjects.clone(),
            apis: world.processes.iter().map(|process| process.api).collect(),
            recent: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let desk = Arc::new(Desk::new(Arc::clone(&shared), seed, retries));
        let mut load = Self { shared, desk, threads: Vec::new() };
        load.spawn("load-jobs", |desk| desk.send_until_stopped())?;
        for number in 0..=BY_API {
            let door = if number < BY_API { Door::Api } else { Door::Log };
            let dice = Dice::new(seed ^ ((number as u64 + 1) << 32));
            load.spawn("load-opt-outs", move |desk| opt_outs::record_until_stopped(desk, door, dice))?;
        }
        Ok(load)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce(&Desk) + Send + 'static) -> Result<()> {
        let desk = Arc::clone(&self.desk);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&desk));
        self.threads.push(thread.context("start a thread of the load")?);
        Ok(())
    }

    /// Stops, and waits for the answers that are under way.
    pub(crate) fn finish(mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let since = self.shared.now();
        let limit = u64::try_from(LAST_ANSWERS_LIMIT.as_micros()).unwrap_or(u64::MAX);
        while self.desk.unanswered() > 0 && self.shared.now() < since + limit {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}
