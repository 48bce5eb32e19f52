//! What a panic prints, seen from outside: the test starts itself again as the process that panics.

use std::process::Command;

/// Tells the started process what to panic with.
const ASK: &str = "PANIC_WITH";
/// As content may be; made up.
const INPUT: &str = "canary-mxq7-person@example.invalid";

fn panicking(with: &str) -> String {
    let this = std::env::current_exe().expect("a test has a path");
    let ended = Command::new(this)
        .args(["--exact", "the_process_that_panics", "--ignored", "--nocapture"])
        .env(ASK, with)
        .env("RUST_BACKTRACE", "full")
        .output()
        .expect("a test can be started");
    assert!(!ended.status.success(), "it panicked");
    String::from_utf8(ended.stdout).expect("text") + &String::from_utf8(ended.stderr).expect("text")
}

/// Not a test of its own: what the others start.
#[test]
#[ignore = "started by the other tests"]
#[allow(clippy::disallowed_methods, reason = "it is the test's own variable, not a setting")]
fn the_process_that_panics() {
    tamis_telemetry::keep_panics_wordless();
    match std::env::var(ASK).as_deref() {
        Ok("format") => panic!("cannot read {INPUT:?} as a number"),
        Ok("expect") => drop(INPUT.parse::<Loud>().expect("a number")),
        Ok("words") => panic!("words of the source"),
        Ok("any") => std::panic::panic_any(INPUT.to_owned()),
        Ok("thread") => {
            let worker = std::thread::Builder::new().name("work".to_owned());
            let ended = worker.spawn(|| panic!("{INPUT}")).expect("a thread").join();
            assert!(ended.is_ok(), "the thread ended well");
        }
        Ok(_) | Err(_) => {}
    }
}

/// An error that says what it was given.
#[derive(Debug)]
struct Loud;

impl std::str::FromStr for Loud {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Err(format!("not a number: {text}"))
    }
}

/// Guarantees: whatever a panic is given, nothing of it is printed, in any thread, backtraces asked for or not; where it
/// was is printed.
/// Fails when: the standard hook is left in place, or the payload is printed as it is.
#[test]
fn a_panic_prints_its_place_and_nothing_that_it_was_given() {
    for with in ["format", "expect", "any", "thread"] {
        let said = panicking(with);
        assert!(!said.contains("canary"), "{with}: {said}");
        assert!(said.contains("panicked at") && said.contains("tests/panics.rs:"), "{with}: {said}");
    }
    assert!(panicking("thread").contains("thread work panicked"));
}

/// Guarantees: words that stand in the source are printed: they are how a defect is found.
#[test]
fn a_panic_prints_words_of_the_source() {
    assert!(panicking("words").contains("words of the source"));
}
