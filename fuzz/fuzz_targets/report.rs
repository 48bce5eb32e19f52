//! Any bytes as a feedback report: no panic, and no more of it than there may be.
#![no_main]

use std::panic;
use std::sync::Once;

use libfuzzer_sys::fuzz_target;

static HOOK: Once = Once::new();

fuzz_target!(|input: (bool, &[u8])| {
    // A debug assertion of mail-parser's is caught by the reader; libFuzzer would end at it before that.
    HOOK.call_once(|| {
        let ends = panic::take_hook();
        panic::set_hook(Box::new(move |told| {
            if !told.location().is_some_and(|at| at.file().contains("mail-parser")) {
                ends(told);
            }
        }));
    });
    let (framed, body) = input;
    let kind = if framed { "multipart/report; boundary=b" } else { "message/rfc822" };
    if let Some((recipients, tokens)) = tamis_fuzz::report(body, kind) {
        assert!(recipients.len() <= 51 && tokens.len() <= 8);
        let of_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(tokens.iter().all(|token| token.chars().all(of_token)));
    }
});
