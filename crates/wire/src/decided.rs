//! What was decided before, read back from `JobOutcomes`: only what the window of jobs needs, borrowed from the record.

use tamis_campaign::Verdict;

use crate::cursor::{Cursor, Value, text};

/// A job's outcome, as far as it is needed to know the job again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decided<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The job.
    pub job_id: &'a str,
    /// What became of it; `None` for a verdict of a later version.
    pub verdict: Option<Verdict>,
    /// When, Unix ms.
    pub decided_at_ms: i64,
    /// The job's offset.
    pub source_offset: i64,
}

/// A record that is no `JobOutcomes`. Says where, and nothing of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the outcomes are damaged at byte {byte}")]
pub struct DamagedOutcomes {
    /// Where in the record, from 0.
    pub byte: usize,
}

/// Reads the outcomes of a record one after the other; after damage there is nothing more. Of a field that stands twice
/// the last counts, and unknown fields are passed over, as every protobuf reader does.
pub fn decided(value: &[u8]) -> impl Iterator<Item = Result<Decided<'_>, DamagedOutcomes>> {
    let mut cursor = Cursor::new(value);
    let mut damaged = false;
    std::iter::from_fn(move || {
        while !damaged && !cursor.is_at_end() {
            let start = cursor.at;
            let read = match cursor.field() {
                Ok((1, Value::Bytes(body))) => one(body, cursor.at - body.len()),
                Ok((1, _)) | Err(_) => Err(DamagedOutcomes { byte: start }),
                Ok(_) => continue,
            };
            damaged = read.is_err();
            return Some(read);
        }
        None
    })
}

/// Reads one outcome, whose first byte is at `base` of its record.
fn one(body: &[u8], base: usize) -> Result<Decided<'_>, DamagedOutcomes> {
    let mut decided = Decided::default();
    let mut cursor = Cursor::new(body);
    while !cursor.is_at_end() {
        let damaged = DamagedOutcomes { byte: base + cursor.at };
        match cursor.field().map_err(|_| damaged)? {
            (1, Value::Bytes(job_id)) => decided.job_id = text(job_id).ok_or(damaged)?,
            (2, Value::Bytes(tenant)) => decided.tenant = text(tenant).ok_or(damaged)?,
            // An enum is an int32 on the wire: readers keep its low 32 bits.
            #[expect(clippy::cast_possible_truncation, reason = "as every protobuf reader does")]
            (5, Value::Varint(number)) => decided.verdict = Verdict::from_number(number as i32),
            (13, Value::Varint(ms)) => decided.decided_at_ms = ms.cast_signed(),
            (17, Value::Varint(offset)) => decided.source_offset = offset.cast_signed(),
            (1 | 2 | 5 | 13 | 17, _) => return Err(damaged),
            _ => {}
        }
    }
    Ok(decided)
}
