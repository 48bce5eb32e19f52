//! `/v1/inbound`: signed events, and what is refused.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, StatusCode};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tamis_campaign::{Channel, RecordReason, Source};
use tamis_policy::{Current, Policy};
use tamis_wire::record::{Scope, State};

use super::house::{Answer, Answers, House};
use crate::keys;

const POLICY: &str = r#"
version = "1"
[[tenant]]
id = "acme"
senders = ["36200", "news@acme.example"]
[[tenant]]
id = "brie"
senders = ["36200"]
stop_words = ["basta"]
"#;

pub(super) fn policed(mut house: House) -> House {
    house.state = house.state.clone().with_policy(Current::new(Policy::parse(POLICY).unwrap()));
    house
}

pub(super) fn now_s() -> i64 {
    crate::now_ms() / 1_000
}

/// The header's value for `body`, signed at `at_s` with `key`.
pub(super) fn signature(key: &str, at_s: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{at_s}.").as_bytes());
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    format!("t={at_s},v1={hex}")
}

fn stop(message_id: &str) -> Value {
    json!({
        "gateway": "sms-paris", "message_id": message_id, "kind": "reply", "channel": "sms",
        "address": "06 39 98 12 34", "to": "36200", "text": "Stop svp", "tenant": "acme",
    })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

fn request(signature: Option<&str>, bearer: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post("/v1/inbound").header("content-type", "application/json");
    if let Some(signature) = signature {
        request = request.header("x-tamis-signature", signature);
    }
    if let Some(key) = bearer {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request.body(body.into()).unwrap()
}

impl House {
    async fn tell(&self, body: &Value) -> Answer {
        let body = body.to_string();
        let signed = signature(&self.gateway, now_s(), body.as_bytes());
        self.call(request(Some(&signed), None, body)).await
    }

    fn recorded(&self) -> usize {
        self.got().len()
    }
}

#[tokio::test]
async fn a_signed_stop_is_recorded_and_answered() {
    let house = House::new();
    let answer = house.tell(&stop("m-1")).await;
    assert_eq!((answer.status, &answer.json), (StatusCode::OK, &json!({ "recorded": 1, "meaning": "stop" })));
    let record = &house.got()[0];
    assert_eq!(record.subject, house.subjects.phone("+33639981234").unwrap());
    assert_eq!((&record.scope, record.channel), (&Scope::Tenant("acme".into()), Some(Channel::Sms)));
    assert_eq!(
        (record.reason, record.state, record.source),
        (RecordReason::StopReply, State::InForce, Source::Reply)
    );
    assert_eq!(&*record.evidence, "m-1");
    let chat = house.tell(&with(stop("m-2"), "text", json!("bonjour"))).await;
    assert_eq!((chat.status, &chat.json), (StatusCode::OK, &json!({ "recorded": 0, "meaning": "nothing" })));
    let start = house.tell(&with(stop("m-3"), "text", json!("START"))).await;
    assert_eq!(start.json, json!({ "recorded": 1, "meaning": "start" }));
    assert_eq!((house.got()[1].state, house.got()[1].reason), (State::Lifted, RecordReason::StopReply));
}

/// Guarantees: a stop to a short code that several share counts for each of them; one to nobody's for everybody.
#[tokio::test]
async fn an_ambiguous_short_code_counts_for_every_tenant_that_has_it() {
    let house = policed(House::new());
    let shared = with(stop("m-1"), "tenant", Value::Null);
    assert_eq!(house.tell(&shared).await.json, json!({ "recorded": 2, "meaning": "stop" }));
    let scopes = |house: &House| house.got().iter().map(|record| record.scope.clone()).collect::<Vec<_>>();
    assert_eq!(scopes(&house), [Scope::Tenant("acme".into()), Scope::Tenant("brie".into())]);
    let own_word = with(with(shared.clone(), "text", json!("basta!")), "message_id", json!("m-2"));
    assert_eq!(house.tell(&own_word).await.json["recorded"], 1);
    assert_eq!(scopes(&house)[2], Scope::Tenant("brie".into()));
    let nobody = with(with(shared, "to", json!("39999")), "message_id", json!("m-3"));
    assert_eq!(house.tell(&nobody).await.json["recorded"], 1);
    assert_eq!(scopes(&house)[3], Scope::Platform);
}

/// Guarantees: whatever is wrong with a signature, the answer is the same and nothing is recorded.
#[tokio::test]
async fn a_forged_late_or_missing_signature_is_one_401() {
    let house = House::new();
    let body = stop("m-1").to_string();
    let signed = |key: &str, at_s: i64| signature(key, at_s, body.as_bytes());
    let good = signed(&house.gateway, now_s());
    let elsewhere = signature(&house.gateway, now_s(), b"{}");
    let mut forged = good.clone();
    let flipped = if forged.ends_with('0') { "1" } else { "0" };
    forged.replace_range(forged.len() - 1.., flipped);
    let cases = [
        (None, None),
        (Some(String::new()), None),
        (Some("t=1".to_owned()), None),
        (Some(forged), None),
        (Some(elsewhere), None),
        (Some(signed(&house.gateway, now_s() - 303)), None),
        (Some(signed(&house.gateway, now_s() + 303)), None),
        (Some(signed("tamis", now_s())), None),
        // A digest is no key, nor is the key of a tenant, or one that can't be made again.
        (Some(signed(&keys::digest_of(&house.gateway).to_hex(), now_s())), None),
        (Some(signed(&house.acme, now_s())), None),
        (Some(signed(&house.acme, now_s())), Some(&house.acme)),
        (Some(signed(&house.operator, now_s())), Some(&house.operator)),
        (Some(signed(&house.random_gateway, now_s())), None),
        // A key that is carried is looked at, and alone; it does not replace the signature.
        (None, Some(&house.gateway)),
        (Some(good.clone()), Some(&house.random_gateway)),
        (Some(good.clone()), Some(&house.acme)),
    ];
    let mut texts = Vec::new();
    for (at, (header, bearer)) in cases.into_iter().enumerate() {
        let answer = house.call(request(header.as_deref(), bearer.map(|key| &**key), body.clone())).await;
        assert_eq!(answer.told(), (401, "UNAUTHORIZED"), "{at}");
        texts.push(answer.text);
    }
    texts.dedup();
    assert_eq!((texts.len(), house.recorded()), (1, 0));
    assert_eq!(house.call(request(Some(&good), None, body)).await.status, 200);
}

#[tokio::test]
async fn a_key_that_can_not_be_made_again_is_carried_with_its_signature() {
    let house = House::new();
    for (at, key) in [&house.random_gateway, &house.gateway].into_iter().enumerate() {
        let body = stop(&format!("m-{at}")).to_string();
        let signed = signature(key, now_s(), body.as_bytes());
        assert_eq!(house.call(request(Some(&signed), Some(key), body)).await.status, 200, "{at}");
    }
}

#[tokio::test]
async fn a_gateway_tells_for_itself_only() {
    let house = House::new();
    let answer = house.tell(&with(stop("m-1"), "gateway", json!("sms-lyon"))).await;
    assert_eq!(answer.told(), (403, "FORBIDDEN"));
    let body = stop("m-1").to_string();
    let signed = signature(&house.other_gateway, now_s(), body.as_bytes());
    assert_eq!(house.call(request(Some(&signed), None, body)).await.told(), (403, "FORBIDDEN"));
    assert_eq!(house.recorded(), 0);
}

#[tokio::test]
async fn a_key_that_was_revoked_signs_nothing() {
    let house = House::new();
    let id = house.gateway.split('_').nth(1).unwrap();
    keys::revoke(&house.keys, id).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(house.tell(&stop("m-1")).await.told(), (401, "UNAUTHORIZED"));
}

/// Guarantees: a call that is sent again, by whomever, and a message that is told again, are answered and not counted: the start between
/// them stays.
/// Fails when: what was taken is not remembered, or by the signature alone.
#[tokio::test]
async fn a_call_or_a_message_that_is_repeated_counts_once() {
    let house = House::new();
    let body = stop("m-1").to_string();
    let signed = signature(&house.gateway, now_s(), body.as_bytes());
    let again = || house.call(request(Some(&signed), None, body.clone()));
    assert_eq!(again().await.json, json!({ "recorded": 1, "meaning": "stop" }));
    let start = with(stop("m-2"), "text", json!("start"));
    assert_eq!(house.tell(&start).await.json["recorded"], 1);
    assert_eq!(again().await.json, json!({ "recorded": 0, "meaning": "repeated" }));
    let later = signature(&house.gateway, now_s() - 1, body.as_bytes());
    let told_again = house.call(request(Some(&later), None, body.clone())).await;
    assert_eq!((told_again.status.as_u16(), &told_again.json["meaning"]), (200, &json!("repeated")));
    assert_eq!(house.recorded(), 2);
    // Another gateway may have the same numbers.
    let other = with(stop("m-1"), "gateway", json!("sms-lyon")).to_string();
    let signed = signature(&house.other_gateway, now_s(), other.as_bytes());
    assert_eq!(house.call(request(Some(&signed), None, other)).await.json["recorded"], 1);
}

/// Guarantees: what was not durable may be sent again, and counts then.
#[tokio::test]
async fn only_what_is_durable_is_confirmed_and_remembered() {
    for answers in [Answers::Fails, Answers::Never] {
        let house = House::with(answers);
        for _ in 0..2 {
            assert_eq!(house.tell(&stop("m-1")).await.told(), (503, "NOT_DURABLE"));
        }
        assert_eq!(house.recorded(), 2, "tried twice");
    }
    let mut house = House::new();
    house.state.filter = tamis_pipeline::Filter::new(8, house.state.filter.doors());
    for text in ["STOP", "START"] {
        let answer = house.tell(&with(stop("m-1"), "text", json!(text))).await;
        assert_eq!(answer.told(), (503, "NOT_READY"));
    }
    assert_eq!(house.recorded(), 0);
}

/// Guarantees: with the real log and filter, a start lifts the stop of its scope and channel, and neither a complaint nor another
/// tenant's stop; and a start that was held up undoes no stop that came after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_lifts_stop_reply_only_and_none_that_came_later() {
    let house = House::real();
    assert_eq!(house.tell(&stop("m-1")).await.status, 200);
    assert_eq!(house.tell(&with(stop("m-2"), "tenant", json!("brie"))).await.status, 200);
    assert_eq!(house.tell(&with(stop("m-3"), "kind", json!("complaint"))).await.status, 200);
    let reasons = |key: String, tenant: &'static str| {
        let house = &house;
        async move {
            let body = json!({ "tenant": tenant, "addresses": ["+33639981234"] });
            let answer = house.post("/v1/suppressions/lookup", &key, &body).await;
            let records = answer.json["results"][0]["records"].as_array().unwrap().clone();
            records.iter().map(|record| record["reason"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        }
    };
    let of = |tenant| reasons(house.operator.clone(), tenant);
    let known = |wanted: &'static [&'static str]| async move {
        for _ in 0..200 {
            if of("acme").await == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("never {wanted:?}: {:?}", of("acme").await);
    };
    known(&["complaint", "stop_reply"]).await;
    let start = with(stop("m-4"), "text", json!("START"));
    let held_up = with(start.clone(), "received_at_ms", json!(crate::now_ms() - 60_000));
    assert_eq!(house.tell(&held_up).await.json, json!({ "recorded": 0, "meaning": "start" }));
    let fresh = with(with(start, "message_id", json!("m-5")), "received_at_ms", json!(crate::now_ms() + 1));
    assert_eq!(house.tell(&fresh).await.json, json!({ "recorded": 1, "meaning": "start" }));
    known(&["complaint"]).await;
    assert_eq!(of("brie").await, ["stop_reply"]);
}

#[tokio::test]
async fn a_full_memory_takes_stops_and_no_starts() {
    let house = House::new();
    for number in 0..crate::webhooks::MARKS_MAX {
        let mark = |half: u8| [&(number as u64).to_le_bytes()[..], &[half; 8]].concat().try_into().unwrap();
        house.state.webhooks.remember_for_test(&[mark(1), mark(2)]);
    }
    let start = with(stop("m-2"), "text", json!("START"));
    assert_eq!(house.tell(&start).await.told(), (503, "NOT_READY"));
    assert_eq!(house.tell(&stop("m-1")).await.json["recorded"], 1);
}

#[tokio::test]
async fn what_is_not_understood_is_told_by_field_and_echoes_nothing() {
    let house = House::new();
    let canary = "canary@example.org";
    let post = json!({ "name": "Canary", "street": "1 rue X", "postal_code": "75002", "country": "FR" });
    let cases = [
        (400, "gateway", with(stop("m"), "gateway", json!(canary))),
        (400, "message_id", with(stop("m"), "message_id", json!(""))),
        (400, "message_id", with(stop("m"), "message_id", json!(format!("{canary}\n")))),
        (400, "kind", with(stop("m"), "kind", json!(canary))),
        (400, "channel", with(stop("m"), "channel", json!("all"))),
        (400, "channel", with(with(stop("m"), "kind", json!("keypress")), "channel", json!("email"))),
        (422, "address", with(stop("m"), "address", json!(""))),
        (422, "address", with(stop("m"), "address", json!("CANARY"))),
        (400, "to", with(stop("m"), "to", json!(canary.repeat(100)))),
        (400, "text", with(stop("m"), "text", json!({ "canary": canary }))),
        (400, "received_at_ms", with(stop("m"), "received_at_ms", json!(canary))),
        (400, "tenant", with(stop("m"), "tenant", json!(canary))),
        (400, "job_id", with(stop("m"), "job_id", json!(canary))),
        (400, "contact", with(stop("m"), "contact", json!(7))),
        (400, "postal", with(stop("m"), "postal", post)),
        (400, "postal", with(stop("m"), "postal", json!({ "canary": canary }))),
        (422, "postal", with(with(stop("m"), "kind", json!("returned_mail")), "channel", json!("mail"))),
        (400, "body", with(stop("m"), canary, json!(1))),
        (400, "adress", with(stop("m"), "adress", json!(canary))),
    ];
    for (status, field, body) in cases {
        let answer = house.tell(&body).await;
        assert_eq!(answer.status, status, "{field}: {}", answer.text);
        assert_eq!(answer.json["details"]["field"], field, "{}", answer.text);
        assert!(!answer.text.to_lowercase().contains("canary"), "{}", answer.text);
    }
    assert_eq!(house.recorded(), 0);
}

/// A body of which nothing comes.
struct Never;

impl HttpBody for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_too_slow_or_of_another_kind_is_refused() {
    let house = House::new();
    let large = with(stop("m"), "text", json!("x".repeat(crate::webhooks::BODY_BYTES_MAX)));
    let answer = house.tell(&large).await;
    assert_eq!(answer.told(), (413, "BODY_TOO_LARGE"));
    assert_eq!(answer.json["details"]["limit_bytes"], crate::webhooks::BODY_BYTES_MAX);
    let long = with(stop("m"), "text", json!(format!("{} stop", "é ".repeat(50_000))));
    assert_eq!(house.tell(&long).await.json, json!({ "recorded": 1, "meaning": "stop" }));
    let signed = signature(&house.gateway, now_s(), b"");
    let mut other = request(Some(&signed), None, "");
    other.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(house.call(other).await.told(), (400, "WRONG_CONTENT_TYPE"));
    let slow = house.call(request(Some(&signed), None, Body::new(Never))).await;
    assert_eq!(slow.told(), (408, "BODY_TOO_SLOW"));
    // And of somebody who can't be anybody no body is waited for.
    let begun = std::time::Instant::now();
    let old = signature(&house.gateway, now_s() - 400, b"");
    for header in [None, Some("t=1"), Some(&*old)] {
        assert_eq!(house.call(request(header, None, Body::new(Never))).await.told(), (401, "UNAUTHORIZED"));
    }
    assert!(begun.elapsed().as_secs() < 5);
}

#[tokio::test]
async fn without_keys_nobody_signs() {
    let mut house = House::new();
    let state = &house.state;
    let (filter, recorder, metrics) = (state.filter.clone(), state.recorder.clone(), state.metrics.clone());
    house.state = crate::ApiState::new(filter, recorder, metrics, crate::Access::open());
    assert_eq!(house.call(request(None, None, stop("m-1").to_string())).await.json["recorded"], 1);
}
