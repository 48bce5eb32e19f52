//! Group commit: what was submitted while one transaction was synced goes into the next one together. The same
//! thread sweeps what is older than the retention.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use redb::{ReadableTable as _, Table};
use tamis_campaign::Channel;
use tracing::{debug, warn};
use xxhash_rust::xxh3::xxh3_64;

use super::core::{Core, KEYS, Parts, Topic, Write, fault, now_ms, offset_of, place};
use super::record::{Fill, Front};
use super::scrub::scrub;
use crate::{Acked, Blame, Error, KeyedRecord, Positions, Recorder, Scheduler};

/// Most bytes in one transaction: 8 MiB is synced in about 10 ms (`benches/store.rs`).
const GROUP_BYTES: usize = 8 << 20;
/// The same where suppressions are written, four times as much: their keys lie scattered over the whole store, and each
/// transaction writes the pages anew that it touches.
const SUPPRESSIONS_GROUP_BYTES: usize = 32 << 20;
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
    loop {
        match receiver.recv_deadline(sweep_at.min(scrub_at)) {
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
                commit_group(core, group);
                waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return overwrite(core, SCRUB_LAST_PAGES),
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

/// Overwrites what was deleted; what fails is tried again the next time.
fn overwrite(core: &Core, pages_max: u64) {
    let begun = Instant::now();
    match scrub(core, pages_max) {
        Ok(pages) => debug!(pages, took_ms = begun.elapsed().as_millis() as u64, "free pages overwritten"),
        Err(error) => warn!(%error, "could not overwrite free pages"),
    }
}

/// Writes a group in one transaction, then acks each of it.
fn commit_group(core: &Core, group: Vec<Submission>) {
    let partitions = core.config.partitions as usize;
    let written = core.write(|write| {
        let timestamp_ms = now_ms();
        group.iter().map(|submission| append(write, &submission.work, timestamp_ms, partitions)).collect()
    });
    match written {
        Ok(positions) => {
            let positions: Vec<Positions> = positions;
            for (submission, positions) in group.into_iter().zip(positions) {
                (submission.acked)(Ok(positions));
            }
        }
        Err(error) => {
            let error: Error = error;
            group.into_iter().for_each(|submission| (submission.acked)(Err(error.clone())));
        }
    }
}

fn append(write: &mut Write, work: &Work, timestamp_ms: i64, partitions: usize) -> Result<Positions, Error> {
    match work {
        Work::Job { partition, value } => {
            let at = place(*partition, write.take(Topic::Jobs, *partition));
            let mut jobs =
                write.transaction.open_table(Topic::Jobs.records()).map_err(|e| fault("append job", e))?;
            let mut stored = jobs.insert_reserve(at, 8 + value.len()).map_err(|e| fault("append job", e))?;
            Fill::new(stored.as_mut()).put(&timestamp_ms.to_le_bytes()).put(value);
            Ok(Positions::default())
        }
        Work::Suppressions(records) => {
            let mut positions = vec![-1; partitions];
            let Parts { transaction, next, deleted } = write.parts(Topic::Suppressions);
            let fault = |error: redb::Error| fault("append suppression", error);
            // Opened once: an import hands over thousands of records together.
            let mut keys = transaction.open_table(KEYS).map_err(|e| fault(e.into()))?;
            let mut log =
                transaction.open_table(Topic::Suppressions.records()).map_err(|e| fault(e.into()))?;
            for record in records {
                let partition = record.partition as usize;
                let Some(next) = next.get_mut(partition).filter(|_| partition < partitions) else {
                    let detail = format!("partition {partition} of {partitions}");
                    return Err(Error::new("append suppression", Blame::Internal, detail));
                };
                let gone = append_suppression(&mut keys, &mut log, record, timestamp_ms, next)
                    .map_err(|error| fault(error.into()))?;
                deleted.set(deleted.get() | gone);
                positions[partition] = *next as i64;
            }
            Ok(Positions::new(positions))
        }
    }
}

/// Writes one record and deletes the one it replaces. A tombstone only deletes, for good: whoever has not read what it
/// deletes passes over a gap there, as over one that was replaced. Answers whether something was deleted that must be overwritten.
fn append_suppression(
    keys: &mut Table<'_, &'static [u8], u64>,
    log: &mut Table<'_, u64, &'static [u8]>,
    record: &KeyedRecord,
    timestamp_ms: i64,
    next: &mut u64,
) -> Result<bool, redb::StorageError> {
    let partition = record.partition as u32;
    let mut key = (partition as u16).to_be_bytes().to_vec();
    key.extend_from_slice(&record.key);
    if let Some(last) = record.unless_after {
        let known = keys.get(key.as_slice())?.map(|place| place.value());
        if known.is_some_and(|place| i64::try_from(offset_of(place)).is_ok_and(|at| at > last)) {
            return Ok(false);
        }
    }
    let Some(value) = &record.value else {
        let earlier = keys.remove(key.as_slice())?.map(|place| place.value());
        if let Some(earlier) = earlier {
            log.remove(earlier)?;
        }
        return Ok(true);
    };
    let at = place(partition, *next);
    *next += 1;
    let earlier = keys.insert(key.as_slice(), at)?.map(|place| place.value());
    if let Some(earlier) = earlier {
        log.remove(earlier)?;
    }
    let length = 8 + 4 + record.key.len() + value.len();
    let mut stored = log.insert_reserve(at, length)?;
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
