//! How soon opt-outs count is measured at every door, by a service as it is run.

use std::process::{Command, Stdio};

use tamis_subject::Key;
use tamis_tests::process::{self, Service};
use tamis_tests::{suite, tamis_bin};

/// Guarantees: `tamis_optout_effective_seconds` has one value for each opt-out, under the name of its door: the page's button and
/// one-click, the API, consents withdrawn, replies, bounces and reports by webhook, a file, an operator's command. None for
/// a consent, or for what is lifted.
/// Fails when: a door's records are not followed like the others', or say another source.
#[test]
fn opt_outs_are_timed_at_every_door() {
    let dir = tempfile::tempdir().expect("a folder");
    Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let bus = format!("kind = \"embedded\"\ndata_dir = \"{}\"", dir.path().join("log").display());
    let (file, admin, api) = process::config(dir.path(), "one", &bus, "");
    let service = Service::start(&file, admin, api);
    service.wait_ready();
    let timed = |source: &str| {
        let name = format!("tamis_optout_effective_seconds_count{{source=\"{source}\"}}");
        service.metric(&name).unwrap_or(0.0)
    };
    let comes_to = |source: &str, count: f64| {
        suite::wait(&format!("{count} opt-outs by {source}, {} now", timed(source)), || {
            timed(source) >= count
        });
    };
    let say = |path: &str, content_type: &str, body: &str| {
        let answer = process::post_as(api, path, content_type, body).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 2"), "{path}: {answer}");
        answer
    };
    let tell = |path: &str, body: &str| say(path, "application/json", body);
    let who = |n: u32| format!(r#""tenant":"acme","channel":"sms","addresses":["+3361234560{n}"]"#);

    let links = tell("/v1/unsubscribe-links", &format!("{{{}}}", who(1)));
    let token = links.split(r#""token":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    for (body, count) in [("List-Unsubscribe=One-Click", 1.0), ("scope=all", 2.0)] {
        let form = "application/x-www-form-urlencoded";
        let answer = process::post_as(process::public_of(&file), &format!("/u/{token}"), form, body);
        assert!(answer.expect("an answer").starts_with("HTTP/1.1 200"));
        comes_to("one_click", count);
    }

    tell("/v1/suppressions", &format!(r#"{{"reason":"objected",{}}}"#, who(2)));
    comes_to("api", 1.0);
    let granted = format!(r#"{{"granted_at_ms":1,"expires_at_ms":0,"evidence":"form-1",{}}}"#, who(3));
    tell("/v1/consents", &granted);
    tell("/v1/suppressions/lift", &format!(r#"{{"reason":"objected",{}}}"#, who(2)));
    tell("/v1/consents/withdraw", &format!(r#"{{"evidence":"form-2",{}}}"#, who(3)));
    comes_to("api", 2.0);

    let event = |kind: &str, n: u32, text: &str| {
        format!(
            r#"{{"gateway":"g","message_id":"m-{n}","kind":"{kind}","channel":"sms","address":"+3361234560{n}","tenant":"acme","text":"{text}"}}"#
        )
    };
    tell("/v1/inbound", &event("reply", 4, "STOP"));
    comes_to("reply", 1.0);
    let form = "MessageSid=SM1&From=%2B33612345605&To=36200&Body=stop";
    say("/v1/inbound/twilio/g", "application/x-www-form-urlencoded", form);
    comes_to("reply", 2.0);
    tell("/v1/inbound", &event("hard_bounce", 6, ""));
    comes_to("gateway", 1.0);
    let report = include_str!("../../crates/intake/tests/webhooks/report.eml").replace("{unsubscribe}\n", "");
    say("/v1/inbound/arf/g", "message/rfc822", &report);
    comes_to("gateway", 2.0);

    let rows = "address,channel,reason\n+33612345607,sms,unsubscribed\n+33612345608,sms,unsubscribed\n";
    say("/v1/suppressions/import?tenant=acme&import_id=i-1", "text/csv", rows);
    comes_to("import", 2.0);

    let mut command = Command::new(tamis_bin());
    let command = command.arg("--config").arg(&file).args(["suppress", "add", "--tenant", "acme"]);
    let command = command.args(["--channel", "sms", "--reason", "blocked", "-"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), b"+33612345609\n").expect("it reads");
    assert!(child.wait().expect("it ends").success());
    comes_to("operator", 1.0);

    let all = [
        ("one_click", 2.0),
        ("api", 2.0),
        ("reply", 2.0),
        ("gateway", 2.0),
        ("import", 2.0),
        ("operator", 1.0),
    ];
    for (source, count) in all {
        assert_eq!(timed(source), count, "{source}");
    }
}
