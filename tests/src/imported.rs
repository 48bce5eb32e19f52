//! Opt-outs imported from files by the command, through a service: what both logs must keep.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tamis_subject::Key;
use tempfile::TempDir;

use crate::process::{self, Service};
use crate::{suite, tamis_bin};

/// Rows of a long file: some dozens of batches.
const MANY: u32 = 200_000;

/// Settings, a key and a service's doors.
pub struct House {
    dir: TempDir,
    config: PathBuf,
    admin: SocketAddr,
    api: SocketAddr,
}

impl House {
    /// With the lines of `[bus]` for a folder, and more lines.
    #[must_use]
    pub fn new(bus: impl FnOnce(&Path) -> String, more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Key::create_file(&dir.path().join("tamis.key")).expect("a key");
        let snapshots = dir.path().join("snapshots");
        let more = format!("{more}\n[suppression]\nsnapshot_dir = \"{}\"", snapshots.display());
        let (config, admin, api) = process::config(dir.path(), "one", &bus(dir.path()), &more);
        Self { dir, config, admin, api }
    }

    /// A service, ready.
    #[must_use]
    pub fn service(&self) -> Service {
        let service = Service::start(&self.config, self.admin, self.api);
        service.wait_ready();
        service
    }

    /// Writes a file.
    #[must_use]
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }

    fn begun(&self, args: &[&str]) -> Child {
        Command::new(tamis_bin())
            .args(args)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts")
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn tamis(&self, args: &[&str], stdin: &str) -> Output {
        let mut child = self.begun(args);
        let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
        child.wait_with_output().expect("it ends")
    }

    /// Exit code, and what it says on stdout as JSON, and on stderr.
    #[must_use]
    pub fn import(&self, file: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
        let file = file.to_str().expect("a path");
        read(&self.tamis(&[&["suppress", "import", file, "--json"], more].concat(), ""))
    }

    /// The same for an undo.
    #[must_use]
    pub fn undo(&self, id: &str) -> (Option<i32>, Value, String) {
        read(&self.tamis(&["suppress", "import", "--undo", id, "--json"], ""))
    }

    /// What the service tells of an import.
    fn status(&self, id: &str) -> Value {
        let answer = process::get(self.api, &format!("/v1/imports/{id}")).unwrap_or_default();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_default()
    }

    /// Sends a job to `people`, and tells which of them something was delivered to since.
    #[must_use]
    pub fn delivered(&self, job: &str, people: &[u32]) -> BTreeSet<u32> {
        let people: Vec<String> =
            people.iter().map(|n| format!("{{\"address\":\"{}\"}}", number(*n))).collect();
        let job = format!(
            "{{\"job_id\":\"{job}\",\"tenant\":\"acme\",\"channel\":\"sms\",\"content_text\":\"x\",\"recipients\":[{}]}}",
            people.join(",")
        );
        assert!(self.tamis(&["jobs", "send", "-"], &job).status.success());
        let mut tail = vec!["deliveries", "tail", "--channel", "sms", "--from-beginning", "--reveal"];
        tail.extend(["--json", "--idle-exit", "3s"]);
        let output = String::from_utf8(self.tamis(&tail, "").stdout).expect("JSON is text");
        output.split("+3361").skip(1).map(|rest| rest[..7].parse().expect("a number of ours")).collect()
    }
}

fn read(output: &Output) -> (Option<i32>, Value, String) {
    let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), told, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The number of one person.
#[must_use]
pub fn number(n: u32) -> String {
    format!("+3361{n:07}")
}

/// A file of the first `count` people, as a spreadsheet writes it.
#[must_use]
pub fn rows(count: u32) -> String {
    let mut text = "Téléphone;Canal;Motif\r\n".to_owned();
    for n in 0..count {
        let _ = write!(text, "{};sms;stop\r\n", number(n));
    }
    text
}

/// Guarantees G1: whoever is in an imported file gets nothing once the command has ended, and nobody else is dropped; after its
/// undo they get the next job; a dry run changes nothing, and the file again is all known.
pub fn whoever_is_imported_gets_nothing_until_the_import_is_undone(house: &House) {
    let file = house.file("stop.csv", &rows(3));
    let mut service = house.service();
    let all = [0, 1, 2, 3];
    let (code, told, words) = house.import(&file, &["--tenant", "acme", "--dry-run"]);
    assert_eq!((code, told["new"].as_u64()), (Some(0), Some(3)), "{words}");
    assert_eq!(house.delivered("before", &all), BTreeSet::from(all));
    let (code, told, words) = house.import(&file, &["--tenant", "acme", "--import-id", "stops"]);
    assert_eq!(
        (code, told["accepted"].as_u64(), told["state"].as_str()),
        (Some(0), Some(3), Some("done")),
        "{words}"
    );
    assert_eq!(house.delivered("after", &all), BTreeSet::from([3]), "everybody but one is dropped");
    let (code, told, words) = house.import(&file, &["--tenant", "acme"]);
    assert_eq!(
        (code, told["new"].as_u64(), told["already"].as_u64()),
        (Some(0), Some(0), Some(3)),
        "{words}"
    );
    // What was repeated says so, and the first can't be taken back any more: the second said them, too.
    let again = told["import_id"].as_str().expect("an id").to_owned();
    assert_eq!(house.undo(&again).1["lifted"], 0);
    assert_eq!(house.undo("stops").1["lifted"], 0);
    assert_eq!(house.delivered("still", &all), BTreeSet::from([3]));

    let other = house.file("other.csv", &rows(2).replace("stop", "plainte"));
    assert_eq!(house.import(&other, &["--tenant", "acme", "--import-id", "complaints"]).1["new"], 2);
    assert_eq!(house.undo("complaints").1["lifted"], 2);
    assert_eq!(
        house.delivered("other", &all),
        BTreeSet::from([3]),
        "STOP stays when the complaint is lifted"
    );
    let log = service.log();
    assert!(!log.contains("+3361"), "{log}");
    assert!(service.stop().success());
}

/// Guarantees: rows that are visible at once drop nobody before their moment and everybody from then on, and are taken back as a
/// whole, before their moment as after it.
pub fn at_once_is_one_moment(house: &House) {
    let (file, all) = (house.file("stop.csv", &rows(3)), [0, 1, 2, 3]);
    let mut service = house.service();
    let at_once = |id: &str| {
        let (code, told, words) =
            house.import(&file, &["--tenant", "acme", "--visible", "at_once", "--import-id", id]);
        assert_eq!((code, told["new"].as_u64()), (Some(0), Some(3)), "{words}");
        assert!(told.get("visible_late").is_none(), "{told}");
    };
    at_once("withdrawn");
    let (_, told, words) = house.undo("withdrawn");
    assert_eq!((told["lifted"].as_u64(), told["kept"].as_u64()), (Some(3), Some(0)), "{words}");
    at_once("moment");
    let at = house.status("moment")["visible_at_ms"].as_u64().expect("a moment");
    let now = || {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis()
    };
    let before = house.delivered("before", &all);
    if now() < u128::from(at) {
        assert_eq!(before, BTreeSet::from(all), "nobody is dropped before the moment");
    }
    suite::wait("the moment comes", || now() > u128::from(at) + 1_000);
    assert_eq!(house.delivered("after", &all), BTreeSet::from([3]));
    assert_eq!(house.undo("moment").1["lifted"], 3);
    assert_eq!(house.delivered("undone", &all), BTreeSet::from(all));
    assert!(service.stop().success());
}

/// Whose process is killed: on the embedded log the service imports, on Kafka the command does it itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    /// `tamis run`.
    Service,
    /// `tamis suppress import`.
    Command,
}

/// Guarantees: an import that is killed with -9 goes on when its service is there again, by itself, or under its id, and nobody is
/// left out; the same of its undo, which then is asked for again; repeated, nothing changes.
/// Fails when: what was handed to the log counts as durable, or it goes on from elsewhere; an undo that broke off can't be begun
/// again, or takes what it did for done.
pub fn an_import_and_its_undo_go_on_after_a_kill(house: &House, killed: Killed) {
    let file = house.file("many.csv", &rows(MANY));
    let mut service = house.service();
    let path = file.to_str().expect("a path");
    let many = ["--tenant", "acme", "--import-id", "many"];
    let mut command = house.begun(&[&["suppress", "import", path, "--json"], &many[..]].concat());
    let brought = house.dir.path().join("imports/many.brought");
    suite::wait("some rows are on their way", || {
        fs::metadata(&brought).is_ok_and(|about| about.len() > 2 << 20)
    });
    let (code, told, words) = if killed == Killed::Service {
        service.kill();
        service = house.service();
        let told = read(&command.wait_with_output().expect("it ends"));
        assert!(told.2.contains("trying again"), "{}", told.2);
        told
    } else {
        command.kill().and_then(|()| command.wait()).expect("it is killed");
        let status = house.status("many");
        assert_eq!(status["failure"]["code"], "INTERRUPTED", "{status}");
        let next = status["next_line"].to_string();
        house.import(&file, &[&many[..], &["--from-line", &next]].concat())
    };
    let all = Some(u64::from(MANY));
    assert_eq!(
        (code, told["accepted"].as_u64(), told["rows"].as_u64()),
        (Some(0), all, all),
        "{told} {words}"
    );
    suite::wait("the filter has them all, so that a dry run finds nobody new", || {
        let (code, told, _) = house.import(&file, &["--tenant", "acme", "--dry-run"]);
        (code, told["already"].as_u64(), told["new"].as_u64()) == (Some(0), all, Some(0))
    });
    let others = MANY..MANY + 300;
    let some: Vec<u32> = (0..MANY).step_by(401).chain(others.clone()).collect();
    assert_eq!(house.delivered("some", &some), others.collect(), "exactly who was imported is dropped");

    let mut undo = house.begun(&["suppress", "import", "--undo", "many", "--json"]);
    if killed == Killed::Service {
        suite::wait("some are lifted", || house.status("many")["undo"]["lifted"].as_u64() > Some(0));
        service.kill();
        service = house.service();
    } else {
        suite::wait("it is begun", || house.status("many")["undo"]["state"] == "running");
        undo.kill().expect("it is killed");
    }
    let _ = undo.wait_with_output().expect("it ends");
    assert_eq!(house.status("many")["undo"]["state"], "failed", "it was killed in the middle");
    let (code, told, words) = house.undo("many");
    // What was lifted before the kill is kept by this one, and rows that were sent twice were noted twice.
    let (lifted, kept) = (told["lifted"].as_u64(), told["kept"].as_u64());
    let sum = lifted.zip(kept).map(|(lifted, kept)| lifted + kept);
    assert!(code == Some(0) && lifted <= all && sum >= all, "{told} {words}");
    assert_eq!(house.delivered("undone", &some), some.iter().copied().collect());
    assert!(service.stop().success());
}
