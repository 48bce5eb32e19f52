//! Any bytes as an identity key file: no panic, and the key is what a plain reader finds, or none where it finds none.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let read = tamis_fuzz::key(bytes);
    assert_eq!(read, plain(bytes));
    if let Some(key) = read {
        // What is written for it is read again the same, whatever stood around it.
        let line = |step: &[u8; 32]| step.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let lines: Vec<String> = key.iter().map(line).collect();
        assert_eq!(
            tamis_fuzz::key(format!("# a copy\r\n\r\n {}\n", lines.join("\r\n ")).as_bytes()),
            Some(key)
        );
    }
});

/// One to sixteen lines of 64 digits, each another, among comments and blanks, in 4 KiB, read with no care for secrets or speed.
fn plain(bytes: &[u8]) -> Option<Vec<[u8; 32]>> {
    if bytes.len() > 4_096 {
        return None;
    }
    // A byte a character, so that what is no UTF-8 stays where it stands.
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let blank = |c: char| c.is_ascii_whitespace();
    let said = text.split('\n').map(|line| line.trim_matches(blank));
    let steps = said
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(step)
        .collect::<Option<Vec<_>>>()?;
    let others = |at: usize| steps[..at].contains(&steps[at]);
    ((1..=16).contains(&steps.len()) && !(0..steps.len()).any(others)).then_some(steps)
}

fn step(line: &str) -> Option<[u8; 32]> {
    if line.len() != 64 || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let bytes: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&line[2 * at..][..2], 16).expect("digits")).collect();
    bytes.try_into().ok()
}
