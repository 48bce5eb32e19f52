//! What the proxies are to do to the next frames that fit, and how often they did.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::offsets;
use crate::frame::{self, END_TXN, Head, TXN_OFFSET_COMMIT};
use crate::world::PREFIX;

/// Offsets are made older by one record, then by two, up to so many, and again by one.
const OLDER_MOST: u64 = 3;

/// What can be done to a frame or a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// The answer to an `EndTxn` that was carried out is thrown away, and the connection cut.
    DropEndTxnAnswer,
    /// The same for a `TxnOffsetCommit`.
    DropOffsetsAnswer,
    /// An `EndTxn` is kept back, its connection cut at once, and let through later on another.
    LateAfterCut,
    /// An `EndTxn` is kept back past its time-out, and let through later on another connection.
    LateAfterTimeout,
    /// An `EndTxn` arrives twice.
    Duplicate,
    /// An answer to a worker says older offsets than those committed.
    StaleOffsets,
    /// A frame was held up.
    Throttle,
    /// A connection was cut.
    Cut,
}

impl Harm {
    const COUNT: usize = 8;
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is passed on.
    Pass,
    /// It is passed on; the offsets in its answer are made older if that is armed.
    AgeAnswer,
    /// It is passed on; its answer is thrown away, and the connection cut.
    DropAnswer(Harm),
    /// It is passed on twice; the second answer is thrown away.
    Twice,
    /// It is kept back for so long.
    Late { after: Duration, cut: bool },
}

#[derive(Default)]
struct State {
    armed: Vec<(Harm, Duration)>,
    done: [u64; Harm::COUNT],
    late_errors: Vec<i16>,
}

/// Shared by the proxies of all brokers: the next frame that fits may pass any of them.
#[derive(Default)]
pub struct Faults {
    state: Mutex<State>,
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `harm` done to the next frame that fits; `late` is how long an `EndTxn` is kept back.
    pub fn arm(&self, harm: Harm, late: Duration) {
        self.state().armed.push((harm, late));
    }

    /// Forgets what is armed and was not done; says how many.
    pub fn disarm(&self) -> usize {
        std::mem::take(&mut self.state().armed).len()
    }

    /// How often `harm` was done.
    #[must_use]
    pub fn done(&self, harm: Harm) -> u64 {
        self.state().done[harm as usize]
    }

    /// The error codes that late `EndTxn`s were answered with (47 and 90: fenced; 0: taken).
    #[must_use]
    pub fn late_errors(&self) -> Vec<i16> {
        self.state().late_errors.clone()
    }

    pub(super) fn count(&self, harm: Harm) {
        self.state().done[harm as usize] += 1;
    }

    pub(super) fn late_answered(&self, error: i16) {
        self.state().late_errors.push(error);
    }

    /// What becomes of this request. What is kept back or doubled is counted here; an answer when it is thrown away.
    pub(super) fn fate(&self, head: Head, frame: &[u8]) -> Fate {
        if frame::asks_stable(head, frame) {
            return Fate::AgeAnswer;
        }
        if head.api != END_TXN && head.api != TXN_OFFSET_COMMIT {
            return Fate::Pass;
        }
        let fits = |harm: Harm| match harm {
            Harm::DropOffsetsAnswer => head.api == TXN_OFFSET_COMMIT,
            Harm::DropEndTxnAnswer | Harm::LateAfterCut | Harm::LateAfterTimeout | Harm::Duplicate => {
                frame::commits(head, frame)
            }
            Harm::StaleOffsets | Harm::Throttle | Harm::Cut => false,
        };
        let mut state = self.state();
        let Some(place) = state.armed.iter().position(|(harm, _)| fits(*harm)) else { return Fate::Pass };
        let (harm, late) = state.armed.remove(place);
        let fate = match harm {
            Harm::DropEndTxnAnswer | Harm::DropOffsetsAnswer => return Fate::DropAnswer(harm),
            Harm::LateAfterCut => Fate::Late { after: late, cut: true },
            Harm::LateAfterTimeout => Fate::Late { after: late, cut: false },
            Harm::Duplicate => Fate::Twice,
            Harm::StaleOffsets | Harm::Throttle | Harm::Cut => Fate::Pass,
        };
        state.done[harm as usize] += 1;
        fate
    }

    /// Makes the offsets in this answer older if that is armed. An answer without any leaves it to the next.
    pub(super) fn age(&self, version: i16, answer: &mut [u8]) {
        let mut state = self.state();
        let Some(place) = state.armed.iter().position(|(harm, _)| *harm == Harm::StaleOffsets) else {
            return;
        };
        let done = state.done[Harm::StaleOffsets as usize];
        let older = i64::try_from(1 + done % OLDER_MOST).unwrap_or(1);
        if offsets::age(version, answer, &tamis_bus::topic_name(PREFIX, "send-jobs"), older) {
            state.armed.remove(place);
            state.done[Harm::StaleOffsets as usize] += 1;
        }
    }
}
