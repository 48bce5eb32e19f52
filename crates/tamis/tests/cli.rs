//! The command as a stranger uses it: what it prints, what it refuses, and how it ends.

#[path = "common/house.rs"]
mod house;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use house::{Service, done, house, json, refused, run};
use tempfile::TempDir;

/// Whether the running service's log has `text` within some seconds.
fn logged(dir: &Path, text: &str) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if fs::read_to_string(dir.join("log")).expect("the log").contains(text) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

const JOB: &str = concat!(
    r#"{"job_id":"j1","tenant":"acme","channel":"sms","content_text":"Bonjour","#,
    r#""recipients":[{"address":"06 39 98 12 34"},{"address":"+33639981235"}]}"#
);
const EXPLAIN: &str = r#"{"job":{"tenant":"acme","channel":"sms"},"recipient":{"address":"+33639981234"}}"#;
const TAIL: &[&str] = &["deliveries", "tail", "--channel", "sms", "--from-beginning", "--reveal", "--json"];
const SUPPRESS: &[&str] =
    &["suppress", "add", "--tenant", "acme", "--channel", "sms", "--reason", "stop_reply", "--json"];

#[test]
fn a_person_who_was_suppressed_gets_nothing_and_everybody_else_gets_it_once() {
    let house = house();
    let dir = house.path();
    done(dir, &["validate"], "");
    let service = Service::start(dir);

    let told = json(&done(dir, SUPPRESS, "+33 6 39 98 12 34\n"));
    assert_eq!(told["accepted"], 1);
    let told = json(&done(dir, &["jobs", "send", "-", "--json"], JOB));
    assert_eq!((told["sent"].as_u64(), told["refused"].as_u64()), (Some(1), Some(0)));

    let seen = done(dir, &[TAIL, &["--idle-exit", "2s"]].concat(), "");
    assert_eq!(seen.lines().count(), 1, "{seen}");
    let delivery = json(&seen);
    assert_eq!(delivery["recipients"].as_array().expect("recipients").len(), 1);
    assert_eq!(delivery["recipients"][0]["address"], "+33639981235");

    let why = json(&done(dir, &["explain", "--json"], EXPLAIN));
    assert_eq!((&why["decision"], &why["reason"]), (&"suppressed".into(), &"stop_reply".into()));
    assert_eq!(why["records"][0]["cause"], true);
    assert_eq!(service.stop(), Some(0));
    assert!(!dir.join("var/tamis/endpoint.json").exists());

    // And the same without a service: the store is opened by the commands themselves.
    let why = json(&done(dir, &["explain", "--json"], EXPLAIN));
    assert_eq!(why["reason"], "stop_reply");
    let lift = SUPPRESS.iter().map(|&word| if word == "add" { "lift" } else { word }).collect::<Vec<_>>();
    done(dir, &lift, "0639981234\n");
    let why = json(&done(dir, &["explain", "--json"], EXPLAIN));
    assert_eq!(why["decision"], "forwarded");
}

/// Guarantees: a reader that asks for so many deliveries gets so many, however they are read together, and has read no
/// others: the next under its name goes on behind, with a service and without.
/// Fails when: what is read together is not bounded by what is still wanted, or more is committed than was printed.
#[test]
fn a_tail_ends_after_as_many_as_were_asked_for_and_the_next_goes_on() {
    let house = house();
    let dir = house.path();
    let service = Service::start(dir);
    let jobs: Vec<String> = (0..150).map(|at| JOB.replace("\"j1\"", &format!("\"j{at}\""))).collect();
    done(dir, &["jobs", "send", "-"], &jobs.join("\n"));
    let mut seen = std::collections::BTreeSet::new();
    let mut tail = |max: &str| {
        let out = done(dir, &[TAIL, &["--max", max, "--idle-exit", "20s"]].concat(), "");
        let ids = out.lines().map(|line| json(line)["job_id"].to_string());
        assert!(ids.clone().all(|id| seen.insert(id)), "one was read before");
        ids.count()
    };
    // More than are read together.
    assert_eq!(tail("120"), 120);
    assert_eq!(tail("0"), 0);
    assert_eq!(tail("1"), 1);
    assert_eq!(service.stop(), Some(0));
    assert_eq!(tail("9"), 9);
    assert_eq!(tail("20"), 20);
    refused(dir, &[TAIL, &["--max", "-1"]].concat(), "", 2);
}

#[test]
fn another_key_than_the_log_was_written_with_is_refused_with_exit_5() {
    let house = house();
    let dir = house.path();
    done(dir, SUPPRESS, "+33639981234\n");
    fs::remove_file(dir.join("tamis.key")).expect("remove the key");
    done(&dir.join("."), &["init", "other"], "");
    fs::rename(dir.join("other/tamis.key"), dir.join("tamis.key")).expect("another key");
    let error = refused(dir, &["run"], "", 5);
    assert!(error.contains("key"), "{error}");
    refused(dir, SUPPRESS, "+33639981234\n", 5);
}

#[test]
fn a_key_that_is_missing_or_readable_by_others_is_refused_with_exit_5() {
    let house = house();
    let key = house.path().join("tamis.key");
    assert_eq!(fs::metadata(&key).expect("the key").permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
    for command in ["validate", "run"] {
        assert!(refused(house.path(), &[command], "", 5).contains("0644"));
    }
    fs::remove_file(&key).expect("remove the key");
    refused(house.path(), &["run"], "", 5);
}

#[test]
fn an_unknown_setting_is_refused_with_its_line_and_a_guess() {
    let house = house();
    let file = house.path().join("tamis.toml");
    let text = fs::read_to_string(&file).expect("settings");
    let line = text.lines().position(|line| line.trim() == "[bus]").expect("a section") + 2;
    fs::write(&file, text.replace("[bus]\n", "[bus]\nprefxi = \"tamis\"\n")).expect("settings");
    let error = refused(house.path(), &["validate"], "", 3);
    assert!(error.contains(&format!("{line}")), "line {line} in {error}");
    assert!(error.contains("prefxi") && error.contains("prefix"), "{error}");
}

#[test]
fn init_never_overwrites() {
    let house = house();
    let before = fs::read(house.path().join("tamis.key")).expect("the key");
    refused(house.path(), &["init"], "", 3);
    assert_eq!(fs::read(house.path().join("tamis.key")).expect("the key"), before);
}

#[test]
fn a_line_that_is_not_a_job_is_told_by_number_and_field_and_the_others_are_sent() {
    let house = house();
    let lines = format!("{JOB}\n{{\"job_id\":\"j2\",\"tenant\":\"acme\",\"channel\":\"+33612345678\"}}\n");
    let output = run(house.path(), &["jobs", "send", "-", "--json"], &lines);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("line 2: channel"), "{error}");
    assert!(!error.contains("612345678"), "{error}");
    let told = json(&String::from_utf8(output.stdout).expect("UTF-8"));
    assert_eq!((told["sent"].as_u64(), told["refused"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn the_demo_ends_with_one_line_of_closed_books() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = done(dir.path(), &["demo", "--seconds", "3", "--recipients-per-second", "3000", "--json"], "");
    assert_eq!(out.lines().count(), 1, "{out}");
    let told = json(&out);
    let of = |name: &str| told[name].as_u64().expect("a number");
    assert_eq!(of("in"), of("forwarded") + of("suppressed") + of("rejected") + of("deferred"));
    assert!(of("in") > 1000 && of("suppressed") > 0);
    assert_eq!((of("violations"), &told["ok"]), (0, &true.into()));
}

#[test]
fn the_demo_fails_when_confirmed_opt_outs_are_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let args = ["demo", "--seconds", "4", "--recipients-per-second", "20000", "--lose-opt-outs", "--json"];
    let output = run(dir.path(), &args, "");
    assert_eq!(output.status.code(), Some(1));
    let told = json(&String::from_utf8(output.stdout).expect("UTF-8"));
    assert!(told["violations"].as_u64().expect("a number") > 0);
    assert_eq!(told["ok"], false);
}

#[test]
fn an_api_key_is_shown_once_and_can_be_revoked() {
    let house = house();
    let made = json(&done(house.path(), &["keys", "api", "create", "--tenant", "acme", "--json"], ""));
    let (id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
    let listed = done(house.path(), &["keys", "api", "list", "--json"], "");
    assert!(listed.contains(id) && !listed.contains(key), "{listed}");
    done(house.path(), &["keys", "api", "revoke", id], "");
    refused(house.path(), &["keys", "api", "revoke", "nobody"], "", 3);
}

/// Guarantees: scopes and expiry are chosen when a key is made, shown in the list, and kept by its successor; no list has a
/// digest.
/// Fails when: the command does not pass one of them on.
#[test]
fn an_api_key_has_scopes_and_an_end_and_a_successor() {
    let house = house();
    let keys = |args: &[&str]| done(house.path(), &[&["keys", "api"], args, &["--json"]].concat(), "");
    let scopes = "suppressions:write,suppressions:read";
    let made = json(&keys(&["create", "--tenant", "acme", "--scope", scopes, "--expires-in", "90d"]));
    assert!(made["expires_ms"].as_i64().expect("an end") > 0);
    let id = made["id"].as_str().expect("an id");
    let next = json(&keys(&["rotate", id, "--overlap", "1ms"]));
    std::thread::sleep(Duration::from_millis(20));
    let listed = keys(&["list"]);
    let text = fs::read_to_string(house.path().join("var/api-keys.toml")).expect("the keys file");
    let digest = text.split("digest = \"").nth(1).expect("a digest");
    assert!(!listed.contains(&digest[..64]));
    let listed = json(&listed);
    assert_eq!(listed[1]["id"], next["id"]);
    for (at, expired) in [(0, true), (1, false)] {
        assert_eq!(listed[at]["expired"], expired);
        assert_eq!(listed[at]["scopes"], serde_json::json!(["suppressions:write", "suppressions:read"]));
    }
    let shown = done(house.path(), &["keys", "api", "list"], "");
    assert!(shown.contains("has expired") && shown.contains("expires in 89 d"), "{shown}");
    refused(house.path(), &["keys", "api", "rotate", id], "", 3);
    refused(house.path(), &["keys", "api", "create", "--gateway", "g", "--scope", "import"], "", 3);
    refused(house.path(), &["keys", "api", "create", "--operator", "--scope", "all"], "", 2);
}

/// Guarantees: where the API asks for certificates, commands on this machine go on through a door of their own, which takes
/// no key; and the API itself speaks nothing plain.
/// Fails when: commands are sent to the API's port, or the door beside it is a way around the certificates.
#[test]
fn commands_go_on_where_the_api_speaks_tls() {
    let house = house();
    let dir = house.path();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    fs::write(dir.join("cert.pem"), made.cert.pem()).expect("a file");
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let file = dir.join("tamis.toml");
    let text = fs::read_to_string(&file).expect("settings");
    let text = text.replace("tls_cert = \"\"", "tls_cert = \"cert.pem\"");
    let text = text.replace("tls_key = \"\"", "tls_key = \"key.pem\"");
    let text = text.replace("client_ca = \"\"", "client_ca = \"cert.pem\"");
    fs::write(&file, &text).expect("settings");
    let key = json(&done(dir, &["keys", "api", "create", "--operator", "--json"], ""))["key"].to_string();
    let service = Service::start(dir);
    assert_eq!(json(&done(dir, SUPPRESS, "+33639981234\n"))["accepted"], 1);
    let ask = |at: &str| {
        let mut stream = std::net::TcpStream::connect(at).expect("a door");
        let call = format!(
            "POST /v1/suppressions/lookup HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            key.trim_matches('"')
        );
        let mut answer = Vec::new();
        let _ = stream.write_all(call.as_bytes());
        let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let endpoint = json(&fs::read_to_string(dir.join("var/tamis/endpoint.json")).expect("the endpoint"));
    let beside = ask(endpoint["api"].as_str().expect("an address"));
    assert!(beside.starts_with("HTTP/1.1 401"), "{beside}");
    let api = text.lines().find_map(|line| line.strip_prefix("api = \"")).expect("http.api");
    let plain = ask(api.split('"').next().expect("an address"));
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    assert_eq!(service.stop(), Some(0));
}

/// Guarantees: a line that is too long, or no text, is told by its number and the others are sent; an opt-out's evidence is
/// held to the API's rule; nothing of any of it is repeated.
/// Fails when: lines are read with `BufRead::lines`, or the command writes evidence unseen where no service does it.
#[test]
fn what_is_read_from_files_is_bounded_and_not_repeated() {
    let dir = house();
    let file = dir.path().join("tamis.toml");
    let text = fs::read_to_string(&file).expect("settings");
    let small = text.replace("max_message_bytes = 16777216", "max_message_bytes = 65536");
    assert_ne!(small, text, "the template says the largest message");
    fs::write(&file, small).expect("settings");
    let job = done(dir.path(), &["jobs", "example"], "");
    let long = job.trim().replace("Bonjour ! STOP au 36200", &"+33639981234 ".repeat(30_000));
    let large = job.trim().replace("Bonjour ! STOP au 36200", &"+33639981234 ".repeat(6_000));
    let lines = [
        job.trim().as_bytes(),
        long.as_bytes(),
        b"camille@example.org \xff",
        large.as_bytes(),
        job.trim().as_bytes(),
    ];
    fs::write(dir.path().join("jobs.ndjson"), lines.join(&b'\n')).expect("jobs");
    let output = run(dir.path(), &["jobs", "send", "jobs.ndjson"], "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sent 2, refused 3\n");
    assert!(
        told.contains("line 2: longer than 262144 bytes\nline 3: not UTF-8\nline 4: the job has "),
        "{told}"
    );

    fn add<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["suppress", "add", "--tenant", "acme", "--channel", "sms", "--reason", "objected"], more].concat()
    }
    let told2 = refused(dir.path(), &add(&["--evidence", "camille@example.org"]), "0639981234", 2);
    assert!(told2.contains("--evidence must be 256 printable characters"), "{told2}");
    let stdin = format!("0639981234\n{}\n0639981235\n", "camille@example.org".repeat(10_000));
    let told3 = refused(dir.path(), &add(&[]), &stdin, 3);
    assert!(told3.contains("line 2: LINE_TOO_LONG"), "{told3}");
    let told4 = refused(dir.path(), &add(&["+33639981234"]), "", 3);
    let told5 = refused(dir.path(), &["explain"], &" ".repeat((1 << 20) + 1), 3);
    assert!(told5.contains("more than 1048576 bytes"), "{told5}");
    for told in [told, told2, told3, told4, told5] {
        assert!(!told.contains("39981234") && !told.contains("camille"), "{told}");
    }
}

/// Guarantees G1 over restarts from snapshots: an opt-out that was acknowledged is honoured whatever the service starts from,
/// after a drain, after kill -9 at any moment, with the newest snapshot damaged, and under none.
/// Fails when: a snapshot claims more than it has; one that is damaged is used, or stops the start; the drain writes none.
#[test]
fn g1_the_service_starts_from_a_snapshot_and_forgets_nobody() {
    let house = house();
    let dir = house.path();
    let settings = fs::read_to_string(dir.join("tamis.toml")).expect("settings");
    fs::write(
        dir.join("tamis.toml"),
        settings.replace("snapshot_every = \"15m\"", "snapshot_every = \"1s\""),
    )
    .expect("settings");
    let is_suppressed = |number: u64| {
        let ask = EXPLAIN.replace("+33639981234", &format!("+3363998{number:04}"));
        json(&done(dir, &["explain", "--json"], &ask))["decision"] == "suppressed"
    };
    assert_eq!(json(&done(dir, &["snapshot", "list", "--json"], "")), serde_json::json!([]));

    let service = Service::start(dir);
    assert!(logged(dir, "no snapshot"));
    done(dir, SUPPRESS, "+33 6 39 98 10 00\n");
    let told = json(&done(dir, &["snapshot", "write", "--json"], ""));
    assert_eq!((told["number"].as_u64().expect("a number") > 0, &told["records"]), (true, &1.into()));
    done(dir, SUPPRESS, "+33 6 39 98 10 01\n");
    assert_eq!(service.stop(), Some(0));
    let told = json(&done(dir, &["snapshot", "list", "--json"], ""));
    assert_eq!(told[0]["records"], 2, "the drain writes the last one: {told}");
    let told = json(&done(dir, &["snapshot", "check", "--json"], ""));
    assert_eq!((&told["sound"], &told["used"]), (&true.into(), &true.into()));
    let told = json(&done(dir, &["snapshot", "explain", "--json"], ""));
    assert_eq!(told["tallies"][0]["records"], 2, "{told}");

    for round in 2..6 {
        let service = Service::start(dir);
        assert!(logged(dir, "snapshot loaded"));
        done(dir, SUPPRESS, &format!("+33 6 39 98 10 {round:02}\n"));
        std::thread::sleep(Duration::from_millis(270 * round));
        drop(service); // kill -9
        assert!((1_000..=1_000 + round).all(is_suppressed));
        assert!(!is_suppressed(999));
    }

    let newest =
        json(&done(dir, &["snapshot", "list", "--json"], ""))[0]["number"].as_u64().expect("a number");
    let file = dir.join(format!("var/snapshots/filter-{newest:012}.snapshot"));
    let mut bytes = fs::read(&file).expect("the snapshot");
    bytes[30] ^= 1;
    fs::write(&file, bytes).expect("the snapshot");
    assert!(refused(dir, &["snapshot", "check"], "", 3).contains("damaged"));
    let service = Service::start(dir);
    assert!(logged(dir, "snapshot is not used") && logged(dir, "snapshot loaded"));
    assert!((1_000..=1_005).all(is_suppressed));
    assert_eq!(service.stop(), Some(0));

    // Under another key nothing is used, and nothing is started.
    fs::remove_file(dir.join("tamis.key")).expect("the key");
    let other = TempDir::new().expect("a directory");
    done(other.path(), &["init"], "");
    fs::copy(other.path().join("tamis.key"), dir.join("tamis.key")).expect("the key");
    let why = refused(dir, &["snapshot", "check"], "", 3);
    assert!(why.contains("another key"), "{why}");
    refused(dir, &["run"], "", 5);
}
