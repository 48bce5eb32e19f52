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

/// A field that each kept recipient gets besides its own bytes, one after the other, all of one length.
#[derive(Debug, Clone, Copy, Default)]
pub struct Added<'a> {
    each: usize,
    fields: &'a [u8],
}

/// The field of an unsubscribe token: `Recipient.unsubscribe_token`.
const TOKEN_FIELD: u32 = 6;

impl<'a> Added<'a> {
    /// Fields of `each` octets, for the kept recipients in their order.
    #[must_use]
    pub fn new(each: usize, fields: &'a [u8]) -> Self {
        debug_assert!(each == 0 || fields.len().is_multiple_of(each), "all are of one length");
        Self { each, fields }
    }

    /// Appends a recipient's token to `fields`.
    pub fn put_token(fields: &mut Vec<u8>, token: &str) {
        put::bytes(fields, TOKEN_FIELD, token.as_bytes());
    }

    /// The octets of all fields.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fields.len()
    }

    /// By how much a recipient grows at most: its field, and two octets more of its length.
    fn bytes_most(&self) -> usize {
        if self.each == 0 { 0 } else { self.each + 2 }
    }

    fn of(&self, kept: usize) -> &'a [u8] {
        &self.fields[kept * self.each..][..self.each]
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

    /// Plans the parts of the job `value` so that none is larger than `bytes_max` with its stamp and what is `added`.
    ///
    /// # Errors
    /// [`PartTooLarge`] when one recipient with the rest of the job is larger.
    pub fn plan(
        &mut self,
        value: &[u8],
        spans: &[Span],
        kept: &[bool],
        added: &Added<'_>,
        stamp: &Stamp<'_>,
        bytes_max: usize,
    ) -> Result<&[Range<u32>], PartTooLarge> {
        self.ranges.clear();
        let all = 0..u32::try_from(spans.len()).unwrap_or(u32::MAX);
        // The usual case, without looking at any recipient.
        let whole = value.len() + spans.len() * added.bytes_most() + stamp.bytes_max();
        if whole <= bytes_max {
            self.bytes = whole;
            self.ranges.push(all);
            return Ok(&self.ranges);
        }
        let own = |s: &Span| (s.end - s.start) as usize;
        let rest = value.len() - spans.iter().map(own).sum::<usize>() + stamp.bytes_max();
        let length = |s: &Span| own(s) + added.bytes_most();
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

/// As [`splice`], with a field `added` to each kept recipient: the recipient's own bytes stay as they came, and its tag and length
/// are written anew.
#[expect(clippy::too_many_arguments, reason = "as splice, and what is added")]
pub fn splice_adding(
    value: &[u8],
    spans: &[Span],
    kept: &[bool],
    added: &Added<'_>,
    places: &Range<u32>,
    stamp: &Stamp<'_>,
    (part, parts): (u32, u32),
    out: &mut Vec<u8>,
) {
    out.reserve(value.len() + stamp.bytes_max());
    let (mut from, mut number) = (0, 0);
    for (position, (span, kept)) in (0u32..).zip(spans.iter().zip(kept)) {
        out.extend_from_slice(&value[from..span.start as usize]);
        from = span.end as usize;
        if *kept && places.contains(&position) {
            let (body, field) = (&value[span.body as usize..span.end as usize], added.of(number));
            put::varint(out, 15 << 3 | 2);
            put::varint(out, (body.len() + field.len()) as u64);
            out.extend_from_slice(body);
            out.extend_from_slice(field);
        }
        number += usize::from(*kept);
    }
    out.extend_from_slice(&value[from..]);
    stamp.encode(part, parts, out);
}
