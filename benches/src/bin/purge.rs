//! What the purge costs the line: the same jobs with it on and with it off, on a real Kafka. `cargo xtask bench purge [rounds]`
//!
//! A stand-in for the gateway commits the end of its channel ten times a second without reading, so that deliveries are
//! purged, too, and its own work weighs on neither.

#![allow(clippy::print_stdout)]

use anyhow::{Result, anyhow};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tamis_benches::machine::{describe, median, range, results, turns};
use tamis_benches::rival::WORKERS;
use tamis_benches::setting::{PARTITIONS, PATIENCE, Progress, Setting};
use tamis_benches::tamis;
use tamis_bus::topic_name;
use tamis_campaign::Channel;
use tamis_pipeline::{Options, purge};

/// As in `tamis` itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// People in the filter.
const FILTER: u64 = 100_000;
/// The group that stands for the gateway of SMS.
const GATEWAY: &str = "gateway";
/// What is measured: how many jobs, of how many recipients.
const KINDS: [(u64, u64); 2] = [(40_000, 1_000), (3_000_000, 1)];

/// Commits the end of the deliveries, until told to stop.
fn gateway(setting: &Setting, stop: &AtomicBool) -> Result<()> {
    let topic = topic_name("bench", "deliveries.sms");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", setting.bootstrap())
        .set("group.id", GATEWAY)
        .set("enable.auto.commit", "false")
        .create()?;
    while !stop.load(Ordering::Relaxed) {
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let (_, end) = consumer.fetch_watermarks(&topic, partition, PATIENCE)?;
            list.add_partition_offset(&topic, partition, Offset::Offset(end))?;
        }
        consumer.commit(&list, CommitMode::Sync)?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Jobs a second, and how many records of jobs are left.
fn run(purges: bool, jobs: u64, recipients: u64) -> Result<(f64, i64)> {
    // A broker of its own: what is purged is gone for the next one.
    let setting = Setting::new("none")?;
    setting.write_filter(FILTER)?;
    setting.write_jobs(jobs, recipients)?;
    let readers = BTreeMap::from([(Channel::Sms, vec![GATEWAY.to_owned()])]);
    let purge = purge::Options { enabled: purges, readers, ..purge::Options::default() };
    let options = Options { purge, ..tamis::options(WORKERS, tamis::DEFAULT) };
    let progress = Progress::new(&setting.bootstrap(), "line")?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let gateway = scope.spawn(|| gateway(&setting, &stop));
        let running = tamis::start(setting.config("line"), setting.subjects.clone(), options)?;
        let rate = progress.rate();
        let left = progress.left();
        stop.store(true, Ordering::Relaxed);
        tamis::stop(running)?;
        gateway.join().map_err(|_| anyhow!("the gateway panicked"))??;
        Ok((rate?, left?))
    })
}

fn main() -> Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(5), |rounds| rounds.parse())?;
    let mut table = "| jobs of | purge | jobs/s | from, to | jobs left at the end | of without |\n|---|---|---|---|---|---|\n".to_owned();
    for (jobs, recipients) in KINDS {
        let mut rates: [Vec<f64>; 2] = Default::default();
        let mut left = [0; 2];
        for round in 0..rounds {
            for turn in turns(round, 2) {
                let (rate, rest) = run(turn == 1, jobs, recipients)?;
                println!(
                    "{recipients} recipients, round {}: purge {} {rate:.0} jobs/s, {rest} left",
                    round + 1,
                    name(turn)
                );
                rates[turn].push(rate);
                left[turn] = rest;
            }
        }
        for (turn, rates_of) in rates.iter().enumerate() {
            let (least, most) = range(rates_of);
            writeln!(
                table,
                "| {recipients} | {} | {:.0} | {least:.0} to {most:.0} | {} | {:.3} |",
                name(turn),
                median(rates_of),
                left[turn],
                median(rates_of) / median(&rates[0])
            )?;
        }
    }
    let report = format!(
        "# What the purge costs the line\n\nThe same jobs with the purge on and off, in turns, each on a broker of its own with its data in memory; two workers, \
         defaults. The gateway's\ngroup commits the end of its deliveries ten times a second. Medians.\n\n`cargo xtask bench purge`, {rounds} rounds, {}.\n\n{table}",
        describe()
    );
    println!("\n{report}");
    std::fs::write(results("purge"), report)?;
    Ok(())
}

fn name(turn: usize) -> &'static str {
    ["off", "on"][turn]
}
