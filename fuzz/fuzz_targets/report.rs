//! Any bytes as a feedback report: no panic, and no more of it than there may be.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| {
    let (framed, body) = input;
    let kind = if framed { "multipart/report; boundary=b" } else { "message/rfc822" };
    if let Some((recipients, tokens)) = tamis_fuzz::report(body, kind) {
        assert!(recipients.len() <= 51 && tokens.len() <= 8);
        let of_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(tokens.iter().all(|token| token.chars().all(of_token)));
    }
});
