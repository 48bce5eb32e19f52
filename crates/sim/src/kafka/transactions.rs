//! The transaction coordinator, as the first version of the protocol has it (clients of librdkafka): one producer id
//! for each transactional id, epochs that fence, and an end that is decided first and then told to every partition.

use crate::Ms;

/// Partitions of a transaction, one bit each.
pub(crate) type Places = u16;

/// Why a request was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// CONCURRENT_TRANSACTIONS: ask again.
    Busy,
    /// The epoch is an old one.
    Fenced,
    /// INVALID_TXN_STATE.
    Invalid,
}

/// What an accepted end of a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is decided now.
    Now,
    /// It had been decided the same way before.
    Before,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Empty,
    Ongoing {
        since: Ms,
    },
    /// Decided; markers are on their way.
    Preparing {
        commit: bool,
    },
    Complete {
        commit: bool,
    },
}

/// One transactional id.
#[derive(Debug)]
pub(crate) struct Transactional {
    epoch: u32,
    phase: Phase,
    added: Places,
    unmarked: Places,
}

impl Transactional {
    pub(crate) fn new() -> Self {
        Self { epoch: 0, phase: Phase::Empty, added: 0, unmarked: 0 }
    }

    /// InitProducerId: a new epoch; aborts what is open, and waits for what is decided.
    pub(crate) fn init(&mut self) -> Result<u32, Refused> {
        match self.phase {
            Phase::Ongoing { .. } => {
                self.abort_and_fence();
                Err(Refused::Busy)
            }
            Phase::Preparing { .. } => Err(Refused::Busy),
            Phase::Empty | Phase::Complete { .. } => {
                self.epoch += 1;
                self.phase = Phase::Empty;
                Ok(self.epoch)
            }
        }
    }

    /// AddPartitionsToTxn or AddOffsetsToTxn.
    pub(crate) fn add(&mut self, epoch: u32, place: u8, now: Ms) -> Result<(), Refused> {
        if epoch != self.epoch {
            return Err(Refused::Fenced);
        }
        match self.phase {
            Phase::Preparing { .. } => return Err(Refused::Busy),
            Phase::Ongoing { .. } => {}
            Phase::Empty | Phase::Complete { .. } => {
                self.phase = Phase::Ongoing { since: now };
                self.added = 0;
            }
        }
        self.added |= 1 << place;
        Ok(())
    }

    /// Whether a partition's leader takes a record: it asks here (KIP-890, part 1).
    pub(crate) fn verify(&self, epoch: u32, place: u8) -> Result<(), Refused> {
        if epoch != self.epoch {
            return Err(Refused::Fenced);
        }
        let ongoing = matches!(self.phase, Phase::Ongoing { .. });
        if ongoing && self.added & (1 << place) != 0 { Ok(()) } else { Err(Refused::Invalid) }
    }

    /// EndTxn. A late one of an earlier transaction hits the next of the same epoch: that is the protocol's gap.
    pub(crate) fn end(&mut self, epoch: u32, commit: bool) -> Result<Ended, Refused> {
        if epoch != self.epoch {
            return Err(Refused::Fenced);
        }
        match self.phase {
            Phase::Ongoing { .. } => {
                self.prepare(commit);
                Ok(Ended::Now)
            }
            Phase::Preparing { commit: decided } if decided == commit => Err(Refused::Busy),
            Phase::Complete { commit: decided } if decided == commit => Ok(Ended::Before),
            Phase::Preparing { .. } | Phase::Complete { .. } | Phase::Empty => Err(Refused::Invalid),
        }
    }

    fn prepare(&mut self, commit: bool) {
        self.unmarked = self.added;
        self.phase = Phase::Preparing { commit };
    }

    fn abort_and_fence(&mut self) {
        self.epoch += 1;
        self.prepare(false);
    }

    /// The coordinator ends what is open for too long, and fences its writer. Whether it did.
    pub(crate) fn time_out(&mut self, now: Ms, limit: Ms) -> bool {
        let late = matches!(self.phase, Phase::Ongoing { since } if now > since + limit);
        if late {
            self.abort_and_fence();
        }
        late
    }

    /// When it is timed out, if it is open.
    pub(crate) fn since(&self) -> Option<Ms> {
        if let Phase::Ongoing { since } = self.phase { Some(since) } else { None }
    }

    /// The partitions that have not been told yet, and what they will be told.
    pub(crate) fn unmarked(&self) -> Option<(Places, bool)> {
        if let Phase::Preparing { commit } = self.phase { Some((self.unmarked, commit)) } else { None }
    }

    /// A partition has been told.
    pub(crate) fn marked(&mut self, place: u8) {
        self.unmarked &= !(1 << place);
        if let Phase::Preparing { commit } = self.phase
            && self.unmarked == 0
        {
            self.phase = Phase::Complete { commit };
        }
    }
}
