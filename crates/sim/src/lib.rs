//! A seeded world around the worker's control.
//!
//! Several workers, each a real [`tamis_pipeline::control::Control`] with a carrier that does what the pipeline's
//! threads do, against a model of Kafka. One seed decides everything: who acts next, how long it takes, what goes
//! wrong. A shadow that keeps books of its own judges each commit by G1 to G7 at the moment it is decided; when the
//! faults stop, the world must come to rest, and an auditor counts what readers see.
//!
//! # What it does not prove
//!
//! - That the threads do what the carrier does. The carrier is written from `worker.rs`, `produce.rs`, `commit.rs`,
//!   `barrier.rs`, `follow.rs` and the bus; it is not that code. The tests on a real broker are for that.
//! - That Kafka does what the model does. `tests/broker.rs` plays the same scripts to both, and what the scripts do not
//!   touch is believed from Kafka's documents.
//! - Anything about a deposed leader that answers for the log's end with an old one: here it does not answer (KIP-207
//!   covers the new leader). Nor about losing what was acked, disks, unclean elections, or two processes that run under
//!   one name at a time.
//! - That a coordinator which tells an old offset does not hide the offsets of a transaction that is still open, too.
//! - The sieve, the splicing, the encoding: a job here is a set of people.
//! - Deliveries' own purge and gateways: they are no part of what the control decides.

mod campaign;
mod dice;
mod faults;
mod kafka;
mod mutant;
pub mod script;
mod shadow;
mod shrink;
mod worker;
mod world;

pub use campaign::{Campaign, Report};
pub use faults::Fault;
pub use mutant::Mutant;
pub use shadow::Violation;
pub use shrink::{Shrunk, shrink};
pub use world::{Plan, Ran, run};

use tamis_pipeline::control::Limits;

/// Milliseconds of the world's clock.
pub(crate) type Ms = u64;
/// A recipient.
pub(crate) type Person = u8;
/// A set of them, one bit each.
pub(crate) type People = u8;
/// A job's id; its partition hangs on it.
pub(crate) type JobId = u8;

/// Partitions of `send-jobs` in the largest world.
pub(crate) const PARTITIONS_MAX: usize = 3;
/// Partitions of `suppressions` in the largest world.
pub(crate) const SUPPRESSIONS_MAX: usize = 2;
/// Workers in the largest world.
pub(crate) const WORKERS_MAX: usize = 4;
/// The window in which a job's id is not sent again, ms: short, so that a schedule can leave it.
pub(crate) const DEDUPE_MS: Ms = 40_000;
/// How far a wall clock may be off, ms.
pub(crate) const SKEW_MS: Ms = 1_000;
/// How long tombstones are kept, and the oldest snapshot that is used, ms (`delete.retention.ms`).
pub(crate) const TOMBSTONES_MS: Ms = 15_000;

/// How old a record of the suppression log is before it replaces an earlier one, ms (`min.compaction.lag.ms`). It must be
/// longer than a batch may take from its barrier to its commit: else an opt-out that was acked before the barrier, and
/// is said once more after it, can be compacted away before the filter has read it, and the filter stands at the
/// barrier's answer without it.
pub(crate) const COMPACTION_LAG_MS: Ms = 10_000;

/// The control's times.
pub(crate) const LIMITS: Limits = Limits { freshness_max_ms: 5_000, patience_ms: 1_000, retry_ms: 200 };

/// The people of a set.
pub(crate) fn people(set: People) -> impl Iterator<Item = Person> {
    (0..People::BITS as Person).filter(move |person| set & (1 << person) != 0)
}

/// The suppression partition of a person's records.
pub(crate) fn home(person: Person, partitions: usize) -> usize {
    usize::from(person) % partitions
}
