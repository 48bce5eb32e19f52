//! Group commit: what was submitted while one transaction was synced goes into the next one together. The same
//! thread sweeps what is older than the retention.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use tamis_campaign::Channel;
use tracing::{debug, warn};
use xxhash_rust::xxh3::xxh3_64;

use super::core::{Core, Parts, Topic, Write, fault, now_ms, place};
use super::keys::{Keys, Open};
use super::record::{Fill, Front};
use super::scrub::scrub;
use crate::{Acked, Blame, Error, KeyedRecord, Positions, Recorder, Scheduler};

/// Most bytes in one transaction: 8 MiB is synced in about 10 ms (`benches/store.rs`).
const GROUP_BYTES: usize = 8 << 20;
/// The same where suppressions are written, four times as much: their keys lie scattered over the whole store, and each
/// transaction writes the pages anew that it touches.
const SUPPRESSIONS_GROUP_BYTES: usize = 32 << 20;
/// Suppressions of one call at most whose keys are merged in at once: as many as a call of the API has.
const MERGED_AT_ONCE: usize = 1_000;
/// How often what came in bulk is begun to be merged in, if it did not come to it by itself.
const MERGE_EVERY: Duration = Duration::from_secs(30);
/// Most bytes that wait to be written; beyond it a submission is refused at once.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Most records that one sweep takes from a partition, so that it holds up nobody for long.
const SWEEP_RECORDS: usize = 10_000;

/// How often the pages of deleted records are overwritten, if there are new ones.
const SCRUB_EVERY: Duration = Duration::from_secs(60);
/// Pages that are overwritten at the end at most, 256 MiB: it must be over within the time that a drain has.
const SCRUB_LAST_PAGES: u64 = 65_536;

enum Work {
    Job { partition: u32, value: Vec<u8> },
    Suppressions(Vec<KeyedRecord>),
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Self::Job { value, .. } => value.len() + 64,
            Self::Suppressions(records) => {
                records.iter().map(|r| r.key.len() + r.value.as_ref().map_or(0, Vec::len) + 64).sum()
            }
        }
    }
}

struct Submission {
    work: Work,
    acked: Acked,
}

/// The thread that writes jobs and suppression records. It ends, with everything written, when this is dropped.
pub(super) struct Writer {
    sender: Option<Sender<Submission>>,
    waiting_bytes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(core: Arc<Core>) -> Result<Self, Error> {
        let (sender, receiver) = unbounded();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let waiting = Arc::clone(&waiting_bytes);
        let thread = thread::Builder::new()
            .name("bus-writer".to_owned())
            .spawn(move || run(&core, &receiver, &waiting))
            .map_err(|e| Error::new("start writer", Blame::Unreachable, e.to_string()))?;
        Ok(Self { sender: Some(sender), waiting_bytes, thread: Some(thread) })
    }

    fn submit(&self, work: Work, acked: Acked) {
        let bytes = work.bytes();
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let verb = "submit";
        if waiting > WAITING_BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return acked(Err(Error::new(verb, Blame::Unreachable, "too much waits to be written")));
        }
        let sender = self.sender.as_ref().expect("taken only by drop");
        if let Err(refused) = sender.send(Submission { work, acked }) {
            let error = Error::new(verb, Blame::Internal, "the writer has stopped");
            (refused.into_inner().acked)(Err(error));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.sender.take());
        // The last holder may be an ack, which is called on the writer's own thread: it can't wait for itself.
        if let Some(thread) = self.thread.take().filter(|t| t.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

fn run(core: &Core, receiver: &Receiver<Submission>, waiting_bytes: &AtomicUsize) {
    let retention_ms = core.config.deliveries_retention_ms;
    let sweep_every = Duration::from_millis((retention_ms / 10).clamp(100, 60_000));
    let mut sweep_at = Instant::now() + sweep_every;
    let mut scrub_at = Instant::now() + SCRUB_EVERY;
    let mut merge_at = Instant::now() + MERGE_EVERY;
    let mut keys = None;
    loop {
        let next = sweep_at.min(scrub_at).min(merge_at);
        let is_behind = keys.as_ref().is_some_and(Keys::is_behind);
        match receiver.recv_deadline(if is_behind { Instant::now() } else { next }) {
            Ok(first) => {
                let mut group = vec![first];
                let mut bytes = group[0].work.bytes();
                let most = match &group[0].work {
                    Work::Job { .. } => GROUP_BYTES,
                    Work::Suppressions(_) => SUPPRESSIONS_GROUP_BYTES,
                };
                while bytes < most {
                    let Ok(next) = receiver.try_recv() else { break };
                    bytes += next.work.bytes();
                    group.push(next);
                }
                commit_group(core, &mut keys, group);
                waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => merge(core, &mut keys),
            Err(RecvTimeoutError::Disconnected) => {
                // What waits still, and what comes after it.
                for _ in 0..2 {
                    while keys.as_ref().is_some_and(Keys::is_behind) {
                        merge(core, &mut keys);
                    }
                    begin_merging(core, &mut keys);
                }
                return overwrite(core, SCRUB_LAST_PAGES);
            }
        }
        if Instant::now() >= merge_at {
            begin_merging(core, &mut keys);
            merge_at = Instant::now() + MERGE_EVERY;
        }
        if Instant::now() >= scrub_at {
            overwrite(core, u64::MAX);
            scrub_at = Instant::now() + SCRUB_EVERY;
        }
        if Instant::now() >= sweep_at {
            if retention_ms > 0
                && let Err(error) = sweep(core, retention_ms)
            {
                warn!(%error, "could not delete expired records");
            }
            sweep_at = Instant::now() + sweep_every;
        }
    }
}

/// Merges some keys in that wait for it. After a failure they are read from the log again.
fn merge(core: &Core, keys: &mut Option<Keys>) {
    if let Some(waiting) = keys.as_mut().filter(|keys| keys.is_behind())
        && let Err(error) = waiting.idle(core)
    {
        warn!(%error, "could not merge keys of suppressions");
        *keys = None;
    }
}

fn begin_merging(core: &Core, keys: &mut Option<Keys>) {
    if let Some(keys) = keys {
        keys.begin(&core.ends(Topic::Suppressions).get());
    }
}

/// Overwrites what was deleted; what fails is tried again the next time.
fn overwrite(core: &Core, pages_max: u64) {
    let begun = Instant::now();
    match scrub(core, pages_max) {
        Ok(pages) => debug!(pages, took_ms = begun.elapsed().as_millis() as u64, "free pages overwritten"),
        Err(error) => warn!(%error, "could not overwrite free pages"),
    }
}

/// Writes a group in one transaction, then acks each of it.
fn commit_group(core: &Core, keys: &mut Option<Keys>, group: Vec<Submission>) {
    let written = write_group(core, keys, &group);
    match written {
        Ok(positions) => {
            for (submission, positions) in group.into_iter().zip(positions) {
                (submission.acked)(Ok(positions));
            }
        }
        Err(error) => {
            // They know of records that are not there.
            *keys = None;
            group.into_iter().for_each(|submission| (submission.acked)(Err(error.clone())));
        }
    }
}

fn write_group(core: &Core, keys: &mut Option<Keys>, group: &[Submission]) -> Result<Vec<Positions>, Error> {
    if keys.is_none() && group.iter().any(|submission| matches!(submission.work, Work::Suppressions(_))) {
        *keys = Some(Keys::load(core)?);
    }
    core.write(|write| {
        let timestamp_ms = now_ms();
        let mut bulk = 0;
        let mut positions = Vec::with_capacity(group.len());
        for submission in group {
            positions.push(match &submission.work {
                Work::Job { partition, value } => {
                    append_job(write, *partition, value, timestamp_ms)?;
                    Positions::default()
                }
                Work::Suppressions(records) => {
                    let keys = keys.as_mut().expect("loaded above");
                    let is_bulk = records.len() > MERGED_AT_ONCE;
                    bulk += if is_bulk { records.len() } else { 0 };
                    append_suppressions(write, keys, records, (timestamp_ms, is_bulk))?
                }
            });
        }
        if let Some(keys) = keys.as_mut().filter(|_| bulk > 0) {
            let Parts { transaction, next, .. } = write.parts(Topic::Suppressions);
            keys.keep_up(transaction, bulk, next)?;
        }
        Ok(positions)
    })
}

fn append_job(write: &mut Write, partition: u32, value: &[u8], timestamp_ms: i64) -> Result<(), Error> {
    let at = place(partition, write.take(Topic::Jobs, partition));
    let mut jobs = write.transaction.open_table(Topic::Jobs.records()).map_err(|e| fault("append job", e))?;
    let mut stored = jobs.insert_reserve(at, 8 + value.len()).map_err(|e| fault("append job", e))?;
    Fill::new(stored.as_mut()).put(&timestamp_ms.to_le_bytes()).put(value);
    Ok(())
}

fn append_suppressions(
    write: &mut Write,
    keys: &mut Keys,
    records: &[KeyedRecord],
    how: (i64, bool),
) -> Result<Positions, Error> {
    let Parts { transaction, next, deleted } = write.parts(Topic::Suppressions);
    let mut positions = vec![-1; next.len()];
    // Opened once: an import hands over thousands of records together.
    let mut open = Open::new(transaction)?;
    for record in records {
        let partition = record.partition as usize;
        let partitions = next.len();
        let Some(next) = next.get_mut(partition) else {
            let detail = format!("partition {partition} of {partitions}");
            return Err(Error::new("append suppression", Blame::Internal, detail));
        };
        let gone = append_suppression(&mut open, keys, record, how, next)
            .map_err(|error| fault("append suppression", error))?;
        deleted.set(deleted.get() | gone);
        positions[partition] = *next as i64;
    }
    Ok(Positions::new(positions))
}

/// Writes one record and deletes the one it replaces, in `bulk` a while later. A tombstone only deletes, for good: whoever has
/// not read what it deletes passes over a gap there, as over one that was replaced. Answers whether something was deleted that
/// must be overwritten.
fn append_suppression(
    open: &mut Open<'_>,
    keys: &mut Keys,
    record: &KeyedRecord,
    (timestamp_ms, bulk): (i64, bool),
    next: &mut u64,
) -> Result<bool, redb::StorageError> {
    let partition = record.partition as u32;
    let hash = keys.hash(partition, &record.key);
    if let Some(last) = record.unless_after
        && keys.is_after(open, hash, partition, last)?
    {
        return Ok(false);
    }
    let Some(value) = &record.value else {
        keys.forget(open, hash)?;
        return Ok(true);
    };
    let at = place(partition, *next);
    *next += 1;
    if bulk {
        keys.note(open, hash, at)?;
    } else {
        keys.put(open, hash, at)?;
    }
    let mut stored = open.log.insert_reserve(at, 8 + 4 + record.key.len() + value.len())?;
    Fill::new(stored.as_mut())
        .put(&timestamp_ms.to_le_bytes())
        .length(record.key.len())
        .put(&record.key)
        .put(value);
    Ok(false)
}

/// Deletes deliveries and dead letters that are older than the retention. Timestamps rise with the offsets, so
/// the first one that stays ends it.
fn sweep(core: &Core, retention_ms: u64) -> Result<(), Error> {
    let oldest_ms = now_ms().saturating_sub_unsigned(retention_ms);
    let deliveries = Channel::ALL.iter().map(|channel| Topic::Deliveries(*channel));
    for topic in deliveries.chain([Topic::DeadLetters]) {
        for partition in 0..core.config.partitions {
            let mut keep_from = 0;
            let mut seen = 0;
            core.scan(topic, &mut [(partition as i32, 0)], |_, offset, record| {
                if Front::of(record).i64()? >= oldest_ms || seen == SWEEP_RECORDS {
                    return Ok(ControlFlow::Break(()));
                }
                seen += 1;
                keep_from = offset + 1;
                Ok(ControlFlow::Continue(()))
            })?;
            if keep_from > 0 {
                core.write(|write| write.delete_before(topic, partition, keep_from))?;
            }
        }
    }
    Ok(())
}

/// The durable writer of suppression records.
pub struct EmbeddedRecorder {
    writer: Arc<Writer>,
    partitions: u32,
}

impl EmbeddedRecorder {
    pub(super) fn new(writer: Arc<Writer>, partitions: u32) -> Self {
        Self { writer, partitions }
    }
}

impl Recorder for EmbeddedRecorder {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked) {
        // Checked before it joins a group: one bad record must not fail the others'.
        if records.iter().any(|record| record.partition < 0 || record.partition as u32 >= self.partitions) {
            return acked(Err(Error::new("append suppression", Blame::Internal, "no such partition")));
        }
        self.writer.submit(Work::Suppressions(records), acked);
    }
}

/// The durable writer of jobs.
pub struct EmbeddedScheduler {
    writer: Arc<Writer>,
    partitions: u32,
}

impl EmbeddedScheduler {
    pub(super) fn new(writer: Arc<Writer>, partitions: u32) -> Self {
        Self { writer, partitions }
    }
}

impl Scheduler for EmbeddedScheduler {
    fn submit(&self, job_id: &str, value: Vec<u8>, acked: Acked) {
        let partition = (xxh3_64(job_id.as_bytes()) % u64::from(self.partitions)) as u32;
        self.writer.submit(Work::Job { partition, value }, acked);
    }
}
