//! Nothing that gateways tell is logged, at any level, whatever is wrong with it.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;
use tamis_bus::embedded::{Config, Embedded};
use tamis_intake::{Access, ApiState, api, keys};
use tamis_pipeline::Options;
use tamis_subject::{Key, Region, Subjects};
use tamis_telemetry::{Health, Metrics};
use tower::ServiceExt as _;

/// What the log got.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Of the person, the text, the id and the sender; each as it is and as it may be written on the way.
const CANARIES: [&str; 9] = [
    "39981234",
    "39 98 12 34",
    "33639981234",
    "canary",
    "CANARY",
    "Q0FOQVJZ",
    "Y2FuYXJ5",
    "63616e617279",
    "43414e415259",
];

fn signed(key: &str, body: &str) -> String {
    let at_s = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes any key");
    mac.update(format!("{at_s}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    format!("t={at_s},v1={hex}")
}

/// Guarantees: with a log at TRACE, for events that are taken and for those that are refused, at every door of gateways.
/// Fails when: an event, a body or an error with a value is a field of a log line.
#[tokio::test(flavor = "multi_thread")]
async fn no_person_and_no_text_is_logged_at_trace() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();

    let dir = tempfile::tempdir().unwrap();
    let bus = Embedded::open(&dir.path().join("log"), Config::default()).unwrap();
    let subjects = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
    let options = Options { workers: 0, ..Options::default() };
    let running =
        tamis_pipeline::start(bus, subjects.clone(), options, Metrics::detached(), Health::new()).unwrap();
    while !running.filter().is_loaded() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let path = dir.path().join("keys.toml");
    let (id, key) = keys::create_gateway(&path, "g", &subjects).unwrap();
    let access = Access::keys(&path).unwrap();
    let state = ApiState::new(running.filter(), running.recorder(), Metrics::detached(), access);

    let event = r#"{"gateway":"g","message_id":"m-1","kind":"reply","channel":"sms","address":"06 39 98 12 34","to":"36200",
        "text":"STOP canary","contact":"canary-7"}"#;
    let form = "From=%2B33639981234&To=36200&Body=STOP+canary&MessageSid=canary-1";
    let batch = r#"{"results":[{"messageId":"CANARY","from":"33639981234","to":"canary","text":"STOP canary"},{"from":"canary"}]}"#;
    let report =
        include_str!("webhooks/report.eml").replace("user@", "canary@").replace("{unsubscribe}\r\n", "\r\n");
    let json = "application/json";
    let mut calls = vec![
        ("/v1/inbound", json, event.to_owned()),
        ("/v1/inbound", json, event.replace("m-1", "<canary@m>").replace("STOP", "START")),
        ("/v1/inbound", json, event.replace("06 39 98 12 34", "canary")),
        ("/v1/inbound", json, event.replace("\"g\"", "\"canary\"")),
        ("/v1/inbound", json, event.replace("reply", "canary")),
        ("/v1/inbound", json, event.replace("contact", "canary@x")),
        ("/v1/inbound", json, "canary".to_owned()),
        ("/v1/inbound/infobip/g", json, batch.to_owned()),
        ("/v1/inbound/infobip/g", json, "{\"canary\":".to_owned()),
        ("/v1/inbound/twilio/g", "application/x-www-form-urlencoded", form.to_owned()),
        ("/v1/inbound/arf/g", "message/rfc822", report.clone()),
        ("/v1/inbound/arf/g", "message/rfc822", report.replace("abuse\r\n", "canary\r\n")),
        ("/v1/inbound/arf/g", "message/rfc822", "canary".to_owned()),
    ];
    calls.push(("/v1/inbound", json, event.repeat(2)));
    let (mut taken, mut refused) = (0, 0);
    for (path, kind, body) in calls {
        let basic = BASE64_STANDARD.encode(format!("g:{key}"));
        for (right, header, value) in [
            (true, "x-tamis-signature", signed(&key, &body)),
            (false, "x-tamis-signature", signed("canary", &body)),
            (path.contains("twilio"), "authorization", format!("Basic {basic}")),
        ] {
            let request = Request::post(path).header("content-type", kind).header(header, value);
            let answer =
                api(state.clone()).oneshot(request.body(Body::from(body.clone())).unwrap()).await.unwrap();
            let (status, said) =
                (answer.status(), axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap());
            let said = String::from_utf8(said.to_vec()).unwrap();
            assert!(!said.to_lowercase().contains("canary") && !said.contains("39981234"), "{said}");
            if status == 200 {
                taken += 1
            } else {
                refused += 1
            }
            assert!(right || status != 200 || path.contains("infobip"), "{path}: {status}");
        }
    }
    assert!(taken >= 5 && refused >= 20, "{taken} {refused}");
    let _ = running.drain(Duration::from_secs(5));
    let said = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(said.contains("inbound events taken") && said.contains(&id), "the log was on");
    for canary in CANARIES {
        let line = said.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{canary}: {line:?}");
    }
    assert!(!said.contains(&key) && !said.contains(key.rsplit('_').next().unwrap()), "nor a key");
}
