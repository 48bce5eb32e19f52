//! The decision, whole: view, canonical form, PRF, look-up and splice.
//!
//! `cargo xtask bench sieve`. A job of 1,000 French mobile numbers (about 40 kB) of which 5 % are suppressed,
//! and jobs of one recipient, against filters of one million records of one tenant; numbers in random order, so that the
//! dictionary is not in the processor's cache line by line. What bounds it: the PRF and the dictionary's memory. Beside each, the
//! same under a key that was rotated once: one more step of the PRF for each recipient. The outcome is written besides, but for one
//! row: the line writes it for every job, and the aims leave it out.

#[path = "sieve/whole.rs"]
mod whole;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tamis_campaign::{Channel, Purpose};
use tamis_subject::{Key, Region, Subjects};
use tamis_suppression::Index;
use tamis_wire::record::{Record, Scope};
use whole::{Whole, phone};

const RECORDS: u64 = 1_000_000;
const JOBS: u64 = 64;

fn index(subjects: &Subjects) -> Index {
    let mut index = Index::new(8);
    for n in 0..RECORDS {
        let record =
            Record::plain(subjects.phone(&phone(n)).expect("a mobile number"), Scope::Tenant("acme".into()));
        index.apply((n % 8) as i32, (n / 8) as i64, 0, &record).expect("all is in memory");
    }
    index
}

/// A job of which one in twenty is in the filter.
fn job(id: u64, recipients: u64) -> Vec<u8> {
    let who = |i| {
        let n = id * recipients + i;
        if n % 20 == 7 { n * 31 % RECORDS } else { RECORDS + n }
    };
    whole::job(id, (0..recipients).map(who), true)
}

fn sieve(c: &mut Criterion) {
    let key = Key::generate().expect("random bytes");
    let rotated = key.with_another_step().expect("random bytes");
    let region = Region::parse("FR").expect("a region");
    decide(c, "", &Subjects::new(&rotated, region).first());
    decide(c, ", rotated once", &Subjects::new(&rotated, region));
    look_up(c, &Subjects::new(&key, region));
}

fn decide(c: &mut Criterion, name: &str, subjects: &Subjects) {
    let index = index(subjects);
    let mut whole = Whole::new(subjects, &index);
    for (recipients, outcome) in [(1_000, true), (1, true), (1, false)] {
        let jobs: Vec<Vec<u8>> = (0..JOBS * 1_000 / recipients).map(|id| job(id, recipients)).collect();
        let mut group = c.benchmark_group("sieve whole, filter of 1 M");
        group.throughput(Throughput::Elements(recipients));
        let mut next = 0;
        let without = if outcome { "" } else { ", without its outcome" };
        group.bench_function(format!("job of {recipients}, {} B{without}{name}", jobs[0].len()), |b| {
            b.iter(|| {
                next = (next + 1) % jobs.len();
                black_box(whole.decide(&index, &jobs[next], outcome))
            });
        });
        group.finish();
    }
}

fn look_up(c: &mut Criterion, subjects: &Subjects) {
    let index = index(subjects);
    let selection = index.select("acme", "", Channel::Sms, Purpose::Marketing);
    let mut group = c.benchmark_group("look-up, filter of 1 M");
    for (name, from) in [("present", 0), ("absent", RECORDS)] {
        let who: Vec<_> =
            (0..100_000).map(|n| subjects.phone(&phone(from + n * 7 % RECORDS)).expect("a number")).collect();
        let mut next = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                next = (next + 1) % who.len();
                black_box(selection.hit(&who[next]).and_then(|hit| selection.reason(hit, 1)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, sieve);
criterion_main!(benches);
