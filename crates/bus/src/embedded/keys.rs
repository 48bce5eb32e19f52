//! Which record of the suppression log is the last under its key, so that the earlier ones go.
//!
//! Keys lie scattered over their whole table, and a transaction writes every page anew that it touches: thousands of records at
//! once would have it write all of the table each time. So what comes in bulk is kept in memory first and merged in later, a
//! run of neighbours with each transaction; its earlier records stay readable for that while, before it in their order. A
//! record that comes alone, or with few, is merged in as it is written.
//!
//! What is in memory is in the log as well: after a crash it is read from there, from where the last whole merge had come.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::ControlFlow;

use redb::{ReadableTable as _, StorageError, Table, TableDefinition, WriteTransaction};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::core::{Core, Topic, fault, offset_of, partition_of, place};
use super::record::Front;
use crate::{Error, Partition};

/// [`Seed::hash`] of partition and key → place of the last record under it that is merged in.
const KEYS: TableDefinition<u128, u64> = TableDefinition::new("suppression-keys-2");
/// By partition: everything before this offset is merged in. A store of before has none, and its table under the old name.
const UNTIL: TableDefinition<u32, u64> = TableDefinition::new("suppression-keys-until");
const BEFORE: TableDefinition<&[u8], u64> = TableDefinition::new("suppression-keys");

/// Records in memory before they are merged in: with as many, each page of the keys of some millions takes several of them. They
/// take some 20 MB, and twice that while they are merged.
const FRESH_MAX: usize = 1 << 19;
/// Records that are merged in while nothing else is to do: some milliseconds.
const IDLE_STEP: usize = 8_192;
const VERB: &str = "merge keys";

/// Place of a record that was deleted while it waited to be merged in.
const GONE: u64 = u64::MAX;

/// A record as it waits to be merged in: its key's hash, and its place.
type Entry = (u128, u64);
pub(super) type Log<'t> = Table<'t, u64, &'static [u8]>;

/// Hashes are their own.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are looked up")
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The store's own, so that nobody who chooses a key's names can choose its hash.
#[derive(Clone, Copy)]
struct Seed(u64);

impl Seed {
    fn of(core: &Core) -> Self {
        Self(core.id.get(..16).and_then(|half| u64::from_str_radix(half, 16).ok()).unwrap_or(0))
    }

    /// Of two keys it is the same about once in 10³⁸.
    fn hash(self, partition: u32, key: &[u8]) -> u128 {
        xxh3_128_with_seed(key, self.0 ^ u64::from(partition).rotate_left(48))
    }
}

/// The last records under their keys: those that wait, and where the others are.
pub(super) struct Keys {
    seed: Seed,
    /// What came in bulk.
    fresh: HashMap<u128, u64, BuildHasherDefault<Same>>,
    /// What came before that, by hash, from `merged` on.
    merging: Vec<Entry>,
    merged: usize,
    /// Where the log ended when `merging` was all there was, by partition.
    merging_until: Vec<u64>,
    /// The table has nothing from this offset or later, by partition, nor will have of what is being merged in.
    tabled: Vec<u64>,
    fresh_max: usize,
}

/// The tables, open in a transaction.
pub(super) struct Open<'t> {
    keys: Table<'t, u128, u64>,
    pub(super) log: Log<'t>,
}

impl<'t> Open<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction) -> Result<Self, Error> {
        let keys = transaction.open_table(KEYS).map_err(|e| fault(VERB, e))?;
        let log = transaction.open_table(Topic::Suppressions.records()).map_err(|e| fault(VERB, e))?;
        Ok(Self { keys, log })
    }

    /// Merges entries in, and deletes the records that are not the last any more.
    fn merge(&mut self, entries: &[Entry]) -> Result<(), StorageError> {
        let mut gone = Vec::new();
        for &(hash, at) in entries.iter().filter(|(_, at)| *at != GONE) {
            let known = self.keys.insert(hash, at)?.map(|known| known.value());
            match known {
                Some(known) if known < at => gone.push(known),
                // It was merged in before a crash, and what is there came after it.
                Some(known) if known > at => {
                    self.keys.insert(hash, known)?;
                    gone.push(at);
                }
                Some(_) | None => {}
            }
        }
        // Neighbours together: by their keys they lie anywhere.
        gone.sort_unstable();
        gone.into_iter().try_for_each(|at| self.log.remove(at).map(drop))
    }
}

impl Keys {
    /// Merges in what a process before did not come to.
    pub(super) fn load(core: &Core) -> Result<Self, Error> {
        Self::load_with(core, FRESH_MAX)
    }

    fn load_with(core: &Core, fresh_max: usize) -> Result<Self, Error> {
        let seed = Seed::of(core);
        let until = core.write(|write| {
            write.transaction.delete_table(BEFORE).map_err(|e| fault(VERB, e))?;
            write.transaction.open_table(KEYS).map_err(|e| fault(VERB, e))?;
            let until = write.transaction.open_table(UNTIL).map_err(|e| fault(VERB, e))?;
            (0..core.config.partitions)
                .map(|partition| {
                    Ok(until.get(partition).map_err(|e| fault(VERB, e))?.map_or(0, |at| at.value()))
                })
                .collect::<Result<Vec<u64>, Error>>()
        })?;
        let mut cursors: Vec<(Partition, u64)> = (0..).zip(until).collect();
        loop {
            let before = cursors.clone();
            let mut entries: Vec<Entry> = Vec::new();
            core.scan(Topic::Suppressions, &mut cursors, |partition, offset, record| {
                let (partition, key) = (partition as u32, Front::of_suppression(record)?.1);
                entries.push((seed.hash(partition, key), place(partition, offset)));
                Ok(if entries.len() < fresh_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            if cursors == before {
                break;
            }
            entries.sort_unstable();
            core.write(|write| {
                Open::new(&write.transaction)?.merge(&entries).map_err(|e| fault(VERB, e))?;
                reached(&write.transaction, cursors.iter().map(|(_, next)| *next))
            })?;
        }
        let tabled: Vec<u64> = cursors.into_iter().map(|(_, next)| next).collect();
        Ok(Self {
            seed,
            fresh: HashMap::default(),
            merging: Vec::new(),
            merged: 0,
            merging_until: tabled.clone(),
            tabled,
            fresh_max,
        })
    }

    pub(super) fn hash(&self, partition: u32, key: &[u8]) -> u128 {
        self.seed.hash(partition, key)
    }

    /// Whether the log has a record under `hash` from after `offset` of its partition.
    pub(super) fn is_after(
        &self,
        open: &Open<'_>,
        hash: u128,
        partition: u32,
        offset: i64,
    ) -> Result<bool, StorageError> {
        let later = |at: u64| i64::try_from(offset_of(at)).is_ok_and(|at| at > offset);
        let waiting =
            self.fresh.get(&hash).copied().or_else(|| self.find(hash).map(|found| self.merging[found].1));
        if let Some(at) = waiting.filter(|at| *at != GONE)
            && later(at)
        {
            return Ok(true);
        }
        let tabled = self.tabled.get(partition as usize).and_then(|next| i64::try_from(*next).ok());
        // Most are asked with where the log stood a moment ago, and the table has nothing from after that.
        if tabled.is_some_and(|next| next <= offset.saturating_add(1)) {
            return Ok(false);
        }
        Ok(open.keys.get(hash)?.is_some_and(|at| later(at.value())))
    }

    /// Notes the record at `at`, to be merged in later.
    pub(super) fn note(&mut self, open: &mut Open<'_>, hash: u128, at: u64) -> Result<(), StorageError> {
        if let Some(earlier) = self.fresh.insert(hash, at) {
            open.log.remove(earlier)?;
        }
        Ok(())
    }

    /// Merges the record at `at` in.
    pub(super) fn put(&mut self, open: &mut Open<'_>, hash: u128, at: u64) -> Result<(), StorageError> {
        self.forget(open, hash)?;
        open.keys.insert(hash, at)?;
        if let Some(tabled) = self.tabled.get_mut(partition_of(at) as usize) {
            *tabled = offset_of(at) + 1;
        }
        Ok(())
    }

    /// Deletes every record under `hash`.
    pub(super) fn forget(&mut self, open: &mut Open<'_>, hash: u128) -> Result<(), StorageError> {
        let fresh = self.fresh.remove(&hash);
        let waiting = self.find(hash).map(|found| std::mem::replace(&mut self.merging[found].1, GONE));
        let merged = open.keys.remove(hash)?.map(|at| at.value());
        for at in [fresh, waiting, merged].into_iter().flatten().filter(|at| *at != GONE) {
            open.log.remove(at)?;
        }
        Ok(())
    }

    /// Whether something is to be merged in.
    pub(super) fn is_behind(&self) -> bool {
        !self.merging.is_empty()
    }

    /// Merges some of what waits in, so that as much comes at most as goes; `came` records came with this transaction, which
    /// have ended the log at `ends`.
    pub(super) fn keep_up(
        &mut self,
        transaction: &WriteTransaction,
        came: usize,
        ends: &[u64],
    ) -> Result<(), Error> {
        if self.is_behind() {
            self.step(transaction, 2 * came)?;
        }
        if !self.is_behind() && self.fresh.len() >= self.fresh_max {
            self.begin(ends);
        }
        Ok(())
    }

    /// Merges a little in.
    pub(super) fn idle(&mut self, core: &Core) -> Result<(), Error> {
        core.write(|write| self.step(&write.transaction, IDLE_STEP))
    }

    /// Has all that waits merged in as soon as there is nothing else to do.
    pub(super) fn begin(&mut self, ends: &[u64]) {
        if self.is_behind() || self.fresh.is_empty() {
            return;
        }
        // Taken, so that its memory is given back.
        self.merging = std::mem::take(&mut self.fresh).into_iter().collect();
        self.merging.sort_unstable();
        self.merging_until.copy_from_slice(ends);
        // Before the first step: conditions are judged between steps, too.
        self.tabled.copy_from_slice(ends);
    }

    fn step(&mut self, transaction: &WriteTransaction, most: usize) -> Result<(), Error> {
        let end = self.merging.len().min(self.merged + most);
        Open::new(transaction)?.merge(&self.merging[self.merged..end]).map_err(|e| fault(VERB, e))?;
        self.merged = end;
        if end == self.merging.len() {
            (self.merging, self.merged) = (Vec::new(), 0);
            return reached(transaction, self.merging_until.iter().copied());
        }
        Ok(())
    }

    /// Where `hash` waits in `merging`.
    fn find(&self, hash: u128) -> Option<usize> {
        let waiting = &self.merging[self.merged..];
        waiting.binary_search_by_key(&hash, |entry| entry.0).ok().map(|at| self.merged + at)
    }
}

/// Notes up to where all is merged in.
fn reached(transaction: &WriteTransaction, until: impl Iterator<Item = u64>) -> Result<(), Error> {
    let mut table = transaction.open_table(UNTIL).map_err(|e| fault(VERB, e))?;
    for (partition, next) in (0_u32..).zip(until) {
        table.insert(partition, next).map_err(|e| fault(VERB, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
