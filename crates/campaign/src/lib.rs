//! The nouns that both sides of tamis share: what a job is about, and what may become of it.
//!
//! Every closed set of the contract is an enum here, with its number on the wire and its name in JSON and
//! in metric labels. Nothing in this crate is personal data.

mod closed;
mod ident;

pub use closed::{
    Channel, Identity, InboundKind, Purpose, Reason, RecordReason, RefusalCode, RejectReason, Source, Verdict,
};
pub use ident::{Campaign, IllFormed, JobId, Tenant, is_identifier};

/// Most recipients in a job (contract, section 2).
pub const RECIPIENTS_MAX: usize = 100_000;

/// Unix time in milliseconds; the unit of every clock reading that crosses a crate line.
pub type UnixMs = i64;

/// A day of it.
pub const DAY_MS: UnixMs = 86_400_000;
