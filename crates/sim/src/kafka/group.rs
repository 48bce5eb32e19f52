//! The group coordinator: generations, members, eager rebalances, and the group's offsets with those that
//! transactions still hold (KIP-447).

use crate::kafka::log::Producer;
use crate::{Ms, PARTITIONS_MAX};
use tamis_bus::Partition;

/// Names a member; 0 is nobody.
pub(crate) type MemberId = u32;

/// A member not heard of for so long is put out, ms (`session.timeout.ms`, scaled to the model's clock).
const SESSION_MS: Ms = 3_000;
/// How long members have to join again in a rebalance, ms.
const REBALANCE_MS: Ms = 2_000;

/// Commits that a coordinator which has just moved may not know of.
pub(crate) const EARLIER: usize = 3;

/// What a heartbeat is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulse {
    Good,
    Rebalance,
    Unknown,
}

#[derive(Debug)]
struct Member {
    id: MemberId,
    heard_at: Ms,
    joined: bool,
    assignment: Vec<Partition>,
}

/// The router's group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) generation: i64,
    members: Vec<Member>,
    /// Set while members are waited for.
    rebalancing: Option<Ms>,
    next_id: MemberId,
    partitions: usize,
    committed: [i64; PARTITIONS_MAX],
    /// What was committed before, the newest last.
    earlier: [[i64; EARLIER]; PARTITIONS_MAX],
    pending: Vec<(Producer, Partition, i64)>,
}

impl Group {
    pub(crate) fn new(partitions: usize) -> Self {
        Self {
            generation: 0,
            members: Vec::new(),
            rebalancing: None,
            next_id: 1,
            partitions,
            committed: [0; PARTITIONS_MAX],
            earlier: [[0; EARLIER]; PARTITIONS_MAX],
            pending: Vec::new(),
        }
    }

    /// JoinGroup. The answer comes with [`Group::sync`].
    pub(crate) fn join(&mut self, id: MemberId, now: Ms) -> MemberId {
        let id = if self.members.iter().any(|member| member.id == id) { id } else { self.admit(now) };
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.joined = true;
            member.heard_at = now;
        }
        self.rebalance(now);
        id
    }

    fn admit(&mut self, now: Ms) -> MemberId {
        let id = self.next_id;
        self.next_id += 1;
        self.members.push(Member { id, heard_at: now, joined: false, assignment: Vec::new() });
        id
    }

    fn rebalance(&mut self, now: Ms) {
        self.rebalancing.get_or_insert(now);
    }

    /// The assignment of a member that has joined, once the rebalance is over.
    pub(crate) fn sync(&self, id: MemberId) -> Option<(i64, &[Partition])> {
        let member = self.members.iter().find(|member| member.id == id && !member.joined)?;
        self.rebalancing.is_none().then_some((self.generation, member.assignment.as_slice()))
    }

    pub(crate) fn heartbeat(&mut self, id: MemberId, generation: i64, now: Ms) -> Pulse {
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else {
            return Pulse::Unknown;
        };
        member.heard_at = now;
        if self.rebalancing.is_some() {
            Pulse::Rebalance
        } else if generation == self.generation {
            Pulse::Good
        } else {
            Pulse::Unknown
        }
    }

    /// A member leaves, or is put out.
    pub(crate) fn remove(&mut self, id: MemberId, now: Ms) {
        let before = self.members.len();
        self.members.retain(|member| member.id != id);
        if self.members.len() != before {
            self.rebalance(now);
        }
    }

    pub(crate) fn knows(&self, id: MemberId) -> bool {
        self.members.iter().any(|member| member.id == id)
    }

    /// Puts out who was not heard of, and ends a rebalance that everybody has joined, or that took too long.
    /// Whether anything changed.
    pub(crate) fn go_on(&mut self, now: Ms) -> bool {
        let before = self.members.len();
        self.members.retain(|member| member.joined || now <= member.heard_at + SESSION_MS);
        let mut changed = self.members.len() != before;
        if changed {
            self.rebalance(now);
        }
        let Some(since) = self.rebalancing else { return changed };
        let late = now > since + REBALANCE_MS;
        if late || self.members.iter().all(|member| member.joined) {
            self.members.retain(|member| member.joined);
            self.rebalancing = None;
            self.generation += 1;
            let count = self.members.len();
            for (place, member) in self.members.iter_mut().enumerate() {
                member.joined = false;
                member.heard_at = now;
                member.assignment =
                    (0..self.partitions).filter(|p| p % count == place).map(|p| p as Partition).collect();
            }
            changed = true;
        }
        changed
    }

    /// TxnOffsetCommit: held until the transaction ends. A wrong generation is refused; none at all is not checked,
    /// as the broker has it for clients that do not use the group.
    pub(crate) fn hold_offsets(
        &mut self,
        producer: Producer,
        member: Option<(MemberId, i64)>,
        offsets: &[(Partition, i64)],
    ) -> bool {
        if let Some((id, generation)) = member
            && !(self.knows(id) && generation == self.generation)
        {
            return false;
        }
        self.pending.extend(offsets.iter().map(|(partition, next)| (producer, *partition, *next)));
        true
    }

    /// What a transaction would commit.
    pub(crate) fn held_by(&self, producer: Producer) -> impl Iterator<Item = (Partition, i64)> {
        let mine = move |(holder, _, _): &&(Producer, Partition, i64)| *holder == producer;
        self.pending.iter().filter(mine).map(|(_, partition, next)| (*partition, *next))
    }

    /// The end of a transaction reaches the group's offsets.
    pub(crate) fn mark(&mut self, producer: Producer, commit: bool) {
        for (holder, partition, next) in &self.pending {
            if *holder == producer && commit {
                let partition = *partition as usize;
                let before = std::mem::replace(&mut self.committed[partition], *next);
                self.earlier[partition].rotate_left(1);
                self.earlier[partition][EARLIER - 1] = before;
            }
        }
        self.pending.retain(|(holder, _, _)| *holder != producer);
    }

    /// A coordinator confirms offsets that it has not kept (KAFKA-20634).
    pub(crate) fn lose(&mut self, producer: Producer) {
        self.pending.retain(|(holder, _, _)| *holder != producer);
    }

    /// OffsetFetch at a coordinator that does not know of the last `commits` yet, one at least: it has just moved, and answers from
    /// its high watermark.
    pub(crate) fn committed_earlier(
        &self,
        partition: Partition,
        stable: bool,
        commits: usize,
    ) -> Option<i64> {
        self.committed(partition, stable)?;
        Some(self.earlier[partition as usize][EARLIER - commits])
    }

    /// OffsetFetch; `None` when it must wait for a transaction (UNSTABLE_OFFSET_COMMIT).
    pub(crate) fn committed(&self, partition: Partition, stable: bool) -> Option<i64> {
        let open = stable && self.pending.iter().any(|(_, held, _)| *held == partition);
        (!open).then_some(self.committed[partition as usize])
    }
}
