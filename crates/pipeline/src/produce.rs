//! Step six, produce: the thread that owns a worker's transactional writer.
//!
//! It is a thread of its own so that a commit under way does not stop the line: the worker reads and decides the
//! next batch meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tamis_bus::{Fault, Ledger, Outgoing};
use tamis_telemetry::{CommitResult, Metrics, Stage};

use crate::clock::Stopwatch;
use crate::commit::commit;
use crate::control::{Input, Millis, Wrote};
use crate::worker::Mail;

/// How long opening the writer may take before it is tried again.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a worker asks of its writer.
pub(crate) enum Order {
    /// Write all of it in one transaction, committed only until then.
    Write { outgoing: Outgoing, fresh_until: Millis },
    /// Open the writer anew.
    Replace,
}

/// The writer's thread.
pub(crate) struct Producer<L> {
    pub(crate) ledger: L,
    pub(crate) orders: Receiver<Order>,
    pub(crate) answers: Sender<Mail>,
    pub(crate) cancel: Arc<AtomicBool>,
    pub(crate) metrics: Metrics,
}

impl<L: Ledger> Producer<L> {
    /// Serves until its worker is gone.
    pub(crate) fn run(mut self) {
        while let Ok(order) = self.orders.recv() {
            let mail = match order {
                Order::Write { outgoing, fresh_until } => {
                    let wrote = self.write(&outgoing, fresh_until);
                    Mail::Wrote { wrote, outgoing }
                }
                Order::Replace => Mail::Input(Input::Replaced(self.replace())),
            };
            if self.answers.send(mail).is_err() {
                return;
            }
        }
    }

    fn write(&mut self, outgoing: &Outgoing, fresh_until: Millis) -> Wrote {
        // A cancel that was meant for the write before is void; one for this write can only come later.
        self.cancel.store(false, Ordering::Release);
        let watch = Stopwatch::start();
        let appended = self.ledger.append(outgoing);
        self.metrics.batch_seconds(Stage::Produce, watch.seconds());
        let watch = Stopwatch::start();
        let written = appended.and_then(|()| commit(&mut self.ledger, fresh_until, &self.cancel));
        self.metrics.batch_seconds(Stage::Commit, watch.seconds());
        match written {
            Ok(()) => {
                self.metrics.commits(CommitResult::Committed);
                Wrote::Committed
            }
            Err(Fault::Abort(error)) => {
                tracing::warn!(%error, "transaction is aborted; its batch is decided again");
                self.abort()
            }
            Err(Fault::Replace(error)) => {
                tracing::warn!(%error, "transaction ended in doubt; the writer is replaced");
                Wrote::Unknown
            }
        }
    }

    fn abort(&mut self) -> Wrote {
        match self.ledger.abort() {
            Ok(()) => {
                self.metrics.commits(CommitResult::Aborted);
                Wrote::Aborted
            }
            Err(fault) => {
                tracing::warn!(%fault, "transaction could not be aborted; the writer is replaced");
                Wrote::Unknown
            }
        }
    }

    fn replace(&mut self) -> bool {
        match self.ledger.replace(REPLACE_TIMEOUT) {
            Ok(()) => {
                self.metrics.commits(CommitResult::Replaced);
                true
            }
            Err(error) => {
                self.metrics.error("replace", if error.retry() { "unreachable" } else { "refused" });
                tracing::warn!(%error, "writer cannot be opened; trying again");
                false
            }
        }
    }
}
