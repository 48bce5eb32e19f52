//! Step four, sieve: each job of a batch is decided under one view of the filter (G1, G3, G6).

use tamis_bus::JobRecord;
use tamis_sieve::{Decision, Sieve};
use tamis_wire::{JobView, PartTooLarge, Parts, Span, Stamp};

use crate::line::Sight;

/// Room for a record's key and headers besides its value: `ce_*` headers and trace context are below 2 KiB, `job_id` is 128
/// bytes at most, and a record batch has an overhead of 61 bytes and some varints.
const ENVELOPE_BYTES: usize = 4 << 10;

/// Decides a job. A job with a recipient that fits into no record is refused.
pub(crate) fn decide<'a>(
    sieve: &'a mut Sieve,
    (parts, max_message_bytes): (&mut Parts, usize),
    job: &JobView<'a>,
    record: &JobRecord<'a>,
    spans: &[Span],
    sight: Sight<'_>,
) -> Decision<'a> {
    let value = record.value.unwrap_or_default();
    let decision = sieve.decide(job, value, spans, sight.index, sight.now_ms);
    if decision.forwarded == 0 {
        return decision;
    }
    let stamp = stamp(&decision, sight);
    let bytes_max = max_message_bytes.saturating_sub(ENVELOPE_BYTES);
    match parts.plan(value, spans, decision.kept, &stamp, bytes_max) {
        Ok(_) => decision,
        Err(PartTooLarge { position }) => decision.into_too_large(position, max_message_bytes),
    }
}

/// The stamp of a decision.
pub(crate) fn stamp<'a>(decision: &Decision<'a>, sight: Sight<'a>) -> Stamp<'a> {
    Stamp {
        decided_at_ms: sight.now_ms,
        filter_position: sight.position,
        policy_version: "",
        gateway: decision.gateway,
        recipients_in: decision.recipients_in,
    }
}
