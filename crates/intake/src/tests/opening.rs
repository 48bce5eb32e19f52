//! Doors: limits, JSON, places, admin, the embedded log, and closing in order.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use parking_lot::Mutex;
use serde_json::json;
use tamis_bus::Error;
use tamis_campaign::Channel;
use tamis_pipeline::Filter;
use tamis_pipeline::rotate::Rotated;
use tamis_telemetry::{Check, Health, Metrics};

use super::house::{ANY_PORT, Answers, House, answer, until};
use crate::{Local, LocalAsk, LocalRecord, admin, api, listen, serve};

fn post(house: &House, content_type: &str, body: Vec<u8>) -> Request<Body> {
    Request::post("/v1/suppressions")
        .header("authorization", format!("bearer {}", house.acme))
        .header("content-type", content_type)
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn limits_are_stated_where_they_are_met() {
    let house = House::new();
    let answer = house.call(post(&house, "application/json", vec![b' '; (4 << 20) + 1])).await;
    assert_eq!(answer.told(), (413, "BODY_TOO_LARGE"));
    assert_eq!(answer.json["details"]["limit_bytes"], 4 << 20);
    let rows =
        |count: usize| json!({ "channel": "sms", "reason": "stop_reply", "contacts": vec!["c"; count] });
    let mut body = rows(10_000);
    body["addresses"] = json!(["0639981234"]);
    let answer = house.add(&house.acme, &body).await;
    assert_eq!(answer.told(), (413, "TOO_MANY_ROWS"));
    assert_eq!(answer.json["details"]["limit_rows"], 10_000);
    assert!(house.got().is_empty());
    assert_eq!(house.add(&house.acme, &rows(10_000)).await.json["accepted"], 10_000);
}

#[tokio::test]
async fn only_json_is_understood() {
    let house = House::new();
    let answer = house.call(post(&house, "text/plain", b"{}".to_vec())).await;
    assert_eq!(answer.told(), (400, "NOT_JSON"));
    let answer = house.call(post(&house, "application/json; charset=utf-8", b"{\"channel\":".to_vec())).await;
    assert_eq!(answer.told(), (400, "NOT_JSON"));
    let twice =
        br#"{"channel":"sms","reason":"stop_reply","addresses":["0639981234"],"addresses":["0639981235"]}"#;
    let answer = house.call(post(&house, "application/json", twice.to_vec())).await;
    assert_eq!((answer.told(), &answer.json["details"]["field"]), ((400, "BAD_FIELD"), &json!("addresses")));
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_same_form() {
    let house = House::new();
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(house.call(get("/v1/nothing")).await.told(), (404, "NOT_FOUND"));
    assert_eq!(house.call(get("/v1/suppressions")).await.told(), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(house.call(get("/v1/local/deliveries")).await.status, 404, "no embedded log, no such door");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_at_once_than_there_are_places_are_told_to_come_again() {
    let house = Arc::new(House::with(Answers::Never));
    let body = json!({ "channel": "sms", "reason": "stop_reply", "addresses": ["0639981234"] });
    let mut calls = Vec::new();
    for _ in 0..40 {
        let (house, body) = (house.clone(), body.clone());
        calls.push(tokio::spawn(async move { house.add(&house.acme, &body).await.status.as_u16() }));
    }
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|&&status| status == 429).count(), 8, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|&&status| status == 503).count(), 32, "{statuses:?}");
    assert_eq!(house.add(&house.acme, &body).await.status, 503, "places are given back");
}

#[tokio::test]
async fn admin_is_ready_only_when_every_check_holds() {
    let (health, (metrics, exposition)) = (Health::new(), Metrics::install());
    metrics.holding(true);
    let door = admin(health.clone(), exposition);
    let get = |path: &str| answer(door.clone(), Request::get(path).body(Body::empty()).unwrap());
    assert_eq!(get("/livez").await.status, 200);
    let starting = get("/readyz").await;
    assert_eq!((starting.status.as_u16(), starting.text.lines().count()), (503, Check::ALL.len()));
    for &check in Check::ALL {
        health.set(check, true, "fine");
    }
    assert_eq!(get("/readyz").await.status, 200);
    assert!(get("/metrics").await.text.contains("tamis_holding 1"));
}

/// A log that keeps what it is asked, and answers no reader while it is stuck.
#[derive(Default)]
pub(super) struct Kept {
    asked: Mutex<Vec<String>>,
    stuck: AtomicBool,
}

impl Local for Kept {
    fn submit_jobs(&self, jobs: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        self.asked.lock().extend(jobs.into_iter().map(|(id, value)| format!("{id}={}", value.len())));
        Ok(())
    }

    fn poll(&self, ask: &LocalAsk) -> Result<Vec<LocalRecord>, Error> {
        self.asked.lock().push(format!("{} {} {} {:?}", ask.group, ask.from_beginning, ask.max, ask.wait));
        while self.stuck.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let headers = vec![("ce_id".to_owned(), "x".to_owned())];
        let (key, value) = ("j".to_owned(), b"abc".to_vec());
        Ok(vec![LocalRecord { partition: 1, offset: 2, timestamp_ms: 3, key, value, headers }])
    }

    fn commit(&self, channel: Channel, group: &str) -> Result<(), Error> {
        self.asked.lock().push(format!("commit {channel} {group}"));
        Ok(())
    }

    fn rotate(&self, filter: &Filter) -> Result<Rotated, Error> {
        self.asked.lock().push(format!("rotate {}", filter.newest()));
        Ok(Rotated { scheme: 2, copied: 3, removed: 4, blocked_again: 0 })
    }

    fn caught_up(&self, _filter: &Filter) -> Result<(), Error> {
        Ok(())
    }
}

#[tokio::test]
async fn the_embedded_log_is_for_operators_only() {
    let (house, kept) = embedded();
    let jobs = json!({ "jobs": [{ "job_id": "j-1", "value": "aGVsbG8=" }] });
    assert_eq!(house.post("/v1/local/jobs", &house.acme, &jobs).await.told(), (403, "FORBIDDEN"));
    assert_eq!(house.post("/v1/local/jobs", &house.operator, &jobs).await.json, json!({ "accepted": 1 }));
    let get = Request::get("/v1/local/deliveries?channel=sms&group=g&from_beginning=true&max=5&wait_ms=10")
        .header("authorization", format!("Bearer {}", house.operator))
        .body(Body::empty());
    let answer = house.call(get.unwrap()).await;
    assert_eq!(
        answer.json["records"],
        json!([{ "partition": 1, "offset": 2, "timestamp_ms": 3, "key": "j", "value": "YWJj", "headers": { "ce_id": "x" } }])
    );
    let commit = json!({ "channel": "sms", "group": "g" });
    assert_eq!(house.post("/v1/local/deliveries/commit", &house.operator, &commit).await.status, 200);
    let bad = json!({ "jobs": [{ "job_id": "j-1", "value": "dupont@" }] });
    let answer = house.post("/v1/local/jobs", &house.operator, &bad).await;
    assert_eq!(answer.told(), (400, "BAD_FIELD"));
    assert!(!answer.text.contains("dupont"));
    assert_eq!(*kept.asked.lock(), ["j-1=5", "g true 5 10ms", "commit sms g"]);
}

/// Guarantees: an operator rotates the identity key of a service that has the log, and nobody else does.
/// Fails when: the door does not look at who calls.
#[tokio::test]
async fn the_identity_key_is_rotated_by_operators_only() {
    let (house, kept) = embedded();
    let rotate = "/v1/local/keys/rotate";
    assert_eq!(house.post(rotate, &house.acme, &json!({})).await.told(), (403, "FORBIDDEN"));
    assert_eq!(house.post(rotate, "", &json!({})).await.status, 401);
    let answer = house.post(rotate, &house.operator, &json!({})).await;
    assert_eq!(answer.json, json!({ "scheme": 2, "copied": 3, "removed": 4, "blocked_again": 0 }));
    assert_eq!(*kept.asked.lock(), ["rotate 1"]);
}

/// A house whose log is embedded.
fn embedded() -> (House, Arc<Kept>) {
    let (mut house, kept) = (House::new(), Arc::new(Kept::default()));
    house.state = house.state.clone().with_local(kept.clone());
    (house, kept)
}

/// An operator's question for deliveries.
fn reading(house: &House, query: &str) -> Request<Body> {
    Request::get(format!("/v1/local/deliveries?channel=sms&{query}"))
        .header("authorization", format!("Bearer {}", house.operator))
        .body(Body::empty())
        .unwrap()
}

/// Guarantees: whatever is asked of the embedded log, an answer has 1 to 1,000 records and waits 30 s for them at most; a
/// reader's name and a body have a greatest length.
/// Fails when: a number is passed on as it came, or the door has the other calls' limit for a body, or none.
#[tokio::test]
async fn the_embedded_logs_answers_and_bodies_are_bounded() {
    let (house, kept) = embedded();
    let longest = "g".repeat(200);
    for query in [
        "group=g&max=1000&wait_ms=30000",
        "group=g&max=1001&wait_ms=30001",
        &format!("group=g&max={0}&wait_ms={0}", u64::MAX),
        "group=g&max=0",
        &format!("group={longest}"),
    ] {
        assert_eq!(house.call(reading(&house, query)).await.status, 200, "{query}");
    }
    let most = "g false 1000 30s";
    let long = format!("{longest} false 100 0ns");
    assert_eq!(*kept.asked.lock(), [most, most, most, "g false 1 0ns", &long]);
    for query in ["max=1", &format!("group={longest}g"), "group=g&max=x", "group=g&max=18446744073709551616"]
    {
        assert_eq!(house.call(reading(&house, query)).await.told(), (400, "BAD_FIELD"), "{query}");
    }
    for (path, length, told) in [
        ("jobs", 64 << 20, (400, "BAD_FIELD")),
        ("jobs", (64 << 20) + 1, (413, "BODY_TOO_LARGE")),
        ("deliveries/commit", (64 << 20) + 1, (413, "BODY_TOO_LARGE")),
    ] {
        let request = Request::post(format!("/v1/local/{path}"))
            .header("authorization", format!("Bearer {}", house.operator))
            .header("content-type", "application/json")
            .body(Body::from(vec![b' '; length]));
        assert_eq!(house.call(request.unwrap()).await.told(), told, "{path} {length}");
    }
}

/// Guarantees: eight commands may wait for the embedded log at once, the next is told to come again, and opt-outs are taken
/// meanwhile.
/// Fails when: these calls have no places, or those of opt-outs.
#[tokio::test(flavor = "multi_thread")]
async fn readers_of_the_embedded_log_have_places_of_their_own() {
    let (house, kept) = embedded();
    let house = Arc::new(house);
    kept.stuck.store(true, Ordering::Relaxed);
    let mut readers = Vec::new();
    for _ in 0..8 {
        let house = house.clone();
        readers.push(tokio::spawn(async move { house.call(reading(&house, "group=g")).await.status }));
    }
    until(|| kept.asked.lock().len() == 8);
    // While the log is stuck, one with a place would wait.
    let ninth = tokio::time::timeout(Duration::from_secs(5), house.call(reading(&house, "group=g"))).await;
    let body = json!({ "channel": "sms", "reason": "stop_reply", "addresses": ["0639981234"] });
    let opt_out = house.add(&house.acme, &body).await;
    // Before anything is asserted: a test that failed would wait for its readers for ever.
    kept.stuck.store(false, Ordering::Relaxed);
    assert_eq!(ninth.expect("it does not wait").told(), (429, "TOO_MANY_CALLS"));
    assert_eq!(opt_out.status, 200);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 200);
    }
    assert_eq!(house.call(reading(&house, "group=g")).await.status, 200, "places are given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_closes_in_order_even_if_somebody_stands_in_it() {
    let house = House::new();
    let listener = listen(ANY_PORT).unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = api(house.state.clone());
    let served =
        tokio::spawn(serve(listener, router, async move { drop(stopped.await) }, Metrics::detached()));
    let mut slow = std::net::TcpStream::connect(at).unwrap();
    let head = format!(
        "POST /v1/suppressions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{{",
        house.acme
    );
    slow.write_all(head.as_bytes()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(7), "five seconds of grace");
    assert!(std::net::TcpStream::connect(at).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_a_408() {
    let house = House::new();
    let listener = listen(ANY_PORT).unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, api(house.state.clone()), std::future::pending(), Metrics::detached()));
    let head = format!(
        "POST /v1/suppressions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{{",
        house.acme
    );
    let told = tokio::task::spawn_blocking(move || {
        let mut slow = std::net::TcpStream::connect(at).unwrap();
        slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        slow.write_all(head.as_bytes()).unwrap();
        let mut told = [0; 64];
        let len = slow.read(&mut told).unwrap();
        String::from_utf8_lossy(&told[..len]).into_owned()
    });
    assert!(told.await.unwrap().starts_with("HTTP/1.1 408"));
}
