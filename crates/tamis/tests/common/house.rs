//! The command as a stranger uses it, in a directory with settings, a key and free ports.

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
pub(crate) fn run(dir: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = tamis(dir, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start tamis");
    let (mut input, stdin) = (child.stdin.take().expect("piped"), stdin.to_vec());
    // Beside, since a command that writes as it reads waits for its reader; one that refuses its settings does not read on.
    let feeding = std::thread::spawn(move || drop(input.write_all(&stdin)));
    let output = child.wait_with_output().expect("wait for tamis");
    feeding.join().expect("fed");
    output
}

/// Runs a command that must end with `code`; answers its stdout and stderr.
pub(crate) fn ends(dir: &Path, args: &[&str], stdin: &str, code: i32) -> (String, String) {
    let output = run(dir, args, stdin.as_bytes());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "tamis {args:?}: {out}{err}");
    (out, err)
}

/// Runs a command that must succeed; answers its stdout.
pub(crate) fn done(dir: &Path, args: &[&str], stdin: &str) -> String {
    ends(dir, args, stdin, 0).0
}

fn free_address() -> String {
    let [port] = kafka_harness::free_ports().expect("a port");
    format!("127.0.0.1:{port}")
}

/// A directory with settings, changed as `change` says, and a key.
pub(crate) fn house(change: impl FnOnce(&str, String) -> String) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    done(dir.path(), &["init"], "");
    let file = dir.path().join("tamis.toml");
    let name = dir.path().file_name().expect("a name").to_string_lossy().trim_start_matches('.').to_owned();
    let text = fs::read_to_string(&file).expect("settings");
    let text = text.replace("127.0.0.1:8081", &free_address()).replace("127.0.0.1:9600", &free_address());
    fs::write(&file, change(&name, text)).expect("settings");
    dir
}

/// A service that runs; killed if a test fails.
pub(crate) struct Service(Child);

impl Service {
    pub(crate) fn start(dir: &Path) -> Self {
        let log = fs::File::create(dir.join("log")).expect("a log");
        let child = tamis(dir, &["run"]).stderr(log).spawn().expect("start the service");
        let mut service = Self(child);
        let begun = Instant::now();
        while !dir.join("var/tamis/endpoint.json").exists() {
            assert!(service.0.try_wait().expect("ask").is_none(), "the service ended");
            assert!(begun.elapsed() < Duration::from_secs(60), "the service does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
