//! How long a worker takes over partitions with so many jobs in their window: from joining to ready, on a real Kafka.
//! `cargo xtask bench takeover [millions of jobs]`
//!
//! The outcomes are as the line writes them, jobs of one recipient. Next to it stands the same start without outcomes, which
//! is what joining costs.

#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result, ensure};
use std::sync::Arc;
use std::time::Instant;
use tamis_benches::machine::describe;
use tamis_benches::setting::{PARTITIONS, PATIENCE, Setting, jobs_topic};
use tamis_benches::tamis;
use tamis_bus::kafka::Kafka;
use tamis_bus::{Bus as _, Ledger as _, OutRecord, OutTopic, Outgoing};
use tamis_campaign::{Channel, Reason, RejectReason, UnixMs, Verdict};
use tamis_pipeline::Options;
use tamis_telemetry::{Health, Metrics};
use tamis_wire::{OutcomeView, Outcomes, Packed};

/// As in `tamis` itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Jobs in one transaction.
const TOGETHER: i64 = 40_000;

/// Writes the outcomes of `jobs` jobs. Returns their bytes.
fn write(setting: &Setting, jobs: i64, now_ms: UnixMs) -> Result<u64> {
    let bus = Kafka::new(setting.config("writer"))?;
    let (_member, mut ledger) = bus.join(0)?;
    ledger.replace(PATIENCE)?;
    let position = Packed::new(&[1_000_000; 8]);
    let mut bytes = 0;
    for first in (0..jobs).step_by(usize::try_from(TOGETHER)?) {
        let mut outgoing = Outgoing { decided_at_ms: now_ms, ..Outgoing::default() };
        let partition = i32::try_from(first / TOGETHER)? % PARTITIONS;
        let mut outcomes = Outcomes::default();
        for offset in first..(first + TOGETHER).min(jobs) {
            outcomes.push(OutcomeView {
                job_id: &format!("autumn-2026-{offset:09}"),
                tenant: "acme",
                campaign: "autumn",
                channel: Some(Channel::Sms),
                verdict: Verdict::Routed,
                recipients_in: 1,
                forwarded: 1,
                suppressed: std::iter::empty::<(Reason, u32, &[u8])>(),
                rejected: std::iter::empty::<(RejectReason, u32, &[u8])>(),
                deferred: None,
                refusal: None,
                filter_position: &position,
                decided_at_ms: now_ms,
                gateway: "default-sms",
                content_bytes: 160,
                source_partition: partition,
                source_offset: offset,
            });
            append(&mut outgoing, partition, |arena| outcomes.take_full(arena));
        }
        append(&mut outgoing, partition, |arena| outcomes.take(arena));
        bytes += outgoing.arena.len() as u64;
        let wrote = ledger.append(&outgoing).and_then(|()| ledger.commit(PATIENCE));
        wrote.ok().context("the outcomes were not taken")?;
    }
    Ok(bytes)
}

fn append(outgoing: &mut Outgoing, partition: i32, take: impl FnOnce(&mut Vec<u8>) -> Option<i64>) {
    let start = outgoing.arena.len();
    let Some(offset) = take(&mut outgoing.arena) else { return };
    outgoing.records.push(OutRecord {
        topic: OutTopic::Outcomes,
        partition,
        offset,
        part: 0,
        key: 0..0,
        value: start..outgoing.arena.len(),
        traceparent: 0..0,
        tracestate: 0..0,
    });
}

/// Seconds from the start of a service of two workers to when it is ready.
fn start(setting: &Setting, group: &str) -> Result<f64> {
    let options = Options { workers: 2, jobs_topic: jobs_topic(), ..Options::default() };
    let bus = Arc::new(Kafka::new(setting.config(group))?);
    let health = Health::new();
    let begun = Instant::now();
    let subjects = setting.subjects.clone();
    let running = tamis_pipeline::start(bus, subjects, options, Metrics::detached(), health.clone())?;
    while !health.is_ready() {
        ensure!(begun.elapsed() < PATIENCE, "not ready after {PATIENCE:?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let took = begun.elapsed().as_secs_f64();
    tamis::stop(running)?;
    Ok(took)
}

fn main() -> Result<()> {
    let millions: i64 = std::env::args().nth(1).map_or(Ok(10), |text| text.parse())?;
    let setting = Setting::new("none")?;
    let empty = start(&setting, "empty")?;
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let bytes = write(&setting, millions * 1_000_000, i64::try_from(now_ms)?)?;
    let full = start(&setting, "full")?;
    println!(
        "| jobs in the window | outcomes, MB | ready without, s | ready with, s | jobs read back a second |\n\
         |---|---|---|---|---|\n| {millions} M | {:.0} | {empty:.1} | {full:.1} | {:.0} |\n\n{}",
        bytes as f64 / 1e6,
        millions as f64 * 1e6 / (full - empty).max(0.001),
        describe()
    );
    Ok(())
}
