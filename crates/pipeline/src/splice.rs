//! Step five, splice: deliveries and outcomes of a batch, appended to what one transaction will write.

use std::collections::BTreeMap;
use std::ops::Range;

use tamis_bus::{JobRecord, OutRecord, OutTopic, Outgoing, Partition};
use tamis_sieve::Decision;
use tamis_wire::{Added, JobView, OutcomeView, Outcomes, Parts, Span, splice, splice_adding, trace_context};

use crate::line::Sight;
use crate::sieve::stamp;

/// Outcomes of a batch, a record for each partition.
pub(crate) type OutcomesByPartition = BTreeMap<Partition, Outcomes>;

/// Appends the deliveries of a job that forwards somebody: one, or its parts.
pub(crate) fn deliver(
    job: &JobView<'_>,
    record: &JobRecord<'_>,
    spans: &[Span],
    decision: &Decision<'_>,
    (parts, added): (&Parts, &Added<'_>),
    sight: Sight<'_>,
    outgoing: &mut Outgoing,
) {
    let (Some(channel), Some(value)) = (job.channel, record.value) else { return };
    let stamp = stamp(decision, sight);
    let key = append(&mut outgoing.arena, job.job_id.as_str().as_bytes());
    let (traceparent, tracestate) =
        trace_context(record.traceparent.unwrap_or_default(), record.tracestate.unwrap_or_default());
    let traceparent = append(&mut outgoing.arena, traceparent);
    let tracestate = append(&mut outgoing.arena, tracestate);
    let ranges = parts.ranges();
    let count = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
    for (part, places) in (1..).zip(ranges) {
        let start = outgoing.arena.len();
        let (kept, part_of, arena) = (decision.kept, (part, count), &mut outgoing.arena);
        if decision.tokens {
            splice_adding(value, spans, kept, added, places, &stamp, part_of, arena);
        } else {
            splice(value, spans, kept, places, &stamp, part_of, arena);
        }
        outgoing.records.push(OutRecord {
            topic: OutTopic::Deliveries(channel),
            partition: record.partition,
            offset: record.offset,
            part: if count == 1 { 0 } else { part },
            key: key.clone(),
            value: start..outgoing.arena.len(),
            traceparent: traceparent.clone(),
            tracestate: tracestate.clone(),
        });
    }
}

/// Appends the job's outcome to its partition's record; a full record goes out.
pub(crate) fn account(
    job: &JobView<'_>,
    record: &JobRecord<'_>,
    decision: &Decision<'_>,
    sight: Sight<'_>,
    outcomes: &mut OutcomesByPartition,
    outgoing: &mut Outgoing,
) {
    let of_partition = outcomes.entry(record.partition).or_default();
    of_partition.push(OutcomeView {
        job_id: job.job_id.as_str(),
        tenant: job.tenant.as_str(),
        campaign: job.campaign,
        channel: job.channel,
        verdict: decision.verdict,
        recipients_in: decision.recipients_in,
        forwarded: decision.forwarded,
        suppressed: decision.suppressed(),
        rejected: decision.rejected(),
        deferred: decision.deferred(),
        refusal: decision.refusal.as_ref(),
        filter_position: sight.position,
        decided_at_ms: sight.now_ms,
        gateway: decision.gateway,
        content_bytes: job.content_bytes,
        source_partition: record.partition,
        source_offset: record.offset,
    });
    write(record.partition, outgoing, |arena| of_partition.take_full(arena));
}

/// Appends what is left of every partition's outcomes.
pub(crate) fn flush_all(outcomes: &mut OutcomesByPartition, outgoing: &mut Outgoing) {
    for (partition, of_partition) in outcomes {
        write(*partition, outgoing, |arena| of_partition.take(arena));
    }
}

/// Appends the record that `take` hands over, if any; it answers the offset of the first job in it.
fn write(partition: Partition, outgoing: &mut Outgoing, take: impl FnOnce(&mut Vec<u8>) -> Option<i64>) {
    let start = outgoing.arena.len();
    let Some(offset) = take(&mut outgoing.arena) else { return };
    let value = start..outgoing.arena.len();
    let key = append(&mut outgoing.arena, format!("{partition}/{offset}").as_bytes());
    outgoing.records.push(OutRecord {
        topic: OutTopic::Outcomes,
        partition,
        offset,
        part: 0,
        key,
        value,
        traceparent: 0..0,
        tracestate: 0..0,
    });
}

fn append(arena: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    let start = arena.len();
    arena.extend_from_slice(bytes);
    start..arena.len()
}
