//! Bytes to types and back: a borrowed view of a job, splicing of what is kept, outcomes, suppression records.
//!
//! No I/O. What comes in is never trusted; what goes on to a gateway is never decoded and encoded again.

mod cursor;
mod dead_letter;
mod decided;
pub mod inbound;
mod job;
mod outcome;
mod put;
mod recipient;
pub mod record;
mod redacted;
mod splice;
mod trace;

pub use dead_letter::{DeadLetter, DeadLetterCode, Unreadable, xxh3};
pub use decided::{DamagedOutcomes, Decided, decided};
pub use job::{BadField, JobView, Span, Spans};
pub use outcome::{OUTCOMES_BYTES_MAX, OutcomeView, Outcomes, RefusalView};
pub use prost::Message;
pub use put::Packed;
pub use recipient::{Malformed, RecipientView};
pub use splice::{Added, PartTooLarge, Parts, Stamp, splice, splice_adding};
pub use trace::trace_context;

/// The published messages, as prost makes them from `proto/`. For tools and tests: the line itself works on views.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod proto {
    /// `tamis.campaign`.
    pub mod campaign {
        /// `tamis.campaign.v1`.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/tamis.campaign.v1.rs"));
        }
    }
    /// `tamis.suppression`.
    pub mod suppression {
        /// `tamis.suppression.v1`.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/tamis.suppression.v1.rs"));
        }
    }
}
