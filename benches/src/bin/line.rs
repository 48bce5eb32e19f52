//! The whole line against a copy and against a plain rival, on a real Kafka. `cargo xtask bench line`
//!
//! Arguments: rounds (3); then, to measure only these and keep no result: part of a kind's name, a codec, a contestant.
//! Contestants take turns within a round, so that what the machine does besides hits all.

#![allow(clippy::print_stdout)]

use anyhow::{Result, anyhow};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;
use tamis_benches::machine::{describe, median, range, results};
use tamis_benches::people::{KINDS, Kind};
use tamis_benches::rival::{BATCH_MS, WORKERS};
use tamis_benches::setting::{Progress, Setting};
use tamis_benches::{people, plain, raw, tamis};

/// As in `tamis` itself; the rivals have it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const INTRODUCTION: &str = "\
Each contestant reads every job from a Kafka topic and writes its result to another, in transactions with the
offsets, with two workers; broker and contestant share the machine, the broker's data is in memory. Time runs from when a
fifth of the jobs is committed to when four are. Contestants take turns, and another begins each
round; a first round, by which the broker compiles itself, is not counted; medians.

- *copy*: the jobs as they are, with their headers; clients tuned as tamis's are, reading on while committing, records taken one by one
  as rdkafka does; batches of 100 ms, 64 MiB at most. The ceiling.
- *plain*: prost, `HashSet<String>`, prost again; the same tuned clients and batches; no outcomes.
- *tamis*: everything on: barrier, keyed subjects, reasons, stamps, headers of its own, outcomes; the same batches and as
  much read ahead. And with its defaults: 10 ms, 8 MiB, 16 MiB read ahead.

The filter has 1,000,000 records; 5 % of the recipients are in it.
";

const CONTESTANTS: [&str; 4] = ["copy", "plain", "tamis", "tamis, default"];

/// What is measured, where it is not everything.
struct Only {
    kind: Option<String>,
    codec: Option<String>,
    contestant: Option<String>,
}

fn wanted(only: &Option<String>, name: &str) -> bool {
    only.as_ref().is_none_or(|only| name.contains(only.as_str()))
}

/// Jobs a second.
fn compete(setting: &Setting, contestant: usize, group: &str, set: &HashSet<String>) -> Result<f64> {
    let progress = Progress::new(&setting.bootstrap(), group)?;
    let fill = Duration::from_millis(BATCH_MS);
    let ends = progress.ends();
    std::thread::scope(|scope| {
        if contestant < 2 {
            let rival = scope.spawn(move || match contestant {
                0 => raw::run(setting, group, ends, fill, WORKERS),
                _ => plain::run(setting, group, ends, fill, set),
            });
            let rate = progress.rate();
            rival.join().map_err(|_| anyhow!("a rival panicked"))??;
            return rate;
        }
        let (config, batch) = if contestant == 2 {
            (setting.roomy(group), tamis::ROOMY)
        } else {
            (setting.config(group), tamis::DEFAULT)
        };
        let running = tamis::start(config, setting.subjects.clone(), tamis::options(WORKERS, batch))?;
        let rate = progress.rate();
        tamis::stop(running)?;
        rate
    })
}

fn measure(
    kind: &Kind,
    codec: &'static str,
    rounds: usize,
    only: &Only,
    set: &HashSet<String>,
) -> Result<String> {
    let setting = Setting::new(codec)?;
    setting.write_filter(people::SUPPRESSED)?;
    let bytes = setting.write_jobs(kind.jobs, kind.recipients)?;
    let who: Vec<usize> =
        (0..CONTESTANTS.len()).filter(|at| wanted(&only.contestant, CONTESTANTS[*at])).collect();
    let rates = setting.in_turns(rounds, who.len(), |round, at| {
        let rate = compete(&setting, who[at], &format!("group-{round}-{at}"), set)?;
        println!("{}, {codec}, round {round}: {} {rate:.0} jobs/s", kind.what, CONTESTANTS[who[at]]);
        Ok(rate)
    })?;
    let copy = if who.first() == Some(&0) { median(&rates[0]) } else { 0.0 };
    let per_job = bytes as f64 / kind.jobs as f64;
    let mut rows = String::new();
    for (at, rates) in who.iter().zip(&rates) {
        let name = CONTESTANTS[*at];
        let rate = median(rates);
        let (least, most) = range(rates);
        writeln!(
            rows,
            "| {} ({per_job:.0} B), {codec} | {name} | {rate:.0} | {least:.0} to {most:.0} | {:.0} | {:.2} M | {:.2} |",
            kind.what,
            rate * per_job / 1e6,
            rate * kind.recipients as f64 / 1e6,
            rate / copy
        )?;
    }
    Ok(rows)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let only = Only { kind: arguments.next(), codec: arguments.next(), contestant: arguments.next() };
    let set: HashSet<String> = people::suppressed(people::SUPPRESSED).collect();
    let mut table = "| jobs of | contestant | jobs/s | from, to | MB/s | recipients/s | of the copy |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    for kind in KINDS.iter().filter(|kind| wanted(&only.kind, kind.what)) {
        for codec in ["none", "lz4"].into_iter().filter(|codec| wanted(&only.codec, codec)) {
            table += &measure(kind, codec, rounds, &only, &set)?;
        }
    }
    let report = format!(
        "# The line against a copy and a plain rival\n\n{INTRODUCTION}\n`cargo xtask bench line`, {rounds} rounds, {}.\n\n{table}",
        describe()
    );
    println!("\n{report}");
    if only.kind.is_none() {
        std::fs::write(results("line"), report)?;
    }
    Ok(())
}
