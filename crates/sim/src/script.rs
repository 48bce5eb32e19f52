//! Scripts: what a client can see of transactions, step by step. `tests/broker.rs` plays them on the model and on a real
//! broker and compares the answers.
//!
//! One topic with one partition, one group, producers by transactional id. The model is played with every marker
//! delivered at once: that a marker takes its time is what the schedules are for.

use crate::kafka::group::MemberId;
use crate::kafka::{Cluster, OFFSETS, TRANSACTION_MS, outcomes};
use crate::shadow::Outcome;
use crate::{Ms, kafka::transactions::Refused};

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client opens under this transactional id: `InitProducerId`. The client before it lives on.
    Open(usize),
    /// A transaction begins.
    Begin(usize),
    /// A record with this value, in the transaction.
    Produce(usize, i64),
    /// The group's offset, in the transaction, by a member in good standing.
    Offsets(usize, i64),
    /// The same by who was a member in an earlier generation.
    StaleOffsets(usize, i64),
    /// The same by who names no member and no generation.
    NamelessOffsets(usize, i64),
    /// Commits.
    Commit(usize),
    /// Aborts.
    Abort(usize),
    /// The client that was opened before the last one of this id commits.
    CommitOfTheFenced(usize),
    /// A record outside transactions.
    Plain(i64),
    /// What a reader gets from the start on, `read_committed` or not.
    Read {
        /// `read_committed`.
        committed: bool,
    },
    /// The end offset, `read_committed` or not.
    End {
        /// `read_committed`.
        committed: bool,
    },
    /// The group's committed offset, waiting for transactions (`read_committed`, KIP-447) or not.
    Committed {
        /// Whether to wait.
        stable: bool,
    },
    /// The group has a new generation.
    Rejoin,
    /// DeleteRecords.
    DeleteBefore(i64),
    /// The first offset.
    Start,
    /// Longer than a transaction may stay open.
    TimeGoesBy,
}

/// The scripts, each with its name.
pub const SCRIPTS: &[(&str, &[Step])] = {
    use Step::*;
    const COMMITTED: Step = Read { committed: true };
    const ALL: Step = Read { committed: false };
    const STABLE: Step = End { committed: true };
    const HIGH: Step = End { committed: false };
    &[
        (
            "a commit",
            &[
                Open(0),
                Begin(0),
                Produce(0, 1),
                Produce(0, 2),
                COMMITTED,
                ALL,
                STABLE,
                HIGH,
                Commit(0),
                COMMITTED,
                ALL,
                STABLE,
                HIGH,
                Plain(3),
                COMMITTED,
                STABLE,
                HIGH,
            ],
        ),
        (
            "an abort",
            &[
                Plain(1),
                Open(0),
                Begin(0),
                Produce(0, 2),
                Abort(0),
                COMMITTED,
                STABLE,
                HIGH,
                Begin(0),
                Produce(0, 3),
                Commit(0),
                COMMITTED,
                ALL,
                HIGH,
            ],
        ),
        (
            "two transactions at once",
            &[
                Open(0),
                Open(1),
                Begin(0),
                Begin(1),
                Produce(0, 1),
                Produce(1, 2),
                Produce(0, 3),
                Commit(1),
                COMMITTED,
                STABLE,
                HIGH,
                Abort(0),
                COMMITTED,
                STABLE,
                HIGH,
            ],
        ),
        (
            "offsets in a transaction",
            &[
                Open(0),
                Begin(0),
                Produce(0, 1),
                Offsets(0, 5),
                Committed { stable: false },
                Committed { stable: true },
                Commit(0),
                Committed { stable: true },
                Begin(0),
                Produce(0, 2),
                Offsets(0, 9),
                Abort(0),
                Committed { stable: true },
                HIGH,
            ],
        ),
        (
            "a generation fences",
            &[
                Open(0),
                Begin(0),
                Produce(0, 1),
                Rejoin,
                StaleOffsets(0, 4),
                Abort(0),
                Begin(0),
                Produce(0, 2),
                Offsets(0, 6),
                Commit(0),
                Committed { stable: true },
                COMMITTED,
            ],
        ),
        (
            "without a generation nobody is fenced",
            &[Open(0), Begin(0), Produce(0, 1), NamelessOffsets(0, 7), Commit(0), Committed { stable: true }],
        ),
        (
            "an epoch fences",
            &[
                Open(0),
                Begin(0),
                Produce(0, 1),
                Offsets(0, 3),
                Open(0),
                COMMITTED,
                STABLE,
                HIGH,
                Committed { stable: true },
                CommitOfTheFenced(0),
                Begin(0),
                Produce(0, 2),
                Commit(0),
                COMMITTED,
                HIGH,
            ],
        ),
        (
            "a transaction is timed out",
            &[
                Open(0),
                Begin(0),
                Produce(0, 1),
                Offsets(0, 3),
                STABLE,
                TimeGoesBy,
                STABLE,
                HIGH,
                COMMITTED,
                Committed { stable: true },
                Commit(0),
                HIGH,
            ],
        ),
        (
            "records are deleted",
            &[
                Plain(1),
                Plain(2),
                Open(0),
                Begin(0),
                Produce(0, 3),
                Commit(0),
                HIGH,
                Plain(4),
                Start,
                DeleteBefore(2),
                Start,
                COMMITTED,
                HIGH,
                DeleteBefore(5),
                Start,
                COMMITTED,
                HIGH,
            ],
        ),
    ]
};

/// Clients and a cluster of the model.
#[derive(Debug)]
pub struct Model {
    cluster: Cluster,
    /// The epochs of each id's clients, in the order they were opened.
    epochs: [Vec<u32>; 2],
    member: MemberId,
    generation: i64,
    stale: i64,
    now: Ms,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// An empty topic, and a group with one member.
    #[must_use]
    pub fn new() -> Self {
        let mut model = Self {
            cluster: Cluster::new(1, 1, 2),
            epochs: [Vec::new(), Vec::new()],
            member: 0,
            generation: 0,
            stale: 0,
            now: 1,
        };
        model.join();
        model
    }

    fn join(&mut self) {
        self.member = self.cluster.group.join(self.member, self.now);
        self.cluster.group.go_on(self.now);
        self.generation = self.cluster.group.sync(self.member).map_or(-1, |(generation, _)| generation);
    }

    /// Plays a step, and says what its client is told.
    pub fn play(&mut self, step: Step) -> String {
        match step {
            Step::Open(id) => {
                let writer = &mut self.cluster.writers[id];
                let epoch = match writer.init() {
                    Ok(epoch) => epoch,
                    Err(_) => {
                        self.settle();
                        self.cluster.writers[id].init().expect("nothing is open any more")
                    }
                };
                self.epochs[id].push(epoch);
                "opened".to_owned()
            }
            Step::Begin(_) => "begun".to_owned(),
            Step::Produce(id, value) => {
                let entered = self.cluster.enter(id as u8, self.epoch(id), outcomes(0), self.now);
                if entered.is_ok() {
                    let record = Outcome { offset: value, ..Outcome::default() };
                    self.cluster.outcomes[0].append(record, Some(id as u8));
                }
                "sent".to_owned()
            }
            Step::Plain(value) => {
                let record = Outcome { offset: value, ..Outcome::default() };
                self.cluster.outcomes[0].append(record, None);
                "sent".to_owned()
            }
            Step::Offsets(id, next) => self.send_offsets(id, Some((self.member, self.generation)), next),
            Step::StaleOffsets(id, next) => self.send_offsets(id, Some((self.member, self.stale)), next),
            Step::NamelessOffsets(id, next) => self.send_offsets(id, None, next),
            Step::Commit(id) => self.end(id, self.epoch(id), true),
            Step::Abort(id) => self.end(id, self.epoch(id), false),
            Step::CommitOfTheFenced(id) => {
                let before = self.epochs[id].len() - 2;
                self.end(id, self.epochs[id][before], true)
            }
            Step::Read { committed } => {
                let log = &self.cluster.outcomes[0];
                let end = if committed { log.stable() } else { log.end() };
                let read = |offset: i64| {
                    let entry = log.at(offset)?;
                    let all = !committed && entry.fate != crate::kafka::log::Fate::Marker;
                    (all || entry.fate.is_readable()).then(|| format!("{offset}:{}", entry.value.offset))
                };
                (log.start..end).filter_map(read).collect::<Vec<_>>().join(" ")
            }
            Step::End { committed } => {
                let log = &self.cluster.outcomes[0];
                let end = if committed { log.stable() } else { log.end() };
                end.to_string()
            }
            Step::Committed { stable } => {
                self.cluster.group.committed(0, stable).map_or("waits".to_owned(), |next| next.to_string())
            }
            Step::Rejoin => {
                self.stale = self.generation;
                self.join();
                "joined".to_owned()
            }
            Step::DeleteBefore(offset) => {
                self.cluster.outcomes[0].delete_before(offset);
                "deleted".to_owned()
            }
            Step::Start => self.cluster.outcomes[0].start.to_string(),
            Step::TimeGoesBy => {
                self.now += TRANSACTION_MS + 1;
                for writer in &mut self.cluster.writers {
                    writer.time_out(self.now, TRANSACTION_MS);
                }
                self.settle();
                "later".to_owned()
            }
        }
    }

    fn epoch(&self, id: usize) -> u32 {
        self.epochs[id].last().copied().unwrap_or_default()
    }

    fn send_offsets(&mut self, id: usize, member: Option<(MemberId, i64)>, next: i64) -> String {
        let sent = self.cluster.send_offsets(id as u8, self.epoch(id), member, &[(0, next)], self.now);
        answer(sent.is_ok_and(|taken| taken), "taken")
    }

    fn end(&mut self, id: usize, epoch: u32, commit: bool) -> String {
        let ended: Result<_, Refused> = self.cluster.end(id as u8, epoch, commit);
        self.settle();
        answer(ended.is_ok(), "done")
    }

    /// Every marker reaches its partition.
    fn settle(&mut self) {
        for writer in 0..self.cluster.writers.len() {
            while self.cluster.mark(writer as u8, 0) {}
        }
    }
}

fn answer(well: bool, text: &str) -> String {
    if well { text.to_owned() } else { "refused".to_owned() }
}

const _: () = assert!(OFFSETS as usize > outcomes(0) as usize, "offsets have a place of their own");
