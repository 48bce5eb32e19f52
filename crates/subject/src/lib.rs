//! From an address to a subject: canonical forms (scheme 1), the key, and keyed pseudonyms.
//!
//! Two writings of one address give one [`Subject`]; without the [`Key`] nobody can tell which address a
//! subject stands for, nor list all telephone numbers to find out. Everything here that is or comes from a
//! person's address prints as `<redacted>` in `Debug` and has no `Display`.
//!
//! What is forwarded to a gateway is the recipient's own bytes, never a canonical form.

pub mod canonical;
mod key;
mod redacted;
mod region;
mod subjects;

pub use canonical::{Invalid, Postal};
pub use key::{Key, KeyError};
pub use redacted::Redacted;
pub use region::{Region, UnknownRegion};
pub use subjects::{Subject, Subjects};

/// The version of the canonical forms and of the key, as it stands in every record and snapshot.
pub const SCHEME: u32 = 1;
