//! Records of opt-outs, applied in order to an index that answers: why must this subject not be written to?
//!
//! Pure: no clock, no log, no threads. The shape follows from measurements: hashes straight into bitmaps are slow,
//! dense ids are not, so a dictionary gives each subject a small id and each (scope, channel, reason) has a roaring
//! bitmap over ids. Most recipients are in no list, and one miss in the dictionary settles them.

mod index;
mod places;
mod selection;

pub use index::{Found, Index};
pub use places::Places;
pub use selection::{Hit, Selection};
