//! From an address to a subject: canonical forms (scheme 1), the key, and keyed pseudonyms.
//!
//! A key that was rotated has several steps, and a scheme is how many of them were taken: `subject_1 = PRF(k_1, identity ‖
//! canonical)`, `subject_{n+1} = PRF(k_{n+1}, subject_n)`. So subjects of an earlier scheme are brought to a later one without
//! the addresses ([`Subjects::advance`]).
//!
//! Two writings of one address give one [`Subject`]; without the [`Key`] nobody can tell which address a
//! subject stands for, nor list all telephone numbers to find out. Everything here that is or comes from a
//! person's address prints as `<redacted>` in `Debug` and has no `Display`.
//!
//! What is forwarded to a gateway is the recipient's own bytes, never a canonical form.

mod batch;
pub mod canonical;
mod gateway;
mod key;
mod lanes;
mod redacted;
mod region;
mod subjects;
pub mod token;

pub use batch::Batch;
pub use canonical::{Invalid, Postal};
pub use key::{Key, KeyError, KeyFile};
pub use redacted::Redacted;
pub use region::{Region, UnknownRegion};
pub use subjects::{Subject, Subjects};

/// The first version of the canonical forms and of the key, as it stands in every record and snapshot: a key of one step.
pub const SCHEME: u32 = 1;
/// The greatest there may be: a key that was rotated fifteen times.
pub const SCHEME_MAX: u32 = key::STEPS_MAX as u32;
