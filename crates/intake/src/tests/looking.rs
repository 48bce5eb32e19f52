//! Looking up, on a real log: what is acked is found, what is lifted is gone.

use serde_json::{Value, json};

use super::house::{House, until};

const PHONE: &str = "06 39 98 12 34";

async fn records(house: &House, key: &str, body: Value) -> Vec<Value> {
    let answer = house.post("/v1/suppressions/lookup", key, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json["results"][0]["records"].as_array().unwrap().clone()
}

/// Until the filter has applied what the call wrote.
fn applied(house: &House, position: &Value) {
    let wanted: Vec<i64> = serde_json::from_value(position.clone()).unwrap();
    let filter = house.running.filter();
    until(|| filter.read().position().iter().zip(&wanted).all(|(here, there)| here >= there));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acked_opt_out_is_found_under_every_writing_and_a_lifted_one_is_not() {
    let house = House::real();
    let body = json!({ "channel": "sms", "reason": "stop_reply", "addresses": [PHONE], "evidence": "m-1" });
    let answer = house.add(&house.acme, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    applied(&house, &answer.json["position"]);

    let found = records(&house, &house.acme, json!({ "addresses": ["+33639981234"] })).await;
    assert_eq!(found.len(), 1);
    let mut one = found[0].clone();
    assert!(one["recorded_at_ms"].as_i64().unwrap() > 0);
    one.as_object_mut().unwrap().remove("recorded_at_ms");
    assert_eq!(
        one,
        json!({
            "reason": "stop_reply", "scope": "tenant", "list": "", "channel": "sms", "effective_at_ms": 0,
            "expires_at_ms": 0, "source": "api", "evidence": "m-1",
        })
    );

    let others = json!({ "tenant": "other", "addresses": [PHONE] });
    assert!(records(&house, &house.operator, others).await.is_empty(), "another tenant has no record");

    let answer = house.lift(&house.acme, &body).await;
    applied(&house, &answer.json["position"]);
    assert!(records(&house, &house.acme, json!({ "addresses": [PHONE] })).await.is_empty());
}

#[tokio::test]
async fn a_row_that_is_no_address_has_a_code_in_its_place() {
    let house = House::new();
    let body = json!({ "addresses": ["nonsense", PHONE], "contacts": ["c-1"] });
    let answer = house.post("/v1/suppressions/lookup", &house.acme, &body).await;
    assert_eq!(
        answer.json["results"],
        json!([
            { "field": "addresses", "index": 0, "code": "INVALID_ADDRESS" },
            { "field": "addresses", "index": 1, "records": [] },
            { "field": "contacts", "index": 0, "records": [] },
        ])
    );
}

#[tokio::test]
async fn a_look_up_is_of_the_keys_own_tenant() {
    let house = House::new();
    let body = json!({ "tenant": "other", "addresses": [PHONE] });
    assert_eq!(house.post("/v1/suppressions/lookup", &house.acme, &body).await.told(), (403, "FORBIDDEN"));
    let body = json!({ "addresses": [PHONE] });
    assert_eq!(house.post("/v1/suppressions/lookup", &house.gateway, &body).await.status, 403);
    assert_eq!(
        house.post("/v1/suppressions/lookup", &house.operator, &body).await.told(),
        (400, "BAD_FIELD")
    );
    let body = json!({ "addresses": [PHONE], "channel": "sms" });
    assert_eq!(house.post("/v1/suppressions/lookup", &house.acme, &body).await.told(), (400, "BAD_FIELD"));
}
