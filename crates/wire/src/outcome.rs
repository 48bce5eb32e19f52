//! What became of a job, written by hand: one for every job, many to a record.

use tamis_campaign::{Channel, Reason, RefusalCode, RejectReason, Verdict};

use crate::put::{self, Packed};

/// Where a record of outcomes is split (contract, section 2).
pub const OUTCOMES_BYTES_MAX: usize = 512 << 10;

/// Why a job is refused.
#[derive(Debug, Clone)]
pub struct RefusalView {
    /// The code.
    pub code: RefusalCode,
    /// The article of law or the policy it rests on.
    pub rule: &'static str,
    /// What to do; names fields, never values.
    pub message: String,
}

/// An outcome to write. Lists give (reason, count, places).
#[derive(Debug)]
pub struct OutcomeView<'a, S, R> {
    /// The job.
    pub job_id: &'a str,
    /// Its tenant.
    pub tenant: &'a str,
    /// Its campaign; may be empty.
    pub campaign: &'a str,
    /// Its channel, if it has a good one.
    pub channel: Option<Channel>,
    /// What became of it.
    pub verdict: Verdict,
    /// Recipients that arrived.
    pub recipients_in: u32,
    /// Recipients forwarded.
    pub forwarded: u32,
    /// Recipients dropped, by reason.
    pub suppressed: S,
    /// Recipients that could not be used, by reason.
    pub rejected: R,
    /// Recipients to send again: when, how many, which.
    pub deferred: Option<(i64, u32, &'a [u8])>,
    /// Why it was refused.
    pub refusal: Option<&'a RefusalView>,
    /// The filter's position.
    pub filter_position: &'a Packed,
    /// When, Unix ms.
    pub decided_at_ms: i64,
    /// The gateway that was chosen; may be empty.
    pub gateway: &'a str,
    /// Length of the content.
    pub content_bytes: u64,
    /// The job's partition.
    pub source_partition: i32,
    /// The job's offset.
    pub source_offset: i64,
}

/// A `JobOutcomes` record in the making. Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Outcomes {
    bytes: Vec<u8>,
    first_offset: Option<i64>,
    /// Where the last one begins, and its job's offset.
    last: (usize, i64),
}

impl Outcomes {
    /// Appends one.
    pub fn push<'b, S, R>(&mut self, outcome: OutcomeView<'_, S, R>)
    where
        S: Iterator<Item = (Reason, u32, &'b [u8])>,
        R: Iterator<Item = (RejectReason, u32, &'b [u8])>,
    {
        self.first_offset.get_or_insert(outcome.source_offset);
        self.last = (self.bytes.len(), outcome.source_offset);
        put::nested(&mut self.bytes, 1, |out| encode(outcome, out));
    }

    /// When the last one made it longer than [`OUTCOMES_BYTES_MAX`]: hands over all but that one as [`Outcomes::take`]
    /// does.
    pub fn take_full(&mut self, out: &mut Vec<u8>) -> Option<i64> {
        let (start, offset) = self.last;
        if self.bytes.len() <= OUTCOMES_BYTES_MAX || start == 0 {
            return None;
        }
        let first = self.first_offset.replace(offset);
        out.extend_from_slice(&self.bytes[..start]);
        self.bytes.drain(..start);
        self.last.0 = 0;
        first
    }

    /// Hands over the record's value and the offset of its first job, and begins anew.
    pub fn take(&mut self, out: &mut Vec<u8>) -> Option<i64> {
        let first = self.first_offset.take()?;
        out.extend_from_slice(&self.bytes);
        self.bytes.clear();
        Some(first)
    }
}

fn encode<'b, S, R>(outcome: OutcomeView<'_, S, R>, out: &mut Vec<u8>)
where
    S: Iterator<Item = (Reason, u32, &'b [u8])>,
    R: Iterator<Item = (RejectReason, u32, &'b [u8])>,
{
    put::bytes(out, 1, outcome.job_id.as_bytes());
    put::bytes(out, 2, outcome.tenant.as_bytes());
    put::bytes(out, 3, outcome.campaign.as_bytes());
    put::signed(out, 4, outcome.channel.map_or(0, |c| i64::from(c.number())));
    put::signed(out, 5, i64::from(outcome.verdict.number()));
    put::number(out, 6, u64::from(outcome.recipients_in));
    put::number(out, 7, u64::from(outcome.forwarded));
    for (reason, count, places) in outcome.suppressed {
        group(out, 8, i64::from(reason.number()), count, places);
    }
    for (reason, count, places) in outcome.rejected {
        group(out, 9, i64::from(reason.number()), count, places);
    }
    if let Some((retry_at_ms, count, places)) = outcome.deferred {
        group(out, 10, retry_at_ms, count, places);
    }
    if let Some(refusal) = outcome.refusal {
        put::nested(out, 11, |out| {
            put::bytes(out, 1, refusal.code.code().as_bytes());
            put::bytes(out, 2, refusal.rule.as_bytes());
            put::bytes(out, 3, refusal.message.as_bytes());
        });
    }
    put::bytes(out, 12, outcome.filter_position.as_bytes());
    put::signed(out, 13, outcome.decided_at_ms);
    put::bytes(out, 14, outcome.gateway.as_bytes());
    put::number(out, 15, outcome.content_bytes);
    put::signed(out, 16, i64::from(outcome.source_partition));
    put::signed(out, 17, outcome.source_offset);
}

/// `Suppressed`, `Rejected` and `Deferred` have the same three fields.
fn group(out: &mut Vec<u8>, field: u32, first: i64, count: u32, places: &[u8]) {
    put::nested(out, field, |out| {
        put::signed(out, 1, first);
        put::number(out, 2, u64::from(count));
        put::bytes(out, 3, places);
    });
}
