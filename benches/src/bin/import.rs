//! How fast opt-outs of a file are imported, and with how much memory, on the embedded log and on a real Kafka.
//! `cargo xtask bench import [millions of rows] [embedded]`
//!
//! Next to it stand the same file read by the `csv` crate and nothing else, a dry run, and a loop that hands the same records,
//! made beforehand, to the same recorder: what the log takes at all.

#![allow(clippy::print_stdout)]

use anyhow::{Result, anyhow, ensure};
use std::fmt::Write as _;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tamis_benches::machine::{describe, memory, results};
use tamis_benches::setting::{PATIENCE, Setting};
use tamis_benches::{people, tamis};
use tamis_bus::embedded::{self, Embedded};
use tamis_bus::kafka::Kafka;
use tamis_bus::{Bus, Follower, KeyedRecord, Recorder};
use tamis_campaign::Channel;
use tamis_intake::imports::{ACK_TIMEOUT, Imports, Plan, World};
use tamis_intake::keys::Owner;
use tamis_pipeline::{Options, Running};
use tamis_subject::{Key, Region, Subjects};
use tamis_telemetry::{Health, Metrics};
use tamis_wire::record;

/// As in `tamis` itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Records that the rival hands over together, and how often before it waits: as an import does.
const TOGETHER: usize = 8_192;
const FLYING: usize = 16;

/// Rows as a spreadsheet has them, from person `first` on.
fn file(first: u64, rows: u64) -> String {
    let mut text = String::from("address,channel,reason,evidence\n");
    for person in first..first + rows {
        let _ = writeln!(text, "{},sms,stop_reply,", people::number(person));
    }
    text
}

/// Seconds that all threads of this process have computed.
fn computed() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // utime and stime, in hundredths of a second (proc(5)).
    (ticks(11) + ticks(12)) / 100.0
}

/// A row of the table: seconds by the clock, and computed.
struct Took {
    what: String,
    rows: u64,
    seconds: f64,
    computed: f64,
}

fn took(what: &str, rows: u64, work: impl FnOnce() -> Result<()>) -> Result<Took> {
    let (begun, before) = (Instant::now(), computed());
    work()?;
    let (seconds, computed) = (begun.elapsed().as_secs_f64(), computed() - before);
    println!("{what}: {seconds:.2} s, {computed:.2} s computed");
    Ok(Took { what: what.to_owned(), rows, seconds, computed })
}

fn parsed(text: &str, rows: u64) -> Result<()> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let (mut record, mut count, mut bytes) = (csv::ByteRecord::new(), 0, 0);
    while reader.read_byte_record(&mut record)? {
        count += 1;
        bytes += record[0].len();
    }
    ensure!(count == rows && bytes > 0, "{count} rows");
    Ok(())
}

/// The same records, made beforehand, handed to the log and waited for.
fn handed(recorder: &dyn Recorder, records: Vec<Vec<KeyedRecord>>) -> Result<()> {
    let (tell, told) = mpsc::channel::<Result<(), tamis_bus::Error>>();
    let mut open = 0;
    for batch in records {
        if open == FLYING {
            told.recv_timeout(PATIENCE)??;
            open -= 1;
        }
        open += 1;
        let tell = tell.clone();
        recorder.submit(batch, Box::new(move |acked| tell.send(acked.map(drop)).unwrap_or_default()));
    }
    for _ in 0..open {
        told.recv_timeout(PATIENCE)??;
    }
    Ok(())
}

fn made(
    subjects: &Subjects,
    recorder: &dyn Recorder,
    first: u64,
    rows: u64,
) -> Result<Vec<Vec<KeyedRecord>>> {
    let mut all = Vec::new();
    for person in first..first + rows {
        let subject =
            subjects.phone(&people::number(person)).map_err(|_| anyhow!("a number of ours is none"))?;
        let mut one = people::opted_out(subject, people::TENANT);
        (one.channel, one.evidence) = (Some(Channel::Sms), "import:bench".into());
        let partition = record::partition_of(&subject, recorder.partitions());
        all.push(KeyedRecord::new(partition, record::key(&one), record::encode(&one)));
    }
    Ok(all.chunks(TOGETHER).map(<[KeyedRecord]>::to_vec).collect())
}

fn import(imports: &Imports, text: &str, rows: u64, dry_run: bool) -> Result<()> {
    let mut plan = Plan::new(format!("bench-{dry_run}"), Owner::Tenant(people::TENANT.to_owned()));
    plan.dry_run = dry_run;
    let import = imports.begin(plan)?;
    let told = import.told();
    import.run(text.as_bytes(), || ()).map_err(|failure| anyhow!("{}: {}", failure.code, failure.message))?;
    ensure!(told.status().accepted == rows, "not all rows are accepted");
    Ok(())
}

/// All contestants on one bus.
fn on<B: Bus>(name: &str, bus: &Arc<B>, running: Running, subjects: &Subjects, rows: u64) -> Result<Vec<Took>>
where
    B::Follower: 'static,
{
    let folder = tempfile::tempdir()?;
    let following = bus.clone();
    let world = World {
        filter: running.filter(),
        recorder: running.recorder(),
        follow: Arc::new(move |from| Ok(Box::new(following.follower(from)?) as Box<dyn Follower>)),
        metrics: Metrics::detached(),
        ack_timeout: ACK_TIMEOUT,
    };
    let recorder = running.recorder();
    let imports = Imports::open(folder.path(), world)?;
    let text = file(0, rows);
    let mut all = vec![took(&format!("{name}: dry run"), rows, || import(&imports, &text, rows, true))?];
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = memory("VmRSS:");
    all.push(took(&format!("{name}: import"), rows, || import(&imports, &text, rows, false))?);
    let most = memory("VmHWM:").saturating_sub(before) / 1_000_000;
    let filter = running.filter().read().bytes() / 1_000_000;
    println!("{name}: {most} MB more at most, of which the filter has {filter} MB");
    drop(text);
    let records = made(subjects, &*recorder, rows, rows)?;
    all.push(took(&format!("{name}: the same records handed over"), rows, || handed(&*recorder, records))?);
    ensure!(running.drain(PATIENCE), "it drains");
    Ok(all)
}

fn main() -> Result<()> {
    let millions = std::env::args().nth(1).map_or(Ok(2), |millions| millions.parse::<u64>())?;
    let rows = millions * 1_000_000;
    let text = file(0, rows);
    let mut all = vec![took("csv crate, only read", rows, || parsed(&text, rows))?];
    drop(text);
    let folder = tempfile::tempdir()?;
    let bus = Embedded::open(folder.path(), embedded::Config::default())?;
    let subjects = Subjects::new(&Key::generate()?, Region::parse("FR")?);
    let options = Options { workers: 0, ..Options::default() };
    let running =
        tamis_pipeline::start(bus.clone(), subjects.clone(), options, Metrics::detached(), Health::new())?;
    while !running.filter().is_loaded() {
        std::thread::sleep(Duration::from_millis(5));
    }
    all.extend(on("embedded", &bus, running, &subjects, rows)?);
    drop(bus);
    if std::env::args().nth(2).as_deref() != Some("embedded") {
        let setting = Setting::new("none")?;
        let config = setting.config("import");
        let options = tamis::options(0, tamis::DEFAULT);
        let running = tamis::start(config.clone(), setting.subjects.clone(), options)?;
        all.extend(on("Kafka", &Arc::new(Kafka::new(config)?), running, &setting.subjects, rows)?);
    }
    let mut table = format!(
        "# Imports\n\nRows of a telephone number, a channel and a reason, none of them on record before.\n\
         `cargo xtask bench import {millions}`, {}.\n\n\
         | {millions} M rows | seconds | rows a second | rows a second and core |\n|---|---|---|---|\n",
        describe()
    );
    for Took { what, rows, seconds, computed } in all {
        let rate = |seconds: f64| rows as f64 / seconds.max(0.01);
        let _ = writeln!(table, "| {what} | {seconds:.2} | {:.0} | {:.0} |", rate(seconds), rate(computed));
    }
    println!("{table}");
    std::fs::write(results("import"), table)?;
    Ok(())
}
