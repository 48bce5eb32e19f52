//! What a running tamis says about itself: metrics, health, logs.
//!
//! Labels come from closed sets only; nothing here can take an address, a tenant or a digest.

mod declared;
mod health;
mod logs;
mod metrics;
mod panics;
mod purge;
mod totals;

pub use health::{Check, Health};
pub use logs::{LogError, init_logs};
pub use metrics::{Exposition, Metrics};
pub use panics::keep_panics_wordless;
pub use purge::Content;
pub use totals::{ChannelTotals, Totals};

use tamis_campaign::{Reason, RejectReason};

/// What became of recipients; every recipient has exactly one (G6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// In a delivery.
    Forwarded,
    /// Dropped by a record in force.
    Suppressed(Reason),
    /// Not addressable.
    Rejected(RejectReason),
    /// To be sent again later by the scheduler.
    Deferred,
}

/// A step of the line whose time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bytes to a view of the job.
    Decode,
    /// Asking how far the suppression log has got, and waiting for the filter.
    Barrier,
    /// Judging the recipients and splicing.
    Decide,
    /// Handing the results to the log.
    Produce,
    /// Committing them.
    Commit,
}

impl Stage {
    /// Every stage, in the order of the line.
    pub const ALL: &'static [Self] =
        &[Self::Decode, Self::Barrier, Self::Decide, Self::Produce, Self::Commit];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Barrier => "barrier",
            Self::Decide => "decide",
            Self::Produce => "produce",
            Self::Commit => "commit",
        }
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitResult {
    /// Committed: visible and durable.
    Committed,
    /// Aborted: nothing of it is visible; its jobs are decided again.
    Aborted,
    /// Nobody knew: the writer was replaced and the committed offsets were read.
    Replaced,
}

impl CommitResult {
    /// Every result.
    pub const ALL: &'static [Self] = &[Self::Committed, Self::Aborted, Self::Replaced];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Replaced => "replaced",
        }
    }
}
