//! The filter, and the thread that follows the suppression log into it.

use crate::kafka::Cluster;
use crate::kafka::log::index;
use crate::kafka::suppressions::{Says, Suppressions};
use crate::shadow::Ends;
use crate::{Ms, People, SUPPRESSIONS_MAX};
use tamis_bus::Positions;
use tamis_pipeline::control::Reach;

/// What is applied, and to where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    pub(crate) in_force: People,
    /// One past the last record applied. Markers are not seen, so they are not counted.
    pub(crate) position: Ends,
    /// How often it has passed over offsets without a record.
    pub(crate) gaps: u64,
}

/// A filter as it was written down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshot {
    pub(crate) filter: Filter,
    pub(crate) taken_at: Ms,
}

impl Filter {
    pub(crate) fn new() -> Self {
        Self { in_force: 0, position: [0; SUPPRESSIONS_MAX], gaps: 0 }
    }

    pub(crate) fn reach(&self, partitions: usize) -> Reach {
        Reach { position: Positions::new(self.position[..partitions].to_vec()), gaps: self.gaps }
    }

    /// Whether there is something to read that a reader is given.
    pub(crate) fn is_behind(&self, cluster: &Cluster) -> bool {
        cluster.suppressions.iter().enumerate().any(|(p, log)| next(log, self.position[p]).is_some())
    }

    /// Applies up to `most` records of a partition, in order. Whether there was one.
    pub(crate) fn follow(&mut self, partition: usize, log: &Suppressions, most: u64) -> bool {
        let mut moved = false;
        for _ in 0..most {
            let Some(offset) = next(log, self.position[partition]) else { break };
            let entry = log.kept[index(offset)].expect("`next` finds records only");
            match entry.says {
                Says::InForce => self.in_force |= 1 << entry.person,
                Says::Lifted => self.in_force &= !(1 << entry.person),
                Says::Tombstone | Says::Heartbeat | Says::Marker => {}
            }
            self.gaps += u64::from(self.position[partition] < offset);
            self.position[partition] = offset + 1;
            moved = true;
        }
        moved
    }
}

/// The first record from `position` on: what was compacted away and markers are passed over.
fn next(log: &Suppressions, position: i64) -> Option<i64> {
    (position..log.readable)
        .find(|offset| log.kept[index(*offset)].is_some_and(|entry| entry.says != Says::Marker))
}
