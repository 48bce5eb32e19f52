//! How fast a list is cleaned, next to what one would do otherwise. `cargo xtask bench scrub [rows] [rounds] [grep]`
//!
//! Each contestant reads a file, on one thread; contestants take turns. A million people are in the filter, one in twenty rows is one
//! of theirs. A filter of raw numbers, as the others have it, is what tamis must not keep; and they know one writing of a number
//! only, one reason, and no list, channel or time. Below them stand parts of the work alone: what reading, copying, and looking for
//! duplicates would cost by themselves. `grep -vFf` takes part when it is named: with a million patterns it took minutes.

#![allow(clippy::print_stdout, missing_docs)]

use std::collections::HashSet;
use std::convert::Infallible;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tamis_campaign::{Channel, Purpose, Reason, Source, Tenant};
use tamis_scrub::{Ask, Filter, scrub};
use tamis_subject::{Key, Region, Subject, Subjects};
use tamis_suppression::{Index, Selection};
use tamis_wire::record::{Record, Scope};

/// People in the filter.
const SUPPRESSED: u64 = 1_000_000;
/// One row of so many is of one of them.
const EVERY: u64 = 20;
/// Telephone numbers there are; the filter's are some of the even ones, the others are odd.
const NUMBERS: u64 = 100_000_000;
/// Coprime to half of them, so that nobody who is kept stands in a list twice.
const STRIDE: u64 = 9_999_991;

fn number(person: u64) -> String {
    format!("+336{person:08}")
}

/// The person of a row.
fn person(row: u64) -> u64 {
    if row.is_multiple_of(EVERY) {
        row * STRIDE % SUPPRESSED * EVERY
    } else {
        row * STRIDE % (NUMBERS / 2) * 2 + 1
    }
}

struct Known<'i>(Selection<'i>);

impl Filter for Known<'_> {
    type Error = Infallible;

    fn reasons(&mut self, subjects: &[Subject], reasons: &mut Vec<Option<Reason>>) -> Result<(), Infallible> {
        self.0.reasons(subjects, 1, reasons);
        Ok(())
    }
}

fn filter(subjects: &Subjects) -> Index {
    let mut index = Index::new(1);
    for at in 0..SUPPRESSED {
        let record = Record {
            source: Source::Import,
            ..Record::plain(
                subjects.phone(&number(at * EVERY)).expect("a number"),
                Scope::Tenant("acme".into()),
            )
        };
        index.apply(0, at as i64, 1, &record).expect("all is in memory");
    }
    index.settle();
    index
}

/// A list, and which of its columns has the number.
struct List {
    what: &'static str,
    file: PathBuf,
    column: usize,
}

fn list(
    dir: &Path,
    what: &'static str,
    column: usize,
    rows: u64,
    row: impl Fn(u64, String) -> String,
) -> List {
    let file = dir.join(format!("{column}.csv"));
    let mut to = BufWriter::new(File::create(&file).expect("a file"));
    to.write_all(row(0, "mobile".to_owned()).as_bytes()).expect("written");
    for at in 1..=rows {
        to.write_all(row(at, number(person(at))).as_bytes()).expect("written");
    }
    to.flush().expect("written");
    List { what, file, column }
}

fn ours(list: &List, out: &Path, subjects: &Subjects, index: &Index, keep_duplicates: bool) -> u64 {
    let tenant = Tenant::parse("acme").expect("a tenant");
    let channel = Channel::Sms;
    let ask = Ask { tenant, channel, format: None, header: true, named: &[], keep_duplicates, escape: false };
    let mut known = Known(index.select("acme", "", channel, Purpose::Marketing));
    let to = BufWriter::with_capacity(256 << 10, File::create(out).expect("a file"));
    let from = File::open(&list.file).expect("the list");
    let report = scrub(&ask, subjects, &mut known, from, to).expect("cleaned");
    u64::from(report.kept)
}

/// What one writes in ten minutes.
fn set(list: &List, out: &Path, numbers: &HashSet<String>) -> u64 {
    let mut from = reader(list);
    let mut to = csv::Writer::from_path(out).expect("a file");
    to.write_byte_record(from.byte_headers().expect("a header")).expect("written");
    let (mut record, mut kept) = (csv::ByteRecord::new(), 0);
    while from.read_byte_record(&mut record).expect("read") {
        let number = std::str::from_utf8(&record[list.column]).expect("UTF-8");
        if !numbers.contains(number) {
            to.write_byte_record(&record).expect("written");
            kept += 1;
        }
    }
    to.flush().expect("written");
    kept
}

fn reader(list: &List) -> csv::Reader<BufReader<File>> {
    csv::Reader::from_reader(BufReader::with_capacity(256 << 10, File::open(&list.file).expect("the list")))
}

/// The floor: each line is found, and written.
fn copied(list: &List, out: &Path) -> u64 {
    let mut from = BufReader::with_capacity(256 << 10, File::open(&list.file).expect("the list"));
    let mut to = BufWriter::with_capacity(256 << 10, File::create(out).expect("a file"));
    let (mut line, mut lines) = (Vec::new(), 0);
    while from.read_until(b'\n', &mut line).expect("read") > 0 {
        to.write_all(&line).expect("written");
        line.clear();
        lines += 1;
    }
    to.flush().expect("written");
    lines - 1
}

/// Reads, and hands each number to `is_new`; writes nothing.
fn read(list: &List, mut is_new: impl FnMut(&[u8]) -> bool) -> u64 {
    let (mut from, mut record, mut kept) = (reader(list), csv::ByteRecord::new(), 0);
    while from.read_byte_record(&mut record).expect("read") {
        kept += u64::from(is_new(&record[list.column]));
    }
    kept
}

/// Of a subject any bits are a hash.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = u64::from_le_bytes(*bytes.first_chunk().expect("a number"));
    }
}

/// Duplicates among whole numbers, as one would look for them.
fn numbers_alone(list: &List) -> u64 {
    let mut before = hashbrown::HashSet::<Vec<u8>>::new();
    read(list, |number| before.insert(number.to_vec()))
}

/// Duplicates among subjects, one after the other.
fn subjects_alone(list: &List, subjects: &Subjects) -> u64 {
    let mut before = hashbrown::HashSet::<u128, BuildHasherDefault<AsItIs>>::default();
    read(list, |number| {
        let subject = subjects.address(Channel::Sms, number).expect("a number");
        before.insert(u128::from_le_bytes(subject.to_bytes()))
    })
}

/// Bytes that this process has in memory: `VmRSS` now, or `VmHWM`, the most since it was asked to begin anew.
fn memory(of: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(of))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// Runs `run`; how long it took, and how many bytes more than before it had in memory at most, where the system tells.
fn measured(run: &dyn Fn() -> u64) -> (u64, f64, Option<u64>) {
    let before = memory("VmRSS:").filter(|_| std::fs::write("/proc/self/clear_refs", "5").is_ok());
    let begun = Instant::now();
    let kept = run();
    let took = begun.elapsed().as_secs_f64();
    (kept, took, before.and_then(|before| memory("VmHWM:")?.checked_sub(before)))
}

fn grep(list: &List, out: &Path, numbers: &Path) -> u64 {
    let mut grep = Command::new("grep");
    grep.env("LC_ALL", "C").arg("-vFf").arg(numbers).arg(&list.file);
    let status = grep.stdout(File::create(out).expect("a file")).status().expect("grep");
    assert!(status.success());
    let text = std::fs::read(out).expect("what it wrote");
    text.iter().filter(|byte| **byte == b'\n').count() as u64 - 1
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let with_grep = std::env::args().any(|argument| argument == "grep");
    let (rows, rounds) = (arguments.next().unwrap_or(5_000_000), arguments.next().unwrap_or(5));
    let dir = tempfile::tempdir().expect("a folder");
    let subjects = Subjects::new(&Key::generate().expect("a key"), Region::parse("FR").expect("a region"));
    let index = filter(&subjects);
    let numbers: HashSet<String> = (0..SUPPRESSED).map(|at| number(at * EVERY)).collect();
    let patterns = dir.path().join("numbers");
    let text: String = (0..SUPPRESSED).map(|at| number(at * EVERY) + "\n").collect();
    std::fs::write(&patterns, text).expect("a file");
    let lists = [
        list(dir.path(), "numbers alone", 0, rows, |_, number| number + "\n"),
        list(dir.path(), "three columns", 1, rows, |at, number| {
            format!("k{at:08},{number},\"Camille, no. {at}\"\n")
        }),
    ];
    let out = dir.path().join("out");
    println!(
        "{rows} rows, {SUPPRESSED} people in the filter, {rounds} rounds: millions of rows a second, median (least to most)\n"
    );
    println!("| list | contestant | M rows/s | from, to | MB at most | kept |\n|---|---|---|---|---|---|");
    for list in &lists {
        type Run<'r> = (&'static str, Box<dyn Fn() -> u64 + 'r>);
        let mut contestants: Vec<Run<'_>> = vec![
            ("tamis scrub", Box::new(|| ours(list, &out, &subjects, &index, false))),
            ("tamis scrub --keep-duplicates", Box::new(|| ours(list, &out, &subjects, &index, true))),
            ("csv crate, HashSet<String> of the filter", Box::new(|| set(list, &out, &numbers))),
            ("lines copied, no more", Box::new(|| copied(list, &out))),
            ("csv crate, reading alone", Box::new(|| read(list, |_| true))),
            ("csv crate, hashbrown HashSet<Vec<u8>> of the list", Box::new(|| numbers_alone(list))),
            ("csv crate, subjects, hashbrown HashSet<u128>", Box::new(|| subjects_alone(list, &subjects))),
        ];
        if with_grep {
            contestants.push(("grep -vFf", Box::new(|| grep(list, &out, &patterns))));
        }
        let mut told = vec![(Vec::new(), 0, None); contestants.len()];
        for _ in 0..rounds {
            for ((_, run), (rates, kept, most)) in contestants.iter().zip(&mut told) {
                let (of_run, took, bytes) = measured(run);
                *kept = of_run;
                *most = bytes.max(*most);
                rates.push(rows as f64 / took / 1e6);
            }
        }
        for ((name, _), (mut rates, kept, bytes)) in contestants.iter().zip(told) {
            rates.sort_by(f64::total_cmp);
            let (least, median, most) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
            let bytes = bytes.map_or("?".to_owned(), |bytes| (bytes >> 20).to_string());
            println!("| {} | {name} | {median:.2} | {least:.2} to {most:.2} | {bytes} | {kept} |", list.what);
        }
    }
}
