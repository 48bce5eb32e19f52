//! Step seven, commit: deliveries, outcomes, dead letters and offsets become visible together, or not at all (G4).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tamis_bus::{Blame, Error, Fault, Ledger};

use crate::clock::monotonic_ms;
use crate::control::Millis;

/// How long a commit may take; the broker ends a transaction by itself after its own time-out
/// (`transaction.timeout.ms`, 10 s), so waiting longer would learn nothing more.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Commits what was appended, unless its answer from the barrier is too old by now (G2) or the partitions were
/// taken back meanwhile.
///
/// # Errors
/// [`Fault::Abort`] when it must not or could not be committed, [`Fault::Replace`] when nobody knows.
pub(crate) fn commit<L: Ledger>(
    ledger: &mut L,
    fresh_until: Millis,
    cancel: &AtomicBool,
) -> Result<(), Fault> {
    if cancel.swap(false, Ordering::AcqRel) {
        return Err(Fault::Abort(Error::new("commit batch", Blame::Internal, "partitions were taken back")));
    }
    if monotonic_ms() > fresh_until {
        return Err(Fault::Abort(Error::new(
            "commit batch",
            Blame::Unreachable,
            "its view of the filter is too old",
        )));
    }
    ledger.commit(COMMIT_TIMEOUT)
}
