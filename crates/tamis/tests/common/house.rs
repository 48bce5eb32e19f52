//! The command as a stranger uses it, in a directory with settings, a key and free ports.

#![allow(dead_code, reason = "each file of tests uses some of it")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

fn tamis(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tamis"));
    command.current_dir(dir).args(args).env_remove("TAMIS_CONFIG");
    command
}

/// Runs a command to its end.
pub(crate) fn run(dir: &Path, args: &[&str], stdin: impl AsRef<[u8]>) -> Output {
    let mut child = tamis(dir, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start tamis");
    let (mut input, stdin) = (child.stdin.take().expect("piped"), stdin.as_ref().to_vec());
    // Beside, since a command that writes as it reads waits for its reader; one that refuses its settings does not read on.
    let feeding = std::thread::spawn(move || drop(input.write_all(&stdin)));
    let output = child.wait_with_output().expect("wait for tamis");
    feeding.join().expect("fed");
    output
}

/// Runs a command that must end with `code`; answers its stdout and stderr.
pub(crate) fn ends(dir: &Path, args: &[&str], stdin: &str, code: i32) -> (String, String) {
    let output = run(dir, args, stdin);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "tamis {args:?}: {out}{err}");
    (out, err)
}

/// Runs a command that must succeed; answers its stdout.
pub(crate) fn done(dir: &Path, args: &[&str], stdin: &str) -> String {
    ends(dir, args, stdin, 0).0
}

/// Runs a command that must end with `code`; answers its stderr.
pub(crate) fn refused(dir: &Path, args: &[&str], stdin: &str, code: i32) -> String {
    ends(dir, args, stdin, code).1
}

/// The last line, which is JSON.
pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

pub(crate) fn free_address() -> String {
    let [port] = kafka_harness::free_ports().expect("a port");
    format!("127.0.0.1:{port}")
}

/// A directory with settings and a key.
pub(crate) fn house() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    done(dir.path(), &["init"], "");
    let file = dir.path().join("tamis.toml");
    let text = fs::read_to_string(&file).expect("settings");
    let usual = ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9600"];
    // All at once: one after the other, the same may be found twice.
    let free: [u16; 3] = kafka_harness::free_ports().expect("ports");
    let text = usual
        .iter()
        .zip(free)
        .fold(text, |text, (usual, free)| text.replace(usual, &format!("127.0.0.1:{free}")));
    fs::write(&file, text).expect("settings");
    dir
}

/// The same for the Kafka at `servers`, with topics of its own.
pub(crate) fn house_on(servers: &str) -> TempDir {
    let dir = house();
    let file = dir.path().join("tamis.toml");
    let prefix = dir.path().file_name().expect("a name").to_string_lossy().trim_start_matches('.').to_owned();
    let text = fs::read_to_string(&file)
        .expect("settings")
        .replace("kind = \"embedded\"", "kind = \"kafka\"")
        .replace("127.0.0.1:9092", servers)
        .replace("prefix = \"tamis\"", &format!("prefix = \"{prefix}\""))
        .replace("\"tamis-router\"", &format!("\"{prefix}\""));
    fs::write(&file, text).expect("settings");
    dir
}

/// A service that runs; killed if a test fails.
pub(crate) struct Service(Child);

impl Service {
    pub(crate) fn start(dir: &Path) -> Self {
        // Each start has its own log.
        let log = fs::File::create(dir.join("log")).expect("a log");
        let child = tamis(dir, &["run"]).stderr(log).spawn().expect("start the service");
        let mut service = Self(child);
        let begun = Instant::now();
        // Its doors open before the opt-outs on record are read.
        while !fs::read_to_string(dir.join("log")).is_ok_and(|log| log.contains("tamis is ready")) {
            assert!(service.0.try_wait().expect("ask").is_none(), "the service ended");
            assert!(begun.elapsed() < Duration::from_secs(60), "the service does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status().expect("kill");
        assert!(asked.success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("ask") {
                return status.code();
            }
            assert!(begun.elapsed() < Duration::from_secs(16), "the service does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
