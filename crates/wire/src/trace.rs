//! The W3C trace context that a job's headers bring: passed on only when it is one, since a header is read by everybody
//! who can read the topic, and no header ever holds an address (contract, section 1).

/// Length of a `traceparent` (W3C Trace Context, section 3.2.2): version, trace id, parent id and flags with their hyphens.
const TRACEPARENT_BYTES: usize = 55;
/// What every vendor must be able to pass on (W3C Trace Context, section 3.3.1.5).
const TRACESTATE_BYTES_MAX: usize = 512;

/// The parts of the context that are passed on: `traceparent` if it is well-formed, and `tracestate` only beside it. What
/// is not passed on is empty.
#[must_use]
pub fn trace_context<'a>(traceparent: &'a [u8], tracestate: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    if !is_traceparent(traceparent) {
        return (&[], &[]);
    }
    (traceparent, if is_tracestate(tracestate) { tracestate } else { &[] })
}

/// Lower-case hexadecimal digits in groups of 2, 32, 16 and 2; version `ff` and ids of zeros are no context. A later
/// version's longer form is not known to be one.
fn is_traceparent(bytes: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|b| *b == b'0');
    if bytes.len() != TRACEPARENT_BYTES || [2, 35, 52].iter().any(|&at| bytes[at] != b'-') {
        return false;
    }
    let (version, trace, parent, flags) = (&bytes[..2], &bytes[3..35], &bytes[36..52], &bytes[53..]);
    [version, trace, parent, flags].into_iter().all(is_hex)
        && version != b"ff"
        && !is_zero(trace)
        && !is_zero(parent)
}

/// A list of `key=value` of printable ASCII, not longer than everybody must take.
fn is_tracestate(bytes: &[u8]) -> bool {
    bytes.len() <= TRACESTATE_BYTES_MAX
        && bytes.iter().all(|b| matches!(b, b' '..=b'~' | b'\t'))
        && bytes.split(|b| *b == b',').all(|member| {
            let member = member.trim_ascii();
            member.is_empty() || member.iter().filter(|b| **b == b'=').count() == 1 && member[0] != b'='
        })
}

#[cfg(test)]
mod tests {
    use super::trace_context;

    const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// Guarantees: a trace context passes as it came.
    /// Fails when: the length or a hyphen's place is wrong by one.
    #[test]
    fn a_trace_context_passes_as_it_came() {
        assert_eq!(trace_context(PARENT, b""), (PARENT, &b""[..]));
        let state: &[u8] = b"rojo=00f067aa0ba902b7, tenant@congo=t61rcWkgMzE";
        assert_eq!(trace_context(PARENT, state), (PARENT, state));
    }

    /// Guarantees: what stands in the header and is no trace context goes nowhere, be it an address, long, or control
    /// characters; a state without its parent goes nowhere either.
    /// Fails when: the headers are copied as they come.
    #[test]
    fn what_is_no_trace_context_is_not_passed_on() {
        let wrong: [&[u8]; 8] = [
            b"",
            b"+33639981234",
            b"camille@example.org",
            &[b'0'; 55],
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-camille@example.org",
        ];
        for parent in wrong {
            assert_eq!(trace_context(parent, b"a=b"), (&b""[..], &b""[..]), "{parent:?}");
        }
        let long = [b"a=".as_slice(), &[b'x'; 511]].concat();
        for state in [&b"+33639981234"[..], b"a=b\r\nx: y", b"=b", b"a=b=c", b"a=\xc3\xa9", &long] {
            assert_eq!(trace_context(PARENT, state), (PARENT, &b""[..]), "{state:?}");
        }
    }
}
