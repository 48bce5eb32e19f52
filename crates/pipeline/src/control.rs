//! The worker's control: when to read, ask, decide, write, rewind, hold, replace. No I/O and no clock.
//!
//! Inputs go in, calls come out; the threads around it only carry messages, so that a simulator can drive it
//! through every order of events. Two halves work side by side, so that a commit under way does not stop the
//! line:
//!
//! - the *front* reads a batch, asks the barrier, waits for the filter, and has the batch decided;
//! - the *back* owns the transactional writer and has at most one batch in a transaction.
//!
//! What it keeps: a batch is decided only when the filter has reached an answer to a question that was put after
//! the batch was read (G1, G5); it is written only while that answer is fresh (G2); after anything but a clean
//! commit, nothing later is written before every partition stands at its committed offset again (G4); nothing is
//! decided before it is known which jobs earlier owners of the partitions have decided (G7), and, after each return to the
//! committed offsets, which of the records past them are decided already: the group's answer may be an old one (G4).

use tamis_bus::{Partition, Positions};

/// Milliseconds of a clock that only goes forward.
pub type Millis = u64;

/// Names a batch, a question or a rewind of this worker. Answers to older ones are ignored.
pub type Ticket = u64;

/// Times the control goes by.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the barrier's question to the commit (G2), `router.freshness_max_ms`.
    pub freshness_max_ms: Millis,
    /// How long a question, or the filter, may take before the worker holds (G5).
    pub patience_ms: Millis,
    /// Between two tries of something that failed.
    pub retry_ms: Millis,
}

/// How far the filter has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The next offset of each partition of the suppression log.
    pub position: Positions,
    /// How often it has passed over offsets that the log had no record for. One that was compacted away may have been
    /// replaced by one past an end that was asked before, since the log ages records from their append, not from when
    /// they are durable.
    pub gaps: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// A poll brought a batch.
    Batch,
    /// A poll brought nothing.
    Idle,
    /// A poll failed.
    PollFailed,
    /// The group gave these partitions.
    Assigned(Vec<Partition>),
    /// The group takes every partition back.
    Revoked,
    /// The log's end, asked for `ticket` at `asked_at`; `None` when it could not be had.
    End {
        /// The question.
        ticket: Ticket,
        /// When it was put.
        asked_at: Millis,
        /// The next offset of each partition.
        end: Option<Positions>,
    },
    /// Where the filter is now.
    Filter(Reach),
    /// The batch was decided and is ready to write; there may be nothing in it that was not decided before.
    Decided,
    /// The writer has answered.
    Wrote(Wrote),
    /// The writer was replaced, or not.
    Replaced(bool),
    /// Every partition was put back to its committed offset, or not.
    Rewound(bool),
    /// What was decided before in the assigned partitions is known, or could not be read.
    Recalled {
        /// The order it answers.
        ticket: Ticket,
        /// Whether all of it is known.
        known: bool,
    },
    /// Finish what is under way and stop.
    Drain,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// Committed, durable, visible.
    Committed,
    /// Aborted: nothing is visible, the writer is good.
    Aborted,
    /// Not known.
    Unknown,
}

/// What is to be done. `Write`, `Replace`, `AskEnd` and `Recall` are answered later, the others at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Poll the log: a batch if `read`, else only to serve the group. Answer: `Batch`, `Idle`, `Assigned`, …
    Poll {
        /// Whether records are wanted.
        read: bool,
        /// Whether to come back soon, since an answer is expected.
        brief: bool,
    },
    /// Take these partitions.
    Assign(Vec<Partition>),
    /// Give all partitions back.
    Unassign,
    /// Forget the batch that was read or decided.
    Drop,
    /// Ask the suppression log's end for this ticket. Answer: `End`.
    AskEnd(Ticket),
    /// Sieve and splice the batch. Answer: `Decided`.
    Decide,
    /// Write the decided batch in one transaction; commit it only until `fresh_until`. Answer: `Wrote`.
    Write {
        /// Past this moment it is to be aborted (G2).
        fresh_until: Millis,
    },
    /// Have the write under way abort, if it has not begun to commit.
    Cancel,
    /// Replace the writer. Answer: `Replaced`.
    Replace,
    /// Stop delivery of records.
    Pause,
    /// Deliver records again.
    Resume,
    /// Put every partition back to its committed offset. Answer: `Rewound`.
    Rewind,
    /// Read back from `outcomes` which jobs of the assigned partitions were decided before. It comes after each
    /// `Rewind` that went well: only then are our own transactions and those of earlier owners settled, and all that they wrote
    /// stands before the end that is asked for now. Answer: `Recalled`.
    Recall {
        /// What the answer is to carry.
        ticket: Ticket,
        /// Whether partitions were assigned since all was known last: others may have decided in them.
        taking_over: bool,
    },
    /// Say that this worker holds (G5), or no longer.
    Hold(bool),
    /// Wait for an input, at most this long.
    Wait(Millis),
    /// Everything is done; leave.
    Finish,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Front {
    /// No batch.
    Empty,
    /// Read; the log's end is being asked.
    Asking { ticket: Ticket, since: Millis, gaps: u64, again: bool },
    /// Read; the filter is on its way to the answer, and had passed that many gaps when the question was put.
    Waiting { asked_at: Millis, end: Positions, since: Millis, gaps: u64 },
    /// The sieve is at work.
    Deciding { asked_at: Millis },
    /// Decided; the back is busy with the one before.
    Decided { asked_at: Millis },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    /// The writer must be opened or replaced.
    Closed { not_before: Millis },
    /// It is being replaced.
    Replacing,
    /// The writer is idle.
    Ready,
    /// A transaction is under way; past that moment it may not be committed any more (G2).
    Writing { fresh_until: Millis },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hold {
    No,
    /// Holding; the next probe goes out at `probe_at`.
    Probing {
        probe_at: Millis,
        asked: Option<Ticket>,
    },
    /// The probe was answered; the filter is on its way.
    Catching {
        end: Positions,
        since: Millis,
    },
}

/// Whether it is known which jobs were decided before in the assigned partitions (G4, G7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recall {
    Known,
    Wanted { not_before: Millis },
    Asked(Ticket),
}

/// The control of one worker.
#[derive(Debug)]
pub struct Control {
    limits: Limits,
    front: Front,
    back: Back,
    hold: Hold,
    filter: Reach,
    assigned: Option<Vec<Partition>>,
    recall: Recall,
    /// Assigned, and not everything is known yet.
    taking_over: bool,
    paused: bool,
    revoking: bool,
    draining: bool,
    finished: bool,
    /// Set when the position no longer follows from what was committed.
    rewind_at: Option<Millis>,
    poll_at: Millis,
    next_ticket: Ticket,
}

impl Control {
    /// A worker that has nothing yet: no partitions, no writer.
    #[must_use]
    pub fn new(limits: Limits, filter: Reach) -> Self {
        Self {
            limits,
            front: Front::Empty,
            back: Back::Closed { not_before: 0 },
            hold: Hold::No,
            filter,
            assigned: None,
            recall: Recall::Known,
            taking_over: false,
            paused: false,
            revoking: false,
            draining: false,
            finished: false,
            rewind_at: None,
            poll_at: 0,
            next_ticket: 1,
        }
    }

    /// Whether the group has settled for this worker: a spare without partitions has, too.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.assigned.is_some()
            && !self.taking_over
            && !self.revoking
            && matches!(self.back, Back::Ready | Back::Writing { .. })
    }

    /// Whether a write is under way past the moment until which it may be committed: the log has it and does not
    /// answer. It ends by itself, later, when the log's own time-out is over.
    #[must_use]
    pub fn is_late(&self, now: Millis) -> bool {
        matches!(self.back, Back::Writing { fresh_until } if now > fresh_until)
    }

    fn is_writing(&self) -> bool {
        matches!(self.back, Back::Writing { .. })
    }

    /// Takes an input and says what to do. The calls are to be carried out in order; the last one is `Poll`,
    /// `Wait`, `Decide`, `Rewind` or `Finish`, and its answer, or `Tick`, is the next input.
    pub fn on(&mut self, now: Millis, input: Input) -> Vec<Call> {
        let mut calls = Vec::new();
        self.take(now, input, &mut calls);
        self.go_on(now, &mut calls);
        calls
    }

    fn take(&mut self, now: Millis, input: Input, calls: &mut Vec<Call>) {
        match input {
            Input::Tick | Input::Idle => {}
            Input::PollFailed => self.poll_at = now + self.limits.retry_ms,
            Input::Batch => self.on_batch(now, calls),
            Input::Assigned(partitions) => {
                self.discard(calls);
                calls.push(Call::Assign(partitions.clone()));
                // Assigning begins at the committed offsets. They are read once more, after the writer has settled
                // what it may have left open (G4), and because what was decided before is known only after (G7).
                let some = !partitions.is_empty();
                self.rewind_at = some.then_some(now);
                self.recall = if some { Recall::Wanted { not_before: now } } else { Recall::Known };
                self.taking_over = some;
                self.paused = false;
                self.assigned = Some(partitions);
            }
            Input::Revoked => {
                self.revoking = true;
                self.discard(calls);
                if self.is_writing() {
                    calls.push(Call::Cancel);
                }
            }
            Input::End { ticket, asked_at, end } => self.on_end(now, ticket, asked_at, end, calls),
            Input::Filter(reach) => self.filter = reach,
            Input::Decided => {
                if let Front::Deciding { asked_at } = self.front {
                    self.front = Front::Decided { asked_at };
                }
            }
            Input::Wrote(Wrote::Committed) => self.back = Back::Ready,
            Input::Wrote(Wrote::Aborted) => {
                self.back = Back::Ready;
                self.start_over(now, calls);
            }
            Input::Wrote(Wrote::Unknown) => {
                self.back = Back::Closed { not_before: now };
                self.start_over(now, calls);
            }
            Input::Replaced(true) => self.back = Back::Ready,
            Input::Replaced(false) => self.back = Back::Closed { not_before: now + self.limits.retry_ms },
            Input::Rewound(true) => {
                self.rewind_at = None;
                // The group's offsets may be older than what was committed.
                self.recall = Recall::Wanted { not_before: now };
            }
            Input::Rewound(false) => self.rewind_at = Some(now + self.limits.retry_ms),
            Input::Recalled { ticket, known } if self.recall == Recall::Asked(ticket) => {
                let again = Recall::Wanted { not_before: now + self.limits.retry_ms };
                self.recall = if known { Recall::Known } else { again };
                self.taking_over &= !known;
            }
            // An answer for an assignment that has ended, or of before a later rewind.
            Input::Recalled { .. } => {}
            Input::Drain => self.draining = true,
        }
    }

    fn on_batch(&mut self, now: Millis, calls: &mut Vec<Call>) {
        if self.front != Front::Empty || !self.may_read() {
            // Records that come although none were asked for (a pause takes a moment) are not used.
            calls.push(Call::Drop);
            self.rewind_at.get_or_insert(now);
            return;
        }
        // Read first, then ask: the answer covers whatever was acked before any record of this batch (G1).
        self.ask(now, false, calls);
    }

    /// Puts the batch's question; `again` when an answer was reached that no longer says enough.
    fn ask(&mut self, since: Millis, again: bool, calls: &mut Vec<Call>) {
        let ticket = self.ticket();
        self.front = Front::Asking { ticket, since, gaps: self.filter.gaps, again };
        calls.push(Call::AskEnd(ticket));
    }

    fn on_end(
        &mut self,
        now: Millis,
        ticket: Ticket,
        asked_at: Millis,
        end: Option<Positions>,
        calls: &mut Vec<Call>,
    ) {
        if let Front::Asking { ticket: t, since, gaps, again } = self.front
            && t == ticket
        {
            // Patience for the filter begins with the first answer.
            let since = if again { since } else { now };
            match end {
                Some(end) => self.front = Front::Waiting { asked_at, end, since, gaps },
                None => self.start_holding(now, calls),
            }
        } else if matches!(&self.hold, Hold::Probing { asked: Some(t), .. } if *t == ticket) {
            self.hold = match end {
                Some(end) => Hold::Catching { end, since: now },
                None => Hold::Probing { probe_at: now + self.limits.retry_ms, asked: None },
            };
        }
    }

    fn go_on(&mut self, now: Millis, calls: &mut Vec<Call>) {
        self.revoke_when_quiet(calls);
        self.release_hold(now, calls);
        self.ask_again_after_gaps(calls);
        self.check_patience(now, calls);
        self.check_freshness(now, calls);
        if self.finish_when_drained(calls) {
            return;
        }
        if let Back::Closed { not_before } = self.back
            && now >= not_before
        {
            self.back = Back::Replacing;
            calls.push(Call::Replace);
        }
        if let Front::Decided { asked_at } = self.front
            && self.back == Back::Ready
        {
            self.front = Front::Empty;
            let fresh_until = asked_at + self.limits.freshness_max_ms;
            self.back = Back::Writing { fresh_until };
            calls.push(Call::Write { fresh_until });
        }
        if let Front::Waiting { asked_at, end, .. } = &self.front
            && self.filter.position.reaches(end)
        {
            self.front = Front::Deciding { asked_at: *asked_at };
            calls.push(Call::Decide);
            return;
        }
        self.match_pause(calls);
        if self.may_rewind(now) {
            calls.push(Call::Rewind);
            return;
        }
        if self.may_recall(now) {
            let ticket = self.ticket();
            self.recall = Recall::Asked(ticket);
            calls.push(Call::Recall { ticket, taking_over: self.taking_over });
        }
        calls.push(self.idle_call(now));
    }

    /// Ends at once what was read but not handed to the writer.
    fn discard(&mut self, calls: &mut Vec<Call>) {
        if self.front != Front::Empty {
            self.front = Front::Empty;
            calls.push(Call::Drop);
        }
    }

    /// The positions are ahead of what is committed: drop, and go back before anything else is read.
    fn start_over(&mut self, now: Millis, calls: &mut Vec<Call>) {
        self.discard(calls);
        self.rewind_at = Some(now);
    }

    fn start_holding(&mut self, now: Millis, calls: &mut Vec<Call>) {
        self.start_over(now, calls);
        if self.hold == Hold::No {
            calls.push(Call::Hold(true));
        }
        self.hold = Hold::Probing { probe_at: now + self.limits.retry_ms, asked: None };
    }

    fn release_hold(&mut self, now: Millis, calls: &mut Vec<Call>) {
        match &self.hold {
            Hold::No => {}
            Hold::Catching { end, .. } if self.filter.position.reaches(end) => {
                self.hold = Hold::No;
                calls.push(Call::Hold(false));
            }
            Hold::Catching { since, .. } => {
                if now >= since + self.limits.patience_ms {
                    self.hold = Hold::Probing { probe_at: now, asked: None };
                }
            }
            Hold::Probing { probe_at, .. } => {
                if now >= *probe_at {
                    let ticket = self.ticket();
                    // An answer that never comes is asked for again.
                    self.hold =
                        Hold::Probing { probe_at: now + self.limits.patience_ms, asked: Some(ticket) };
                    calls.push(Call::AskEnd(ticket));
                }
            }
        }
    }

    /// G1: what was passed over on the way to the answer was replaced before it was read, by a record that is durable by
    /// now. An answer to a new question covers that one.
    fn ask_again_after_gaps(&mut self, calls: &mut Vec<Call>) {
        if let Front::Waiting { end, since, gaps, .. } = &self.front
            && self.filter.position.reaches(end)
            && self.filter.gaps != *gaps
        {
            self.ask(*since, true, calls);
        }
    }

    fn check_patience(&mut self, now: Millis, calls: &mut Vec<Call>) {
        let since = match &self.front {
            Front::Asking { since, .. } => *since,
            Front::Waiting { since, end, .. } if !self.filter.position.reaches(end) => *since,
            Front::Waiting { .. } | Front::Empty | Front::Deciding { .. } | Front::Decided { .. } => return,
        };
        if now >= since + self.limits.patience_ms {
            self.start_holding(now, calls);
        }
    }

    /// G2: what was decided by an old answer is decided again.
    fn check_freshness(&mut self, now: Millis, calls: &mut Vec<Call>) {
        let (Front::Waiting { asked_at, .. } | Front::Decided { asked_at }) = self.front else { return };
        if now > asked_at + self.limits.freshness_max_ms {
            self.start_over(now, calls);
        }
    }

    fn revoke_when_quiet(&mut self, calls: &mut Vec<Call>) {
        if self.revoking && !self.is_writing() {
            self.revoking = false;
            self.assigned = None;
            self.recall = Recall::Known;
            self.taking_over = false;
            self.rewind_at = None;
            calls.push(Call::Unassign);
        }
    }

    fn finish_when_drained(&mut self, calls: &mut Vec<Call>) -> bool {
        let idle = self.front == Front::Empty && !self.is_writing();
        if self.draining && idle && !self.finished {
            self.finished = true;
        }
        if self.finished {
            calls.push(Call::Finish);
        }
        self.finished
    }

    /// While nothing may be read, nothing is delivered, so that polling serves the group only.
    fn match_pause(&mut self, calls: &mut Vec<Call>) {
        let has_partitions = self.assigned.as_ref().is_some_and(|p| !p.is_empty()) && !self.revoking;
        let pause = has_partitions && !self.may_read();
        if pause != self.paused {
            self.paused = pause;
            if has_partitions {
                calls.push(if pause { Call::Pause } else { Call::Resume });
            }
        }
    }

    fn may_read(&self) -> bool {
        self.assigned.as_ref().is_some_and(|p| !p.is_empty())
            && !self.revoking
            && !self.draining
            && self.hold == Hold::No
            && self.rewind_at.is_none()
            && self.recall == Recall::Known
    }

    fn may_recall(&self, now: Millis) -> bool {
        matches!(self.recall, Recall::Wanted { not_before } if now >= not_before)
            && self.rewind_at.is_none()
            && self.assigned.is_some()
            && !self.revoking
    }

    fn may_rewind(&self, now: Millis) -> bool {
        self.rewind_at.is_some_and(|at| now >= at)
            && self.assigned.as_ref().is_some_and(|p| !p.is_empty())
            && !self.revoking
            && self.back == Back::Ready
    }

    fn idle_call(&self, now: Millis) -> Call {
        if now < self.poll_at {
            return Call::Wait(self.poll_at - now);
        }
        match self.front {
            Front::Empty if self.revoking => Call::Wait(self.limits.retry_ms),
            Front::Empty => Call::Poll {
                read: self.may_read(),
                brief: self.back != Back::Ready
                    || self.rewind_at.is_some()
                    || self.recall != Recall::Known
                    || self.hold != Hold::No,
            },
            Front::Asking { .. } | Front::Waiting { .. } | Front::Deciding { .. } | Front::Decided { .. } => {
                Call::Wait(self.limits.patience_ms.min(self.limits.retry_ms))
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }
}

#[cfg(test)]
mod tests;
