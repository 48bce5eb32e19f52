//! Which store the embedded bus stands on: redb or fjall, on the work it has to do.
//!
//! A round is what a batch of the router is to the store: one durable transaction that writes a batch of
//! results and deletes the batch before it, then the batch is read back. The disk bounds it: run it on the
//! disk you mean, `TMPDIR=… cargo bench -p tamis-benches --bench store`. Values are pseudo-random, so that
//! compression gains nothing. After the rounds everything is deleted: what the files still take is printed.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use fjall::{KeyspaceCreateOptions, PersistMode};
use redb::{Durability, ReadableDatabase, TableDefinition};

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("records");
const CACHE_BYTES: usize = 64 << 20;

/// What both stores are asked to do.
trait Store {
    const NAME: &'static str;
    fn open(dir: &Path) -> Self;
    /// Writes `values` from key `first` on and deletes `gone`, durably and at once.
    fn round(&self, first: u64, values: &[Vec<u8>], gone: std::ops::Range<u64>);
    /// Reads the keys, returns the sum of the values' lengths.
    fn read(&self, keys: std::ops::Range<u64>) -> usize;
}

struct Redb(redb::Database);

impl Store for Redb {
    const NAME: &'static str = "redb";

    fn open(dir: &Path) -> Self {
        Self(redb::Builder::new().set_cache_size(CACHE_BYTES).create(dir.join("store")).unwrap())
    }

    fn round(&self, first: u64, values: &[Vec<u8>], gone: std::ops::Range<u64>) {
        let mut transaction = self.0.begin_write().unwrap();
        transaction.set_durability(Durability::Immediate).unwrap();
        {
            let mut table = transaction.open_table(TABLE).unwrap();
            for (key, value) in (first..).zip(values) {
                table.insert(key, value.as_slice()).unwrap();
            }
            table.retain_in(gone, |_, _| false).unwrap();
        }
        transaction.commit().unwrap();
    }

    fn read(&self, keys: std::ops::Range<u64>) -> usize {
        let transaction = self.0.begin_read().unwrap();
        let table = transaction.open_table(TABLE).unwrap();
        table.range(keys).unwrap().map(|entry| black_box(entry.unwrap().1.value().to_vec()).len()).sum()
    }
}

struct Fjall(fjall::Database, fjall::Keyspace);

impl Store for Fjall {
    const NAME: &'static str = "fjall";

    fn open(dir: &Path) -> Self {
        let database = fjall::Database::builder(dir).cache_size(CACHE_BYTES as u64).open().unwrap();
        let records = database.keyspace("records", KeyspaceCreateOptions::default).unwrap();
        Self(database, records)
    }

    fn round(&self, first: u64, values: &[Vec<u8>], gone: std::ops::Range<u64>) {
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in (first..).zip(values) {
            batch.insert(&self.1, key.to_be_bytes(), value.as_slice());
        }
        for key in gone {
            batch.remove(&self.1, key.to_be_bytes());
        }
        batch.commit().unwrap();
    }

    fn read(&self, keys: std::ops::Range<u64>) -> usize {
        let range = keys.start.to_be_bytes()..keys.end.to_be_bytes();
        self.1.range(range).map(|entry| black_box(entry.value().unwrap().to_vec()).len()).sum()
    }
}

/// Splitmix64, so that values do not compress.
fn values(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) as u8
    };
    (0..count).map(|_| (0..bytes).map(|_| next()).collect()).collect()
}

fn disk_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

fn at(sorted: &[Duration], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3
}

fn measure<S: Store>(count: usize, bytes: usize, rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let store = S::open(dir.path());
    let values = values(count, bytes);
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    let step = count as u64;
    let mut most = 0;
    for round in 0..rounds {
        let first = round * step;
        let begun = Instant::now();
        store.round(first, &values, first.saturating_sub(step)..first);
        writes.push(begun.elapsed());
        let begun = Instant::now();
        assert_eq!(store.read(first..first + step), count * bytes);
        reads.push(begun.elapsed());
        most = most.max(disk_bytes(dir.path()));
    }
    store.round(u64::MAX - 1, &[], 0..rounds * step);
    let total: Duration = writes.iter().chain(&reads).sum();
    writes.sort();
    reads.sort();
    println!(
        "{:<6} {count:>6} x {bytes:>6} B | write+delete+sync {:>7.2} ms p50 {:>7.2} p99 | read {:>6.2} ms p50 {:>6.2} p99 | {:>8.0} records/s {:>5.0} MB/s | disk most {:>5.0} MB, emptied {:>5.0} MB",
        S::NAME,
        at(&writes, 0.5),
        at(&writes, 0.99),
        at(&reads, 0.5),
        at(&reads, 0.99),
        (step * rounds) as f64 / total.as_secs_f64(),
        (step * rounds) as f64 * bytes as f64 / 1e6 / total.as_secs_f64(),
        most as f64 / 1e6,
        disk_bytes(dir.path()) as f64 / 1e6,
    );
}

fn main() {
    for (count, bytes, rounds) in [(1, 430, 500), (200, 40_000, 60), (10_000, 430, 60)] {
        measure::<Redb>(count, bytes, rounds);
        measure::<Fjall>(count, bytes, rounds);
    }
}
