//! From a job's being written to its delivery's being seen by a committed reader: 200 jobs a second of ten
//! recipients, on a real Kafka. `cargo xtask bench latency`

#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tamis_benches::machine::{describe, results};
use tamis_benches::rival::WORKERS;
use tamis_benches::setting::{PATIENCE, Setting};
use tamis_benches::{people, tamis};
use tamis_bus::kafka::Kafka;
use tamis_bus::{Bus as _, Scheduler as _, Tail as _, TailTopic};
use tamis_campaign::Channel;

/// As in `tamis` itself; the rivals have it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const JOBS: usize = 12_000;
/// Not counted: twenty seconds in which clients connect and the broker compiles itself.
const WARM_UP: usize = 4_000;
const EVERY: Duration = Duration::from_millis(5);

fn measure(batch_ms: u64) -> Result<String> {
    let setting = Setting::new("lz4")?;
    setting.write_filter(1_000_000)?;
    let running = tamis::start(
        setting.config("line"),
        setting.subjects.clone(),
        tamis::options(WORKERS, tamis::Batch { ms: batch_ms, ..tamis::DEFAULT }),
    )?;
    let bus = Kafka::new(setting.config("client"))?;
    let scheduler = bus.scheduler()?;
    let begun = Instant::now();
    // Microseconds after `begun` at which each job was handed over.
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..JOBS).map(|_| AtomicU64::new(0)).collect());
    let writer = std::thread::spawn({
        let sent = Arc::clone(&sent);
        move || {
            for (at, moment) in sent.iter().enumerate() {
                let due = Duration::from_secs(1) + EVERY * u32::try_from(at).unwrap_or(0);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
                let (id, value) = people::job(at as u64, 10);
                moment.store(u64::try_from(begun.elapsed().as_micros()).unwrap_or(0), Ordering::Release);
                scheduler.submit(&id, value, Box::new(|_| {}));
            }
            scheduler
        }
    });
    let mut tail = bus.tail(TailTopic::Deliveries(Channel::Sms), "gateway", true)?;
    let mut took = Vec::with_capacity(JOBS);
    while took.len() < JOBS {
        ensure!(begun.elapsed() < PATIENCE, "{} of {JOBS} deliveries came", took.len());
        tail.poll(Duration::from_millis(100), 1_000, &mut |record| {
            let now = u64::try_from(begun.elapsed().as_micros()).unwrap_or(0);
            let at = std::str::from_utf8(record.key).ok().and_then(|key| key.strip_prefix("job-"));
            let at = at.and_then(|at| at.parse::<usize>().ok()).unwrap_or(0);
            took.push((at, now.saturating_sub(sent[at].load(Ordering::Acquire))));
        })?;
    }
    writer.join().ok().context("the writer panicked")?;
    tamis::stop(running)?;
    let mut times: Vec<u64> = took.into_iter().filter(|(at, _)| *at >= WARM_UP).map(|(_, us)| us).collect();
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1_000] as f64 / 1e3;
    Ok(format!("| {batch_ms} ms | {:.1} ms | {:.1} ms | {:.1} ms |\n", at(500), at(990), at(1_000)))
}

fn main() -> Result<()> {
    let mut report = "# From a job written to its delivery visible\n\n\
                      200 jobs a second of 10 recipients, two workers, a filter of 1,000,000; the reader reads \
                      committed records only.\nBroker, tamis, writer and reader share the machine.\n\n"
        .to_owned();
    let mut rows = String::new();
    for batch_ms in [10, 50] {
        rows += &measure(batch_ms)?;
    }
    report += &format!("`cargo xtask bench latency`, {}.\n\n", describe());
    report += "| batches of | median | p99 | longest |\n|---|---|---|---|\n";
    report += &rows;
    println!("{report}");
    std::fs::write(results("latency"), report)?;
    Ok(())
}
