//! The campaign scheduler, the people who opt out, and what keeps the suppression log readable.

use super::{Env, World};
use crate::dice::Dice;
use crate::faults::Fault;
use crate::kafka::log::{Fate, Producer};
use crate::kafka::suppressions::{Entry, HEARTBEAT, Says};
use crate::mutant::Mutant;
use crate::shadow::JobRef;
use crate::{JobId, Ms, People, Person, TOMBSTONES_MS, home};

/// The scheduler's producer, for transactions of its own.
const SCHEDULER: Producer = Producer::MAX;
/// Ids a scheduler has; the books have room for more.
const IDS: u64 = 24;

/// Writes jobs.
#[derive(Debug)]
pub(super) struct Scheduler {
    /// The people there are.
    everybody: People,
    jobs_max: usize,
    /// Who was to get the job of each id: a retry is the same job.
    to: Vec<People>,
    /// A transaction of its own: the partition, and the jobs in it.
    open: Option<(usize, Vec<JobRef>)>,
}

impl Scheduler {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let people = 1 + dice.below(u64::from(People::BITS));
        Self {
            everybody: ((1u16 << people) - 1) as People,
            jobs_max: 4 + dice.index(28),
            to: Vec::new(),
            open: None,
        }
    }

    /// An id that is new, or one that was used.
    fn choose(&mut self, dice: &mut Dice) -> (JobId, People) {
        let known = self.to.len() as u64;
        let again = known > 0 && (known == IDS || dice.one_in(3));
        if again {
            // Mostly what was sent last: a scheduler that heard nothing tries again.
            let id = if dice.one_in(2) { self.to.len() - 1 } else { dice.index(self.to.len()) };
            return (id as JobId, self.to[id]);
        }
        let to = dice.below(256) as People & self.everybody;
        self.to.push(to);
        (known as JobId, to)
    }

    pub(super) fn has_open(&self) -> bool {
        self.open.is_some()
    }
}

impl World {
    /// The scheduler writes a job, outside a transaction or in one of its own.
    pub(super) fn write_job(&mut self) -> bool {
        if self.scheduler.open.is_some() && self.env.dice.one_in(2) {
            let commit = self.env.dice.one_in(2);
            return self.end_jobs(commit);
        }
        if self.env.shadow.jobs.len() >= self.scheduler.jobs_max {
            return false;
        }
        let (id, to) = self.scheduler.choose(&mut self.env.dice);
        let partition = usize::from(id) % self.env.cluster.partitions();
        let begins = self.scheduler.open.is_none() && self.env.dice.fault(Fault::JobsInTransaction);
        if begins {
            self.scheduler.open = Some((partition, Vec::new()));
        }
        let open = self.scheduler.open.as_mut().filter(|(p, _)| *p == partition);
        let fate = if open.is_some() { Fate::Open } else { Fate::Plain };
        let job = self.env.shadow.write(id, to, fate);
        let producer = open.map(|(_, jobs)| {
            jobs.push(job);
            SCHEDULER
        });
        let offset = self.env.cluster.jobs[partition].append(job, producer);
        self.env.say(|| format!("scheduler: job {job}, id {id}, to {to:#b} ({partition}/{offset})"));
        true
    }

    /// The scheduler's transaction ends.
    pub(super) fn end_jobs(&mut self, commit: bool) -> bool {
        let Some((partition, jobs)) = self.scheduler.open.take() else { return false };
        for job in jobs {
            self.env.shadow.jobs[usize::from(job)].fate =
                if commit { Fate::Committed } else { Fate::Aborted };
        }
        self.env.cluster.jobs[partition].mark(SCHEDULER, commit);
        let what = if commit { "commits" } else { "aborts" };
        self.env.say(|| format!("scheduler: {what} its transaction in partition {partition}"));
        true
    }

    /// Somebody opts out, or in again; what was lifted long ago is cleaned up.
    pub(super) fn opt_out(&mut self) -> bool {
        let people = u64::from(self.scheduler.everybody.count_ones());
        let person = self.env.dice.below(people) as Person;
        let home = home(person, self.env.cluster.suppressions.len());
        let read_by_all = self.read_by_all(home);
        let Env { cluster, now, dice, .. } = &mut self.env;
        let log = &mut cluster.suppressions[home];
        let says = match log.last(person) {
            Some((_, Entry { says: Says::InForce, .. })) if dice.one_in(2) => Says::Lifted,
            // Only what every reader has behind it, and no snapshot that may be used is older than.
            Some((offset, Entry { says: Says::Lifted, at, .. }))
                if *now > at + TOMBSTONES_MS && offset < read_by_all =>
            {
                Says::Tombstone
            }
            _ => Says::InForce,
        };
        log.append(Entry { person, says, at: *now });
        self.env.say(|| format!("person {person}: {says:?} (suppressions {home})"));
        true
    }

    /// Where the slowest live reader of a suppression partition stands.
    pub(super) fn read_by_all(&self, partition: usize) -> i64 {
        let live = self.workers.iter().flatten();
        live.map(|worker| worker.filter.position[partition]).min().unwrap_or(i64::MAX)
    }

    /// Replicas of a suppression partition catch up, and its writers are told.
    pub(super) fn replicate(&mut self) -> bool {
        let partition = self.env.dice.index(self.env.cluster.suppressions.len());
        self.replicate_partition(partition)
    }

    pub(super) fn replicate_partition(&mut self, partition: usize) -> bool {
        let log = &mut self.env.cluster.suppressions[partition];
        if !log.is_behind() {
            return false;
        }
        let high = log.replicate();
        if self.env.dice.fault(Fault::AckLost) {
            self.env.say(|| format!("brokers: suppressions {partition} durable to {high}, acks lost"));
            return true;
        }
        self.env.shadow.acked[partition] = high;
        self.env.say(|| format!("brokers: suppressions {partition} acked to {high}"));
        true
    }

    /// A record in every suppression partition, so that its last offset can be read.
    pub(super) fn heartbeat(&mut self) -> bool {
        if self.env.mutant == Some(Mutant::NoHeartbeat) {
            return false;
        }
        let at: Ms = self.env.now;
        for log in &mut self.env.cluster.suppressions {
            log.append(Entry { person: HEARTBEAT, says: Says::Heartbeat, at });
        }
        true
    }
}
