//! The fields of a protobuf message as they stand in its bytes, so that bytes are compared and not what a decoder made of
//! them.

/// A field: its number, and all its bytes with its tag.
pub(crate) type Field<'a> = (u64, &'a [u8]);

/// The fields in their order; `None` when it is no message.
pub(crate) fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let whole = bytes;
        let tag = varint(&mut bytes)?;
        let skip = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        bytes = bytes.get(skip..)?;
        found.push((tag >> 3, &whole[..whole.len() - bytes.len()]));
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::fields;

    /// Fails when: a field's bytes begin or end in the wrong place.
    #[test]
    fn fields_are_cut_where_they_stand() {
        let bytes = [8, 0x96, 1, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x92, 6, 0];
        let found = fields(&bytes).unwrap();
        let all: Vec<_> = found.iter().map(|(number, bytes)| (*number, bytes.len())).collect();
        assert_eq!(all, [(1, 3), (2, 4), (3, 5), (98, 3)]);
        assert!(fields(&bytes[..6]).is_none(), "cut short");
    }
}
