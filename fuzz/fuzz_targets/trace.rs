//! Any bytes as a job's trace headers: what is passed on is short, printable, as it came, and has no line's end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tamis_wire::trace_context;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (parent, state) = trace_context(input.0, input.1);
    assert!(parent.is_empty() || parent == input.0 && parent.len() == 55);
    assert!(state.is_empty() || state == input.1 && state.len() <= 512 && !parent.is_empty());
    assert!(parent.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-')));
    assert!(state.iter().all(|b| (b' '..=b'~').contains(b) || *b == b'\t'));
});
