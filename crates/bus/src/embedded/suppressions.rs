//! Reading the suppression log, and asking how far it has got.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Topic};
use super::record::Front;
use crate::types::after;
use crate::{EndOffsets, Error, Follower, LogRecord, Partition, Positions};

/// The question of the barrier: answered from memory, which is never behind an ack.
pub struct EmbeddedEndOffsets {
    core: Arc<Core>,
}

impl EmbeddedEndOffsets {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl EndOffsets for EmbeddedEndOffsets {
    fn ask(&mut self, _timeout: Duration) -> Result<Positions, Error> {
        let ends = self.core.ends(Topic::Suppressions).get();
        Ok(Positions::new(ends.into_iter().map(|end| end as i64).collect()))
    }
}

/// A reader of the suppression log from a position on.
pub struct EmbeddedFollower {
    core: Arc<Core>,
    cursors: Vec<(Partition, u64)>,
}

impl EmbeddedFollower {
    pub(super) fn open(core: Arc<Core>, from: &Positions) -> Result<Self, Error> {
        from.check("open suppression log", core.config.partitions)?;
        let cursors = (0..).zip(from.as_slice()).map(|(partition, next)| (partition, *next as u64)).collect();
        Ok(Self { core, cursors })
    }

    /// Whether it stands beyond the log's end: its position is of another store, or of a later state of this one.
    fn is_beyond(&self) -> bool {
        let ends = self.core.ends(Topic::Suppressions).get();
        self.cursors.iter().zip(ends).any(|((_, cursor), end)| *cursor > end)
    }
}

impl Follower for EmbeddedFollower {
    fn poll(
        &mut self,
        wait: Duration,
        most: usize,
        each: &mut dyn FnMut(LogRecord<'_>),
    ) -> Result<usize, Error> {
        if self.is_beyond() {
            return Err(Error::truncated());
        }
        if !self.core.ends(Topic::Suppressions).wait_beyond(&self.cursors, after(wait)) {
            return Ok(0);
        }
        let mut count = 0;
        self.core.scan(Topic::Suppressions, &mut self.cursors, |partition, offset, record| {
            let (timestamp_ms, key, value) = Front::of_suppression(record)?;
            each(LogRecord { partition, offset: offset as i64, timestamp_ms, key, value: Some(value) });
            count += 1;
            Ok(if count >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(count)
    }
}
