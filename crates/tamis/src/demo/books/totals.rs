//! The sums, and the faults found.

use tamis_campaign::{Channel, Reason, RejectReason, Verdict};
use tamis_wire::proto::campaign::v1::JobOutcome;

/// What may be found wrong. Each one is a promise of the contract (section 3) that was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// G1: somebody whose opt-out was acked before the job was delivered.
    SuppressedDelivered = 0,
    /// G4: delivered, or decided, more than once.
    Twice = 1,
    /// G4: neither delivered nor accounted for.
    Lost = 2,
    /// G3: dropped without a reason that holds.
    NoRecord = 3,
    /// Delivered with other bytes than were given.
    Altered = 4,
    /// Delivered where it should not have been.
    Unasked = 5,
    /// Something that nobody scheduled.
    Unknown = 6,
    /// Another verdict than the job calls for.
    Verdict = 7,
    /// G6: the sums do not agree.
    Books = 8,
}

impl Fault {
    /// Every fault.
    pub(crate) const ALL: &'static [Self] = &[
        Self::SuppressedDelivered,
        Self::Twice,
        Self::Lost,
        Self::NoRecord,
        Self::Altered,
        Self::Unasked,
        Self::Unknown,
        Self::Verdict,
        Self::Books,
    ];

    /// In words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::SuppressedDelivered => "suppressed and delivered all the same",
            Self::Twice => "delivered twice",
            Self::Lost => "lost",
            Self::NoRecord => "dropped without a reason that holds",
            Self::Altered => "altered on the way",
            Self::Unasked => "delivered where it should not be",
            Self::Unknown => "delivered though nobody scheduled it",
            Self::Verdict => "judged wrongly as a whole job",
            Self::Books => "books that do not close",
        }
    }
}

/// One channel's sums.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChannelTotals {
    /// Recipients that reached the gateway, by its own count.
    pub(crate) forwarded: u64,
    /// Recipients dropped.
    pub(crate) suppressed: u64,
    /// Recipients rejected.
    pub(crate) rejected: u64,
    /// Recipients deferred.
    pub(crate) deferred: u64,
}

/// All the sums of a demonstration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    /// Jobs given to the log.
    pub(crate) jobs_scheduled: u64,
    /// Recipients given to the log in jobs that had not expired.
    pub(crate) scheduled: u64,
    /// Jobs judged.
    pub(crate) jobs: u64,
    /// Jobs that came too late.
    pub(crate) jobs_expired: u64,
    /// In the order of `Channel::ALL`.
    pub(crate) by_channel: [ChannelTotals; 5],
    /// In the order of `Reason::ALL`.
    pub(crate) by_reason: [u64; 9],
    /// In the order of `RejectReason::ALL`.
    pub(crate) by_reject: [u64; 4],
    /// Records that nobody can read, as they were sent.
    pub(crate) spoiled: u64,
    /// Jobs given to the log once more under the same id.
    pub(crate) retried: u64,
    /// Jobs judged to have been said before (G7). Their recipients came in, and are counted, with the first.
    pub(crate) duplicates: u64,
    /// Dead letters that came out.
    pub(crate) dead_letters: u64,
    recipients_in: u64,
    forwarded: u64,
    faults: [u64; 9],
}

impl Totals {
    /// Takes a judged job's outcome in.
    pub(super) fn add(&mut self, channel: Channel, outcome: &JobOutcome) {
        self.jobs += 1;
        if outcome.verdict == Verdict::Expired.number() {
            self.jobs_expired += 1;
            return;
        }
        self.recipients_in += u64::from(outcome.recipients_in);
        self.forwarded += u64::from(outcome.forwarded);
        let here = &mut self.by_channel[channel as usize - 1];
        for one in &outcome.suppressed {
            here.suppressed += u64::from(one.count);
            if let Some(reason) = Reason::from_number(one.reason) {
                self.by_reason[reason as usize - 1] += u64::from(one.count);
            }
        }
        for one in &outcome.rejected {
            here.rejected += u64::from(one.count);
            if let Some(reason) = RejectReason::from_number(one.reason) {
                self.by_reject[reason as usize - 1] += u64::from(one.count);
            }
        }
        here.deferred += outcome.deferred.iter().map(|one| u64::from(one.count)).sum::<u64>();
    }

    /// Counts a fault.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    /// How often a fault was found.
    pub(crate) fn faults(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// How many faults were found.
    pub(crate) fn violations(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// Recipients that came in, as the outcomes say.
    pub(crate) fn recipients_in(&self) -> u64 {
        self.recipients_in
    }

    /// The sum of one column over all channels.
    pub(crate) fn sum(&self, column: impl Fn(&ChannelTotals) -> u64) -> u64 {
        self.by_channel.iter().map(column).sum()
    }

    /// `in = forwarded + suppressed + rejected + deferred` (G6), where `forwarded` is what the gateways counted.
    pub(crate) fn books_close(&self) -> bool {
        let forwarded = self.sum(|c| c.forwarded);
        let out =
            forwarded + self.sum(|c| c.suppressed) + self.sum(|c| c.rejected) + self.sum(|c| c.deferred);
        self.forwarded == forwarded && self.recipients_in == out
    }
}
