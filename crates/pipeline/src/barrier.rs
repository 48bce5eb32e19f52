//! Step three, the barrier: asking how far the suppression log has got (G1), and noticing that nobody answers (G5).
//!
//! One thread with a connection of its own serves every worker: an answer serves each question that was put
//! before the asking began. With nothing to answer it asks all the same, so that `/readyz` tells within seconds
//! that the log cannot be asked, whether jobs wait or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tamis_bus::{EndOffsets, Positions};
use tamis_telemetry::{Metrics, Stage};

use crate::clock::{Stopwatch, monotonic_ms};
use crate::control::{Input, Millis, Ticket};
use crate::filter::Filter;
use crate::holding::Holding;
use crate::worker::Mail;

/// How often the log is asked when no worker asks. With `ASK_TIMEOUT` and `SILENCE_MAX` a silent log is noticed
/// well within the five seconds of the contract (section 9, Hold).
const IDLE_EVERY: Duration = Duration::from_millis(500);
/// How long one asking may take.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Without a good answer for this long the log counts as silent.
const SILENCE_MAX_MS: Millis = 2_500;

/// A worker's question.
pub(crate) struct Ask {
    pub(crate) ticket: Ticket,
    pub(crate) answer_to: Sender<Mail>,
}

/// What the barrier thread works with.
pub(crate) struct Barrier<E> {
    pub(crate) log: E,
    pub(crate) asks: Receiver<Ask>,
    pub(crate) filter: Filter,
    pub(crate) holding: Arc<Holding>,
    pub(crate) metrics: Metrics,
    pub(crate) stop: Arc<AtomicBool>,
}

impl<E: EndOffsets> Barrier<E> {
    /// Serves until told to stop.
    pub(crate) fn run(mut self) {
        let mut last_good = monotonic_ms();
        let mut expected: Option<Positions> = None;
        while !self.stop.load(Ordering::Relaxed) {
            let Ok(waiting) = self.collect() else { return };
            let watch = Stopwatch::start();
            let asked_at = monotonic_ms();
            let end = match self.log.ask(ASK_TIMEOUT) {
                Ok(end) => Some(end),
                Err(error) => {
                    self.metrics.error("barrier", if error.retry() { "unreachable" } else { "refused" });
                    tracing::debug!(%error, "suppression log could not be asked");
                    None
                }
            };
            if !waiting.is_empty() {
                self.metrics.batch_seconds(Stage::Barrier, watch.seconds());
            }
            for ask in waiting {
                let input = Input::End { ticket: ask.ticket, asked_at, end: end.clone() };
                // A worker that left needs no answer.
                let _ = ask.answer_to.send(Mail::Input(input));
            }
            if let Some(end) = end {
                self.note_lag(&end);
                // Fresh means: it answers, and the filter has come as far as it said the time before.
                if expected.as_ref().is_none_or(|before| self.filter.position().reaches(before)) {
                    last_good = asked_at;
                    expected = Some(end);
                }
            }
            self.holding.set_log_silent(monotonic_ms() > last_good + SILENCE_MAX_MS);
        }
    }

    /// Every question that was put by now; none after a while without.
    fn collect(&self) -> Result<Vec<Ask>, crossbeam_channel::RecvError> {
        let first = match self.asks.recv_timeout(IDLE_EVERY) {
            Ok(ask) => ask,
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => return Ok(Vec::new()),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                return Err(crossbeam_channel::RecvError);
            }
        };
        Ok(std::iter::once(first).chain(self.asks.try_iter()).collect())
    }

    fn note_lag(&self, end: &Positions) {
        self.metrics.filter_lag_records(self.filter.position().behind(end));
    }
}
