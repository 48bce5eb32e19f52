//! What tamis knows, taken out, and lists cleaned with it: on the embedded log, with a service and without, and on a real Kafka.

#[path = "common/house.rs"]
mod house;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use house::{Service, done, ends, house, house_on, run};
use serde_json::Value;

/// One of the people of these tests.
fn number(n: u32) -> String {
    format!("+336399{n:05}")
}

fn suppress(dir: &Path, args: &[&str], lines: &str) {
    done(dir, &[&["suppress", "add", "--channel", "sms"], args].concat(), lines);
}

/// Opt-outs of two tenants, of a list, of the platform, of an address of each kind, and one that is lifted.
fn fill(dir: &Path) {
    let stop = ["--tenant", "acme", "--reason", "stop_reply"];
    suppress(dir, &[&stop[..], &["--evidence", "=cmd,\"x\""]].concat(), &numbers(0..300));
    suppress(dir, &[&stop[..], &["--list", "news"]].concat(), "camille@example.org\n");
    suppress(dir, &[&stop[..], &["--contacts"]].concat(), "c-1\nc-2\n");
    suppress(dir, &["--tenant", "other", "--reason", "objected"], &number(7));
    suppress(dir, &["--scope", "platform", "--reason", "blocked"], &number(500));
    let gone = ["suppress", "lift", "--channel", "sms", "--tenant", "acme", "--reason", "stop_reply"];
    done(dir, &gone, &number(299));
}

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|n| number(n) + "\n").collect()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Guarantees: an export has every record once, a tenant's its own alone; with `--match` those of the lines alone, each with its
/// line, and with the contact that was given. No address is in it, nor in what is said besides.
/// Fails when: a page is told twice or not; a lifted record is told; a line's number is another's.
fn exported(dir: &Path) {
    let export =
        |args: &[&str], stdin: &str| rows(&done(dir, &[&["suppress", "export"], args].concat(), stdin));
    let acme = export(&["--tenant", "acme"], "");
    assert_eq!(acme.len(), 302, "299 numbers, an address, two contacts");
    let subjects: BTreeSet<&str> =
        acme.iter().map(|row| row["subject"].as_str().expect("a digest")).collect();
    assert_eq!(subjects.len(), 302);
    assert!(subjects.iter().all(|subject| subject.len() == 32));
    let of = |name: &str, value: &str| acme.iter().filter(|row| row[name] == value).count();
    assert_eq!((of("identity", "phone"), of("identity", "email"), of("identity", "contact")), (299, 1, 2));
    assert_eq!((of("scope", "tenant"), of("list", "news"), of("tenant", "acme")), (301, 1, 302));
    assert_eq!((of("evidence", "=cmd,\"x\""), of("source", "operator")), (299, 302));
    let all = export(&["--all"], "");
    let scopes: BTreeSet<_> = all.iter().map(|row| format!("{} {}", row["scope"], row["tenant"])).collect();
    assert_eq!((all.len(), scopes.len()), (304, 4), "{scopes:?}");

    // By address, in the lines' order; whoever is not known has no row.
    let lines = format!("{}\n\n{}\n06 39 90 00 00 \n{}\n", number(500), number(298), number(299));
    let matched = export(&["--tenant", "acme", "--match", "-"], &lines);
    let told: Vec<_> = matched.iter().map(|row| row["line"].as_u64().expect("a line")).collect();
    assert_eq!(told, [3, 4], "the platform's are not the tenant's, and one is lifted");
    assert!(subjects.contains(matched[0]["subject"].as_str().expect("a digest")));
    let matched = export(&["--all", "--match", "-"], &lines);
    assert_eq!(
        matched.iter().map(|row| row["line"].as_u64().expect("a line")).collect::<Vec<_>>(),
        [1, 3, 4]
    );
    let matched = export(&["--tenant", "acme", "--match", "-", "--contacts"], "c-9\nc-2\n");
    assert_eq!((matched.len(), &matched[0]["contact"], &matched[0]["line"]), (1, &"c-2".into(), &2.into()));

    let args = ["suppress", "export", "--tenant", "acme", "--match", "-"];
    let (out, err) = ends(dir, &args, "Camille\n0639900001\n", 3);
    assert!(err.contains("line 1: INVALID_ADDRESS") && !err.contains("Camille"), "{err}");
    assert_eq!(rows(&out).len(), 1, "the others were looked up");
    assert!(!(out + &err).contains("0639900001"));
}

/// Guarantees: in a CSV no evidence is a formula, and it has as many rows; a file is whole, its owner's only, and told of in JSON.
fn exported_to_files(dir: &Path) {
    let csv = ["suppress", "export", "--tenant", "acme", "--format", "csv"];
    let out = done(dir, &[&csv[..], &["-o", "acme.csv", "--json"]].concat(), "");
    assert_eq!(rows(&out)[0]["records"], 302);
    let text = std::fs::read_to_string(dir.join("acme.csv")).expect("it is there");
    assert!(text.starts_with("subject,identity,scope,tenant,list,channel,reason,"), "{text}");
    assert_eq!(text.matches("\r\n").count(), 303);
    assert_eq!(text.matches(",\"'=cmd,\"\"x\"\"\",").count(), 299);
    let first = done(dir, &[&csv[..], &["--contacts", "--match", "-"]].concat(), "c-1\n");
    assert!(first.starts_with("line,contact,subject,") && first.contains("\r\n1,c-1,"), "{first}");
    ends(dir, &["suppress", "export", "--format", "csv"], "", 2);
    ends(dir, &[&csv[..], &["--json"]].concat(), "", 2);
}

/// Lines in an order of their own: each export loads its filter anew, and that may put people in other places.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Guarantees: what is sealed can be read by the recipient, is what it would be in clear, and nothing of it is in clear on the disk.
/// Fails when: a file in clear is sealed afterwards; the last piece is not written.
fn exported_and_sealed(dir: &Path) {
    let identity = age::x25519::Identity::generate();
    let clear = done(dir, &["suppress", "export", "--tenant", "acme"], "");
    std::fs::write(dir.join("r.txt"), format!("# us\n{}\n", identity.to_public())).expect("a file");
    let other = age::x25519::Identity::generate().to_public().to_string();
    let sealed =
        ["suppress", "export", "--tenant", "acme", "--age-recipients-file", "r.txt", "--age-recipient"];
    let output = run(dir, &[&sealed[..], &[&other]].concat(), "");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let to_file = [&sealed[..], &[&other, "-o", "acme.age"]].concat();
    done(dir, &to_file, "");
    let file = std::fs::read(dir.join("acme.age")).expect("it is there");
    for bytes in [output.stdout, file] {
        assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
        assert!(!bytes.windows(10).any(|piece| piece == b"stop_reply"));
        let opened = age::Decryptor::new(&bytes[..]).expect("age");
        let mut text = String::new();
        let mut opened = opened.decrypt(std::iter::once(&identity as &dyn age::Identity)).expect("for us");
        opened.read_to_string(&mut text).expect("whole");
        assert_eq!(sorted(&text), sorted(&clear));
    }
    let bad = ["suppress", "export", "--all", "--age-recipient", "AGE-SECRET-KEY-1CAMILLE"];
    let (_, err) = ends(dir, &bad, "", 2);
    assert!(!err.contains("CAMILLE"), "{err}");
}

/// Guarantees: a list comes out without those who are on record, and the report says how many, why, where, and by which filter;
/// neither it nor anything that is said has anybody in it.
/// Fails when: the answer for one row is another's; contacts are not looked up; the report is of somebody.
fn scrubbed(dir: &Path) {
    let scrub = ["scrub", "-", "--tenant", "acme", "--channel", "sms"];
    let mut list = "\u{feff}Nom;Téléphone;contact\r\n".to_owned();
    let row = |n: u32| format!("\"Camille;{n}\";{};k{n}\r\n", number(n));
    let mut kept = list.clone();
    // More than one batch; of these 299 to 499 and 501 on are not on record.
    for n in 0..9_000 {
        list.push_str(&row(n));
        if n >= 299 && n != 500 {
            kept.push_str(&row(n));
        }
    }
    list.push_str("Bob;+33639909999;c-1\r\n;;\r\nBob;Camille;\r\nBob;+33639900299;\r\nBob;1;2;3\r\n");
    let (out, err) = ends(dir, &[&scrub[..], &["--report", "r.json"]].concat(), &list, 0);
    assert_eq!(out, kept);
    assert!(err.contains("kept 8700 of 9005 rows") && !err.contains("Camille"), "{err}");
    let report = std::fs::read_to_string(dir.join("r.json")).expect("it is there");
    assert!(!report.contains("Camille") && !report.contains("63990"), "{report}");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let group =
        |field: &str, at: usize| (report[field][at]["reason"].clone(), report[field][at]["rows"].to_string());
    assert_eq!(group("suppressed", 0), ("blocked".into(), "[[500,500]]".to_owned()));
    assert_eq!(group("suppressed", 1), ("stop_reply".into(), "[[0,298],[9000,9000]]".to_owned()));
    assert_eq!(group("rejected", 0), ("invalid_address".into(), "[[9002,9002]]".to_owned()));
    assert_eq!(group("rejected", 1), ("missing_address".into(), "[[9001,9001]]".to_owned()));
    assert_eq!(group("rejected", 2), ("duplicate_recipient".into(), "[[9003,9003]]".to_owned()));
    assert_eq!(group("rejected", 3), ("malformed_recipient".into(), "[[9004,9004]]".to_owned()));
    assert_eq!(
        (&report["tenant"], &report["channel"], &report["rows"]),
        (&"acme".into(), &"sms".into(), &9005.into())
    );
    assert!(report["decided_at_ms"].as_i64().expect("a time") > 1_700_000_000_000);
    let position = report["filter_position"].as_array().expect("a position");
    assert!(position.iter().map(|next| next.as_i64().expect("a number")).sum::<i64>() >= 305, "{position:?}");

    let mail =
        format!("{{\"address\":\"Camille@Example.org\"}}\n{{\"address\":\"{}\"}}\n", "bob@example.org");
    let of = |list: &[&str]| {
        done(dir, &[&["scrub", "-", "--tenant", "acme", "--channel", "sms"], list].concat(), &numbers(7..9))
    };
    assert_eq!(
        of(&["--no-header", "--purpose", "service"]),
        numbers(7..9),
        "a stop is not for what was asked for"
    );
    let scrub = ["scrub", "-", "--tenant", "acme", "--channel", "email"];
    assert_eq!(done(dir, &scrub, &mail), mail, "the record is of channel sms");
}

/// Guarantees: where the policy asks for a consent, whoever has none is dropped as NO_CONSENT after every other reason, by address or
/// by contact; service messages need none; and a list is refused where the line would refuse the job.
/// Fails when: consents are not looked at, or not by the door that is asked.
fn scrubbed_by_policy(dir: &Path) {
    let policy =
        "version = \"7\"\n[[tenant]]\nid = \"acme\"\nchannels = [\"sms\"]\nconsent_required = [\"sms\"]\n";
    std::fs::write(dir.join("policy.toml"), policy).expect("a policy");
    let list =
        format!("tel,contact\n{},\n{},c-1\n{},k\n", number(1).trim(), number(600).trim(), number(601).trim());
    let scrub = ["scrub", "-", "--tenant", "acme", "--channel", "sms"];
    let (out, err) = ends(dir, &[&scrub[..], &["--report", "c.json"]].concat(), &list, 0);
    assert_eq!(out, "tel,contact\n", "{err}");
    assert!(err.contains("2  stop_reply") && err.contains("1  no_consent"), "{err}");
    let report = std::fs::read_to_string(dir.join("c.json")).expect("it is there");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((&report["policy_version"], &report["needs_consent"]), (&"7".into(), &true.into()));
    assert_eq!(report["suppressed"][1]["rows"].to_string(), "[[2,2]]");
    assert_eq!(done(dir, &[&scrub[..], &["--purpose", "service"]].concat(), &list), list);
    for args in [["--tenant", "acme", "--channel", "voice"], ["--tenant", "other", "--channel", "sms"]] {
        let (out, err) = ends(dir, &[&["scrub", "-"], &args[..]].concat(), &list, 5);
        assert!(out.is_empty() && err.contains("refused, as a job would be"), "{err}");
    }
}

/// Guarantees: of a file that is no list nothing is left behind, its words are not repeated, and it ends with 3.
fn refused(dir: &Path) {
    std::fs::write(dir.join("bad.csv"), "tel;x\n+33639905000;\"Camille\n").expect("a file");
    let scrub =
        ["scrub", "bad.csv", "--tenant", "acme", "--channel", "sms", "-o", "out.csv", "--report", "no.json"];
    let (_, err) = ends(dir, &scrub, "", 3);
    assert!(err.contains("line 2: expected a quote that is closed") && !err.contains("Camille"), "{err}");
    assert!(!dir.join("out.csv").exists() && !dir.join("no.json").exists());
    let (_, err) = ends(dir, &["scrub", "+33639905000", "--tenant", "acme", "--channel", "sms"], "", 3);
    assert!(!err.contains("3990"), "{err}");
    ends(dir, &["scrub", "-", "--tenant", "a b", "--channel", "sms"], "", 2);
    ends(dir, &["scrub", "-", "--tenant", "acme", "--channel", "sms", "--column", "tel"], "", 2);
}

#[test]
fn lists_are_cleaned_and_records_exported_where_no_service_runs() {
    let house = house();
    let dir = house.path();
    fill(dir);
    exported(dir);
    exported_to_files(dir);
    exported_and_sealed(dir);
    scrubbed(dir);
    refused(dir);
    scrubbed_by_policy(dir);
}

#[test]
fn a_running_service_lends_its_filter() {
    let house = house();
    let dir = house.path();
    let service = Service::start(dir);
    fill(dir);
    exported(dir);
    exported_to_files(dir);
    scrubbed(dir);
    scrubbed_by_policy(dir);
    drop(service);
}

#[test]
fn on_kafka_it_is_the_same() {
    let house = house_on(&kafka_harness::shared().bootstrap());
    let dir = house.path();
    done(dir, &["topics", "apply"], "");
    fill(dir);
    exported(dir);
    scrubbed(dir);
}
