//! The store, its tables, and the one place where it is written: [`Core::write`].

use std::cell::Cell;
use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use tamis_campaign::Channel;

use super::Config;
use crate::{Blame, Error, Partition};

/// What the store may keep in memory, bytes. The working set is a few batches; redb's own default is 1 GiB.
pub(super) const CACHE_BYTES: usize = 64 << 20;
/// An offset's share of a place.
const OFFSET_BITS: u32 = 48;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const OFFSETS: TableDefinition<u32, u64> = TableDefinition::new("offsets");
const ENDS: TableDefinition<(u8, u32), u64> = TableDefinition::new("ends");
pub(super) const GROUPS: TableDefinition<(&str, &str, u32), u64> = TableDefinition::new("groups");

/// A topic's records, by [`place`].
pub(super) type Records = TableDefinition<'static, u64, &'static [u8]>;

/// Every topic there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Jobs,
    Suppressions,
    Outcomes,
    DeadLetters,
    Deliveries(Channel),
}

impl Topic {
    pub(super) const ALL: [Self; 9] = [
        Self::Jobs,
        Self::Suppressions,
        Self::Outcomes,
        Self::DeadLetters,
        Self::Deliveries(Channel::Sms),
        Self::Deliveries(Channel::Email),
        Self::Deliveries(Channel::Voice),
        Self::Deliveries(Channel::Fax),
        Self::Deliveries(Channel::Mail),
    ];

    /// Its place in [`Topic::ALL`] and its number in the store.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Jobs => 0,
            Self::Suppressions => 1,
            Self::Outcomes => 2,
            Self::DeadLetters => 3,
            Self::Deliveries(channel) => 3 + channel.number() as usize,
        }
    }

    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Jobs => "send-jobs",
            Self::Suppressions => "suppressions",
            Self::Outcomes => "outcomes",
            Self::DeadLetters => "dead-letters",
            Self::Deliveries(Channel::Sms) => "deliveries.sms",
            Self::Deliveries(Channel::Email) => "deliveries.email",
            Self::Deliveries(Channel::Voice) => "deliveries.voice",
            Self::Deliveries(Channel::Fax) => "deliveries.fax",
            Self::Deliveries(Channel::Mail) => "deliveries.mail",
        }
    }

    pub(super) const fn records(self) -> Records {
        TableDefinition::new(self.noun())
    }
}

/// Partition and offset in one number, so that a partition's records lie together in their order.
pub(super) const fn place(partition: u32, offset: u64) -> u64 {
    ((partition as u64) << OFFSET_BITS) | offset
}

/// The offset of a place.
pub(super) const fn offset_of(place: u64) -> u64 {
    place & ((1 << OFFSET_BITS) - 1)
}

/// The partition of a place.
pub(super) const fn partition_of(place: u64) -> u32 {
    (place >> OFFSET_BITS) as u32
}

/// Next offsets of one topic, as readers may see them, and those who wait for more.
pub(super) struct Ends {
    next: Mutex<Vec<u64>>,
    grown: Condvar,
}

impl Ends {
    pub(super) fn get(&self) -> Vec<u64> {
        self.next.lock().clone()
    }

    /// Waits until one of `cursors` (partition, next to read) has records before it, or until `deadline`.
    /// Returns whether one has.
    pub(super) fn wait_beyond(&self, cursors: &[(Partition, u64)], deadline: Instant) -> bool {
        let mut next = self.next.lock();
        loop {
            if cursors.iter().any(|&(partition, cursor)| next[partition as usize] > cursor) {
                return true;
            }
            if self.grown.wait_until(&mut next, deadline).timed_out() {
                return false;
            }
        }
    }
}

/// Next offsets of all topics, by [`Topic::index`], as the writer sees them.
type Next = Vec<Vec<u64>>;

/// One write: a transaction, and the next offsets as they will be once it is committed.
pub(super) struct Write {
    pub(super) transaction: WriteTransaction,
    next: Next,
    deleted: Cell<bool>,
}

/// What appending to one topic needs, apart.
pub(super) struct Parts<'a> {
    pub(super) transaction: &'a WriteTransaction,
    /// The next offset of each partition, to take.
    pub(super) next: &'a mut [u64],
    /// Whether something was deleted whose pages are to be overwritten.
    pub(super) deleted: &'a Cell<bool>,
}

impl Write {
    /// Its parts, for appending to `topic`.
    pub(super) fn parts(&mut self, topic: Topic) -> Parts<'_> {
        let Self { transaction, next, deleted } = self;
        Parts { transaction, next: &mut next[topic.index()], deleted }
    }

    /// Takes the next offset of a partition.
    pub(super) fn take(&mut self, topic: Topic, partition: u32) -> u64 {
        let next = &mut self.next[topic.index()][partition as usize];
        *next += 1;
        *next - 1
    }

    /// The next offset of a partition.
    pub(super) fn end(&self, topic: Topic, partition: u32) -> u64 {
        self.next[topic.index()][partition as usize]
    }

    /// The committed offset of `send-jobs`, as this transaction sees it.
    pub(super) fn committed(&self, partition: u32) -> Result<u64, Error> {
        let offsets = self.transaction.open_table(OFFSETS).map_err(|e| fault("read offsets", e))?;
        let committed = offsets.get(partition).map_err(|e| fault("read offsets", e))?;
        Ok(committed.map_or(0, |offset| offset.value()))
    }

    /// Commits an offset of `send-jobs`.
    pub(super) fn commit_offset(&self, partition: u32, offset: u64) -> Result<(), Error> {
        let mut offsets = self.transaction.open_table(OFFSETS).map_err(|e| fault("write offsets", e))?;
        offsets.insert(partition, offset).map_err(|e| fault("write offsets", e))?;
        Ok(())
    }

    /// Notes that something was deleted whose pages are to be overwritten.
    pub(super) fn deleted(&self) {
        self.deleted.set(true);
    }

    /// Deletes a partition's records before `end`.
    pub(super) fn delete_before(&self, topic: Topic, partition: u32, end: u64) -> Result<(), Error> {
        let mut records =
            self.transaction.open_table(topic.records()).map_err(|e| fault("delete records", e))?;
        let gone = place(partition, 0)..place(partition, end);
        self.deleted();
        records.retain_in(gone, |_, _| false).map_err(|e| fault("delete records", e))
    }
}

/// The store and what its threads share.
pub(super) struct Core {
    pub(super) config: Config,
    /// Random, hexadecimal, as long as the store is there: it tells this store from every other.
    pub(super) id: String,
    store: Database,
    /// Held from the begin of a write until its offsets can be seen, so that offsets are given out in order.
    writing: Mutex<Next>,
    ends: Vec<Ends>,
    /// By worker: how often its ledger was opened. Only the latest may write.
    epochs: Vec<AtomicU64>,
    path: PathBuf,
    /// Whether records were deleted whose pages were not overwritten since. An earlier process may have left some.
    pub(super) freed: AtomicBool,
}

impl Core {
    pub(super) fn open(dir: &Path, config: Config) -> Result<Self, Error> {
        let path = dir.join("bus.redb");
        make_private(dir, &path).map_err(|e| Error::new("open store", Blame::Unreachable, e.to_string()))?;
        let store =
            redb::Builder::new().set_cache_size(CACHE_BYTES).create(&path).map_err(|error| match error {
                redb::DatabaseError::DatabaseAlreadyOpen => {
                    Error::new("open store", Blame::Configuration, "the store is in use by another process")
                }
                other => fault("open store", other),
            })?;
        let (next, id) = prepare(&store, config.partitions)?;
        let ends = next.iter().map(|next| Ends { next: Mutex::new(next.clone()), grown: Condvar::new() });
        let epochs = (0..config.workers).map(|_| AtomicU64::new(0)).collect();
        Ok(Self {
            ends: ends.collect(),
            config,
            id,
            store,
            writing: Mutex::new(next),
            epochs,
            path,
            freed: AtomicBool::new(true),
        })
    }

    /// How large the store's file is.
    pub(super) fn file_bytes(&self) -> Result<u64, Error> {
        let file = std::fs::metadata(&self.path);
        file.map(|file| file.len())
            .map_err(|e| Error::new("inspect store", Blame::Unreachable, e.to_string()))
    }

    pub(super) fn ends(&self, topic: Topic) -> &Ends {
        &self.ends[topic.index()]
    }

    /// Fences the earlier ledgers of `worker`; returns the new one's epoch.
    pub(super) fn fence(&self, worker: u16) -> u64 {
        // A commit under way ends first: afterwards the committed offsets are settled.
        let _settled = self.writing.lock();
        self.epochs[usize::from(worker)].fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The epoch of the latest ledger of `worker`.
    pub(super) fn epoch(&self, worker: u16) -> u64 {
        self.epochs[usize::from(worker)].load(Ordering::SeqCst)
    }

    /// Does `work` in one durable transaction: all of it or nothing. Readers see its records when it has been
    /// synced, and before this returns. An error of `work` undoes it.
    pub(super) fn write<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writing = self.writing.lock();
        let mut transaction = self.store.begin_write().map_err(|e| fault("begin transaction", e))?;
        transaction.set_durability(Durability::Immediate).map_err(|e| fault("begin transaction", e))?;
        let mut write = Write { transaction, next: writing.clone(), deleted: Cell::new(false) };
        let done = work(&mut write)?;
        let Write { transaction, next, deleted } = write;
        let moved: Vec<_> =
            Topic::ALL.into_iter().filter(|t| next[t.index()] != writing[t.index()]).collect();
        if !moved.is_empty() {
            let mut ends = transaction.open_table(ENDS).map_err(|e| fault("write ends", e))?;
            for topic in &moved {
                let (old, new) = (&writing[topic.index()], &next[topic.index()]);
                for (partition, (old, new)) in (0_u32..).zip(old.iter().zip(new)) {
                    if old != new {
                        let at = (topic.index() as u8, partition);
                        ends.insert(at, *new).map_err(|e| fault("write ends", e))?;
                    }
                }
            }
        }
        transaction.commit().map_err(|e| fault("commit transaction", e))?;
        *writing = next;
        if deleted.get() {
            self.freed.store(true, Ordering::Release);
        }
        for topic in moved {
            let ends = self.ends(topic);
            ends.next.lock().clone_from(&writing[topic.index()]);
            ends.grown.notify_all();
        }
        Ok(done)
    }

    /// The committed offsets of `send-jobs`, of every partition.
    pub(super) fn committed(&self) -> Result<Vec<u64>, Error> {
        let read = self.store.begin_read().map_err(|e| fault("read offsets", e))?;
        let offsets = read.open_table(OFFSETS).map_err(|e| fault("read offsets", e))?;
        (0..self.config.partitions)
            .map(|partition| {
                let committed = offsets.get(partition).map_err(|e| fault("read offsets", e))?;
                Ok(committed.map_or(0, |offset| offset.value()))
            })
            .collect()
    }

    /// What `group` has committed in `topic`, a partition each; `None` where nothing.
    pub(super) fn group(&self, topic: Topic, group: &str) -> Result<Vec<Option<u64>>, Error> {
        let read = self.store.begin_read().map_err(|e| fault("read group", e))?;
        let groups = read.open_table(GROUPS).map_err(|e| fault("read group", e))?;
        (0..self.config.partitions)
            .map(|partition| {
                let at = groups.get((topic.noun(), group, partition)).map_err(|e| fault("read group", e))?;
                Ok(at.map(|offset| offset.value()))
            })
            .collect()
    }

    /// Hands on the records of `topic` from each cursor on, partition by partition, and moves the cursors past
    /// what was handed on, and past gaps. `each` says after a record whether to stop.
    pub(super) fn scan(
        &self,
        topic: Topic,
        cursors: &mut [(Partition, u64)],
        mut each: impl FnMut(Partition, u64, &[u8]) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        // The ends before the snapshot: it has everything before them, so a gap there is one for good.
        let ends = self.ends(topic).get();
        let read = self.store.begin_read().map_err(|e| fault("read records", e))?;
        let records = read.open_table(topic.records()).map_err(|e| fault("read records", e))?;
        for (partition, cursor) in cursors {
            let (number, end) = (*partition as u32, ends[*partition as usize]);
            if *cursor >= end {
                continue;
            }
            let range = place(number, *cursor)..place(number, end);
            for record in records.range(range).map_err(|e| fault("read records", e))? {
                let (at, value) = record.map_err(|e| fault("read records", e))?;
                let offset = offset_of(at.value());
                let flow = each(*partition, offset, value.value())?;
                *cursor = offset + 1;
                if flow.is_break() {
                    return Ok(());
                }
            }
            *cursor = end;
        }
        Ok(())
    }
}

impl Core {
    /// Hands on a partition's records before `end`, the last one first, until `each` says to stop.
    pub(super) fn scan_back(
        &self,
        topic: Topic,
        partition: Partition,
        end: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let read = self.store.begin_read().map_err(|e| fault("read records", e))?;
        let records = read.open_table(topic.records()).map_err(|e| fault("read records", e))?;
        let number = partition as u32;
        let range = place(number, 0)..place(number, end);
        for record in records.range(range).map_err(|e| fault("read records", e))?.rev() {
            let (at, value) = record.map_err(|e| fault("read records", e))?;
            if each(offset_of(at.value()), value.value())?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// An error of the store. None of redb's errors names a key or a value.
pub(super) fn fault(verb: &'static str, error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    let blame = match error {
        redb::Error::Io(_) | redb::Error::PreviousIo => Blame::Unreachable,
        // redb's own set of errors is open.
        _ => Blame::Internal,
    };
    Error::new(verb, blame, error.to_string())
}

/// The log's clock, Unix ms.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Content lies in the store: directory and file are for their owner only.
fn make_private(dir: &Path, path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        builder.mode(0o700);
        options.mode(0o600);
    }
    builder.recursive(true).create(dir)?;
    options.create(true).append(true).open(path).map(drop)
}

/// Makes the tables, checks the number of partitions, and reads the next offsets and the store's id.
fn prepare(store: &Database, partitions: u32) -> Result<(Next, String), Error> {
    const VERB: &str = "open store";
    let mut next = vec![vec![0; partitions as usize]; Topic::ALL.len()];
    let transaction = store.begin_write().map_err(|e| fault(VERB, e))?;
    let id = {
        let mut meta = transaction.open_table(META).map_err(|e| fault(VERB, e))?;
        let made = meta.get("partitions").map_err(|e| fault(VERB, e))?.map(|made| made.value());
        if let Some(made) = made.filter(|made| *made != u64::from(partitions)) {
            let detail = format!("the store was made with {made} partitions, the settings have {partitions}");
            return Err(Error::new(VERB, Blame::Configuration, detail));
        }
        meta.insert("partitions", u64::from(partitions)).map_err(|e| fault(VERB, e))?;
        transaction.open_table(OFFSETS).map_err(|e| fault(VERB, e))?;
        transaction.open_table(GROUPS).map_err(|e| fault(VERB, e))?;
        for topic in Topic::ALL {
            transaction.open_table(topic.records()).map_err(|e| fault(VERB, e))?;
        }
        let ends = transaction.open_table(ENDS).map_err(|e| fault(VERB, e))?;
        for end in ends.iter().map_err(|e| fault(VERB, e))? {
            let (at, end) = end.map_err(|e| fault(VERB, e))?;
            let (topic, partition) = at.value();
            next[usize::from(topic)][partition as usize] = end.value();
        }
        identify(&mut meta)?
    };
    transaction.commit().map_err(|e| fault(VERB, e))?;
    Ok((next, id))
}

/// The store's id, made if it has none: a new store, or one of before there were ids.
fn identify(meta: &mut Table<'_, &'static str, u64>) -> Result<String, Error> {
    const VERB: &str = "identify store";
    let mut id = String::new();
    for name in ["id-first", "id-second"] {
        let made = meta.get(name).map_err(|e| fault(VERB, e))?.map(|made| made.value());
        let half = match made {
            Some(half) => half,
            None => getrandom::u64().map_err(|e| Error::new(VERB, Blame::Internal, e.to_string()))?,
        };
        meta.insert(name, half).map_err(|e| fault(VERB, e))?;
        id.push_str(&format!("{half:016x}"));
    }
    Ok(id)
}

const _: () = assert!(Topic::Deliveries(Channel::Mail).index() == Topic::ALL.len() - 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliveries_noun;

    #[test]
    fn every_topic_stands_at_its_index_under_its_published_noun() {
        for (index, topic) in Topic::ALL.into_iter().enumerate() {
            assert_eq!(topic.index(), index);
            if let Topic::Deliveries(channel) = topic {
                assert_eq!(topic.noun(), deliveries_noun(channel));
            }
        }
    }

    #[test]
    fn places_keep_the_order_of_partition_then_offset() {
        assert!(place(1, 0) > place(0, (1 << OFFSET_BITS) - 1));
        assert_eq!((partition_of(place(7, 123)), offset_of(place(7, 123))), (7, 123));
    }
}
