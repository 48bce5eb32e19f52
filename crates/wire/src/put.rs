//! Protobuf's wire format, written by hand where a message is made for every job.

use arrayvec::ArrayVec;

/// Appends a varint.
#[inline]
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits and the mark")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
    out.push(value as u8);
}

/// Appends a varint field unless it is 0, as proto3 does.
#[inline]
pub(crate) fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        varint(out, u64::from(field) << 3);
        varint(out, value);
    }
}

/// Appends an int64 or int32 field unless it is 0: negative numbers take ten bytes.
#[inline]
pub(crate) fn signed(out: &mut Vec<u8>, field: u32, value: i64) {
    number(out, field, value.cast_unsigned());
}

/// Appends a bytes or string field unless it is empty.
#[inline]
pub(crate) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    if !value.is_empty() {
        varint(out, u64::from(field) << 3 | 2);
        varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
}

/// Packed int64s, encoded once for the many messages of a batch that say the same.
#[derive(Debug, Clone, Default)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// Encodes `values`.
    #[must_use]
    pub fn new(values: &[i64]) -> Self {
        let mut bytes = Vec::with_capacity(4 * values.len());
        values.iter().for_each(|v| varint(&mut bytes, v.cast_unsigned()));
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Appends a message that `write` appends, with its length before it.
#[inline]
pub(crate) fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    varint(out, u64::from(field) << 3 | 2);
    // One byte is kept for the length, which is enough below 128; a longer message is moved by the rest.
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        {
            out[at] = length as u8;
        }
        return;
    }
    let mut prefix = ArrayVec::<u8, 10>::new();
    let mut rest = length;
    while rest >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits and the mark")]
        prefix.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
    prefix.push(rest as u8);
    let more = prefix.len() - 1;
    out.extend_from_slice(&prefix[1..]);
    out.copy_within(at + 1..at + 1 + length, at + 1 + more);
    out[at..=at + more].copy_from_slice(&prefix);
}
