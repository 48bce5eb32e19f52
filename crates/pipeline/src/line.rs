//! The middle of the line: view → sieve → splice, for a batch, a few jobs under one view of the filter. No I/O, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use tamis_bus::{JobRecord, Outgoing, Partition};
use tamis_campaign::UnixMs;
use tamis_policy::Policy;
use tamis_sieve::Sieve;
use tamis_subject::Subjects;
use tamis_suppression::Index;
use tamis_window::{Prints, Window};
use tamis_wire::{Packed, Parts, Spans};

use crate::recall::{seconds, settles};
use crate::splice::OutcomesByPartition;
use crate::tally::Tally;
use crate::tokens::Tokens;
use crate::{Options, sieve, splice, view};

/// Bytes of jobs that are decided under one view of the filter, give or take a job: some tenths of a millisecond, for which the
/// filter's writer may have to wait, and other readers behind it.
const VIEW_BYTES: usize = 256 << 10;

/// One view of the filter at one moment: all that a decision may depend on besides the job.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'i> {
    pub(crate) index: &'i Index,
    /// The key that the index's subjects are made with.
    pub(crate) key: &'i Subjects,
    /// `index.position()`, as every stamp and outcome has it.
    pub(crate) position: &'i Packed,
    pub(crate) now_ms: UnixMs,
}

/// What a worker decides with; its memory is reused from batch to batch.
pub(crate) struct Line {
    /// Which jobs of this worker's partitions were decided before (G7).
    pub(crate) window: Window,
    sieve: Sieve,
    spans: Spans,
    parts: Parts,
    tokens: Tokens,
    outcomes: OutcomesByPartition,
    offsets: BTreeMap<Partition, i64>,
    jobs_topic: String,
    max_message_bytes: usize,
}

impl Line {
    pub(crate) fn new(subjects: Subjects, prints: Prints, options: &Options) -> Self {
        Self {
            window: Window::new(prints, options.window_s()),
            sieve: Sieve::new(subjects),
            spans: Spans::new(),
            parts: Parts::default(),
            tokens: Tokens::default(),
            outcomes: BTreeMap::new(),
            offsets: BTreeMap::new(),
            jobs_topic: options.jobs_topic.clone(),
            max_message_bytes: options.max_message_bytes,
        }
    }

    /// Begins a batch, decided at `now_ms` by `policy`, that goes to `outgoing`.
    pub(crate) fn begin(&mut self, outgoing: &mut Outgoing, policy: &Arc<Policy>, now_ms: UnixMs) {
        self.sieve.use_policy(policy);
        outgoing.clear();
        outgoing.decided_at_ms = now_ms;
        self.offsets.clear();
        self.window.tidy(seconds(now_ms));
    }

    /// Passes the next few of a batch's jobs under one view: what goes out is appended to `outgoing`. `false` when there are no
    /// more.
    pub(crate) fn pass<'a>(
        &mut self,
        records: &mut impl Iterator<Item = JobRecord<'a>>,
        sight: Sight<'_>,
        outgoing: &mut Outgoing,
        tally: &mut Tally,
    ) -> bool {
        self.sieve.use_key(sight.key);
        let mut bytes = 0;
        for record in records {
            self.pass_one(&record, sight, outgoing, tally);
            // Computed from what is in the batch, never asked of the reader, which may be ahead (G4).
            self.offsets.insert(record.partition, record.offset + 1);
            bytes += record.value.map_or(0, <[u8]>::len);
            if bytes >= VIEW_BYTES {
                return true;
            }
        }
        false
    }

    /// Ends a batch: what is left of its outcomes, and the offsets that are done by it.
    pub(crate) fn end(&mut self, outgoing: &mut Outgoing) {
        splice::flush_all(&mut self.outcomes, outgoing);
        outgoing.offsets.extend(self.offsets.iter().map(|(partition, next)| (*partition, *next)));
    }

    fn pass_one(
        &mut self,
        record: &JobRecord<'_>,
        sight: Sight<'_>,
        outgoing: &mut Outgoing,
        tally: &mut Tally,
    ) {
        tally.entered(record.timestamp_ms);
        let job = match view::view(record, &mut self.spans) {
            Ok(job) => job,
            Err(why) => {
                view::bury(record, why, &self.jobs_topic, sight.now_ms, outgoing);
                tally.dead_letter(why.code.as_str());
                return;
            }
        };
        let (sieve, parts, tokens, spans) = (&mut self.sieve, &mut self.parts, &mut self.tokens, &self.spans);
        let (partition, offset, now_s) = (record.partition, record.offset, seconds(sight.now_ms));
        let look = self.window.look(partition, offset, (job.tenant.as_str(), job.job_id.as_str()), now_s);
        let decision = if look.is_some_and(|look| look.is_duplicate()) {
            sieve.decide_duplicate(&job, spans, sight.now_ms)
        } else {
            sieve::decide(sieve, (parts, tokens, self.max_message_bytes), &job, record, spans, sight)
        };
        if let Some(look) = look {
            self.window.note(partition, offset, look, settles(decision.verdict), now_s);
        }
        if decision.forwarded > 0 {
            splice::deliver(&job, record, spans, &decision, (parts, &tokens.added()), sight, outgoing);
        }
        splice::account(&job, record, &decision, sight, &mut self.outcomes, outgoing);
        tally.job(&job, &decision, record.value.map_or(0, <[u8]>::len) as u64);
    }
}

#[cfg(test)]
mod tests;
