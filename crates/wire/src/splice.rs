//! The delivery: byte ranges of the job as it came, less the recipients that are not kept, and the stamp.

use std::ops::Range;

use crate::job::Span;
use crate::put::{self, Packed};

/// What tamis adds to a delivery (field 16).
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// When it was decided, Unix ms.
    pub decided_at_ms: i64,
    /// The next offset to apply of each suppression partition.
    pub filter_position: &'a Packed,
    /// The policy's version, empty without a policy.
    pub policy_version: &'a str,
    /// The gateway that was chosen.
    pub gateway: &'a str,
    /// Recipients of the job.
    pub recipients_in: u32,
}

impl Stamp<'_> {
    fn encode(&self, part: u32, parts: u32, out: &mut Vec<u8>) {
        put::nested(out, 16, |out| {
            put::signed(out, 1, self.decided_at_ms);
            put::bytes(out, 2, self.filter_position.as_bytes());
            put::bytes(out, 3, self.policy_version.as_bytes());
            put::bytes(out, 4, self.gateway.as_bytes());
            put::number(out, 5, u64::from(self.recipients_in));
            put::number(out, 6, u64::from(part));
            put::number(out, 7, u64::from(parts));
        });
    }

    /// The most bytes it can take: every varint at its longest.
    fn bytes_max(&self) -> usize {
        64 + self.filter_position.as_bytes().len() + self.policy_version.len() + self.gateway.len()
    }
}

/// One recipient alone does not fit into a record (its place in the job, from 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartTooLarge {
    /// Its place.
    pub position: u32,
}

/// How a job's kept recipients go into deliveries: ranges of places, each at most one record. Reused from job to job.
#[derive(Debug, Default)]
pub struct Parts {
    ranges: Vec<Range<u32>>,
    bytes: usize,
}

impl Parts {
    /// The parts as planned last.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u32>] {
        &self.ranges
    }

    /// The most bytes that the parts as planned last take together, each with its stamp: what is the same for all
    /// recipients stands in every part.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Plans the parts of the job `value` so that none is larger than `bytes_max` with its stamp.
    ///
    /// # Errors
    /// [`PartTooLarge`] when one recipient with the rest of the job is larger.
    pub fn plan(
        &mut self,
        value: &[u8],
        spans: &[Span],
        kept: &[bool],
        stamp: &Stamp<'_>,
        bytes_max: usize,
    ) -> Result<&[Range<u32>], PartTooLarge> {
        self.ranges.clear();
        let all = 0..u32::try_from(spans.len()).unwrap_or(u32::MAX);
        // The usual case, without looking at any recipient.
        if value.len() + stamp.bytes_max() <= bytes_max {
            self.bytes = value.len() + stamp.bytes_max();
            self.ranges.push(all);
            return Ok(&self.ranges);
        }
        let length = |s: &Span| (s.end - s.start) as usize;
        let rest = value.len() - spans.iter().map(length).sum::<usize>() + stamp.bytes_max();
        let (mut from, mut bytes) = (0, rest);
        self.bytes = 0;
        for (position, (span, _)) in (0u32..).zip(spans.iter().zip(kept)).filter(|(_, (_, kept))| **kept) {
            if bytes + length(span) > bytes_max && bytes > rest {
                self.ranges.push(from..position);
                self.bytes += bytes;
                (from, bytes) = (position, rest);
            }
            bytes += length(span);
            if bytes > bytes_max {
                return Err(PartTooLarge { position });
            }
        }
        self.ranges.push(from..all.end);
        self.bytes += bytes;
        Ok(&self.ranges)
    }
}

/// Appends part `part` (from 1) of `parts`, which has the kept recipients with places in `places`, to `out`.
///
/// What goes on is copied in the ranges that it came in: content and kept recipients are never decoded, and fields that
/// tamis does not know pass. The stamp stands last.
pub fn splice(
    value: &[u8],
    spans: &[Span],
    kept: &[bool],
    places: &Range<u32>,
    stamp: &Stamp<'_>,
    (part, parts): (u32, u32),
    out: &mut Vec<u8>,
) {
    out.reserve(value.len() + stamp.bytes_max());
    let mut from = 0;
    for (position, (span, kept)) in (0u32..).zip(spans.iter().zip(kept)) {
        if !*kept || !places.contains(&position) {
            out.extend_from_slice(&value[from..span.start as usize]);
            from = span.end as usize;
        }
    }
    out.extend_from_slice(&value[from..]);
    stamp.encode(part, parts, out);
}
