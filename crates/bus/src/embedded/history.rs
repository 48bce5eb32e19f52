//! Goes back in `outcomes`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::{Core, Topic};
use super::record::Front;
use crate::types::after;
use crate::{Error, History, Partition, Start};

/// Reads partitions of `outcomes` back. A transaction is seen whole or not at all, so there is none to wait for.
pub struct EmbeddedHistory {
    core: Arc<Core>,
    /// Each partition with the next offset to read and where it ended when it was asked.
    cursors: Vec<(Partition, u64, u64)>,
}

impl EmbeddedHistory {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, cursors: Vec::new() }
    }
}

impl History for EmbeddedHistory {
    fn begin(&mut self, partitions: &[Partition], start: Start, _timeout: Duration) -> Result<(), Error> {
        let ends = self.core.ends(Topic::Outcomes).get();
        self.cursors.clear();
        for &partition in partitions {
            let end = ends.get(partition as usize).copied().unwrap_or(0);
            let mut from = end;
            self.core.scan_back(Topic::Outcomes, partition, end, |offset, record| {
                let before = match start {
                    Start::Since(since_ms) => Front::of(record).i64()? < since_ms,
                    Start::Last(offsets) => offset + u64::from(offsets) < end,
                };
                if before {
                    return Ok(ControlFlow::Break(()));
                }
                from = offset;
                Ok(ControlFlow::Continue(()))
            })?;
            self.cursors.push((partition, from, end));
        }
        Ok(())
    }

    fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Partition, &[u8])) -> Result<bool, Error> {
        let deadline = after(wait);
        for (partition, cursor, end) in &mut self.cursors {
            while *cursor < *end {
                let mut at = [(*partition, *cursor)];
                self.core.scan(Topic::Outcomes, &mut at, |partition, _, record| {
                    each(partition, value(record)?);
                    let enough = Instant::now() >= deadline;
                    Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                })?;
                *cursor = at[0].1;
                if Instant::now() >= deadline && *cursor < *end {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn follow(&mut self, wait: Duration, each: &mut dyn FnMut(Partition, &[u8])) -> Result<(), Error> {
        let deadline = after(wait);
        let at: Vec<_> = self.cursors.iter().map(|&(partition, cursor, _)| (partition, cursor)).collect();
        let ends = self.core.ends(Topic::Outcomes);
        if !ends.wait_beyond(&at, deadline) {
            return Ok(());
        }
        let next = ends.get();
        for (partition, _, end) in &mut self.cursors {
            *end = next.get(*partition as usize).copied().unwrap_or(0);
        }
        self.poll(wait, each).map(drop)
    }
}

/// The value of a result.
fn value(record: &[u8]) -> Result<&[u8], Error> {
    let mut front = Front::of(record);
    // Timestamp, moment of the decision; then the source's partition, offset and part.
    let _ = (front.i64()?, front.i64()?, front.i32()?, front.i64()?, front.u32()?);
    let lengths = [front.u32()?, front.u32()?, front.u32()?];
    for length in lengths {
        front.bytes(length as usize)?;
    }
    Ok(front.rest())
}
