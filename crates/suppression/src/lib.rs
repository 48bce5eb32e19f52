//! Records of opt-outs, applied in order to an index that answers: why must this subject not be written to?
//!
//! Pure but for [`snapshot`], which has files, and the lock that an index in use is behind: no clock, no log. The shape follows from measurements (`benches/results`). A dictionary of cache lines
//! holds forty bits of each subject and, beside them, a number of sixteen bits for the set of (scope, channel, reason) that
//! it has records in. Most recipients are in no list, and one miss in the dictionary settles them.

mod blocks;
mod cells;
mod cold;
mod dictionary;
mod growth;
mod index;
mod line;
mod marks;
mod places;
mod segment;
mod selection;
pub mod snapshot;
mod stored;
mod view_lock;
mod walk;

pub use growth::{Prepared, Replaced};
pub use index::{Bytes, Found, Index, Life};
pub use places::Places;
pub use selection::{Hit, LookUps, Selection, of_both};
pub use stored::Unreadable;
pub use view_lock::{Change, ViewLock};
pub use walk::{Known, Stretch};
