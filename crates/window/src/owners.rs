//! Whose each job is: what tells the tenant of a reply that names the job it answers.

use std::collections::HashMap;

use crate::prints::Prints;
use crate::shard::{SHARD_BITS, Shard};

/// Jobs kept: 700 MB of them. Past it those that come are not known, until others have expired.
const JOBS_MAX: usize = 32 << 20;
/// Tenants kept: a platform has thousands.
const TENANTS_MAX: usize = 1 << 16;
/// In place of a tenant's number: jobs of several have that id.
const SEVERAL: u32 = u32::MAX;

/// Jobs by id, each with its tenant, for as long as they count: 16 bytes a job, and a little.
#[derive(Debug)]
pub struct Owners {
    prints: Prints,
    window_s: u32,
    shards: Box<[Shard]>,
    jobs: usize,
    jobs_max: usize,
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
    tidied: usize,
}

impl Owners {
    /// None yet; a job counts for `window_s` seconds.
    #[must_use]
    pub fn new(prints: Prints, window_s: u32) -> Self {
        Self {
            prints,
            window_s,
            shards: (0..1 << SHARD_BITS).map(Shard::new).collect(),
            jobs: 0,
            jobs_max: JOBS_MAX,
            names: Vec::new(),
            numbers: HashMap::new(),
            tidied: 0,
        }
    }

    /// Notes a job of `tenant`, decided at `decided_s`. `false` when there is no room for it.
    pub fn note(&mut self, tenant: &str, job_id: &str, decided_s: u32, now_s: u32) -> bool {
        if !self.counts(decided_s, now_s) {
            return true;
        }
        let Some(mut number) = self.number(tenant) else { return false };
        let print = self.prints.of("", job_id).get();
        let known = self.shards[shard(print)].get(print).map(unpack);
        if known.is_none() && self.jobs >= self.jobs_max {
            return false;
        }
        let mut latest = decided_s;
        if let Some((other, at)) = known.filter(|(_, at)| self.counts(*at, now_s)) {
            // A job's id is its tenant's own: two may have the same, and then it tells neither.
            number = if other == number { number } else { SEVERAL };
            latest = latest.max(at);
        }
        let window_s = self.window_s;
        let shard = &mut self.shards[shard(print)];
        let before = shard.len();
        shard.set(print, pack(number, latest), |known| now_s.saturating_sub(unpack(known).1) <= window_s);
        self.jobs = (self.jobs + shard.len()) - before;
        true
    }

    /// The tenant of the job; `None` when it is not known, or jobs of several tenants have that id.
    #[must_use]
    pub fn tenant(&self, job_id: &str, now_s: u32) -> Option<&str> {
        let print = self.prints.of("", job_id).get();
        let (number, at) = self.shards[shard(print)].get(print).map(unpack)?;
        if !self.counts(at, now_s) {
            return None;
        }
        self.names.get(usize::try_from(number).ok()?).map(|name| &**name)
    }

    /// Frees what has expired, in one shard; the next call takes the next one.
    pub fn tidy(&mut self, now_s: u32) {
        let window_s = self.window_s;
        self.tidied = (self.tidied + 1) % self.shards.len();
        let shard = &mut self.shards[self.tidied];
        let before = shard.len();
        shard.tidy(|known| now_s.saturating_sub(unpack(known).1) <= window_s);
        self.jobs = (self.jobs + shard.len()) - before;
    }

    /// How many jobs are known, some of which may have expired.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs
    }

    fn counts(&self, decided_s: u32, now_s: u32) -> bool {
        now_s.saturating_sub(decided_s) <= self.window_s
    }

    fn number(&mut self, tenant: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(tenant) {
            return Some(*number);
        }
        if self.names.len() >= TENANTS_MAX {
            return None;
        }
        let number = u32::try_from(self.names.len()).ok()?;
        self.names.push(tenant.into());
        self.numbers.insert(tenant.into(), number);
        Some(number)
    }
}

fn pack(number: u32, decided_s: u32) -> u64 {
    u64::from(number) << 32 | u64::from(decided_s)
}

#[expect(clippy::cast_possible_truncation, reason = "two halves")]
fn unpack(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
}

fn shard(print: u64) -> usize {
    (print >> (64 - SHARD_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: a reply is put down to the tenant of its job, within the window and to the second; an id that jobs of two tenants have
    /// tells neither; what comes past the limits is not known, and takes nothing from what is.
    /// Fails when: the last one to have an id wins, or nothing bounds the table.
    #[test]
    fn a_job_is_its_tenants_for_the_window_and_nobodys_when_two_have_it() {
        let mut owners = Owners::new(Prints::random(), 100);
        assert!(owners.note("acme", "job-1", 1_000, 1_000) && owners.note("globex", "job-2", 1_000, 1_000));
        assert_eq!(
            (owners.tenant("job-1", 1_100), owners.tenant("job-2", 1_050)),
            (Some("acme"), Some("globex"))
        );
        assert_eq!((owners.tenant("job-1", 1_101), owners.tenant("job-3", 1_000)), (None, None));
        assert!(owners.note("globex", "job-1", 1_050, 1_050));
        assert_eq!(owners.tenant("job-1", 1_050), None, "two have it");
        assert!(owners.note("globex", "job-1", 1_200, 1_200));
        assert_eq!(owners.tenant("job-1", 1_200), Some("globex"), "the other has expired");
        assert!(owners.note("acme", "old", 1_000, 1_200), "it does not count, and needs no room");
        assert_eq!(owners.tenant("old", 1_200), None);

        owners.jobs_max = owners.jobs();
        assert!(!owners.note("acme", "job-9", 1_200, 1_200));
        assert!(owners.note("globex", "job-1", 1_201, 1_201), "one that is known has its room");
        (0..64).for_each(|_| owners.tidy(1_250));
        assert!(owners.note("acme", "job-9", 1_250, 1_250), "what has expired has given its room back");
    }

    /// Guarantees: no flood of tenants fills the memory. Fails when: names are kept without a limit.
    #[test]
    fn of_too_many_tenants_the_first_are_known() {
        let mut owners = Owners::new(Prints::random(), 100);
        for number in 0..TENANTS_MAX {
            assert!(owners.note(&format!("t-{number}"), "job", 0, 0));
        }
        assert!(!owners.note("one-more", "its-job", 0, 0));
        assert!(owners.note("t-7", "its-job", 0, 0));
        assert_eq!(owners.tenant("its-job", 0), Some("t-7"));
    }
}
