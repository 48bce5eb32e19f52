//! Reading jobs: every worker has its partitions for good, so there is nothing to rebalance.

use std::cell::{Cell, RefCell};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::core::{Core, Topic};
use super::record::Front;
use crate::types::after;
use crate::{Batch, Error, JobRecord, Jobs, Partition, Polled, ReadLimits};

/// Buffers kept for the next batches: one is read while another is decided.
const BUFFERS_KEPT: usize = 2;
/// Pause between two looks while a batch fills: a look costs a few µs, and fill times are some ms.
const FILL_STEP: Duration = Duration::from_millis(1);

/// What one read brought, with the memory it lies in.
#[derive(Default)]
struct Buffer {
    arena: Vec<u8>,
    records: Vec<(Partition, i64, i64, Range<usize>)>,
}

/// A member of the router's group: partitions `worker`, `worker + workers`, and so on.
pub struct EmbeddedJobs {
    core: Arc<Core>,
    own: Vec<Partition>,
    told: Cell<bool>,
    paused: Cell<bool>,
    /// Assigned partitions, each with its next offset to read. The first one is read first, then goes last.
    cursors: RefCell<Vec<(Partition, u64)>>,
    spare: RefCell<Vec<Buffer>>,
}

impl EmbeddedJobs {
    pub(super) fn new(core: Arc<Core>, worker: u16) -> Self {
        let own = (u32::from(worker)..core.config.partitions).step_by(usize::from(core.config.workers));
        Self {
            own: own.map(|partition| partition as Partition).collect(),
            core,
            told: Cell::new(false),
            paused: Cell::new(false),
            cursors: RefCell::default(),
            spare: RefCell::default(),
        }
    }

    /// Reads on until a limit of `limits` is reached; returns whether one is.
    fn read(&self, buffer: &mut Buffer, limits: &ReadLimits) -> Result<bool, Error> {
        let mut full = false;
        let mut cursors = self.cursors.borrow_mut();
        let share = limits.bytes_max.saturating_sub(buffer.arena.len()) / cursors.len().max(1);
        // First a fair share each, then what is left to whoever has more.
        for bytes in [share, usize::MAX] {
            for cursor in cursors.iter_mut() {
                let until = buffer.arena.len().saturating_add(bytes);
                self.core.scan(Topic::Jobs, std::slice::from_mut(cursor), |partition, offset, record| {
                    let mut front = Front::of(record);
                    let timestamp_ms = front.i64()?;
                    let from = buffer.arena.len();
                    buffer.arena.extend_from_slice(front.rest());
                    let range = from..buffer.arena.len();
                    buffer.records.push((partition, offset as i64, timestamp_ms, range));
                    full =
                        buffer.arena.len() >= limits.bytes_max || buffer.records.len() >= limits.records_max;
                    let enough = full || buffer.arena.len() >= until;
                    Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                })?;
                if full {
                    cursors.rotate_left(1);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn fill(&self, buffer: &mut Buffer, limits: &ReadLimits) -> Result<(), Error> {
        let deadline = after(limits.fill);
        while !self.read(buffer, limits)? && Instant::now() < deadline {
            thread::sleep(FILL_STEP.min(deadline.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }
}

impl Jobs for EmbeddedJobs {
    type Batch<'a> = EmbeddedBatch<'a>;

    fn poll(&self, limits: &ReadLimits) -> Result<Polled<EmbeddedBatch<'_>>, Error> {
        if !self.told.replace(true) {
            return Ok(Polled::Assigned(self.own.clone()));
        }
        let deadline = after(limits.wait);
        if self.paused.get() {
            thread::sleep(limits.wait);
            return Ok(Polled::Idle);
        }
        if !self.core.ends(Topic::Jobs).wait_beyond(&self.cursors.borrow(), deadline) {
            return Ok(Polled::Idle);
        }
        let buffer = self.spare.borrow_mut().pop().unwrap_or_default();
        let mut batch = EmbeddedBatch { jobs: self, buffer };
        let before = self.cursors.borrow().clone();
        if let Err(error) = self.fill(&mut batch.buffer, limits) {
            // Nothing is handed on, so nothing was read.
            *self.cursors.borrow_mut() = before;
            return Err(error);
        }
        Ok(if batch.is_empty() { Polled::Idle } else { Polled::Batch(batch) })
    }

    fn assign(&self, partitions: &[Partition]) -> Result<(), Error> {
        let committed = self.core.committed()?;
        let known = partitions.iter().filter(|partition| self.own.contains(partition));
        let cursors = known.map(|&partition| (partition, committed[partition as usize]));
        *self.cursors.borrow_mut() = cursors.collect();
        Ok(())
    }

    fn unassign(&self) -> Result<(), Error> {
        self.cursors.borrow_mut().clear();
        Ok(())
    }

    fn rewind(&self, _timeout: Duration) -> Result<Vec<(Partition, Option<i64>)>, Error> {
        let committed = self.core.committed()?;
        let mut cursors = self.cursors.borrow_mut();
        for (partition, cursor) in cursors.iter_mut() {
            *cursor = committed[*partition as usize];
        }
        // 0 is what the store says where nothing was committed yet.
        let offset = |cursor: u64| (cursor > 0).then_some(cursor as i64);
        Ok(cursors.iter().map(|&(partition, cursor)| (partition, offset(cursor))).collect())
    }

    fn pause(&self) -> Result<(), Error> {
        self.paused.set(true);
        Ok(())
    }

    fn resume(&self) -> Result<(), Error> {
        self.paused.set(false);
        Ok(())
    }

    fn lag_records(&self) -> Option<u64> {
        let ends = self.core.ends(Topic::Jobs).get();
        let cursors = self.cursors.borrow();
        Some(cursors.iter().map(|&(partition, cursor)| ends[partition as usize].saturating_sub(cursor)).sum())
    }
}

/// Jobs that were read together, in memory of their own.
pub struct EmbeddedBatch<'a> {
    jobs: &'a EmbeddedJobs,
    buffer: Buffer,
}

impl std::fmt::Debug for EmbeddedBatch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedBatch").field("records", &self.buffer.records.len()).finish_non_exhaustive()
    }
}

impl Batch for EmbeddedBatch<'_> {
    fn records(&self) -> impl Iterator<Item = JobRecord<'_>> {
        self.buffer.records.iter().map(|(partition, offset, timestamp_ms, value)| JobRecord {
            partition: *partition,
            offset: *offset,
            timestamp_ms: *timestamp_ms,
            value: Some(&self.buffer.arena[value.clone()]),
            traceparent: None,
            tracestate: None,
        })
    }

    fn len(&self) -> usize {
        self.buffer.records.len()
    }
}

impl Drop for EmbeddedBatch<'_> {
    fn drop(&mut self) {
        let mut spare = self.jobs.spare.borrow_mut();
        if spare.len() < BUFFERS_KEPT {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.arena.clear();
            buffer.records.clear();
            spare.push(buffer);
        }
    }
}
