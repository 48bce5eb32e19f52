//! Ours: beside the rivals, and against its own goals.

use std::time::{Duration, Instant};

use tamis_campaign::{Channel, Purpose};
use tamis_subject::Subject;
use tamis_suppression::{Bytes, Index, Selection};
use tamis_wire::record::{Record, Scope};

use crate::measure::{ABSENT, SAMPLE, fastest, print_row, rss, sample, subject};

/// Recipients of a job: what is looked up at once.
const JOB: usize = 1_000;
/// What the line reads, and prepares for, at once.
pub(crate) const READ: usize = 4_096;
/// What it applies in one step, under the filter's lock.
const STEP: usize = 512;
/// What is foreseen at once, as the line does.
const NEAR: usize = 64;
/// Opt-outs that come once it is loaded, and segments that are built anew ahead of need each time, as in the line.
const COMING: u64 = 1_000_000;
pub(crate) const AHEAD: usize = 1;
/// Look-ups of absent subjects whose false matches are counted.
const FALSE_OF: u64 = 1_000_000_000;

/// When the log took the records, Unix ms.
pub(crate) const NOW_MS: i64 = 1_764_000_000_000;

pub(crate) struct Built {
    pub(crate) index: Index,
    pub(crate) records: Vec<Record>,
    took: Duration,
    /// What it took afterwards to have no more memory than is needed.
    settled: Duration,
    worst: Held,
    rss: u64,
}

/// How long readers wait for the writer's lock: at worst, and at worst of the time that the writer itself had of a processor,
/// without what the machine gave to others meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    wall: Duration,
    own: Duration,
}

impl Held {
    /// Does `step` as if under the lock.
    pub(crate) fn during<R>(&mut self, step: impl FnOnce() -> R) -> R {
        let (begun, had) = (Instant::now(), own_time());
        let done = step();
        self.wall = self.wall.max(begun.elapsed());
        self.own = self.own.max(own_time().saturating_sub(had));
        done
    }

    /// In words.
    pub(crate) fn told(self) -> String {
        let [wall, own] = [self.wall, self.own].map(|time| time.as_secs_f64() * 1e3);
        format!("steps of {wall:.1} ms at worst, {own:.1} of the writer's own time")
    }
}

fn own_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn tenant(n: u64) -> String {
    format!("tenant-{n:04}")
}

/// An index of `entries` subjects, `each` records each, over `tenants` tenants and `channels` channels, taking turns.
pub(crate) fn build(entries: u64, tenants: u64, channels: usize, each: u64) -> Built {
    let before = rss();
    let mut records: Vec<Record> = (0..tenants)
        .map(|n| Record {
            channel: (channels > 1).then(|| Channel::ALL[n as usize % channels]),
            ..Record::plain(subject(0), Scope::Tenant(tenant(n).into()))
        })
        .collect();
    let mut index = Index::new(1);
    let (mut worst, mut offset) = (Held::default(), 0);
    let begun = Instant::now();
    for first in (0..entries * each).step_by(READ) {
        let some: Vec<(u64, Subject)> = (first..(first + READ as u64).min(entries * each))
            .map(|n| {
                // A subject's further records are of other tenants, so that sets of many kinds come about.
                let (who, round) = (n % entries, n / entries);
                (who + round * (1 + who / tenants * 7 % (tenants / each).max(1)), subject(who))
            })
            .collect();
        follow(&mut index, &mut records, &mut offset, &some, (0, &mut worst));
    }
    let took = begun.elapsed();
    let begun = Instant::now();
    settle(&mut index, &mut worst);
    Built { index, records, took, settled: begun.elapsed(), worst, rss: rss().saturating_sub(before) }
}

/// What a service does in quiet moments once it is loaded.
pub(crate) fn settle(index: &mut Index, worst: &mut Held) {
    index.settle();
    loop {
        let prepared = index.prepare(std::iter::empty(), 1).expect("all is in memory");
        if prepared.is_empty() {
            return;
        }
        let replaced = worst.during(|| index.accept(prepared));
        drop(replaced);
    }
}

/// Applies a record of each tenant (by number) and subject, as the line does, with so many segments built `ahead`, and notes how
/// long readers would wait.
pub(crate) fn follow(
    index: &mut Index,
    records: &mut [Record],
    offset: &mut i64,
    some: &[(u64, Subject)],
    (ahead, worst): (usize, &mut Held),
) {
    let subjects = some.iter().map(|(_, subject)| subject);
    let mut prepared = index.prepare(subjects, ahead).expect("what is in the file can be read");
    while !prepared.is_empty() {
        let replaced = worst.during(|| index.accept_some(&mut prepared));
        drop(replaced);
    }
    apply(index, records, offset, some, worst);
}

/// The same, once all that takes time is prepared.
pub(crate) fn apply(
    index: &mut Index,
    records: &mut [Record],
    offset: &mut i64,
    some: &[(u64, Subject)],
    worst: &mut Held,
) {
    for some in some.chunks(STEP) {
        worst.during(|| {
            for near in some.chunks(NEAR) {
                index.foresee(near.iter().map(|(_, subject)| subject));
                for (tenant, subject) in near {
                    let tenants = records.len();
                    let record = &mut records[*tenant as usize % tenants];
                    record.subject = *subject;
                    index.apply(0, *offset, NOW_MS, record).expect("what is in the file can be read");
                    *offset += 1;
                }
            }
        });
    }
}

pub(crate) fn look(selection: &Selection<'_>, sample: &[Subject]) -> usize {
    let mut found = 0;
    for job in sample.chunks(JOB) {
        selection.hits(job, |_, _| found += 1);
    }
    found
}

pub(crate) fn judge(selection: &Selection<'_>, sample: &[Subject]) -> usize {
    let (mut dropped, mut hits) = (0, Vec::with_capacity(JOB));
    for job in sample.chunks(JOB) {
        hits.clear();
        selection.hits(job, |_, hit| hits.push(hit));
        dropped += hits.iter().filter(|hit| selection.reason(**hit, 1).is_some()).count();
    }
    dropped
}

pub(crate) fn select(index: &Index) -> Selection<'_> {
    index.select(&tenant(0), "", Channel::Sms, Purpose::Marketing)
}

pub(crate) fn against_rivals(entries: u64) {
    let Built { index, took, rss, .. } = build(entries, 1, 1, 1);
    let (present, absent) = (sample(entries, true, subject), sample(entries, false, subject));
    let selection = select(&index);
    let wrong = look(&selection, &absent);
    let one_by_one = |s: &[Subject]| s.iter().filter(|s| selection.hit(s).is_some()).count();
    let bytes = index.bytes_apart();
    let alone = [fastest(&absent, 0, one_by_one), fastest(&present, SAMPLE, one_by_one)];
    let batched =
        [fastest(&absent, 0, |s| look(&selection, s)), fastest(&present, SAMPLE, |s| look(&selection, s))];
    let of = (wrong, SAMPLE as u64);
    print_row("tamis, batched, hot bytes", entries, &batched, bytes.hot as u64, took.as_secs_f64(), of);
    print_row("tamis, one at a time, all RSS", entries, &alone, rss, took.as_secs_f64(), of);
}

pub(crate) fn one_tenant(entries: u64) {
    goals(entries, 1, 1, 1);
}

pub(crate) fn tenants(entries: u64) {
    goals(entries, 1_000, 1, 1);
}

pub(crate) fn channels(entries: u64) {
    goals(entries, 1_000, 5, 1);
}

pub(crate) fn three_each(entries: u64) {
    goals(entries, 1_000, 1, 3);
}

fn goals(entries: u64, tenants: u64, channels: usize, each: u64) {
    let millions = entries / 1_000_000;
    let say = |what: &str, figure: String| println!("| {what} | {millions} M | {figure} |");
    {
        let Built { mut index, mut records, took, settled, worst, rss } =
            build(entries, tenants, channels, each);
        let name =
            |what: &str| format!("{what}; {tenants} tenants, {channels} channels, {each} records each");
        let count = (entries * each) as f64;
        assert_eq!(index.records() as u64, entries * each);
        let Bytes { hot, cold } = index.bytes_apart();
        let (hot, cold, rss) = (hot as f64 / count, cold as f64 / count, rss as f64 / count);
        say(&name("bytes a record"), format!("hot {hot:.2}, cold {cold:.2} (RSS in all {rss:.2})"));
        let rate = count / took.as_secs_f64() / 1e6;
        let settled = count / (took + settled).as_secs_f64() / 1e6;
        say(
            &name("applied on one core"),
            format!(
                "{rate:.2} M records/s ({settled:.2} with settling), {} (nobody reads yet)",
                worst.told()
            ),
        );
        let selection = select(&index);
        let (present, absent) = (sample(entries, true, subject), sample(entries, false, subject));
        let absent_ns = fastest(&absent, 0, |s| judge(&selection, s));
        let present_ns = fastest(&present, 0, |s| judge(&selection, s));
        say(
            &name("look-up and reason, batched"),
            format!("absent {absent_ns:.1} ns, present {present_ns:.1} ns"),
        );
        let (mut held, mut offset) = (Held::default(), index.position()[0]);
        for first in (0..COMING).step_by(READ) {
            let who = first..(first + READ as u64).min(COMING);
            let some: Vec<_> = who.map(|n| (n, subject(2 * entries + n))).collect();
            follow(&mut index, &mut records, &mut offset, &some, (AHEAD, &mut held));
        }
        say(&name("1 M more come, once it is loaded"), format!("readers wait for {}", held.told()));
        let selection = select(&index);
        if tenants == 1 {
            let begun = Instant::now();
            let mut wrong = 0;
            let mut job = Vec::with_capacity(JOB);
            for first in (0..FALSE_OF).step_by(JOB) {
                job.clear();
                job.extend((first..first + JOB as u64).map(|n| subject(ABSENT + n)));
                wrong += look(&selection, &job);
            }
            let seconds = begun.elapsed().as_secs_f64();
            say("false matches", format!("{wrong} of {FALSE_OF} absent look-ups ({seconds:.0} s)"));
        }
    }
}
