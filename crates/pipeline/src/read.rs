//! Step one, read: how much of `send-jobs` makes a batch.

use std::time::Duration;

use tamis_bus::ReadLimits;

use crate::Options;

/// Records in a batch at most: bounds what describes them in memory when jobs are tiny, some 100 MB.
const BATCH_RECORDS_MAX: usize = 200_000;
/// How long an idle worker waits before it looks whether it is to stop.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// How long it waits when the answer of another thread is on its way.
const BRIEF_WAIT: Duration = Duration::from_millis(2);

/// Limits for the next read.
pub(crate) fn limits(options: &Options, brief: bool) -> ReadLimits {
    ReadLimits {
        wait: if brief { BRIEF_WAIT } else { IDLE_WAIT },
        fill: Duration::from_millis(options.batch_ms_max),
        bytes_max: options.batch_bytes_max,
        records_max: BATCH_RECORDS_MAX,
    }
}
