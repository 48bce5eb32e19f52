//! Protobuf's wire format, written by hand where a message is made for every job.

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

/// Appends packed int64s unless there are none.
#[inline]
pub(crate) fn packed(out: &mut Vec<u8>, field: u32, values: &[i64]) {
    if !values.is_empty() {
        nested(out, field, |out| values.iter().for_each(|v| varint(out, v.cast_unsigned())));
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
    let mut prefix = [0; 10];
    let mut count = 0;
    let mut rest = length as u64;
    while rest >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits and the mark")]
        {
            prefix[count] = rest as u8 | 0x80;
        }
        rest >>= 7;
        count += 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
    {
        prefix[count] = rest as u8;
    }
    out.splice(at..=at, prefix[..=count].iter().copied());
}
