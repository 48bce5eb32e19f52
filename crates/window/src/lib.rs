//! The jobs decided within `router.dedupe_window`: what is said twice is sent once (G7). No I/O, no clock.
//!
//! A job is noted when it is *decided* ROUTED or EMPTY, before its transaction commits, so that its repeat in the same
//! batch, or in the next one, which is decided while the first commits, is found. Nothing is taken back when that
//! transaction is aborted, or ends unknown. Why that is right:
//!
//! - After anything but a clean commit every partition goes back to its committed offset, and all jobs from there on
//!   are decided again, in order. The table knows up to where it has been ([`Table::look`]), so that it knows that a
//!   job is being decided *again*.
//! - Each decision is noted with its job's offset. While a job at offset `o` is decided again, a decision noted at `o`
//!   or later is one that was undone: it does not count. One noted before `o` was either committed or has been made
//!   again since the rewind, for the jobs before `o` came before it: it counts.
//! - *A later duplicate in the same or the next batch*: `a` at 10 is ROUTED, `a` at 20 a DUPLICATE of it, and both are
//!   undone. At 10 the decision noted at 10 is the job's own: it is decided afresh. If it is ROUTED again, 20 is a
//!   DUPLICATE again. If it is not (it has expired meanwhile), the note is taken away, and 20 is decided for itself.
//! - *An earlier job that is sent only the second time*: `a` at 10 is DEFERRED, `a` at 20 ROUTED, both undone. At 10
//!   the note at 20 does not count, since it stands behind: 10 may be ROUTED now, and then 20 is its DUPLICATE. Had
//!   the note counted, 10 would have been dropped for a job that was never sent.
//!
//! What was recalled from `outcomes` was committed, and always counts. And a record of which `outcomes` tells is not decided again at
//! all, whatever the group's offsets say ([`Done`]).

mod done;
mod owners;
mod prints;
mod shard;
mod table;
mod windows;

pub use done::Done;
pub use owners::Owners;
pub use prints::{Print, Prints};
pub use table::{Said, Table};
pub use windows::{Look, Window};
