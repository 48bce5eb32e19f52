//! How fast opt-outs of a file are imported, and with how much memory, on the embedded log and on a real Kafka.
//! `cargo xtask bench import [millions of rows] [embedded | kafka]`
//!
//! Next to it stand the same file read by the `csv` crate and nothing else, a dry run, and a loop that hands the same records,
//! made beforehand, to the same recorder: what the log takes at all. Afterwards a file of a million rows and one of ten times as
//! many pass, all of people who are on record by then, so that the filter does not grow: what memory is taken is the import's.

#![allow(clippy::print_stdout)]

use anyhow::{Result, anyhow, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
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

/// A file as a spreadsheet has it, made while it is read: people from 0 on, and the same again after the first `people`.
struct File {
    rows: u64,
    people: u64,
    next: u64,
    text: Vec<u8>,
    read: usize,
}

fn file(rows: u64, people: u64) -> File {
    File { rows, people, next: 0, text: b"address,channel,reason,evidence\n".to_vec(), read: 0 }
}

impl Read for File {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.text.len() - self.read < into.len() && self.next < self.rows {
            self.text.drain(..self.read);
            self.read = 0;
            let number = people::number(self.next % self.people);
            self.text.extend_from_slice(number.as_bytes());
            self.text.extend_from_slice(b",sms,stop_reply,\n");
            self.next += 1;
        }
        let rest = &self.text[self.read..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.read += length;
        Ok(length)
    }
}

/// Seconds that all threads of this process have computed.
fn computed() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // utime and stime, in hundredths of a second (proc(5)).
    (ticks(11) + ticks(12)) / 100.0
}

/// The same by the names of threads.
fn computed_by_threads() -> BTreeMap<String, f64> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let name = stat.split(['(', ')']).nth(1).unwrap_or("").trim_end_matches(char::is_numeric).to_owned();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        *threads.entry(name).or_default() += (ticks(11) + ticks(12)) / 100.0;
    }
    threads
}

/// A row of the table: seconds by the clock, and computed.
struct Took {
    what: String,
    rows: u64,
    seconds: f64,
    computed: f64,
}

fn took(what: &str, rows: u64, work: impl FnOnce() -> Result<()>) -> Result<Took> {
    let (begun, before, threads) = (Instant::now(), computed(), computed_by_threads());
    work()?;
    let (seconds, computed) = (begun.elapsed().as_secs_f64(), computed() - before);
    println!("{what}: {seconds:.2} s, {computed:.2} s computed");
    for (name, after) in computed_by_threads() {
        let took = after - threads.get(&name).unwrap_or(&0.0);
        if took > 0.05 {
            println!("  {name}: {took:.2} s");
        }
    }
    Ok(Took { what: what.to_owned(), rows, seconds, computed })
}

fn parsed(text: impl Read, rows: u64) -> Result<()> {
    let mut reader = csv::Reader::from_reader(text);
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

fn import(imports: &Imports, id: &str, text: impl Read, rows: u64) -> Result<()> {
    let mut plan = Plan::new(format!("bench-{id}"), Owner::Tenant(people::TENANT.to_owned()));
    plan.dry_run = id == "dry";
    let import = imports.begin(plan)?;
    let told = import.told();
    import.run(text, || ()).map_err(|failure| anyhow!("{}: {}", failure.code, failure.message))?;
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
    let mut all =
        vec![took(&format!("{name}: dry run"), rows, || import(&imports, "dry", file(rows, rows), rows))?];
    all.push(took(&format!("{name}: import"), rows, || import(&imports, "new", file(rows, rows), rows))?);
    let records = made(subjects, &*recorder, rows, rows)?;
    all.push(took(&format!("{name}: the same records handed over"), rows, || handed(&*recorder, records))?);
    for (id, rows) in [("short", 1_000_000), ("long", 10_000_000)] {
        // What was freed is given back after ten seconds (jemalloc's default).
        std::thread::sleep(Duration::from_secs(12));
        std::fs::write("/proc/self/clear_refs", "5")?;
        let before = memory("VmRSS:");
        let people = rows.min(1_000_000);
        let what = format!("{name}: {} M rows, all on record", rows / 1_000_000);
        let mut took = took(&what, rows, || import(&imports, id, file(rows, people), rows))?;
        let (before, most) = (before / 1_000_000, memory("VmHWM:") / 1_000_000);
        println!("{name}: from {before} MB to {most} MB at most");
        took.what = format!("{what}; memory from {before} MB to {most} MB at most");
        all.push(took);
    }
    ensure!(running.drain(PATIENCE), "it drains");
    Ok(all)
}

fn embedded(rows: u64) -> Result<Vec<Took>> {
    let folder = tempfile::tempdir()?;
    let bus = Embedded::open(folder.path(), embedded::Config::default())?;
    let subjects = Subjects::new(&Key::generate()?, Region::parse("FR")?);
    let options = Options { workers: 0, ..Options::default() };
    let running =
        tamis_pipeline::start(bus.clone(), subjects.clone(), options, Metrics::detached(), Health::new())?;
    while !running.filter().is_loaded() {
        std::thread::sleep(Duration::from_millis(5));
    }
    on("embedded", &bus, running, &subjects, rows)
}

fn main() -> Result<()> {
    let millions = std::env::args().nth(1).map_or(Ok(2), |millions| millions.parse::<u64>())?;
    let rows = millions * 1_000_000;
    let only = std::env::args().nth(2).unwrap_or_default();
    let mut all = vec![took("made and read by the csv crate", rows, || parsed(file(rows, rows), rows))?];
    if only != "kafka" {
        all.extend(embedded(rows)?);
    }
    if only != "embedded" {
        let setting = Setting::new("none")?;
        let config = setting.config("import");
        let options = tamis::options(0, tamis::DEFAULT);
        let running = tamis::start(config.clone(), setting.subjects.clone(), options)?;
        all.extend(on("Kafka", &Arc::new(Kafka::new(config)?), running, &setting.subjects, rows)?);
    }
    let mut table = format!(
        "# Imports\n\nRows of a telephone number, a channel and a reason, none of them on record before.\n\
         `cargo xtask bench import {millions} {only}`, {}.\n\n\
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
