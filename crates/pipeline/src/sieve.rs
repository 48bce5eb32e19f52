//! Step four, sieve: each job of a batch is decided under one view of the filter (G1, G3, G6).

use tamis_bus::JobRecord;
use tamis_sieve::{Decision, Sieve};
use tamis_wire::{JobView, PartTooLarge, Parts, Span, Stamp};

use crate::line::Sight;
use crate::tokens::Tokens;

/// Room for a record's key and headers besides its value: `ce_*` headers and trace context are below 2 KiB, `job_id` is 128
/// bytes at most, and a record batch has an overhead of 61 bytes and some varints.
const ENVELOPE_BYTES: usize = 4 << 10;

/// How often its own bytes a job may leave in parts. Content stands in each of them, so that a job whose content fills a
/// record all but some bytes would leave once for each recipient: one of 16 MiB as gigabytes, in one transaction. A job no
/// longer than a record, whose content leaves short recipients 16 KiB of it, leaves two or three times.
const PARTS_TIMES_MAX: usize = 8;

/// Decides a job. A job with a recipient that fits into no record is refused, and so is one whose parts would be many times
/// the job.
pub(crate) fn decide<'a>(
    sieve: &'a mut Sieve,
    (parts, tokens, max_message_bytes): (&mut Parts, &mut Tokens, usize),
    job: &JobView<'a>,
    record: &JobRecord<'a>,
    spans: &[Span],
    sight: Sight<'_>,
) -> Decision<'a> {
    let value = record.value.unwrap_or_default();
    let decision = sieve.decide(job, value, spans, sight.index, sight.now_ms);
    tokens.clear();
    if decision.forwarded == 0 {
        return decision;
    }
    if decision.tokens
        && let Err(error) = tokens.mint(job, value, spans, decision.kept, sight)
    {
        return decision.into_without_tokens(&error.to_string());
    }
    let added = tokens.added();
    let stamp = stamp(&decision, sight);
    let bytes_max = max_message_bytes.saturating_sub(ENVELOPE_BYTES);
    let planned = parts.plan(value, spans, decision.kept, &added, &stamp, bytes_max).map(<[_]>::len);
    match planned {
        // One alone has the job's bytes and the stamp, which is longer than a small job.
        Ok(1) => decision,
        Ok(_) if parts.bytes() <= PARTS_TIMES_MAX * (value.len() + added.bytes()) => decision,
        Ok(_) => decision.into_too_much(PARTS_TIMES_MAX, max_message_bytes),
        Err(PartTooLarge { position }) => decision.into_too_large(position, max_message_bytes),
    }
}

/// The stamp of a decision.
pub(crate) fn stamp<'a>(decision: &Decision<'a>, sight: Sight<'a>) -> Stamp<'a> {
    Stamp {
        decided_at_ms: sight.now_ms,
        filter_position: sight.position,
        policy_version: decision.policy_version,
        gateway: decision.gateway,
        recipients_in: decision.recipients_in,
    }
}
