//! A policy as an operator writes it: what it forbids is refused, what needs a consent waits for one, and each recipient of an e-mail
//! job has its own way out.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use tamis_subject::{Key, Region, Subjects};
use tamis_tests::process::{self, Service, get, post};
use tamis_tests::{suite, tamis_bin};
use tempfile::TempDir;

const POLICY: &str = r#"
version = "1"
[[tenant]]
id = "acme"
channels = ["voice", "email"]
consent_required = ["voice"]
unsubscribe_tokens = true
"#;

struct House {
    dir: TempDir,
    config: PathBuf,
    service: Service,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Key::create_file(&dir.path().join("tamis.key")).expect("a key");
        std::fs::write(dir.path().join("policy.toml"), POLICY).expect("a file");
        let lines = format!("kind = \"embedded\"\ndata_dir = \"{}\"", dir.path().join("data").display());
        let (config, admin, api) = process::config(dir.path(), "one", &lines, "");
        let service = Service::start(&config, admin, api);
        service.wait_ready();
        Self { dir, config, service }
    }

    fn policy(&self, text: &str) {
        std::fs::write(self.dir.path().join("policy.toml"), text).expect("a file");
    }

    fn job(&self, id: &str, tenant: &str, channel: &str, address: &str) {
        let job = format!(
            r#"{{"job_id":"{id}","tenant":"{tenant}","channel":"{channel}","content_text":"hello","recipients":[{{"address":"{address}"}}]}}"#
        );
        assert!(tamis(&self.config, &["jobs", "send", "-"], &job).status.success(), "the job is sent");
    }

    fn counted(&self, line: &str) {
        suite::wait(line, || {
            get(self.service.admin, "/metrics").is_some_and(|text| text.lines().any(|had| had == line))
        });
    }
}

fn tamis(config: &Path, args: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(tamis_bin())
        .args(args)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    command.stdin.take().expect("it was piped").write_all(stdin.as_bytes()).expect("the command reads");
    command.wait_with_output().expect("it ends")
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit")
}

/// Guarantees: where a consent is needed nobody is called without one, and whoever gave one is; a policy that changes counts at once,
/// and one that does not check leaves the last good one in force.
#[test]
fn a_policy_is_kept_as_it_is_written_and_as_it_changes() {
    let mut house = House::new();
    house.job("j1", "acme", "voice", "+33639980001");
    house.counted(r#"tamis_recipients_total{channel="voice",outcome="suppressed",reason="no_consent"} 1"#);
    let body = format!(
        r#"{{"tenant":"acme","channel":"voice","addresses":["06 39 98 00 01"],"granted_at_ms":{},"expires_at_ms":{},"evidence":"form-1"}}"#,
        now_ms() - 1_000,
        now_ms() + 3_600_000
    );
    let answer = post(house.service.api, "/v1/consents", &body).expect("the API answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    house.job("j2", "acme", "voice", "+33639980001");
    house.counted(r#"tamis_recipients_total{channel="voice",outcome="forwarded",reason="none"} 1"#);
    let withdraw = r#"{"tenant":"acme","channel":"voice","addresses":["+33639980001"],"evidence":"call-1"}"#;
    let answer = post(house.service.api, "/v1/consents/withdraw", withdraw).expect("the API answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    house.job("j3", "acme", "voice", "+33639980001");
    house.counted(
        r#"tamis_recipients_total{channel="voice",outcome="suppressed",reason="consent_withdrawn"} 1"#,
    );

    house.job("j4", "globex", "voice", "+33639980001");
    house.counted(r#"tamis_jobs_total{channel="voice",verdict="refused"} 1"#);
    house.policy("version = \"2\"\n[[tenant]]\nid = \"globex\"\n");
    suite::wait("the new policy is in use", || house.service.log().contains("policy in use"));
    house.job("j5", "globex", "voice", "+33639980001");
    house.counted(r#"tamis_recipients_total{channel="voice",outcome="forwarded",reason="none"} 2"#);
    house.policy("version = \"3\"\n[[tenant]]\nid = \"acme\"\nresidency = \"EU\"\n");
    house.service.signal("HUP");
    suite::wait("the bad policy is told", || house.service.log().contains("the last good one stays"));
    assert!(house.service.log().contains("policy.toml:4: tenant.residency: not enforced"), "with its line");
    house.job("j6", "globex", "voice", "+33639980002");
    house.counted(r#"tamis_recipients_total{channel="voice",outcome="forwarded",reason="none"} 3"#);
    let refused = tamis(&house.config, &["validate"], "");
    assert_eq!(refused.status.code(), Some(3), "it is told before it is tried, too");
    assert!(house.service.stop().success());
}

/// Guarantees: each recipient of an e-mail job has a token that opens to that person, as a link that is minted from a file has; a
/// line that is no address is told by its number and not repeated.
#[test]
fn a_delivery_has_a_token_for_each_and_links_are_minted_from_a_file() {
    let house = House::new();
    house.job("j1", "acme", "email", "Ada@Example.org");
    let tail = ["deliveries", "tail", "--channel", "email", "--from-beginning", "--max", "1", "--json"];
    let read = |args: &[&str]| {
        let output = tamis(&house.config, args, "");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")
    };
    let masked = read(&[&tail[..], &["--group", "a"]].concat());
    let shown = read(&[&tail[..], &["--reveal", "--group", "b"]].concat());
    let token = |delivery: &serde_json::Value| {
        delivery["recipients"][0]["unsubscribe_token"].as_str().unwrap_or_default().to_owned()
    };
    let key = Key::read(&house.dir.path().join("tamis.key")).expect("a key");
    let subjects = Subjects::new(&key, Region::parse("FR").expect("FR is a region"));
    let ada = subjects.first().email("ada@example.org").expect("an address");
    assert_eq!(subjects.open(&token(&shown)).expect("it is ours").first, ada);
    assert!(subjects.open(&token(&masked)).is_none() && !token(&masked).is_empty());

    let mint = ["links", "mint", "--tenant", "acme", "--channel", "email", "--list", "news"];
    let output = tamis(&house.config, &mint, "ada@example.org\n\nnobody@\n+33639980001\n");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{err}");
    let (number, url) = out.trim_end().split_once('\t').expect("a number and a link");
    assert_eq!(number, "1");
    let opened =
        subjects.open(url.strip_prefix("http://127.0.0.1:8080/u/").expect("public_url")).expect("ours");
    assert_eq!((opened.first, &*opened.list), (ada, "news"));
    assert!(err.contains("line 3: INVALID_ADDRESS") && err.contains("line 4: NOT_OF_THIS_CHANNEL"), "{err}");
    assert!(!err.contains("nobody") && !err.contains("0001"), "{err}");
}
