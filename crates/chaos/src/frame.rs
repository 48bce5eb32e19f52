//! Kafka's frames, as far as a proxy must know them: a length, then a request's or a response's header.

use std::io::{self, Read};

/// Asks for the offsets that a group has committed.
pub(crate) const OFFSET_FETCH: i16 = 9;
/// Asks to end a transaction.
pub(crate) const END_TXN: i16 = 26;
/// Puts offsets into a transaction.
pub(crate) const TXN_OFFSET_COMMIT: i16 = 28;

/// More than any record batch here; what claims to be longer is no frame.
const BYTES_MAX: usize = 128 << 20;

/// A request's header: what the two ends agree on before the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) api: i16,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
}

/// Reads one frame whole, its length in front.
pub(crate) fn read(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let bytes = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if !(4..=BYTES_MAX).contains(&bytes) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a Kafka frame"));
    }
    let mut frame = vec![0; 4 + bytes];
    frame[..4].copy_from_slice(&length);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// The header of a request.
pub(crate) fn head(frame: &[u8]) -> Option<Head> {
    let short = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    Some(Head { api: short(4)?, version: short(6)?, correlation: correlation_at(frame, 8)? })
}

/// The correlation id of a response.
pub(crate) fn correlation(frame: &[u8]) -> Option<i32> {
    correlation_at(frame, 4)
}

fn correlation_at(frame: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?))
}

/// Whether an `EndTxn` commits: the last field, which in the versions with tagged fields has their empty list behind it.
pub(crate) fn commits(head: Head, frame: &[u8]) -> bool {
    let behind = usize::from(head.version >= 3);
    head.api == END_TXN && frame.len().checked_sub(1 + behind).is_some_and(|at| frame[at] == 1)
}

/// Whether an `OffsetFetch` wants offsets that no open transaction may change, as a worker's does and a purge's does not: the
/// last field, with the empty list of tagged fields behind it.
pub(crate) fn asks_stable(head: Head, frame: &[u8]) -> bool {
    let is_known = head.api == OFFSET_FETCH && head.version >= 7;
    is_known && frame.len().checked_sub(2).is_some_and(|at| frame[at] == 1)
}

/// The error code in the answer to an `EndTxn`: after the throttle time, before which the versions with tagged fields
/// have their empty list.
pub(crate) fn end_txn_error(version: i16, frame: &[u8]) -> Option<i16> {
    let at = 12 + usize::from(version >= 3);
    Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when: an offset of a header or of the flag is off.
    #[test]
    fn an_end_of_a_transaction_is_known_with_what_it_asks() {
        // Length 23; api 26, version 1, correlation 7, client "c"; transactional id "t", producer 9, epoch 2, commit.
        let mut frame = vec![0, 0, 0, 25, 0, 26, 0, 1, 0, 0, 0, 7, 0, 1, b'c', 0, 1, b't'];
        frame.extend([0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1]);
        assert_eq!(read(&mut frame.as_slice()).expect("a whole frame"), frame);
        let head = head(&frame).expect("a header");
        assert_eq!(head, Head { api: END_TXN, version: 1, correlation: 7 });
        assert!(commits(head, &frame));
        *frame.last_mut().expect("it is not empty") = 0;
        assert!(!commits(head, &frame), "an abort");
        let answer = [0, 0, 0, 10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 47];
        assert_eq!((correlation(&answer), end_txn_error(1, &answer)), (Some(7), Some(47)));
    }

    /// Fails when: the flag is looked for elsewhere, or in a version that has none.
    #[test]
    fn a_worker_is_known_by_the_offsets_that_it_asks_for() {
        // Length 32; api 9, version 9, correlation 7, client "c", tags; one group "g", no member, epoch -1, topic "t" with
        // partition 0, tags; stable, tags.
        let mut frame = vec![0, 0, 0, 32, 0, 9, 0, 9, 0, 0, 0, 7, 0, 1, b'c', 0, 2, 2, b'g', 0];
        frame.extend([0xff, 0xff, 0xff, 0xff, 2, 2, b't', 2, 0, 0, 0, 0, 0, 0, 1, 0]);
        let head = head(&read(&mut frame.as_slice()).expect("a whole frame")).expect("a header");
        assert!(asks_stable(head, &frame));
        assert!(!asks_stable(Head { version: 6, ..head }, &frame) && !commits(head, &frame));
        let stable = frame.len() - 2;
        frame[stable] = 0;
        assert!(!asks_stable(head, &frame), "a purge");
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert!(read(&mut &b"GET / HTTP/1.1\r\n"[..]).is_err());
        assert!(read(&mut &[0, 0, 0, 9, 1][..]).is_err(), "a frame that ends early");
    }
}
