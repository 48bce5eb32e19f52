//! Keys: made, taken, revoked; and the file they are in.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use super::house::House;
use crate::Access;
use crate::keys::{self, Error, Owner};

fn body() -> serde_json::Value {
    json!({ "tenant": "acme", "channel": "sms", "reason": "stop_reply", "addresses": ["0639981234"] })
}

#[tokio::test]
async fn without_a_known_key_it_is_a_401_that_tells_nothing() {
    let house = House::new();
    let (id, _) = keys::create(&house.keys, Owner::Operator).unwrap();
    let mut texts = Vec::new();
    for key in ["", "tamis", &format!("tamis_{id}_"), &house.acme[..house.acme.len() - 1]] {
        let answer = house.add(key, &body()).await;
        assert_eq!(answer.told(), (401, "UNAUTHORIZED"));
        texts.push(answer.text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "whatever is wrong with a key, the answer is the same");
    let bare = axum::http::Request::post("/v1/suppressions").body(axum::body::Body::empty()).unwrap();
    assert_eq!(house.call(bare).await.told(), (401, "UNAUTHORIZED"), "before anything else is looked at");
    assert!(house.got().is_empty());
}

#[tokio::test]
async fn a_change_of_the_file_counts_within_five_seconds() {
    let house = House::new();
    let (id, key) = keys::create(&house.keys, Owner::Tenant("acme".into())).unwrap();
    assert_eq!(house.add(&key, &body()).await.status, 401, "not looked at yet");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(house.add(&key, &body()).await.status, 200);
    keys::revoke(&house.keys, &id).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(house.add(&key, &body()).await.status, 401);
    std::fs::write(&house.keys, "what is this").unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(house.add(&house.acme, &body()).await.status, 200, "the last good keys stay");
}

#[tokio::test]
async fn the_process_token_and_auth_off_make_an_operator() {
    let mut house = House::new();
    assert_eq!(house.add("t0ken", &body()).await.status, 401);
    house.state = house.state.clone().with_process_token("t0ken");
    assert_eq!(house.add("t0ken", &body()).await.status, 200);
    assert_eq!(house.add("t0ken2", &body()).await.status, 401);
    let state = &house.state;
    house.state = crate::ApiState::new(
        state.filter.clone(),
        state.recorder.clone(),
        state.metrics.clone(),
        Access::open(),
    );
    let mut platform = body();
    platform["scope"] = json!("platform");
    assert_eq!(house.add("", &platform).await.status, 200);
}

#[test]
fn a_key_is_in_no_file_and_the_file_is_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/keys.toml");
    assert!(keys::list(&path).unwrap().is_empty(), "no file is no key");
    let (id, key) = keys::create(&path, Owner::Tenant("acme".into())).unwrap();
    let (other, _) = keys::create(&path, Owner::Operator).unwrap();
    let (third, _) = keys::create(&path, Owner::Gateway("g".into())).unwrap();
    assert!(!std::fs::read_to_string(&path).unwrap().contains(key.rsplit('_').next().unwrap()));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let listed = keys::list(&path).unwrap();
    let owners: Vec<_> = listed.iter().map(|entry| entry.owner.clone()).collect();
    assert_eq!(owners, [Owner::Tenant("acme".into()), Owner::Operator, Owner::Gateway("g".into())]);
    assert!(listed[0].created_ms > 0);
    keys::revoke(&path, &other).unwrap();
    assert!(matches!(keys::revoke(&path, &other), Err(Error::NoSuchKey)));
    let ids: Vec<_> = keys::list(&path).unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [id, third]);
    assert!(matches!(keys::create(&path, Owner::Tenant("a b".into())), Err(Error::BadOwner)));

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(keys::list(&path), Err(Error::OpenToOthers { mode: 0o640, .. })));
    assert!(Access::keys(&path).is_err());
}

#[test]
fn keys_made_at_once_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| keys::create(&path, Owner::Operator).unwrap());
        }
    });
    assert_eq!(keys::list(&path).unwrap().len(), 8);
}
