//! The API as its document describes it, called by a stranger's tool: schemathesis makes calls of the document, good and bad, and
//! holds each answer against it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tamis_tests::process::{Service, config};
use tamis_tests::tamis_bin;

const SCHEMATHESIS: &str = "4.32.5";
/// Calls for each operation and kind; a minute at most in all.
const EXAMPLES: &str = "100";
const SEED: &str = "20261127";
const TIME_MAX: Duration = Duration::from_secs(90);

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// Runs a command that must succeed; answers its stdout.
fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// The tool, in a place of its own where other tools are; installed if it is not there yet.
fn schemathesis() -> PathBuf {
    let place = root().join("target/tools/python");
    let program = place.join("bin/schemathesis");
    let version = Command::new(&program).arg("--version").output();
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(SCHEMATHESIS)) {
        done(Command::new("python3").args(["-m", "venv"]).arg(&place));
        let wanted = format!("schemathesis=={SCHEMATHESIS}");
        done(Command::new(place.join("bin/pip")).args(["install", "--quiet", &wanted]));
    }
    program
}

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

    let begun = Instant::now();
    let mut command = Command::new(schemathesis());
    let arguments = ["--seed", SEED, "--max-examples", EXAMPLES, "--request-timeout", "20", "--no-color"];
    let run = command
        .current_dir(dir.path())
        .arg("--config-file")
        .arg(root().join("tests/schemathesis.toml"))
        .arg("run")
        .args(arguments)
        .arg("--header")
        .arg(format!("Authorization:Bearer {}", key.trim()))
        .arg(format!("http://{api}/openapi.json"));
    let told = done(run);
    println!("{told}");
    assert!(begun.elapsed() < TIME_MAX, "it took {:?}", begun.elapsed());
    assert!(service.metric("tamis_holding").is_some(), "it serves on");
}
