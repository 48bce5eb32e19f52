//! `Idempotency-Key`: the same call twice is one call.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::house::{Answer, Answers, House};
use crate::keys::{self, Owner};

fn body(number: u32) -> Value {
    json!({ "tenant": "acme", "channel": "sms", "reason": "stop_reply", "addresses": [format!("+3363998{number:04}"), "x"] })
}

async fn post(house: &House, path: &str, key: &str, once: &str, body: &Value) -> Answer {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("idempotency-key", once)
        .body(Body::from(body.to_string()));
    house.call(request.unwrap()).await
}

const ADD: &str = "/v1/suppressions";

/// Guarantees: a call that is repeated under its key has the answer it had, to the byte, and writes nothing more; also with
/// another key of the same owner, and whether it stands in quotes or not.
/// Fails when: the key is not looked at, or belongs to an API key and not to its owner.
#[tokio::test]
async fn a_repeated_call_has_its_answer_and_writes_nothing() {
    let house = House::new();
    let first = post(&house, ADD, &house.acme, "\"a-1\"", &body(1)).await;
    assert_eq!((first.status.as_u16(), &first.json["accepted"]), (200, &json!(1)));
    for once in ["\"a-1\"", "a-1"] {
        let again = post(&house, ADD, &house.acme, once, &body(1)).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text));
        assert_eq!(again.headers["content-type"], "application/json");
    }
    assert_eq!(house.got().len(), 1);
    // Somebody else's key of the same name is another key.
    let other = post(&house, ADD, &house.operator, "a-1", &body(2)).await;
    assert_eq!(other.status, 200);
    assert_eq!(house.got().len(), 2);
    let (_, sibling) = keys::create(&house.keys, Owner::Tenant("acme".into())).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let again = post(&house, ADD, &sibling, "a-1", &body(1)).await;
    assert_eq!((again.text, house.got().len()), (first.text, 2));
}

#[tokio::test]
async fn a_key_that_stands_for_another_call_is_a_409() {
    let house = House::new();
    assert_eq!(post(&house, ADD, &house.acme, "a-1", &body(1)).await.status, 200);
    let told = |answer: Answer| (answer.status.as_u16(), answer.json["code"].clone());
    let reused = (409, json!("IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(told(post(&house, ADD, &house.acme, "a-1", &body(2)).await), reused);
    let lift = "/v1/suppressions/lift";
    assert_eq!(told(post(&house, lift, &house.acme, "a-1", &body(1)).await), reused, "another path");
    assert_eq!(house.got().len(), 1);
}

/// Guarantees: a call that was not recorded leaves its key free, so that it is sent again under it.
/// Fails when: a refusal is remembered.
#[tokio::test]
async fn what_was_refused_may_be_sent_again_under_its_key() {
    let house = House::with(Answers::Fails);
    for _ in 0..2 {
        assert_eq!(post(&house, ADD, &house.acme, "a-1", &body(1)).await.told(), (503, "NOT_DURABLE"));
    }
    assert_eq!(house.got().len(), 2, "it was tried twice");
    let nobody = json!({ "tenant": "acme", "channel": "sms", "reason": "stop_reply", "addresses": ["x"] });
    assert_eq!(post(&house, ADD, &house.acme, "a-2", &nobody).await.told(), (422, "ALL_REJECTED"));
    assert_eq!(post(&house, ADD, &house.acme, "a-2", &body(1)).await.told(), (503, "NOT_DURABLE"));
}

/// Guarantees: while a call is under way its key is a 409, and if its caller hangs up it is free again.
/// Fails when: the second call is carried out beside the first, or the key stays taken for a day.
#[tokio::test]
async fn a_call_under_way_is_a_409_and_a_caller_who_hangs_up_leaves_the_key_free() {
    let mut house = House::with(Answers::Never);
    house.state.ack_timeout = std::time::Duration::from_secs(60);
    {
        let body = body(1);
        let mut first = Box::pin(post(&house, ADD, &house.acme, "a-1", &body));
        tokio::select! {
            _ = &mut first => panic!("nothing acks"),
            () = tokio::time::sleep(std::time::Duration::from_millis(300)) => {}
        }
        let second = post(&house, ADD, &house.acme, "a-1", &body).await;
        assert_eq!(second.told(), (409, "IDEMPOTENCY_KEY_IN_USE"));
    }
    house.state.ack_timeout = std::time::Duration::from_millis(100);
    assert_eq!(post(&house, ADD, &house.acme, "a-1", &body(1)).await.told(), (503, "NOT_DURABLE"));
}

#[tokio::test]
async fn a_key_has_a_greatest_length_and_is_one() {
    let house = House::new();
    for bad in ["", "\"\"", "a b", &"x".repeat(129), "é"] {
        assert_eq!(
            post(&house, ADD, &house.acme, bad, &body(1)).await.told(),
            (400, "BAD_IDEMPOTENCY_KEY"),
            "{bad}"
        );
    }
    assert_eq!(post(&house, ADD, &house.acme, &"x".repeat(128), &body(1)).await.status, 200);
    let twice = Request::post(ADD)
        .header("authorization", format!("Bearer {}", house.acme))
        .header("idempotency-key", "a")
        .header("idempotency-key", "b")
        .body(Body::empty());
    assert_eq!(house.call(twice.unwrap()).await.told(), (400, "BAD_IDEMPOTENCY_KEY"));
}
