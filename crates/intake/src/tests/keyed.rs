//! Keys: made, taken, revoked; and the file they are in.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use super::house::House;
use tamis_telemetry::Metrics;

use crate::keys::{self, Error, Made, Owner};
use crate::{Access, KeyScope};

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

/// Guarantees: a file of a version that knew neither scopes nor expiry is read, and its keys may do what they could.
/// Fails when: a field is added to a key without a default.
#[tokio::test]
async fn a_file_of_an_earlier_version_is_read() {
    let house = House::new();
    let digest = keys::digest_of("old key").to_hex();
    let old = format!(
        "[[key]]\nid = \"1f2e3d4c5b6a\"\nkind = \"tenant\"\nowner = \"acme\"\ncreated_ms = 1764000000000\ndigest = \"{digest}\"\n"
    );
    std::fs::write(&house.keys, old).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(house.add("old key", &body()).await.status, 200);
    assert_eq!(house.lift("old key", &body()).await.status, 200);
    let listed = keys::list(&house.keys).unwrap();
    assert_eq!((listed[0].expires_ms, listed[0].scopes().len()), (0, 6));
}

/// Guarantees: a key does what its scopes say and nothing else, at every door.
/// Fails when: a handler enters with another scope, or scopes are read from the file and not looked at.
#[tokio::test]
async fn a_key_may_do_what_its_scopes_say() {
    let mut house = House::new();
    let make = |scope| {
        keys::create_with(&house.keys, Owner::Tenant("acme".into()), Some(vec![scope]), None).unwrap().key
    };
    let keys =
        [KeyScope::WriteSuppressions, KeyScope::LiftSuppressions, KeyScope::ReadSuppressions].map(make);
    let (metrics, exposition) = Metrics::install();
    house.state.metrics = metrics;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let look_up = json!({ "tenant": "acme", "addresses": ["0639981234"] });
    let doors = [
        ("/v1/suppressions", body()),
        ("/v1/suppressions/lift", body()),
        ("/v1/suppressions/lookup", look_up),
    ];
    for (mine, key) in keys.iter().enumerate() {
        for (at, (door, body)) in doors.iter().enumerate() {
            let expected = if at == mine { (200, "") } else { (403, "FORBIDDEN") };
            assert_eq!(house.post(door, key, body).await.told(), expected, "{door}");
        }
    }
    let row = r#"tamis_errors_total{stage="access",kind="no_scope"} 6"#;
    assert!(exposition.render().contains(row));
}

#[test]
fn a_key_has_no_scope_that_its_kind_has_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    let tenant = || Owner::Tenant("acme".into());
    for bad in [vec![], vec![KeyScope::Operate], vec![KeyScope::WriteSuppressions, KeyScope::Inbound]] {
        assert!(matches!(keys::create_with(&path, tenant(), Some(bad), None), Err(Error::BadScope(_))));
    }
    keys::create_with(&path, tenant(), Some(vec![KeyScope::Links]), None).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in ["[]", "[\"operate\"]", "[\"links\", \"everything\"]"] {
        std::fs::write(&path, good.replace("[\"links\"]", bad)).unwrap();
        assert!(
            matches!(keys::list(&path), Err(Error::Malformed(_))),
            "{bad}: refused whole, not read as less"
        );
    }
}

/// Guarantees: past its time a key has the answer of one that never was, which of them it was is counted only, and it has no
/// successor.
/// Fails when: expiry is not looked at, or told.
#[tokio::test]
async fn an_expired_key_is_a_401_that_tells_nothing() {
    let mut house = House::new();
    let short = Duration::from_millis(1_500);
    let Made { id, key, .. } =
        keys::create_with(&house.keys, Owner::Tenant("acme".into()), None, Some(short)).unwrap();
    let (metrics, exposition) = Metrics::install();
    house.state.metrics = metrics;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(house.add(&key, &body()).await.status, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (expired, unknown) = (house.add(&key, &body()).await, house.add("tamis_none", &body()).await);
    assert_eq!(expired.told(), (401, "UNAUTHORIZED"));
    assert_eq!(expired.text, unknown.text);
    let text = exposition.render();
    for kind in ["expired_key", "unknown_key"] {
        assert!(text.contains(&format!(r#"tamis_errors_total{{stage="access",kind="{kind}"}} 1"#)), "{text}");
    }
    assert!(matches!(keys::rotate(&house.keys, &id, short, &house.subjects), Err(Error::Expired)));
}

/// Guarantees: a rotated key and its successor both open while they overlap, for the same owner and scopes; then only the new
/// one does.
/// Fails when: the old key is taken away at once, or goes on for ever.
#[tokio::test]
async fn a_rotated_key_is_taken_until_the_overlap_is_over() {
    let house = House::new();
    let scopes = Some(vec![KeyScope::WriteSuppressions]);
    let day = Duration::from_secs(86_400);
    let old = keys::create_with(&house.keys, Owner::Tenant("acme".into()), scopes, Some(day)).unwrap();
    let new = keys::rotate(&house.keys, &old.id, Duration::from_millis(1_800), &house.subjects).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(house.add(&old.key, &body()).await.status, 200);
    assert_eq!(house.add(&new.key, &body()).await.status, 200);
    assert_eq!(house.lift(&new.key, &body()).await.told(), (403, "FORBIDDEN"), "its scopes, too");
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(house.add(&old.key, &body()).await.told(), (401, "UNAUTHORIZED"));
    assert_eq!(house.add(&new.key, &body()).await.status, 200);
    let listed = keys::list(&house.keys).unwrap();
    let of = |id: &str| listed.iter().find(|entry| entry.id == id).unwrap().clone();
    assert!(of(&old.id).has_expired(crate::now_ms()));
    let lives = of(&new.id).expires_ms - of(&new.id).created_ms;
    assert!((86_390_000..=86_400_000).contains(&lives), "as long as the old one was meant to: {lives}");
    assert!(matches!(keys::rotate(&house.keys, "none", day, &house.subjects), Err(Error::NoSuchKey)));
    // An overlap does not make a key live longer.
    let soon = keys::create_with(&house.keys, Owner::Operator, None, Some(Duration::from_secs(60))).unwrap();
    keys::rotate(&house.keys, &soon.id, day, &house.subjects).unwrap();
    let listed = keys::list(&house.keys).unwrap();
    assert_eq!(listed.iter().find(|entry| entry.id == soon.id).unwrap().expires_ms, soon.expires_ms);
}
