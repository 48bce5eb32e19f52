//! The command against a real Kafka.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn run(dir: &Path, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tamis"))
        .current_dir(dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start tamis");
    // A command that refuses its settings does not read on.
    let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    child.wait_with_output().expect("wait for tamis")
}

/// Runs a command that must end with `code`; answers its stdout and stderr.
fn ends(dir: &Path, args: &[&str], stdin: &str, code: i32) -> (String, String) {
    let output = run(dir, args, stdin);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "tamis {args:?}: {out}{err}");
    (out, err)
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

fn free_address() -> String {
    let [port] = kafka_harness::free_ports().expect("a port");
    format!("127.0.0.1:{port}")
}

/// A directory with settings for `servers`, and topics of its own.
fn house(servers: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    ends(dir.path(), &["init"], "", 0);
    let file = dir.path().join("tamis.toml");
    let prefix = dir.path().file_name().expect("a name").to_string_lossy().trim_start_matches('.').to_owned();
    let text = fs::read_to_string(&file)
        .expect("settings")
        .replace("kind = \"embedded\"", "kind = \"kafka\"")
        .replace("127.0.0.1:9092", servers)
        .replace("prefix = \"tamis\"", &format!("prefix = \"{prefix}\""))
        .replace("\"tamis-router\"", &format!("\"{prefix}\""))
        .replace("127.0.0.1:8080", &free_address())
        .replace("127.0.0.1:8081", &free_address())
        .replace("127.0.0.1:9600", &free_address());
    fs::write(&file, text).expect("settings");
    dir
}

#[test]
fn the_demo_keeps_its_promises_on_kafka_too() {
    let bootstrap = kafka_harness::shared().bootstrap();
    let dir = tempfile::tempdir().expect("a directory");
    let size = ["demo", "--seconds", "5", "--recipients-per-second", "5000", "--json"];
    let args = [&size[..], &["--bootstrap-servers", &bootstrap]].concat();
    let (out, err) = ends(dir.path(), &args, "", 0);
    let told = json(&out);
    assert_eq!(told["ok"], true, "{err}");
    assert!(told["in"].as_u64().expect("a number") > 5_000, "{err}");
}

#[test]
fn what_runs_on_the_disk_runs_on_kafka_once_its_topics_are_made() {
    const SMS: &[&str] = &["--tenant", "acme", "--channel", "sms", "--reason", "stop_reply"];
    let house = house(&kafka_harness::shared().bootstrap());
    let dir = house.path();
    for args in [&["topics", "check"][..], &["run"], &["validate", "--connect"]] {
        let (out, err) = ends(dir, args, "", 3);
        assert!((out + &err).contains("tamis topics apply"), "it says what mends it");
    }
    ends(dir, &["topics", "plan"], "", 0);
    ends(dir, &["topics", "apply"], "", 0);
    ends(dir, &["topics", "check"], "", 0);

    ends(dir, &[&["suppress", "add"], SMS].concat(), "06 39 98 12 34\n", 0);
    let recipients = r#"[{"address":"+33639981234"},{"address":"+33639981235"}]"#;
    let job = format!(r#"{{"job_id":"j1","tenant":"acme","channel":"sms","recipients":{recipients}}}"#);
    ends(dir, &["jobs", "send", "-"], &job, 0);
    let mut service = Command::new(env!("CARGO_BIN_EXE_tamis"))
        .current_dir(dir)
        .arg("run")
        .stderr(Stdio::null())
        .spawn()
        .expect("start the service");
    let tail = ["deliveries", "tail", "--channel", "sms", "--from-beginning", "--max", "1"];
    let (out, _) = ends(dir, &[&tail[..], &["--idle-exit", "30s", "--reveal", "--json"]].concat(), "", 0);
    let recipients = &json(&out)["recipients"];
    assert_eq!(recipients.as_array().expect("recipients").len(), 1);
    assert_eq!(recipients[0]["address"], "+33639981235");
    let asked = Command::new("kill").arg(service.id().to_string()).status().expect("kill");
    assert!(asked.success());
    assert_eq!(service.wait().expect("wait").code(), Some(0));

    let ask = r#"{"job":{"tenant":"acme","channel":"sms"},"recipient":{"address":"0639981234"}}"#;
    let (out, _) = ends(dir, &["explain", "--json"], ask, 0);
    assert_eq!(json(&out)["reason"], "stop_reply");
}

#[test]
fn a_broker_that_does_not_answer_is_exit_4() {
    let house = house(&free_address());
    for args in [&["run", "--fail-fast"][..], &["topics", "check"], &["jobs", "send", "-"]] {
        ends(house.path(), args, "", 4);
    }
}
