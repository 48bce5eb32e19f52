//! The unsubscribe page in a real browser: Debian's chromium, without JavaScript, driven by `browser/page.mjs`.
//!
//! `cargo xtask test` sees to chromium, node, playwright-core and axe-core. Pictures of all that was looked at are left in
//! `target/screenshots`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tamis_bus::{Acked, KeyedRecord, Recorder};
use tamis_campaign::Channel;
use tamis_intake::{Access, ApiState};
use tamis_pipeline::Filter;
use tamis_policy::{Current, Policy};
use tamis_subject::{Key, Region, Subjects};
use tamis_telemetry::Metrics;
use tamis_tests::links;
use tamis_tests::process::{self, Service};

const LANGUAGES: [&str; 5] = ["fr", "en", "de", "es", "it"];
const MODES: [&str; 4] = ["dark", "contrast", "forced", "forced-dark"];

/// A log that takes nothing.
struct Deaf;

impl Recorder for Deaf {
    fn partitions(&self) -> u32 {
        1
    }

    fn submit(&self, _records: Vec<KeyedRecord>, _acked: Acked) {}
}

const TENANT: &str = "boutique-aurore";

/// The link of `person` to a list, at `door`.
fn link(subjects: &Subjects, door: SocketAddr, person: &str) -> String {
    format!("http://{door}{}", links::path(subjects, Channel::Email, person, TENANT, "nouveautes"))
}

/// A door whose tenant has a name and a colour, and whose filter never loads, so that it confirms nothing.
fn branded(subjects: &Subjects) -> SocketAddr {
    let text = "version = \"1\"\n[[tenant]]\nid = \"boutique-aurore\"\ndisplay_name = \"Boutique d’Aurore & Fils\"\n\
                accent = \"#7a1f5c\"\n";
    let policy = Current::new(Policy::parse(text).expect("a policy"));
    let filter = Filter::new(1, subjects.clone());
    let state = ApiState::new(filter, Arc::new(Deaf), Metrics::detached(), Access::open());
    links::open(state.with_policy(policy))
}

/// A JSON object of texts; none of them has anything to escape.
fn object(texts: &BTreeMap<&str, String>) -> String {
    let mut json = String::from("{");
    for (at, (name, text)) in texts.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(json, "{comma}\"{name}\":{text}");
    }
    json + "}"
}

fn text(text: &str) -> String {
    assert!(!text.contains(['"', '\\']), "nothing to escape");
    format!("\"{text}\"")
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

/// Guarantees: without JavaScript, in five languages, on a desk and on a telephone, dark, with more contrast or with colours of
/// their own, by keyboard, on paper and without style, people can read what will stop, choose, stop it and take it back; axe finds
/// nothing on any page; nothing is loaded but the page; no cookie is set; and what they did is in the filter. The service's log at
/// TRACE has no token.
/// Fails when: a page breaks one of these in any of the states ask, done, undone, not found, unavailable.
#[test]
fn people_can_stop_what_they_want_in_any_browser() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let subjects = Subjects::new(&key, Region::parse("FR").expect("FR is a region"));
    let lines = format!("kind = \"embedded\"\ndata_dir = \"{}\"", dir.path().join("data").display());
    let (config, admin, api) = process::config(dir.path(), "one", &lines, "");
    let mut service = Service::start_with(&config, admin, api, &[("TAMIS_LOG", "trace")]);
    service.wait_ready();
    let (door, branded) = (process::public_of(&config), branded(&subjects));

    let mut plans = BTreeMap::new();
    for language in LANGUAGES {
        let of = |screen: &str| text(&link(&subjects, door, &format!("{language}.{screen}@example.org")));
        let good = link(&subjects, door, "broken@example.org");
        let all = [
            ("wide", of("wide")),
            ("narrow", of("narrow")),
            ("broken", text(&good[..good.len() - 2])),
            ("branded", text(&link(&subjects, branded, "branded@example.org"))),
        ];
        plans.insert(language, object(&all.into()));
    }
    let modes = MODES.map(|mode| (mode, text(&link(&subjects, door, &format!("{mode}@example.org")))));
    let shots = target().join("screenshots");
    std::fs::create_dir_all(&shots).expect("a folder for pictures");
    let path = |path: &Path| text(path.to_str().expect("a plain path"));
    let plan = [
        (
            "tools",
            path(
                &target()
                    .join("tools/npm")
                    .canonicalize()
                    .expect("`cargo xtask test` installs the browser's tools"),
            ),
        ),
        ("chromium", text("/usr/bin/chromium")),
        ("shots", path(&shots)),
        ("links", object(&plans)),
        ("modes", object(&modes.into())),
        ("keyboard", text(&link(&subjects, door, "keyboard@example.org"))),
    ];
    let file = dir.path().join("plan.json");
    std::fs::write(&file, object(&plan.into())).expect("the test's folder can be written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/page.mjs");
    let output = Command::new("node").arg(script).arg(&file).output().expect("node starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{told}");

    let in_force = |person: &str| {
        let body = format!(r#"{{"tenant":"boutique-aurore","addresses":["{person}"]}}"#);
        process::post(api, "/v1/suppressions/lookup", &body).expect("the API answers")
    };
    for language in LANGUAGES {
        let answer = in_force(&format!("{language}.wide@example.org"));
        assert_eq!(
            answer.matches("\"reason\":\"unsubscribed\"").count(),
            1,
            "the channel was taken back: {answer}"
        );
        assert!(
            answer.contains("\"scope\":\"list\"") && answer.contains("\"source\":\"one_click\""),
            "{answer}"
        );
    }
    let all = in_force("keyboard@example.org");
    assert!(all.contains("\"scope\":\"tenant\"") && all.contains("\"channel\":\"all\""), "{all}");
    assert!(in_force("broken@example.org").contains("\"records\":[]"));
    let log = service.log();
    for links in plans.values() {
        for token in links.split("/u/").skip(1) {
            let token = token.split('"').next().expect("a text has an end");
            assert!(!log.contains(&token[..20]), "the log has a token");
        }
    }
    assert!(log.contains("opt-out by link recorded"), "the log has the change");
    assert!(service.stop().success());
}
