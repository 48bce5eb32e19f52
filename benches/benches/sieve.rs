//! The decision, whole: view, canonical form, PRF, look-up and splice.
//!
//! `cargo bench -p tamis-benches --bench sieve`. A job of 1,000 French mobile numbers (about 40 kB) of which 5 % are suppressed,
//! and jobs of one recipient, against filters of one million records of one tenant; numbers in random order, so that the
//! dictionary is not in the processor's cache line by line. What bounds it: the PRF and the dictionary's memory. Beside each, the
//! same under a key that was rotated once: one more step of the PRF for each recipient. The outcome is written besides, but for one
//! row: the line writes it for every job, and the aims leave it out.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tamis_campaign::{Channel, Identity, Purpose, RecordReason, Source};
use tamis_sieve::Sieve;
use tamis_subject::{Key, Region, Subjects};
use tamis_suppression::Index;
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::record::{Record, Scope, State};
use tamis_wire::{Added, JobView, Message, Outcomes, Packed, Parts, Spans, Stamp, splice};

const RECORDS: u64 = 1_000_000;
const JOBS: u64 = 64;

/// Person `n` of a hundred million: the first million have opted out.
fn phone(n: u64) -> String {
    // A bijection of eight digits, so that neighbours are far apart.
    format!("+336{:08}", n * 48_271 % 100_000_007 % 100_000_000)
}

fn index(subjects: &Subjects) -> Index {
    let mut index = Index::new(8);
    for n in 0..RECORDS {
        let record = Record {
            subject: subjects.phone(&phone(n)).expect("a mobile number"),
            identity: Identity::Phone,
            scope: Scope::Tenant("acme".into()),
            channel: None,
            reason: RecordReason::Unsubscribed,
            state: State::InForce,
            effective_at_ms: 0,
            expires_at_ms: 0,
            source: Source::Api,
            evidence: "".into(),
            scheme: 1,
        };
        index.apply((n % 8) as i32, (n / 8) as i64, 0, &record).expect("all is in memory");
    }
    index
}

fn job(id: u64, recipients: u64) -> Vec<u8> {
    let recipients = (0..recipients)
        .map(|i| {
            let n = id * recipients + i;
            let suppressed = n % 20 == 7;
            let who = if suppressed { n * 31 % RECORDS } else { RECORDS + n };
            proto::Recipient { address: phone(who), contact: format!("crm-{n:08}"), ..Default::default() }
        })
        .collect();
    proto::SendJob {
        job_id: format!("job-{id:08}"),
        tenant: "acme".into(),
        campaign: "autumn-sale".into(),
        channel: 1,
        content_type: "text/plain".into(),
        content: vec![b'x'; 320],
        recipients,
        ..Default::default()
    }
    .encode_to_vec()
}

struct Bench {
    sieve: Sieve,
    spans: Spans,
    parts: Parts,
    outcomes: Outcomes,
    out: Vec<u8>,
    position: Packed,
}

impl Bench {
    /// The bytes of the delivery; `outcome` is whether the job's outcome is written as well.
    fn decide(&mut self, index: &Index, value: &[u8], outcome: bool) -> usize {
        self.out.clear();
        let view = JobView::parse(value, &mut self.spans).expect("it is a job");
        let decision = self.sieve.decide(&view, value, &self.spans, index, 1);
        if decision.forwarded > 0 {
            let stamp = Stamp {
                decided_at_ms: 1,
                filter_position: &self.position,
                policy_version: "",
                gateway: decision.gateway,
                recipients_in: decision.recipients_in,
            };
            let ranges = self
                .parts
                .plan(value, &self.spans, decision.kept, &Added::default(), &stamp, 16 << 20)
                .expect("it fits");
            splice(value, &self.spans, decision.kept, &ranges[0], &stamp, (1, 1), &mut self.out);
        }
        if !outcome {
            return self.out.len();
        }
        self.outcomes.push(tamis_wire::OutcomeView {
            job_id: view.job_id.as_str(),
            tenant: view.tenant.as_str(),
            campaign: view.campaign,
            channel: view.channel,
            verdict: decision.verdict,
            recipients_in: decision.recipients_in,
            forwarded: decision.forwarded,
            suppressed: decision.suppressed(),
            rejected: decision.rejected(),
            deferred: decision.deferred(),
            refusal: None,
            filter_position: &self.position,
            decided_at_ms: 1,
            gateway: decision.gateway,
            content_bytes: view.content_bytes,
            source_partition: 0,
            source_offset: 0,
        });
        let spliced = self.out.len();
        self.outcomes.take_full(&mut self.out);
        spliced
    }
}

fn whole(c: &mut Criterion) {
    let key = Key::generate().expect("random bytes");
    let rotated = key.with_another_step().expect("random bytes");
    let region = Region::parse("FR").expect("a region");
    decide(c, "", &Subjects::new(&rotated, region).first());
    decide(c, ", rotated once", &Subjects::new(&rotated, region));
    look_up(c, &Subjects::new(&key, region));
}

fn decide(c: &mut Criterion, name: &str, subjects: &Subjects) {
    let index = index(subjects);
    let mut bench = Bench {
        sieve: Sieve::new(subjects.clone()),
        spans: Spans::new(),
        parts: Parts::default(),
        outcomes: Outcomes::default(),
        out: Vec::new(),
        position: Packed::new(index.position()),
    };
    for (recipients, outcome) in [(1_000, true), (1, true), (1, false)] {
        let jobs: Vec<Vec<u8>> = (0..JOBS * 1_000 / recipients).map(|id| job(id, recipients)).collect();
        let mut group = c.benchmark_group("sieve whole, filter of 1 M");
        group.throughput(Throughput::Elements(recipients));
        let mut next = 0;
        let without = if outcome { "" } else { ", without its outcome" };
        group.bench_function(format!("job of {recipients}, {} B{without}{name}", jobs[0].len()), |b| {
            b.iter(|| {
                next = (next + 1) % jobs.len();
                black_box(bench.decide(&index, &jobs[next], outcome))
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

criterion_group!(benches, whole);
criterion_main!(benches);
