//! The member of the group, and where it reads: the client's own thread and what the worker asks of it.

use crate::kafka::Cluster;
use crate::kafka::group::{MemberId, Pulse};
use crate::kafka::log::Fate;
use crate::shadow::JobRef;
use crate::{Ms, PARTITIONS_MAX};
use std::collections::VecDeque;
use tamis_bus::Partition;

/// A change of the assignment, told and not answered yet.
#[derive(Debug)]
pub(crate) enum Asked {
    Assign(Vec<Partition>),
    Revoke,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Out,
    Joining,
    In,
    /// Waits for the worker to give its partitions back.
    Leaving,
}

/// A record that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) partition: Partition,
    pub(crate) offset: i64,
    pub(crate) job: JobRef,
}

/// The consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    standing: Standing,
    member: MemberId,
    generation: i64,
    pub(crate) asked: VecDeque<Asked>,
    /// Told of a rebalance and not answered: what comes in between is of an assignment that ends.
    unanswered: bool,
    pub(crate) assigned: Vec<Partition>,
    /// `None` until the committed offset was had.
    position: [Option<i64>; PARTITIONS_MAX],
    pub(crate) paused: bool,
}

impl Consumer {
    pub(crate) fn new() -> Self {
        Self {
            standing: Standing::Out,
            member: 0,
            generation: -1,
            asked: VecDeque::new(),
            unanswered: false,
            assigned: Vec::new(),
            position: [None; PARTITIONS_MAX],
            paused: false,
        }
    }

    pub(crate) fn member(&self) -> MemberId {
        self.member
    }

    /// What the group knows this member by, as of now.
    pub(crate) fn metadata(&self) -> (MemberId, i64) {
        (self.member, self.generation)
    }

    /// The client's own thread: joins, beats, hears of rebalances. Whether anything changed.
    pub(crate) fn beat(&mut self, cluster: &mut Cluster, now: Ms) -> bool {
        let group = &mut cluster.group;
        match self.standing {
            Standing::Out => {
                self.member = group.join(self.member, now);
                self.standing = Standing::Joining;
                true
            }
            Standing::Joining => {
                if let Some((generation, partitions)) = group.sync(self.member) {
                    self.generation = generation;
                    self.asked.push_back(Asked::Assign(partitions.to_vec()));
                    self.standing = Standing::In;
                    return true;
                }
                if !group.knows(self.member) {
                    self.standing = Standing::Out;
                    return true;
                }
                false
            }
            Standing::In => match group.heartbeat(self.member, self.generation, now) {
                Pulse::Good => false,
                Pulse::Rebalance => self.leave(false),
                Pulse::Unknown => self.leave(true),
            },
            Standing::Leaving => {
                if self.member != 0 && group.heartbeat(self.member, self.generation, now) == Pulse::Unknown {
                    self.member = 0;
                }
                false
            }
        }
    }

    fn leave(&mut self, lost: bool) -> bool {
        if lost {
            self.member = 0;
        }
        self.asked.push_back(Asked::Revoke);
        self.standing = Standing::Leaving;
        true
    }

    /// The next change that the worker is told of.
    pub(crate) fn told(&mut self) -> Option<Asked> {
        let asked = self.asked.pop_front()?;
        self.unanswered = true;
        Some(asked)
    }

    pub(crate) fn assign(&mut self, partitions: &[Partition]) {
        self.assigned = partitions.to_vec();
        self.position = [None; PARTITIONS_MAX];
        self.unanswered = false;
    }

    pub(crate) fn unassign(&mut self) {
        self.assigned.clear();
        self.position = [None; PARTITIONS_MAX];
        self.unanswered = false;
        if self.standing == Standing::Leaving {
            self.standing = Standing::Out;
        }
    }

    /// Where it stands, one past what was read.
    pub(crate) fn position(&self, partition: Partition) -> Option<i64> {
        self.position[partition as usize]
    }

    /// Puts the first `count` partitions back to their committed offsets, which `ask` tells; false when one cannot be had.
    pub(crate) fn rewind(
        &mut self,
        count: usize,
        seek: bool,
        ask: &mut dyn FnMut(Partition) -> Option<i64>,
    ) -> bool {
        for &partition in self.assigned.iter().take(count) {
            let Some(committed) = ask(partition) else { return false };
            let position = &mut self.position[partition as usize];
            if seek || position.is_none() {
                *position = Some(committed);
            }
        }
        true
    }

    /// Reads up to `most` records of the partitions assigned, beginning with one of them.
    pub(crate) fn read(&mut self, cluster: &Cluster, first: usize, most: u64, committed: bool) -> Vec<Read> {
        let mut records = Vec::new();
        if self.unanswered || self.assigned.is_empty() {
            return records;
        }
        for turn in 0..self.assigned.len() {
            let partition = self.assigned[(first + turn) % self.assigned.len()];
            let log = &cluster.jobs[partition as usize];
            let position = &mut self.position[partition as usize];
            if position.is_none() {
                *position = cluster.group.committed(partition, committed);
            }
            let Some(position) = position else { continue };
            // Out of range: `auto.offset.reset` is the earliest.
            *position = (*position).max(log.start);
            let end = if committed { log.stable() } else { log.end() };
            while *position < end && (records.len() as u64) < most {
                let entry = log.at(*position).expect("it is before the end");
                let given = if committed { entry.fate.is_readable() } else { entry.fate != Fate::Marker };
                if given {
                    records.push(Read { partition, offset: *position, job: entry.value });
                }
                *position += 1;
            }
        }
        records
    }

    /// Whether a poll would bring records.
    pub(crate) fn has_records(&self, cluster: &Cluster) -> bool {
        !self.unanswered
            && self.assigned.iter().any(|partition| {
                let log = &cluster.jobs[*partition as usize];
                let from = self.position[*partition as usize].unwrap_or(0).max(log.start);
                (from..log.stable()).any(|offset| log.at(offset).is_some_and(|e| e.fate.is_readable()))
            })
    }
}
