//! Opt-outs imported from files, by the command, on the embedded log: through a service, without one, and over a kill.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tamis_subject::Key;
use tamis_tests::process::{self, Service};
use tamis_tests::{suite, tamis_bin};
use tempfile::TempDir;

/// Settings, a key and a service's doors.
struct House {
    dir: TempDir,
    config: PathBuf,
    admin: std::net::SocketAddr,
    api: std::net::SocketAddr,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Key::create_file(&dir.path().join("tamis.key")).expect("a key");
        let lines = format!("kind = \"embedded\"\ndata_dir = \"{}\"", dir.path().join("data").display());
        let snapshots =
            format!("[suppression]\nsnapshot_dir = \"{}\"", dir.path().join("snapshots").display());
        let (config, admin, api) = process::config(dir.path(), "one", &lines, &snapshots);
        Self { dir, config, admin, api }
    }

    fn service(&self) -> Service {
        let service = Service::start(&self.config, self.admin, self.api);
        service.wait_ready();
        service
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }

    fn tamis(&self, args: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(tamis_bin())
            .args(args)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
        child.wait_with_output().expect("it ends")
    }

    /// Exit code, and what it says on stdout as JSON.
    fn import(&self, file: &Path, more: &[&str]) -> (Option<i32>, serde_json::Value, String) {
        let file = file.to_str().expect("a path");
        let output = self.tamis(&[&["suppress", "import", file, "--json"], more].concat(), "");
        let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), told, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Sends a job to people 0 to 3, and tells how many deliveries there are for them since.
    fn delivered(&self, job: &str) -> usize {
        let people: Vec<String> = (0..4).map(|n| format!("{{\"address\":\"{}\"}}", number(n))).collect();
        let job = format!(
            "{{\"job_id\":\"{job}\",\"tenant\":\"acme\",\"channel\":\"sms\",\"content_text\":\"x\",\"recipients\":[{}]}}",
            people.join(",")
        );
        assert!(self.tamis(&["jobs", "send", "-"], &job).status.success());
        let tail = [
            "deliveries",
            "tail",
            "--channel",
            "sms",
            "--from-beginning",
            "--reveal",
            "--json",
            "--idle-exit",
            "2s",
        ];
        let output = self.tamis(&tail, "");
        String::from_utf8_lossy(&output.stdout).matches("+3361").count()
    }
}

fn number(n: u32) -> String {
    format!("+3361{n:07}")
}

fn rows(count: u32) -> String {
    let mut text = "Téléphone;Canal;Motif\r\n".to_owned();
    for n in 0..count {
        let _ = write!(text, "{};sms;stop\r\n", number(n));
    }
    text
}

/// Guarantees G1: whoever is in an imported file gets nothing once the command has ended, and after its undo gets the next job; a dry run
/// changes nothing.
#[test]
fn g1_whoever_is_imported_gets_nothing_until_the_import_is_undone() {
    let house = House::new();
    let file = house.file("stop.csv", &rows(3));
    let mut service = house.service();
    let (code, told, words) = house.import(&file, &["--tenant", "acme", "--dry-run"]);
    assert_eq!((code, told["new"].as_u64()), (Some(0), Some(3)), "{words}");
    assert_eq!(house.delivered("before"), 4);
    let (code, told, words) = house.import(&file, &["--tenant", "acme", "--import-id", "stops"]);
    assert_eq!(
        (code, told["accepted"].as_u64(), told["state"].as_str()),
        (Some(0), Some(3), Some("done")),
        "{words}"
    );
    assert_eq!(house.delivered("after"), 1, "everybody but one is dropped");
    let output = house.tamis(&["suppress", "import", "--undo", "stops", "--json"], "");
    let undone: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((undone["lifted"].as_u64(), undone["kept"].as_u64()), (Some(3), Some(0)));
    assert_eq!(house.delivered("undone"), 4);
    let log = service.log();
    assert!(!log.contains("+3361") && log.contains("import done"), "{log}");
    assert!(service.stop().success());
}

/// Guarantees: without a service the command does the same by itself, and ends with the contract's codes.
#[test]
fn without_a_service_the_command_imports_by_itself() {
    let house = House::new();
    let file = house.file("stop.csv", &rows(3));
    let (code, told, words) = house.import(&file, &["--tenant", "acme", "--import-id", "stops"]);
    assert_eq!((code, told["accepted"].as_u64()), (Some(0), Some(3)), "{words}");
    let undo = || house.tamis(&["suppress", "import", "--undo", "stops"], "");
    assert_eq!(String::from_utf8_lossy(&undo().stdout).trim(), "lifted 3, kept 0");
    assert_eq!(undo().status.code(), Some(3), "once is enough");
    assert_eq!(house.import(&file, &["--tenant", "acme"]).1["new"], 3);
    let mixed = house.file("mixed.csv", &format!("{}nobody;sms;stop\r\n", rows(3)));
    let (code, told, _) = house.import(&mixed, &["--tenant", "acme"]);
    assert_eq!((code, told["already"].as_u64(), told["rejected"].as_u64()), (Some(3), Some(3), Some(1)));
    let (code, _, words) = house.import(&mixed, &["--tenant", "acme", "--visible", "at_once"]);
    assert_eq!(code, Some(3), "{words}");
    let headless = house.file("x.csv", "dupont;camille\r\na;b\r\n");
    let (code, _, words) = house.import(&headless, &["--tenant", "acme"]);
    assert!(
        code == Some(3) && words.contains("NO_ADDRESS_COLUMN: line 1") && !words.contains("dupont"),
        "{words}"
    );
    let (code, _, words) = house.import(&file, &["--tenant", "acme", "--visible", "soon"]);
    assert!(code == Some(2) && words.contains("as_it_goes"), "{words}");
}

/// Guarantees: an import over which the service is killed goes on by itself when the service is there again, and nobody is left out.
/// Fails when: what was handed to the log counts as durable, or the command goes on from elsewhere.
#[test]
fn an_import_goes_on_after_the_service_was_killed() {
    let house = House::new();
    let count = 200_000;
    let file = house.file("many.csv", &rows(count));
    let mut service = house.service();
    let command = Command::new(tamis_bin())
        .args([
            "suppress",
            "import",
            file.to_str().expect("a path"),
            "--tenant",
            "acme",
            "--json",
            "--import-id",
            "many",
        ])
        .arg("--config")
        .arg(&house.config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let brought = house.dir.path().join("imports/many.brought");
    suite::wait("some rows are on their way", || {
        fs::metadata(&brought).is_ok_and(|about| about.len() > 2 << 20)
    });
    service.kill();
    let mut again = house.service();
    let output = command.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.contains("trying again"), "{words}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (told["accepted"].as_u64(), told["rows"].as_u64()),
        (Some(count.into()), Some(count.into())),
        "{told}"
    );
    let (code, told, _) = house.import(&file, &["--tenant", "acme", "--dry-run"]);
    assert_eq!(
        (code, told["already"].as_u64(), told["new"].as_u64()),
        (Some(0), Some(count.into()), Some(0))
    );
    assert!(again.stop().success());
}
