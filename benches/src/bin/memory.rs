//! What tamis holds besides its filter while a gigabyte of jobs passes. `cargo xtask bench memory`
//!
//! The parent has the broker and the jobs; the child is a process with nothing in it but tamis.

#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result, bail, ensure};
use std::process::Command;
use tamis_benches::machine::{describe, memory, results};
use tamis_benches::rival::WORKERS;
use tamis_benches::setting::{Progress, Setting, config};
use tamis_benches::tamis;
use tamis_bus::topic_name;
use tamis_subject::{Key, Region, Subjects};

/// As in `tamis` itself; the rivals have it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// 1 GB, some 40 kB each.
const JOBS: u64 = 26_000;

/// The process that is measured: `memory child <bootstrap>`. Its subjects are of another key, so nobody is dropped
/// and everything passes; the filter is as large all the same.
fn child(bootstrap: &str) -> Result<()> {
    let progress = Progress::new(bootstrap, "line")?;
    let subjects = Subjects::new(&Key::generate()?, Region::parse("FR")?);
    let running =
        tamis::start(config(bootstrap, "line", "none"), subjects, tamis::options(WORKERS, tamis::DEFAULT))?;
    let filter = running.filter().read().bytes();
    let loaded = memory("VmHWM:");
    // The peak anew (proc(5), clear_refs): what loading took is told by itself.
    std::fs::write("/proc/self/clear_refs", "5").context("reset the peak")?;
    progress.rate()?;
    println!("{filter} {loaded} {}", memory("VmHWM:"));
    tamis::stop(running)
}

fn parent() -> Result<()> {
    let setting = Setting::new("none")?;
    setting.write_filter(1_000_000)?;
    let bytes = setting.write_jobs(JOBS, 1_000)?;
    let output = Command::new(std::env::current_exe()?).args(["child", &setting.bootstrap()]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<u64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let [filter, loaded, most] = figures[..] else { bail!("the child said {text:?}") };
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let report = format!(
        "# Memory while a gigabyte of jobs passes\n\n{:.0} MB of jobs of 1,000 recipients, uncompressed, two workers, \
         topic {}, filter of 1,000,000.\n`cargo xtask bench memory`, {}.\n\n\
         | filter, as it counts itself | most while the filter was loaded | most while passing | besides the filter |\n\
         |---|---|---|---|\n| {:.0} MB | {:.0} MB | {:.0} MB | {:.0} MB |\n",
        mb(bytes),
        topic_name("bench", "send-jobs"),
        describe(),
        mb(filter),
        mb(loaded),
        mb(most),
        mb(most.saturating_sub(filter)),
    );
    println!("{report}");
    std::fs::write(results("memory"), report)?;
    Ok(())
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("child") => child(&arguments.next().context("memory child <bootstrap>")?),
        _ => parent(),
    }
}
