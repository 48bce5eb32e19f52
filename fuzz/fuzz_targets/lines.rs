//! Any bytes as lines of any greatest length, in pieces of any size: as many as a plain split has, each in its place.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (bytes_max, buffer, bytes) = (usize::from(input.0), usize::from(input.1).max(1), input.2);
    let expected = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let text = match line.strip_suffix(b"\n") {
            Some(text) => text.strip_suffix(b"\r").unwrap_or(text),
            None => line,
        };
        std::str::from_utf8(text).ok().filter(|text| text.len() <= bytes_max).map(str::to_owned)
    });
    let expected: Vec<_> = (1..).zip(expected).collect();
    assert_eq!(tamis_fuzz::lines(bytes, bytes_max, buffer), expected);
});
