//! The straight line, and the threads it runs on.
//!
//! `read → view → barrier → sieve → splice → produce → commit`, a file for each step. What happens when is decided by
//! [`control`], a state machine without I/O; the threads around it only carry messages. The guarantees G1 to G7 of the
//! contract are named where they are kept.

mod barrier;
mod clock;
mod commit;
pub mod control;
mod filter;
mod follow;
mod group;
mod holding;
mod line;
mod produce;
pub mod purge;
mod read;
mod recall;
pub mod rotate;
mod service;
mod sieve;
pub mod snapshots;
mod splice;
mod store;
mod tally;
mod tokens;
mod view;
mod worker;

pub use filter::{Filter, View};
pub use service::{Running, start};
pub use view::bury;

use std::time::Duration;

/// How the line works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Workers of this process, 1 to 64; 0 routes nothing and only keeps the filter (role `intake`).
    pub workers: u16,
    /// How long a batch is filled after its first record, ms (`router.batch_ms_max`).
    pub batch_ms_max: u64,
    /// Sum of the values of a batch, bytes (`router.batch_bytes_max`).
    pub batch_bytes_max: usize,
    /// From the barrier to the commit, ms (G2, `router.freshness_max_ms`).
    pub freshness_max_ms: u64,
    /// Greatest record that the topics take, bytes (`topics.max_message_bytes`): a larger delivery is split.
    pub max_message_bytes: usize,
    /// For how long a job that was ROUTED or EMPTY makes its repeat a DUPLICATE (G7, `router.dedupe_window`), to the
    /// second; zero looks for none.
    pub dedupe_window: Duration,
    /// Whether suppression records that can't be read are passed over (`suppression.skip_unreadable`), instead of holding
    /// at the first of them (G5).
    pub skip_unreadable: bool,
    /// Full name of the topic that is read, for dead letters.
    pub jobs_topic: String,
    /// What is deleted once it was read.
    pub purge: purge::Options,
    /// What tenants may do: the policy in use, which may be replaced while the line runs; a batch is decided by one.
    pub policy: tamis_policy::Current,
    /// Snapshots of the filter; without them it is read from the log's beginning.
    pub snapshots: Option<snapshots::Options>,
}

impl Default for Options {
    /// The contract's defaults (section 5), with one worker.
    fn default() -> Self {
        Self {
            workers: 1,
            batch_ms_max: 10,
            batch_bytes_max: 8 << 20,
            freshness_max_ms: 5_000,
            max_message_bytes: 16 << 20,
            dedupe_window: Duration::from_secs(48 * 3_600),
            skip_unreadable: false,
            jobs_topic: "tamis.send-jobs.v1".to_owned(),
            purge: purge::Options::default(),
            policy: tamis_policy::Current::default(),
            snapshots: None,
        }
    }
}

impl Options {
    /// The window in whole seconds, begun ones too.
    fn window_s(&self) -> u32 {
        let seconds = self.dedupe_window.as_millis().div_ceil(1_000);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

/// Why a service stopped by itself.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Stopped {
    /// The suppression log was written under another key: this filter would let everybody through.
    #[error(
        "the key does not fit the suppression log: identity.key_file must be the key that the log was written with, \
         with every step that a rotation added"
    )]
    WrongKey,
    /// The log cannot be used.
    #[error("{0}")]
    Log(tamis_bus::Error),
    /// The snapshot that the filter rests on can't be read. The next start takes another one, or reads the log.
    #[error("{0}: it is put aside, start again")]
    Snapshot(tamis_suppression::Unreadable),
}
