//! One run: start the world, load it, break it until the time is up, heal it, check it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tamis_tests::people::Dice;

use crate::checker::{self, Kind, Violation};
use crate::history::History;
use crate::load::Load;
use crate::nemesis::{self, Nemesis};
use crate::read_back;
use crate::report::Report;
use crate::watch::{self, Watch};
use crate::world::World;

/// How long the processes may take to be ready the first time.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// Load without faults, in the beginning.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long the last jobs may take.
const LAST_JOBS_LIMIT: Duration = Duration::from_secs(120);

/// How it is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long faults are done.
    pub minutes: u64,
    /// Of the faults and the load.
    pub seed: u64,
    /// Whether the scheduler sends some jobs twice (G7).
    pub retries: bool,
    /// One kind of fault, when only that is to be done.
    pub only: Option<nemesis::Kind>,
    /// Whether every fault is said as it is done.
    pub verbose: bool,
}

/// A seed from the system.
///
/// # Errors
/// When it has no random bytes.
pub fn random_seed() -> Result<u64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).context("make a seed")?;
    Ok(u32::from_le_bytes(bytes).into())
}

/// The folder of a run: under cargo's target folder, so that it is in nobody's way.
#[must_use]
pub fn folder(seed: u64) -> PathBuf {
    let binary = tamis_tests::tamis_bin();
    let target = binary.ancestors().nth(2).unwrap_or(&binary);
    target.join("soak").join(seed.to_string())
}

/// Runs it. Everything that was started has ended when this returns. The folder stays when a promise was broken.
///
/// # Errors
/// When the world could not be started, or its brokers did not come back: then nothing can be said.
pub fn run(options: &Options) -> Result<Report> {
    let dir = folder(options.seed);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).context("remove an earlier run's folder")?;
    }
    std::fs::create_dir_all(&dir).context("make the run's folder")?;
    let report = in_world(options, &dir)?;
    if report.is_clean() {
        std::fs::remove_dir_all(&dir).context("remove the run's folder")?;
    }
    Ok(report)
}

fn in_world(options: &Options, dir: &std::path::Path) -> Result<Report> {
    let mut world = World::start(dir)?;
    let history = Arc::new(History::default());
    let watch = Watch::start(&world, &history)?;
    wait_until_ready(&mut world, &watch)?;
    let load = Load::start(&world, &history, options.seed, options.retries)?;
    std::thread::sleep(WARM_UP);
    // The faults' dice are not the load's.
    let seed = Dice::new(options.seed).roll(u64::MAX);
    let mut nemesis = Nemesis::new(&mut world, &watch, &history, seed);
    if let Some(kind) = options.only {
        nemesis.only(kind);
    }
    let begun = Instant::now();
    let mut faults = Vec::new();
    while begun.elapsed() < Duration::from_secs(60 * options.minutes) {
        let kind = nemesis.draw();
        let fault = nemesis.strike(kind)?;
        if options.verbose {
            println!("{fault}");
        }
        faults.push(fault);
    }
    let lasted = begun.elapsed();
    load.finish();
    wait_for_the_last_jobs(&history);
    if history.book().undecided() > 0 {
        nemesis.world.describe("last-jobs")?;
    }
    for place in 0..nemesis.world.processes.len() {
        let lost = watch::lost(nemesis.world.processes[place].admin);
        if lost > 0.0 {
            let what = format!("process {} says that it has lost {lost} recipients", place + 1);
            nemesis.violations.push(Violation { kind: Kind::Lost, what, at: history.now() });
        }
        nemesis.drain(place);
    }
    let mut violations = std::mem::take(&mut nemesis.violations);
    let book = history.book().clone();
    let acked = book.jobs.values().filter(|job| job.acked_at.is_some()).count();
    let found = read_back::read(&world.bus, acked)?;
    let (more, sums) = checker::check(&book, &found);
    violations.extend(more);
    let (seed, holds, late_errors) = (options.seed, watch.holds(), world.faults.late_errors());
    Ok(Report { seed, lasted, faults, sums, violations, holds, late_errors })
}

fn wait_until_ready(world: &mut World, watch: &Watch) -> Result<()> {
    let begun = Instant::now();
    while !watch.all_ready() {
        if world.processes.iter_mut().any(|process| !process.service.is_running()) {
            bail!("a process ended before it was ready; its log says why");
        }
        if begun.elapsed() > READY_LIMIT {
            bail!("the processes are not ready after {} s", READY_LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What is still missing then is for the checker to tell.
fn wait_for_the_last_jobs(history: &History) {
    let begun = Instant::now();
    while history.book().undecided() > 0 && begun.elapsed() < LAST_JOBS_LIMIT {
        std::thread::sleep(Duration::from_millis(50));
    }
}
