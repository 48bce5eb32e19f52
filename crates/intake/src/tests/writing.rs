//! Adding and lifting: rows, scopes, reasons, statuses.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tamis_bus::{Acked, Blame, Error, KeyedRecord, Positions, Recorder};
use tamis_campaign::{Channel, Identity, RecordReason, Source};
use tamis_subject::{Key, Region, Subjects};
use tamis_wire::record::{Scope, State};

use super::house::{Answers, House};

const PHONE: &str = "06 39 98 12 34";
const EMAIL: &str = "claire.dupont@example.org";

fn stop(addresses: &[&str]) -> Value {
    json!({ "channel": "sms", "reason": "stop_reply", "addresses": addresses })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

#[tokio::test]
async fn good_rows_are_recorded_and_bad_ones_told_by_field_and_index() {
    let house = House::new();
    let body = json!({
        "channel": "all", "reason": "unsubscribed", "evidence": "ticket 4711",
        "addresses": [PHONE, "not a number", EMAIL, " "],
        "contacts": ["c-1", ""],
        "postal": [
            { "name": "Claire Dupont", "street": "1 rue de la Paix", "postal_code": "75002", "city": "Paris", "country": "FR" },
            { "name": "Claire Dupont" },
        ],
    });
    let answer = house.add(&house.acme, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["accepted"], 4);
    assert_eq!(
        answer.json["rejected"],
        json!([
            { "field": "addresses", "index": 1, "code": "INVALID_ADDRESS" },
            { "field": "addresses", "index": 3, "code": "MISSING_ADDRESS" },
            { "field": "contacts", "index": 1, "code": "MISSING_CONTACT" },
            { "field": "postal", "index": 1, "code": "INVALID_ADDRESS" },
        ])
    );
    let position: Vec<i64> = serde_json::from_value(answer.json["position"].clone()).unwrap();
    assert_eq!(position.len(), 8);
    assert!(position.contains(&1_000) && position.iter().all(|&next| next >= 0), "{position:?}");
    let got = house.got();
    let identities: Vec<_> = got.iter().map(|record| record.identity).collect();
    assert_eq!(identities, [Identity::Phone, Identity::Email, Identity::Contact, Identity::Postal]);
    for record in got {
        assert_eq!(record.scope, Scope::Tenant("acme".into()), "the tenant is the key's own");
        assert_eq!((record.channel, record.state, record.source), (None, State::InForce, Source::Api));
        assert_eq!((record.reason, &*record.evidence), (RecordReason::Unsubscribed, "ticket 4711"));
    }
}

/// Guarantees: under a key that was rotated, an opt-out is recorded under the newest scheme, in the partition of those that were
/// recorded before, so that their order is kept.
/// Fails when: the partition is chosen by the subject that is written, or the record says another scheme than its subject's.
#[tokio::test]
async fn a_person_keeps_the_partition_when_the_key_is_rotated() {
    let one = Key::generate().unwrap();
    let two = one.with_another_step().unwrap();
    let (before, after) = (House::of(&one, Answers::Acks), House::of(&two, Answers::Acks));
    let subjects = Subjects::new(&two, Region::parse("FR").unwrap());
    for n in 0..20 {
        let phone = format!("06399812{n:02}");
        let mut partitions = Vec::new();
        for house in [&before, &after] {
            let answer = house.add(&house.acme, &stop(&[&phone])).await;
            let next: Vec<i64> = serde_json::from_value(answer.json["position"].clone()).unwrap();
            partitions.push(next.iter().position(|next| *next == 1_000));
        }
        assert!(partitions[0].is_some());
        assert_eq!(partitions[0], partitions[1], "{n}");
        for (house, scheme) in [(&before, 1), (&after, 2)] {
            let record = house.got().pop().unwrap();
            assert_eq!(record.scheme, scheme);
            assert_eq!(record.subject, subjects.at(scheme).phone(&phone).unwrap());
        }
    }
}

#[tokio::test]
async fn a_call_is_confirmed_only_when_the_log_has_it() {
    for answers in [Answers::Fails, Answers::Never] {
        let house = House::with(answers);
        let answer = house.add(&house.acme, &stop(&[PHONE])).await;
        assert_eq!(answer.told(), (503, "NOT_DURABLE"));
        assert_eq!(house.got().len(), 1, "it was tried");
    }
}

#[tokio::test]
async fn nothing_is_taken_before_the_filter_has_read_its_log() {
    let mut house = House::new();
    house.state.filter = tamis_pipeline::Filter::new(8, house.state.filter.doors());
    let answer = house.add(&house.acme, &stop(&[PHONE])).await;
    assert_eq!(answer.told(), (503, "NOT_READY"));
    let look_up = json!({ "addresses": [PHONE] });
    assert_eq!(house.post("/v1/suppressions/lookup", &house.acme, &look_up).await.status, 503);
    assert!(house.got().is_empty());
}

#[tokio::test]
async fn when_every_row_is_rejected_it_is_a_422() {
    let house = House::new();
    let answer = house.add(&house.acme, &stop(&["x", ""])).await;
    assert_eq!(answer.told(), (422, "ALL_REJECTED"));
    assert_eq!(answer.json["details"]["rejected"].as_array().unwrap().len(), 2);
    let past = with(stop(&[PHONE, "x"]), "expires_at_ms", json!(1_000));
    let answer = house.add(&house.acme, &past).await;
    assert_eq!(answer.told(), (422, "ALL_REJECTED"));
    let codes: Vec<_> = (0..2).map(|at| answer.json["details"]["rejected"][at]["code"].clone()).collect();
    assert_eq!(codes, ["EXPIRED", "INVALID_ADDRESS"]);
    assert!(house.got().is_empty());
}

#[tokio::test]
async fn scopes_go_by_list_and_platform_is_the_operators() {
    let house = House::new();
    let listed = with(stop(&[PHONE]), "list", json!("news"));
    assert_eq!(house.add(&house.acme, &listed).await.status, 200);
    assert_eq!(house.got()[0].scope, Scope::List { tenant: "acme".into(), list: "news".into() });
    assert_eq!(house.got()[0].channel, Some(Channel::Sms));
    for scope in ["tenant", "platform"] {
        let both = with(listed.clone(), "scope", json!(scope));
        assert_eq!(house.add(&house.operator, &both).await.told(), (400, "BAD_FIELD"));
    }
    let platform = with(stop(&[PHONE]), "scope", json!("platform"));
    assert_eq!(house.add(&house.acme, &platform).await.told(), (403, "FORBIDDEN"));
    let platform = with(platform, "contacts", json!(["c-1"]));
    let answer = house.add(&house.operator, &platform).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json["rejected"],
        json!([{ "field": "contacts", "index": 0, "code": "NO_PLATFORM_SCOPE" }])
    );
    assert_eq!(house.got()[1].scope, Scope::Platform);
    assert_eq!(house.got().len(), 2);
}

#[tokio::test]
async fn a_key_writes_for_its_own_tenant_only() {
    let house = House::new();
    let own = with(stop(&[PHONE]), "tenant", json!("acme"));
    let other = with(stop(&[PHONE]), "tenant", json!("other"));
    assert_eq!(house.add(&house.acme, &own).await.status, 200);
    assert_eq!(house.add(&house.acme, &other).await.told(), (403, "FORBIDDEN"));
    assert_eq!(house.add(&house.gateway, &own).await.told(), (403, "FORBIDDEN"));
    assert_eq!(house.add(&house.operator, &other).await.status, 200);
    assert_eq!(house.add(&house.operator, &stop(&[PHONE])).await.told(), (400, "BAD_FIELD"), "no tenant");
    assert_eq!(house.got().len(), 2);
}

#[tokio::test]
async fn reasons_are_held_to_whose_key_it_is() {
    let house = House::new();
    let of =
        |reason: &str| json!({ "tenant": "acme", "channel": "sms", "reason": reason, "addresses": [PHONE] });
    for &reason in RecordReason::ALL {
        let (tenant, operator) = match reason {
            RecordReason::Blocked => (403, 200),
            RecordReason::Consent => (400, 400),
            RecordReason::Erased
            | RecordReason::Complaint
            | RecordReason::StopReply
            | RecordReason::Unsubscribed
            | RecordReason::Objected
            | RecordReason::ConsentWithdrawn
            | RecordReason::HardBounce => (200, 200),
        };
        assert_eq!(house.add(&house.acme, &of(reason.as_str())).await.status, tenant, "{reason}");
        assert_eq!(house.add(&house.operator, &of(reason.as_str())).await.status, operator, "{reason}");
    }
    assert_eq!(house.add(&house.operator, &of("no_consent")).await.status, 400);
}

#[tokio::test]
async fn erased_and_blocked_are_lifted_only_by_an_operator_who_says_why() {
    let house = House::new();
    for reason in ["erased", "blocked"] {
        let body = json!({ "tenant": "acme", "channel": "sms", "reason": reason, "addresses": [PHONE] });
        assert_eq!(house.lift(&house.operator, &body).await.told(), (400, "BAD_FIELD"));
        let why = with(body, "reason_text", json!("court order 12"));
        assert_eq!(house.lift(&house.acme, &why).await.told(), (403, "FORBIDDEN"));
        assert_eq!(house.lift(&house.operator, &why).await.status, 200);
        assert_eq!(
            house.add(&house.operator, &why).await.told(),
            (400, "BAD_FIELD"),
            "not a field of adding"
        );
    }
    assert_eq!(house.lift(&house.acme, &stop(&[PHONE])).await.status, 200);
    let got = house.got();
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|record| record.state == State::Lifted));
    assert_eq!(&*got[0].evidence, "court order 12");
}

#[tokio::test]
async fn what_is_not_understood_is_a_400_that_names_the_field_and_echoes_nothing() {
    let house = House::new();
    let good = stop(&[PHONE]);
    let cases = [
        ("adresses", with(good.clone(), "adresses", json!([EMAIL]))),
        ("channel", with(good.clone(), "channel", json!(EMAIL))),
        ("reason", with(good.clone(), "reason", json!(EMAIL))),
        ("scope", with(good.clone(), "scope", json!(EMAIL))),
        ("list", with(good.clone(), "list", json!(EMAIL))),
        ("tenant", with(good.clone(), "tenant", json!(EMAIL))),
        ("evidence", with(good.clone(), "evidence", json!(EMAIL))),
        ("evidence", with(good.clone(), "evidence", json!("x".repeat(257)))),
        ("evidence", with(good.clone(), "evidence", json!("a\nb"))),
        ("expires_at_ms", with(good.clone(), "expires_at_ms", json!(EMAIL))),
        ("addresses[0]", with(good.clone(), "addresses", json!([{ "x": EMAIL }]))),
        ("addresses", with(good.clone(), "addresses", json!(EMAIL))),
        ("postal[0]", with(good.clone(), "postal", json!([{ "mail": EMAIL }]))),
        ("addresses", json!({ "channel": "sms", "reason": "stop_reply" })),
        ("channel", json!({ "reason": "stop_reply", "addresses": [PHONE] })),
        ("body", with(good.clone(), EMAIL, json!(1))),
        ("body", json!([EMAIL])),
    ];
    for (field, body) in cases {
        let answer = house.add(&house.acme, &body).await;
        assert_eq!(answer.told(), (400, "BAD_FIELD"), "{field}");
        assert_eq!(answer.json["details"]["field"], field);
        assert!(!answer.text.contains("dupont") && !answer.text.contains("39 98"), "{}", answer.text);
    }
    assert!(house.got().is_empty());
}

#[tokio::test]
async fn no_answer_holds_an_address() {
    let house = House::new();
    let body = json!({
        "channel": "all", "reason": "objected", "addresses": [PHONE, EMAIL, "+33 39 98 12 garbage", "dupont@"],
        "contacts": ["dupont-7"], "postal": [{ "name": "dupont", "street": "39 98" }],
    });
    for path in ["/v1/suppressions", "/v1/suppressions/lift"] {
        let answer = house.post(path, &house.acme, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(!answer.text.contains("dupont") && !answer.text.contains("39 98"), "{}", answer.text);
    }
    let body = json!({ "addresses": [PHONE, EMAIL, "dupont@"], "contacts": ["dupont-7"] });
    let answer = house.post("/v1/suppressions/lookup", &house.acme, &body).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text.contains("dupont") && !answer.text.contains("39 98"), "{}", answer.text);
}

/// A log whose queue is full: whoever hands records over stands there until it is let go.
struct Full(Mutex<mpsc::Receiver<()>>);

impl Recorder for Full {
    fn partitions(&self) -> u32 {
        8
    }

    fn submit(&self, _: Vec<KeyedRecord>, acked: Acked) {
        let let_go = self.0.lock().recv_timeout(Duration::from_secs(10));
        let full = |_| Error::new("record", Blame::Unreachable, "the queue is full");
        acked(let_go.map(|()| Positions::zero(8)).map_err(full));
    }

    fn has_room(&self) -> bool {
        false
    }
}

/// Guarantees: while a log that is full makes one call wait, others are answered.
/// Fails when: records are handed over on the thread that serves, although the log has no room.
#[tokio::test]
async fn a_full_log_holds_up_nobody_else() {
    let mut house = House::new();
    let (let_go, wait) = mpsc::channel();
    house.state.recorder = Arc::new(Full(Mutex::new(wait)));
    house.state.ack_timeout = Duration::from_secs(20);
    let other = async {
        let looked =
            house.post("/v1/suppressions/lookup", &house.acme, &json!({ "addresses": [PHONE] })).await;
        let_go.send(()).unwrap();
        looked
    };
    let stop = stop(&[PHONE]);
    let (recorded, looked) = tokio::join!(house.add(&house.acme, &stop), other);
    assert_eq!((recorded.status.as_u16(), looked.status.as_u16()), (200, 200), "{}", recorded.text);
}
