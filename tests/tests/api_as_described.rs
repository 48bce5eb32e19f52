//! The API as its document describes it, called by a stranger's tool: schemathesis makes calls of the document, good and bad, and
//! holds each answer against it.

use std::process::Command;
use std::time::{Duration, Instant};

use tamis_tests::process::{Service, config};
use tamis_tests::python::{self, done, root};
use tamis_tests::tamis_bin;

const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// Calls for each operation and kind; a minute at most in all.
const EXAMPLES: &str = "100";
const SEED: &str = "20261127";
const TIME_MAX: Duration = Duration::from_secs(90);

/// Guarantees: each call that the document describes, and hundreds that it forbids, is answered as it says: with a status, a
/// content type and a body that stand there, and never with a defect.
/// Fails when: a handler answers a status or a field that its annotation has not, or a bad body is taken.
#[test]
fn the_api_answers_as_its_document_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let bus = format!("kind = \"embedded\"\ndata_dir = \"{}\"", dir.path().join("log").display());
    let keys = format!("keys_file = \"{}\"\n", dir.path().join("keys.toml").display());
    let (file, admin, api) = config(dir.path(), "one", &bus, &keys);
    let text = std::fs::read_to_string(&file).expect("settings");
    std::fs::write(&file, text.replace("auth = \"off\"", "auth = \"on\"")).expect("settings");
    let tamis = || {
        let mut command = Command::new(tamis_bin());
        command.arg("--config").arg(&file);
        command
    };
    tamis_subject::Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let key = done(tamis().args(["keys", "api", "create", "--operator"]));
    let service = Service::start(&file, admin, api);
    service.wait_ready();

    let program = python::with(&[SCHEMATHESIS]).join("schemathesis");
    let begun = Instant::now();
    let mut command = Command::new(program);
    let arguments = ["--seed", SEED, "--max-examples", EXAMPLES, "--request-timeout", "20", "--no-color"];
    let run = command
        .current_dir(dir.path())
        .arg("--config-file")
        .arg(root().join("tests/schemathesis.toml"))
        .arg("run")
        .args(arguments)
        // It can't make a mail, and one that a hook makes must be signed in a call that carries no key: the operator's, which all of these
        // calls have, is looked at and no other. `crates/intake/src/tests/webhooks.rs` holds that door to its answers.
        .args(["--exclude-path", "/v1/inbound/arf/{gateway}"])
        .arg("--header")
        .arg(format!("Authorization:Bearer {}", key.trim()))
        .arg(format!("http://{api}/openapi.json"));
    let told = done(run);
    println!("{told}");
    assert!(begun.elapsed() < TIME_MAX, "it took {:?}", begun.elapsed());
    assert!(service.metric("tamis_holding").is_some(), "it serves on");
}
