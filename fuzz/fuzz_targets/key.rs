//! Any bytes as an identity key file: no panic, and the key is what a plain reader finds, or none where it finds none.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let read = tamis_fuzz::key(bytes);
    assert_eq!(read, plain(bytes));
    if let Some(key) = read {
        // What is written for it is read again the same, whatever stood around it.
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(tamis_fuzz::key(format!("# a copy\r\n\r\n {digits}\n").as_bytes()), Some(key));
    }
});

/// One line of 64 digits among comments and blanks, in 4 KiB, read with no care for secrets or speed.
fn plain(bytes: &[u8]) -> Option<[u8; 32]> {
    if bytes.len() > 4_096 {
        return None;
    }
    // A byte a character, so that what is no UTF-8 stays where it stands.
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let blank = |c: char| c.is_ascii_whitespace();
    let said: Vec<&str> = text.split('\n').map(|line| line.trim_matches(blank)).collect();
    let said: Vec<&str> = said.into_iter().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let [line] = said[..] else { return None };
    if line.len() != 64 || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&line[2 * at..][..2], 16).expect("digits")).collect();
    bytes.try_into().ok()
}
