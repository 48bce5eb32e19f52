//! The middle of the line: view → sieve → splice, for a batch, a few jobs under one view of the filter. No I/O, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrayvec::ArrayVec;
use tamis_bus::{JobRecord, Outgoing, Partition};
use tamis_campaign::UnixMs;
use tamis_policy::Policy;
use tamis_sieve::Sieve;
use tamis_subject::Subjects;
use tamis_suppression::Index;
use tamis_window::{Print, Prints, Window};
use tamis_wire::{JobView, Packed, Parts, Spans, Unreadable};

use crate::recall::{seconds, settles};
use crate::splice::OutcomesByPartition;
use crate::tally::Tally;
use crate::tokens::Tokens;
use crate::{Options, sieve, splice, view};

/// Bytes of jobs that are decided under one view of the filter, give or take a row of short jobs, or a long one: some tenths of a
/// millisecond, for which the filter's writer may have to wait, and other readers behind it.
const VIEW_BYTES: usize = 256 << 10;

/// Jobs that are viewed together, and their bytes, give or take a job: enough for what their decisions need to be waited for side by
/// side, few enough to stay in the first cache.
const TOGETHER: usize = 16;
const TOGETHER_BYTES: usize = 16 << 10;

/// A job that is viewed, and not decided yet.
struct Viewed<'a> {
    record: JobRecord<'a>,
    job: Result<JobView<'a>, Unreadable>,
    /// `None` when duplicates are not looked for.
    print: Option<Print>,
    /// Which spans are its.
    spans: usize,
}

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
    /// Of the jobs that are viewed together, and of a long one.
    spans: [Spans; TOGETHER + 1],
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
            spans: Default::default(),
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
        while bytes < VIEW_BYTES {
            let some = self.view_some(records, sight);
            if some.is_empty() {
                return false;
            }
            for viewed in &some {
                let record = &viewed.record;
                bytes += record.value.map_or(0, <[u8]>::len);
                let job = viewed.job.as_ref().ok().map(|job| (job.tenant.as_str(), job.job_id.as_str()));
                if self.window.is_done(record.partition, record.offset, job) {
                    continue;
                }
                self.pass_one(viewed, sight, outgoing, tally);
                // Computed from what is in the batch, never asked of the reader, which may be ahead (G4).
                self.offsets.insert(record.partition, record.offset + 1);
            }
        }
        true
    }

    /// Views some jobs, and asks memory for what their decisions will need.
    #[inline]
    fn view_some<'a>(
        &mut self,
        records: &mut impl Iterator<Item = JobRecord<'a>>,
        sight: Sight<'_>,
    ) -> ArrayVec<Viewed<'a>, TOGETHER> {
        let mut some = ArrayVec::new();
        let mut bytes = 0;
        while !some.is_full()
            && bytes < TOGETHER_BYTES
            && let Some(record) = records.next()
        {
            let length = record.value.map_or(0, <[u8]>::len);
            bytes += length;
            // A long one ends the row, and has spans of its own, so that not all grow as long as the longest.
            let of = if length < TOGETHER_BYTES { some.len() } else { TOGETHER };
            let spans = &mut self.spans[of];
            let job = view::view(&record, spans);
            let mut print = None;
            if let Ok(job) = &job {
                print = self.window.foresee(record.partition, (job.tenant.as_str(), job.job_id.as_str()));
                self.sieve.foresee(job, record.value.unwrap_or_default(), spans, sight.index);
            }
            some.push(Viewed { record, job, print, spans: of });
        }
        some
    }

    /// Ends a batch: what is left of its outcomes, and the offsets that are done by it.
    pub(crate) fn end(&mut self, outgoing: &mut Outgoing) {
        splice::flush_all(&mut self.outcomes, outgoing);
        outgoing.offsets.extend(self.offsets.iter().map(|(partition, next)| (*partition, *next)));
    }

    fn pass_one(
        &mut self,
        Viewed { record, job, print, spans }: &Viewed<'_>,
        sight: Sight<'_>,
        outgoing: &mut Outgoing,
        tally: &mut Tally,
    ) {
        tally.entered(record.timestamp_ms);
        let job = match *job {
            Ok(job) => job,
            Err(why) => {
                view::bury(record, why, &self.jobs_topic, sight.now_ms, outgoing);
                tally.dead_letter(why.code.as_str());
                return;
            }
        };
        let (sieve, parts, tokens, spans) =
            (&mut self.sieve, &mut self.parts, &mut self.tokens, &self.spans[*spans]);
        let (partition, offset, now_s) = (record.partition, record.offset, seconds(sight.now_ms));
        let look = print.map(|print| self.window.look(partition, offset, print, now_s));
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
