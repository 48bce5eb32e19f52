//! Step two, view: a borrowed view of a job, or a dead letter that says where and why and nothing of what.

use tamis_bus::{JobRecord, OutRecord, OutTopic, Outgoing};
use tamis_campaign::UnixMs;
use tamis_wire::{DeadLetter, JobView, Spans, Unreadable, xxh3};

/// Views a record; its recipients' places go into `spans`.
///
/// # Errors
/// [`Unreadable`] when it is no job.
pub(crate) fn view<'a>(record: &JobRecord<'a>, spans: &mut Spans) -> Result<JobView<'a>, Unreadable> {
    JobView::parse(record.value.unwrap_or_default(), spans)
}

/// Appends the dead letter of a record that is not what its topic holds; it goes in the same transaction as its offset.
pub fn bury(record: &JobRecord<'_>, why: Unreadable, topic: &str, now_ms: UnixMs, outgoing: &mut Outgoing) {
    let value = record.value.unwrap_or_default();
    let letter = DeadLetter {
        topic,
        partition: record.partition,
        offset: record.offset,
        why,
        size: value.len() as u64,
        xxh3: xxh3(value),
        seen_at_ms: now_ms,
    };
    let arena = &mut outgoing.arena;
    let key_start = arena.len();
    arena.extend_from_slice(format!("{topic}/{}/{}", record.partition, record.offset).as_bytes());
    let value_start = arena.len();
    letter.encode(arena);
    let end = arena.len();
    outgoing.records.push(OutRecord {
        topic: OutTopic::DeadLetters,
        partition: record.partition,
        offset: record.offset,
        part: 0,
        key: key_start..value_start,
        value: value_start..end,
        traceparent: 0..0,
        tracestate: 0..0,
    });
}
