//! What the filter's size, its tenants and the workers cost the whole line, on a real Kafka. `cargo xtask bench size`
//!
//! Arguments: rounds (3); then millions of records (1 100). Contestants take turns within a round, so that what the machine does
//! besides hits all.

#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result, anyhow};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tamis_benches::filter::{Size, make};
use tamis_benches::machine::{describe, median, range, results};
use tamis_benches::people::{KINDS, Kind};
use tamis_benches::rival::BATCH_MS;
use tamis_benches::setting::{Progress, Setting};
use tamis_benches::{raw, tamis};
use tamis_pipeline::{Options, snapshots};

/// As in `tamis` itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const INTRODUCTION: &str = "\
As in the comparison of the line with its rivals: every job from a Kafka topic, its result to another, in transactions; broker and
contestant share the machine, the broker's data is in memory, no compression; both with batches of 100 ms, 64 MiB at most. tamis
starts from a snapshot, as after a restart. 5 % of the recipients are in the filter, whatever its size; with 1,000 tenants the jobs' own
has a million records, and the others a million at least. Contestants take turns, and another begins each round; a first
round, by which the broker compiles itself, is not counted. Medians; beside each ratio stands the copy with as many workers.
";

/// A filter, and the folder of its snapshot.
struct Made {
    size: Size,
    folder: PathBuf,
}

/// Who takes part: the copy, or tamis with one of the filters; with so many workers.
#[derive(Clone, Copy)]
struct Contestant<'m> {
    made: Option<&'m Made>,
    workers: u16,
}

impl Contestant<'_> {
    fn name(self) -> String {
        let what = self.made.map_or("copy".to_owned(), |Made { size, .. }| {
            let tenants =
                if size.tenants == 1 { "1 tenant".to_owned() } else { format!("{} tenants", size.tenants) };
            format!("tamis, {} M, {tenants}", size.millions)
        });
        format!("{what}, {} worker{}", self.workers, if self.workers == 1 { "" } else { "s" })
    }

    /// Jobs a second.
    fn run(self, setting: &Setting, group: &str) -> Result<f64> {
        let progress = Progress::new(&setting.bootstrap(), group)?;
        let Some(made) = self.made else {
            let (ends, fill) = (progress.ends(), Duration::from_millis(BATCH_MS));
            return std::thread::scope(|scope| {
                let copy = scope.spawn(move || raw::run(setting, group, ends, fill, self.workers));
                let rate = progress.rate();
                copy.join().map_err(|_| anyhow!("the copy panicked"))??;
                rate
            });
        };
        let snapshots = snapshots::Options { folder: made.folder.clone(), every: None };
        let options = Options { snapshots: Some(snapshots), ..tamis::options(self.workers, tamis::ROOMY) };
        let running = tamis::start(setting.roomy(group), setting.subjects.clone(), options)?;
        made.size.check(&running.filter())?;
        let rate = progress.rate();
        tamis::stop(running)?;
        rate
    }
}

/// Both copies, then each filter with two workers, and those of one tenant with one as well.
fn contestants(filters: &[Made]) -> Vec<Contestant<'_>> {
    let copies = [2, 1].map(|workers| Contestant { made: None, workers });
    let two = filters.iter().map(|made| Contestant { made: Some(made), workers: 2 });
    let one = filters.iter().filter(|made| made.size.tenants == 1);
    let one = one.map(|made| Contestant { made: Some(made), workers: 1 });
    copies.into_iter().chain(two).chain(one).collect()
}

fn measure(setting: &Setting, kind: &Kind, rounds: usize, filters: &[Made]) -> Result<String> {
    setting.renew(&["send-jobs"])?;
    setting.write_jobs(kind.jobs, kind.recipients)?;
    let contestants = contestants(filters);
    let rates = setting.in_turns(rounds, contestants.len(), |round, at| {
        let rate = contestants[at].run(setting, &format!("{}-{round}-{at}", kind.recipients))?;
        println!("{}, round {round}: {} {rate:.0} jobs/s", kind.what, contestants[at].name());
        Ok(rate)
    })?;
    let medians: Vec<f64> = rates.iter().map(|rates| median(rates)).collect();
    let mut rows = String::new();
    for ((contestant, rates), rate) in contestants.iter().zip(&rates).zip(&medians) {
        let copy = if contestant.workers == 2 { medians[0] } else { medians[1] };
        let (least, most) = range(rates);
        let (what, name, of) = (kind.what, contestant.name(), rate / copy);
        writeln!(rows, "| {what} | {name} | {rate:.0} | {least:.0} to {most:.0} | {of:.2} |")?;
    }
    Ok(rows)
}

/// The filters' snapshots, on a disk: they are as large as memory.
fn filters(setting: &Setting, sizes: &[u64], home: &Path) -> Result<Vec<Made>> {
    let mut filters = Vec::new();
    for &millions in sizes {
        for tenants in [1, 1_000] {
            let size = Size { millions, tenants };
            let folder = home.join(format!("{millions}-{tenants}"));
            std::fs::create_dir(&folder)?;
            let about = make(setting, size, &folder)?;
            println!("a filter of {} subjects, {tenants} tenants: made", about.subjects);
            filters.push(Made { size, folder });
        }
    }
    Ok(filters)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let mut sizes: Vec<u64> = arguments.map(|millions| millions.parse()).collect::<Result<_, _>>()?;
    let all = sizes.is_empty();
    if all {
        sizes = vec![1, 100];
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let home = tempfile::tempdir_in(target).context("a folder for the snapshots")?;
    let setting = Setting::new("none")?;
    let filters = filters(&setting, &sizes, home.path())?;
    let mut table =
        "| jobs of | contestant | jobs/s | from, to | of the copy |\n|---|---|---|---|---|\n".to_owned();
    for kind in &KINDS {
        table += &measure(&setting, kind, rounds, &filters)?;
    }
    let report = format!(
        "# The line by the size of its filter\n\n{INTRODUCTION}\n`cargo xtask bench size`, {rounds} rounds, {}.\n\n{table}",
        describe()
    );
    println!("\n{report}");
    if all {
        std::fs::write(results("size"), report)?;
    }
    Ok(())
}
