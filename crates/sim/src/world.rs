//! The world: who acts next, and what they act on.

mod nemesis;
mod people;
mod rest;

use crate::dice::{Dice, mix};
use crate::faults::Fault;
use crate::kafka::log::Producer;
use crate::kafka::transactions::{Ended, Refused};
use crate::kafka::{Cluster, TRANSACTION_MS};
use crate::mutant::Mutant;
use crate::shadow::{Shadow, Violation};
use crate::worker::Worker;
use crate::worker::filter::Snapshot;
use crate::worker::writer::Limbo;
use crate::{Ms, PARTITIONS_MAX, SUPPRESSIONS_MAX, WORKERS_MAX};
use people::Scheduler;

/// The longest schedule before the faults stop, steps.
const STEPS_MAX: u64 = 1_600;

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Everything hangs on it.
    pub seed: u64,
    /// A deliberate break.
    pub mutant: Option<Mutant>,
    /// Faults that are not to strike, by the number of their opportunity.
    pub dropped: Vec<u32>,
    /// Stop the faults after so many steps.
    pub steps_max: Option<u64>,
    /// Keep what happens as text.
    pub trace: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Ran {
    /// A promise that was broken.
    pub violation: Option<Violation>,
    /// Steps until the faults stopped, or a promise broke.
    pub steps: u64,
    /// The faults that struck: the number of the opportunity, and the kind.
    pub struck: Vec<(u32, Fault)>,
    /// What happened, where a trace was asked for.
    pub lines: Vec<String>,
    /// Jobs written.
    pub jobs: usize,
}

/// Runs one schedule: steps with faults, then rest and the audit.
#[must_use]
pub fn run(plan: &Plan) -> Ran {
    let mut world = World::new(plan);
    let steps = world.live();
    if world.env.shadow.violation.is_none() {
        world.rest();
    }
    let Env { shadow, dice, lines, .. } = world.env;
    Ran {
        violation: shadow.violation,
        steps,
        struck: dice.struck,
        lines: lines.unwrap_or_default(),
        jobs: shadow.jobs.len(),
    }
}

/// What every actor acts on.
#[derive(Debug)]
pub(crate) struct Env {
    pub(crate) now: Ms,
    pub(crate) cluster: Cluster,
    pub(crate) shadow: Shadow,
    pub(crate) dice: Dice,
    pub(crate) mutant: Option<Mutant>,
    /// Ends of transactions that are still under way, though their callers have gone on.
    pub(crate) limbo: Vec<Limbo>,
    lines: Option<Vec<String>>,
}

impl Env {
    /// Writes a line of the trace.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>7} ms  {}", self.now, line()));
        }
    }

    /// EndTxn; what it decides is judged at once.
    pub(crate) fn end(&mut self, writer: Producer, epoch: u32, commit: bool) -> Result<Ended, Refused> {
        let ended = self.cluster.end(writer, epoch, commit)?;
        if ended == Ended::Now {
            self.say(|| {
                let what = if commit { "commit" } else { "abort" };
                format!("brokers: {what} of worker {writer}'s transaction is decided")
            });
            if commit {
                self.shadow.on_commit(&self.cluster, writer);
                if self.dice.fault(Fault::OffsetsLost) {
                    self.cluster.group.lose(writer);
                    self.say(|| format!("brokers: offsets of worker {writer}'s transaction are lost"));
                }
            }
        }
        Ok(ended)
    }
}

/// Everything.
#[derive(Debug)]
struct World {
    env: Env,
    workers: Vec<Option<Worker>>,
    /// The last snapshot of each worker's filter, on its disk.
    snapshots: [Option<Snapshot>; WORKERS_MAX],
    scheduler: Scheduler,
    /// Committed offsets that the purge has read and not acted on.
    purge_to: Option<[i64; PARTITIONS_MAX]>,
    steps_max: u64,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let mut dice = Dice::new(plan.seed, &plan.dropped);
        let workers = 1 + dice.index(WORKERS_MAX);
        let partitions = 1 + dice.index(PARTITIONS_MAX);
        let suppressions = 1 + dice.index(SUPPRESSIONS_MAX);
        let steps = STEPS_MAX / 4 + dice.below(STEPS_MAX * 3 / 4);
        let scheduler = Scheduler::new(&mut dice);
        let env = Env {
            now: 1,
            cluster: Cluster::new(partitions, suppressions, workers),
            shadow: Shadow::new(),
            dice,
            mutant: plan.mutant,
            limbo: Vec::new(),
            lines: plan.trace.then(Vec::new),
        };
        let mut world = Self {
            env,
            workers: (0..workers).map(|_| None).collect(),
            snapshots: [None; WORKERS_MAX],
            scheduler,
            purge_to: None,
            steps_max: plan.steps_max.unwrap_or(steps).min(steps),
        };
        world.env.say(|| {
            format!("{workers} workers, {partitions} partitions of jobs, {suppressions} of suppressions")
        });
        for place in 0..workers {
            world.start(place);
        }
        world
    }

    /// The part with faults. How many steps it took.
    fn live(&mut self) -> u64 {
        for step in 0..self.steps_max {
            self.env.now += self.env.dice.below(12);
            self.step();
            if self.env.shadow.violation.is_some() {
                return step + 1;
            }
        }
        self.steps_max
    }

    /// Somebody acts.
    fn step(&mut self) {
        let place = self.env.dice.index(self.workers.len());
        match self.env.dice.below(42) {
            0..=9 => self.with(place, |worker, env| worker.work(env)),
            10..=17 => self.with(place, |worker, env| worker.write(env)),
            18..=20 => self.with(place, |worker, env| worker.ask(env)),
            21..=23 => self.with(place, |worker, env| worker.follow(env)),
            24..=25 => self.with(place, |worker, env| worker.beat(env)),
            26 => self.with(place, |worker, env| worker.recall(env)),
            27..=30 => self.coordinate(),
            31 => self.env.cluster.group.go_on(self.env.now),
            32 => self.deliver_late(),
            33..=34 => self.write_job(),
            35 => self.opt_out(),
            36 => self.replicate(),
            37 => self.purge(),
            38 => self.heartbeat(),
            _ => self.nemesis(),
        };
    }

    /// Lets a worker's thread take a step, unless its process stands still or has ended.
    fn with(&mut self, place: usize, act: impl FnOnce(&mut Worker, &mut Env) -> bool) -> bool {
        match &mut self.workers[place] {
            Some(worker) if self.env.now >= worker.paused_until => act(worker, &mut self.env),
            Some(_) | None => false,
        }
    }

    /// The transaction coordinator: a marker reaches a partition, a transaction is timed out.
    fn coordinate(&mut self) -> bool {
        let writer = self.env.dice.index(self.env.cluster.writers.len());
        let nth = self.env.dice.below(8) as u32;
        if self.env.cluster.writers[writer].time_out(self.env.now, TRANSACTION_MS) {
            self.env.say(|| format!("brokers: worker {writer}'s transaction is timed out"));
            return true;
        }
        self.env.cluster.mark(writer as Producer, nth)
    }

    /// A request arrives whose caller has long gone on.
    fn deliver_late(&mut self) -> bool {
        if self.env.limbo.is_empty() {
            return false;
        }
        let place = self.env.dice.index(self.env.limbo.len());
        let Limbo { writer, epoch, commit } = self.env.limbo.swap_remove(place);
        let what = if commit { "commit" } else { "abort" };
        self.env.say(|| format!("brokers: a late {what} of worker {writer}'s epoch {epoch} arrives"));
        // Nobody waits for the answer.
        let _ = self.env.end(writer, epoch, commit);
        true
    }

    /// The purge: reads the committed offsets, later deletes up to there.
    fn purge(&mut self) -> bool {
        let partitions = self.env.cluster.partitions();
        let Some(to) = self.purge_to.take() else {
            let mut to = [0; PARTITIONS_MAX];
            for (partition, to) in to.iter_mut().enumerate().take(partitions) {
                let partition = partition as i32;
                let read = self.workers.iter().flatten().filter_map(|w| w.consumer.position(partition)).max();
                let committed = self.env.cluster.group.committed(partition, true);
                let broken = self.env.mutant == Some(Mutant::PurgeToRead);
                *to = if broken { read } else { committed }.unwrap_or(0);
            }
            self.purge_to = Some(to);
            return true;
        };
        for (partition, to) in to.into_iter().enumerate().take(partitions) {
            self.env.cluster.jobs[partition].delete_before(to);
        }
        true
    }

    /// A process begins under the name of `place`.
    fn start(&mut self, place: usize) {
        let skew = self.skew();
        let old_is_good = self.env.mutant == Some(Mutant::OldSnapshot);
        let fresh = |s: &Snapshot| old_is_good || self.env.now - s.taken_at < crate::TOMBSTONES_MS;
        let snapshot = self.snapshots[place].filter(fresh);
        let snapshot = snapshot.filter(|_| self.env.dice.fault(Fault::Snapshot));
        self.env.say(|| {
            let from = if snapshot.is_some() { "from a snapshot" } else { "from the log's beginning" };
            format!("worker {place}: starts, its filter {from}")
        });
        self.workers[place] = Some(Worker::new(place as u8, &self.env, skew, snapshot));
    }

    fn skew(&mut self) -> i64 {
        let half = crate::SKEW_MS as i64;
        self.env.dice.below(2 * crate::SKEW_MS) as i64 - half
    }
}

/// The seed of the `nth` schedule of a run.
pub(crate) fn seed(base: u64, nth: u64) -> u64 {
    mix(base.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}
