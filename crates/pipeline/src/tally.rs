//! The books of one batch, counted when it is committed.

use tamis_campaign::{Channel, Reason, RejectReason, UnixMs, Verdict};
use tamis_sieve::Decision;
use tamis_telemetry::{Metrics, Outcome};
use tamis_wire::JobView;

/// Timestamps kept of a batch for the end-to-end histogram: a sample, evenly spread.
const SAMPLE: usize = 64;

/// Books of one channel.
#[derive(Debug, Clone, Copy, Default)]
struct Books {
    jobs: [u64; Verdict::ALL.len()],
    bytes: u64,
    forwarded: u64,
    suppressed: [u64; Reason::ALL.len()],
    rejected: [u64; RejectReason::ALL.len()],
    deferred: u64,
}

/// Books of one batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    channels: [Books; Channel::ALL.len()],
    dead_letters: Vec<&'static str>,
    timestamps: Vec<UnixMs>,
    seen: usize,
    /// Jobs whose books did not close (G6); must stay 0.
    unaccounted: u64,
}

impl Tally {
    /// Books a job that was read. One of no channel has no row; its outcome says so.
    pub(crate) fn job(&mut self, job: &JobView<'_>, decision: &Decision<'_>, bytes: u64) {
        if !decision.books_close() {
            self.unaccounted += 1;
        }
        let Some(channel) = job.channel else { return };
        let books = &mut self.channels[channel as usize - 1];
        books.jobs[decision.verdict as usize - 1] += 1;
        books.bytes += bytes;
        books.forwarded += u64::from(decision.forwarded);
        for (reason, count, _) in decision.suppressed() {
            books.suppressed[reason as usize - 1] += u64::from(count);
        }
        for (reason, count, _) in decision.rejected() {
            books.rejected[reason as usize - 1] += u64::from(count);
        }
        books.deferred += decision.deferred().map_or(0, |(_, count, _)| u64::from(count));
    }

    /// Books a record that could not be read as a job.
    pub(crate) fn dead_letter(&mut self, code: &'static str) {
        self.dead_letters.push(code);
    }

    /// Notes when a record entered the log.
    pub(crate) fn entered(&mut self, timestamp_ms: UnixMs) {
        // Keeps the first ones, then every one that replaces by turns: a spread is enough.
        if self.timestamps.len() < SAMPLE {
            self.timestamps.push(timestamp_ms);
        } else {
            self.timestamps[self.seen % SAMPLE] = timestamp_ms;
        }
        self.seen += 1;
    }

    /// How old the newest record is, seconds; 0 without records.
    pub(crate) fn age_of_newest_s(&self, now_ms: UnixMs) -> f64 {
        self.timestamps.iter().max().map_or(0.0, |newest| seconds(now_ms - newest))
    }

    /// Counts the batch, once it is committed.
    pub(crate) fn publish(&self, metrics: &Metrics, committed_at_ms: UnixMs) {
        for (&channel, books) in Channel::ALL.iter().zip(&self.channels) {
            for (&verdict, &jobs) in Verdict::ALL.iter().zip(&books.jobs) {
                metrics.jobs(channel, verdict, jobs);
            }
            metrics.job_bytes(channel, books.bytes);
            metrics.recipients(channel, Outcome::Forwarded, books.forwarded);
            for (&reason, &count) in Reason::ALL.iter().zip(&books.suppressed) {
                metrics.recipients(channel, Outcome::Suppressed(reason), count);
            }
            for (&reason, &count) in RejectReason::ALL.iter().zip(&books.rejected) {
                metrics.recipients(channel, Outcome::Rejected(reason), count);
            }
            metrics.recipients(channel, Outcome::Deferred, books.deferred);
        }
        metrics.lost("sieve", self.unaccounted);
        for code in &self.dead_letters {
            metrics.dead_letter(code);
        }
        for entered in &self.timestamps {
            metrics.end_to_end_seconds(seconds(committed_at_ms - entered));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a latency in seconds")]
fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1e3
}
