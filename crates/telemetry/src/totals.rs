//! The books as plain numbers, for a live picture that should not parse text.

use std::sync::atomic::{AtomicU64, Ordering};

use tamis_campaign::{Channel, Reason, RejectReason};

use crate::Outcome;

const REASONS: usize = Reason::ALL.len();
const REJECTS: usize = RejectReason::ALL.len();

/// The books of one channel since the start, recipients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelTotals {
    /// In deliveries.
    pub forwarded: u64,
    /// Dropped, by reason, in the order of [`Reason::ALL`].
    pub suppressed: [u64; REASONS],
    /// Rejected, by reason, in the order of [`RejectReason::ALL`].
    pub rejected: [u64; REJECTS],
    /// To be sent again later.
    pub deferred: u64,
}

impl ChannelTotals {
    /// Recipients that have an outcome.
    #[must_use]
    pub fn recipients_in(&self) -> u64 {
        self.forwarded
            + self.suppressed.iter().sum::<u64>()
            + self.rejected.iter().sum::<u64>()
            + self.deferred
    }
}

/// The books of every channel, in the order of [`Channel::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    channels: [ChannelTotals; Channel::ALL.len()],
}

impl Totals {
    /// The books of `channel`.
    #[must_use]
    pub fn channel(&self, channel: Channel) -> &ChannelTotals {
        &self.channels[channel as usize - 1]
    }

    /// The books over all channels.
    #[must_use]
    pub fn all(&self) -> ChannelTotals {
        let mut sum = ChannelTotals::default();
        for books in &self.channels {
            sum.forwarded += books.forwarded;
            sum.deferred += books.deferred;
            for (total, part) in sum.suppressed.iter_mut().zip(&books.suppressed) {
                *total += part;
            }
            for (total, part) in sum.rejected.iter_mut().zip(&books.rejected) {
                *total += part;
            }
        }
        sum
    }
}

/// One channel's counters.
#[derive(Debug, Default)]
struct Books {
    forwarded: AtomicU64,
    suppressed: [AtomicU64; REASONS],
    rejected: [AtomicU64; REJECTS],
    deferred: AtomicU64,
}

/// The counters behind [`Totals`].
#[derive(Debug, Default)]
pub(crate) struct Mirror([Books; Channel::ALL.len()]);

impl Mirror {
    pub(crate) fn add(&self, channel: Channel, outcome: Outcome, count: u64) {
        let books = &self.0[channel as usize - 1];
        let counter = match outcome {
            Outcome::Forwarded => &books.forwarded,
            Outcome::Suppressed(reason) => &books.suppressed[reason as usize - 1],
            Outcome::Rejected(reason) => &books.rejected[reason as usize - 1],
            Outcome::Deferred => &books.deferred,
        };
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            channels: std::array::from_fn(|at| {
                let books = &self.0[at];
                ChannelTotals {
                    forwarded: read(&books.forwarded),
                    suppressed: std::array::from_fn(|reason| read(&books.suppressed[reason])),
                    rejected: std::array::from_fn(|reason| read(&books.rejected[reason])),
                    deferred: read(&books.deferred),
                }
            }),
        }
    }
}
