//! Rates: of a key, and of whoever has none.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tamis_telemetry::Metrics;

use super::house::{Answer, House};
use crate::rates::Peer;

fn look_up() -> serde_json::Value {
    json!({ "tenant": "acme", "contacts": ["c"] })
}

/// Guarantees: a key that calls more often than it may is told so, with how long to wait and what it may do; another key is not
/// touched, and after the wait it may call again.
/// Fails when: calls are counted together, or nothing is told.
#[tokio::test]
async fn a_key_that_calls_too_often_is_told_how_long_to_wait() {
    let mut house = House::new();
    house.state = house.state.clone().with_rate_per_key(5);
    let (metrics, exposition) = Metrics::install();
    house.state.metrics = metrics;
    let call = async |key: &str| house.post("/v1/suppressions/lookup", key, &look_up()).await;
    for left in (0..5).rev() {
        let answer = call(&house.acme).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["ratelimit-policy"], "\"key\";q=5;w=1");
        assert_eq!(answer.headers["ratelimit"], format!("\"key\";r={left};t=1").as_str());
    }
    let refused = call(&house.acme).await;
    assert_eq!(refused.told(), (429, "RATE_LIMITED"));
    assert_eq!(
        (&refused.headers["retry-after"], &refused.headers["ratelimit"]),
        (&"1".parse().unwrap(), &"\"key\";r=0;t=1".parse().unwrap())
    );
    assert_eq!(call(&house.operator).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(call(&house.acme).await.status, 200);
    assert!(exposition.render().contains(r#"tamis_errors_total{stage="access",kind="rate_limited"} 1"#));
}

#[tokio::test]
async fn what_has_no_key_of_the_file_has_no_rate() {
    let mut house = House::new();
    house.state = house.state.clone().with_rate_per_key(1).with_process_token("t0ken");
    for _ in 0..5 {
        let answer = house.post("/v1/suppressions/lookup", "t0ken", &look_up()).await;
        assert_eq!((answer.status.as_u16(), answer.headers.get("ratelimit")), (200, None));
    }
}

async fn from(house: &House, peer: &str, key: &str) -> Answer {
    let request = Request::post("/v1/suppressions/lookup")
        .header("authorization", format!("Bearer {key}"))
        .header("x-forwarded-for", "192.0.2.1")
        .header("content-type", "application/json")
        .extension(Peer(peer.parse().unwrap()))
        .body(Body::from(look_up().to_string()));
    house.call(request.unwrap()).await
}

/// Guarantees: whoever guesses keys waits for each answer after the first few, by the socket's peer and not by what a header says;
/// who has a key is not shut out by a guesser at the same peer.
/// Fails when: wrong keys are not counted by peer, or the peer is refused before its key is looked at.
#[tokio::test]
async fn guessing_is_slow_and_shuts_nobody_out() {
    let house = House::new();
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(from(&house, "192.0.2.7", "guess").await.told(), (401, "UNAUTHORIZED"));
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "a mistake costs nothing");
    let begun = Instant::now();
    let refused = from(&house, "192.0.2.7", "guess").await;
    assert_eq!(refused.told(), (429, "RATE_LIMITED"));
    assert!(refused.headers.contains_key("retry-after") && begun.elapsed() >= Duration::from_millis(900));
    let begun = Instant::now();
    assert_eq!(from(&house, "192.0.2.7", &house.acme).await.status, 200);
    assert_eq!(from(&house, "192.0.2.8", "guess").await.told(), (401, "UNAUTHORIZED"));
    assert!(begun.elapsed() < Duration::from_millis(900));
}
