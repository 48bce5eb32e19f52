//! A suppression record's fields as they stand in the log, borrowed: a filter that is built anew reads a hundred million of
//! them, and a decoder that owns what it reads takes four allocations for each.

use crate::cursor::{Cursor, Value, text};

/// The fields, unchecked; what is not there is 0 or empty, and of a field that is there twice the last counts.
#[derive(Default)]
pub(super) struct Raw<'a> {
    pub(super) subject: &'a [u8],
    pub(super) identity: i32,
    pub(super) scope: i32,
    pub(super) tenant: &'a str,
    pub(super) list: &'a str,
    pub(super) channel: i32,
    pub(super) reason: i32,
    pub(super) state: i32,
    pub(super) effective_at_ms: i64,
    pub(super) expires_at_ms: i64,
    pub(super) source: i32,
    pub(super) evidence: &'a str,
    pub(super) scheme: u32,
    pub(super) recorded_at_ms: i64,
}

impl<'a> Raw<'a> {
    /// Reads a record's value; `None` when it is not well-formed protobuf, a field has another type, or a text is not UTF-8.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let mut raw = Self::default();
        let mut cursor = Cursor::new(value);
        while !cursor.is_at_end() {
            let (number, field) = cursor.field().ok()?;
            raw.take(number, field)?;
        }
        Some(raw)
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "of an enum and a uint32, readers keep the low 32 bits"
    )]
    fn take(&mut self, number: u32, field: Value<'a>) -> Option<()> {
        match (number, field) {
            (1, Value::Bytes(bytes)) => self.subject = bytes,
            (2, Value::Varint(n)) => self.identity = n as i32,
            (3, Value::Varint(n)) => self.scope = n as i32,
            (4, Value::Bytes(bytes)) => self.tenant = text(bytes)?,
            (5, Value::Bytes(bytes)) => self.list = text(bytes)?,
            (6, Value::Varint(n)) => self.channel = n as i32,
            (7, Value::Varint(n)) => self.reason = n as i32,
            (8, Value::Varint(n)) => self.state = n as i32,
            (9, Value::Varint(n)) => self.effective_at_ms = n.cast_signed(),
            (10, Value::Varint(n)) => self.expires_at_ms = n.cast_signed(),
            (11, Value::Varint(n)) => self.source = n as i32,
            (12, Value::Bytes(bytes)) => self.evidence = text(bytes)?,
            (13, Value::Varint(n)) => self.scheme = n as u32,
            (14, Value::Varint(n)) => self.recorded_at_ms = n.cast_signed(),
            (1..=14, _) => return None,
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::suppression::v1::SuppressionRecord;

    fn as_prost(raw: &Raw<'_>) -> SuppressionRecord {
        SuppressionRecord {
            subject: raw.subject.to_vec(),
            identity: raw.identity,
            scope: raw.scope,
            tenant: raw.tenant.to_owned(),
            list: raw.list.to_owned(),
            channel: raw.channel,
            reason: raw.reason,
            state: raw.state,
            effective_at_ms: raw.effective_at_ms,
            expires_at_ms: raw.expires_at_ms,
            source: raw.source,
            evidence: raw.evidence.to_owned(),
            scheme: raw.scheme,
            recorded_at_ms: raw.recorded_at_ms,
        }
    }

    /// A field of any number, type and value, often one of the record's own.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let body = prop_oneof![
            any::<u64>().prop_map(|n| (0u8, varint(n))),
            (0u64..300).prop_map(|n| (0u8, varint(n))),
            any::<[u8; 8]>().prop_map(|bytes| (1u8, bytes.to_vec())),
            any::<[u8; 4]>().prop_map(|bytes| (5u8, bytes.to_vec())),
            "[a-z\u{e9}]{0,20}".prop_map(|text| (2u8, with_length(text.as_bytes()))),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| (2u8, with_length(&bytes))),
        ];
        (1u64..18, body).prop_map(|(number, (wire_type, body))| {
            [varint(number << 3 | u64::from(wire_type)), body].concat()
        })
    }

    fn with_length(bytes: &[u8]) -> Vec<u8> {
        [varint(bytes.len() as u64), bytes.to_vec()].concat()
    }

    fn varint(n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(n, &mut bytes);
        bytes
    }

    proptest! {
        /// prost says what a record is; whatever it reads is read the same here, and what it refuses is refused.
        #[test]
        fn it_reads_what_prost_reads(fields in prop::collection::vec(field(), 0..20), cut in 0usize..8) {
            let mut value = fields.concat();
            value.truncate(value.len() - cut.saturating_sub(3).min(value.len()));
            prop_assert_eq!(
                Raw::read(&value).map(|raw| as_prost(&raw)),
                SuppressionRecord::decode(&value[..]).ok()
            );
        }
    }
}
