//! How fast the filter is built from the log alone, on a real Kafka, and how fast from a snapshot.
//! `cargo xtask bench rebuild [rounds] [millions of records]`
//!
//! Next to it stands a consumer of the same client that takes the same records, one at a time as tamis does, and does nothing
//! but count them.

#![allow(clippy::print_stdout)]

use anyhow::{Result, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use tamis_benches::machine::{describe, median, range};
use tamis_benches::setting::{PARTITIONS, PATIENCE, QUEUED_KBYTES, Setting};
use tamis_benches::{made, tamis};
use tamis_bus::topic_name;
use tamis_pipeline::{Options, snapshots};

/// As in `tamis` itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const HOUR: Duration = Duration::from_secs(3_600);

/// Seconds in which a consumer has seen `records` records.
fn count(setting: &Setting, records: u64) -> Result<f64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", setting.bootstrap())
        .set("group.id", "count")
        // As tamis reads: without the last of these a full queue makes the client wait for a second.
        .set("queued.max.messages.kbytes", QUEUED_KBYTES)
        .set("queued.min.messages", "1000000")
        .set("fetch.queue.backoff.ms", "5")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&topic_name("bench", "suppressions"), partition, Offset::Beginning)?;
    }
    let begun = Instant::now();
    consumer.assign(&list)?;
    for _ in 0..records {
        let Some(record) = consumer.poll(PATIENCE) else { anyhow::bail!("no record for {PATIENCE:?}") };
        record?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Seconds from the start of a service to when its filter is loaded.
fn load(setting: &Setting, group: &str, records: u64, snapshots: Option<snapshots::Options>) -> Result<f64> {
    let options = Options { snapshots, ..tamis::options(1, tamis::DEFAULT) };
    let begun = Instant::now();
    let running = tamis::start(setting.config(group), setting.subjects.clone(), options)?;
    let took = begun.elapsed().as_secs_f64();
    let subjects = running.filter().read().subjects() as u64;
    ensure!(subjects == records, "the filter has {subjects} subjects, not {records}");
    tamis::stop(running)?;
    Ok(took)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let records = arguments.next().map_or(Ok(5), |millions| millions.parse::<u64>())? * 1_000_000;
    let setting = Setting::new("none")?;
    setting.write_opted_out((0..records).map(|n| Ok(made::subject(n))))?;
    let folder = tempfile::tempdir()?;
    let snapshots = |every| Some(snapshots::Options { folder: folder.path().to_owned(), every });
    // It leaves a snapshot when it ends.
    load(&setting, "before", records, snapshots(Some(HOUR)))?;
    let mut took = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds {
        took[0].push(count(&setting, records)?);
        took[1].push(load(&setting, &format!("log-{round}"), records, None)?);
        took[2].push(load(&setting, &format!("snapshot-{round}"), records, snapshots(None))?);
    }
    println!(
        "| {} M records, {rounds} rounds | median, s | from, to | M records/s |\n|---|---|---|---|",
        records / 1_000_000
    );
    for (what, took) in
        ["read and counted", "filter from the log alone", "filter from a snapshot"].iter().zip(&took)
    {
        let (middle, (least, most)) = (median(took), range(took));
        println!("| {what} | {middle:.2} | {least:.2} to {most:.2} | {:.2} |", records as f64 / middle / 1e6);
    }
    println!("\n{}", describe());
    Ok(())
}
