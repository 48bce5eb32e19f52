//! Consents given and withdrawn, and links made.

use serde_json::json;
use tamis_campaign::{Channel, DAY_MS, RecordReason, Source};
use tamis_wire::record::{Scope, State};

use super::house::{House, until};

fn now_ms() -> i64 {
    crate::now_ms()
}

/// Guarantees: a consent is recorded as it was said, with its evidence, for the tenant of the key.
#[tokio::test]
async fn a_consent_is_recorded_with_its_evidence() {
    let house = House::new();
    let (granted, expires) = (now_ms() - DAY_MS, now_ms() + 300 * DAY_MS);
    let body = json!({
        "channel": "voice", "addresses": ["+33639980001"], "contacts": ["crm-1"],
        "granted_at_ms": granted, "expires_at_ms": expires, "evidence": "form-77",
    });
    let answer = house.post("/v1/consents", &house.acme, &body).await;
    assert_eq!((answer.status.as_u16(), &answer.json["accepted"]), (200, &json!(2)), "{}", answer.text);
    let got = house.got();
    assert_eq!(got.len(), 2);
    for record in got {
        assert_eq!(
            (record.reason, record.state, record.channel),
            (RecordReason::Consent, State::InForce, Some(Channel::Voice))
        );
        assert_eq!(
            (record.scope, record.expires_at_ms, record.effective_at_ms),
            (Scope::Tenant("acme".into()), expires, 0)
        );
        assert_eq!((&*record.evidence, record.source), ("form-77", Source::Api));
    }
}

/// Guarantees: a withdrawal lifts the consent and is an opt-out, which comes first.
#[tokio::test]
async fn a_withdrawal_is_an_opt_out_and_lifts_the_consent() {
    let house = House::new();
    let body = json!({ "channel": "voice", "addresses": ["+33639980001"], "evidence": "call-9" });
    let answer = house.post("/v1/consents/withdraw", &house.acme, &body).await;
    assert_eq!((answer.status.as_u16(), &answer.json["accepted"]), (200, &json!(1)), "{}", answer.text);
    let said: Vec<_> = house.got().iter().map(|record| (record.reason, record.state)).collect();
    assert_eq!(
        said,
        [(RecordReason::ConsentWithdrawn, State::InForce), (RecordReason::Consent, State::Lifted)]
    );
}

/// Guarantees: a consent given after a withdrawal counts again; one given before it does not undo it, however late it is sent.
/// Fails when: a grant lifts without looking, or looks at the clock of the call.
#[tokio::test]
async fn a_consent_from_before_a_withdrawal_does_not_undo_it() {
    let house = House::real();
    let who = json!(["+33639980001"]);
    let before = now_ms();
    std::thread::sleep(std::time::Duration::from_millis(5));
    let withdraw = json!({ "channel": "voice", "addresses": who, "evidence": "call-9" });
    assert_eq!(house.post("/v1/consents/withdraw", &house.acme, &withdraw).await.status, 200);
    let reasons = async || {
        let answer = house.post("/v1/suppressions/lookup", &house.acme, &json!({ "addresses": who })).await;
        let records = answer.json["results"][0]["records"].as_array().cloned().unwrap_or_default();
        records.iter().map(|r| r["reason"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    while reasons().await != ["consent_withdrawn"] {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let grant = |granted_at_ms: i64| json!({ "channel": "voice", "addresses": who, "granted_at_ms": granted_at_ms, "expires_at_ms": now_ms() + DAY_MS, "evidence": "f" });
    let old = house.post("/v1/consents", &house.acme, &grant(before)).await;
    assert_eq!(old.told(), (422, "ALL_REJECTED"));
    assert_eq!(old.json["details"]["rejected"][0]["code"], "WITHDRAWN_SINCE");
    assert_eq!(house.post("/v1/consents", &house.acme, &grant(now_ms())).await.status, 200);
    while reasons().await != ["consent"] {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Guarantees: each field that a consent needs is asked for by its name, and voice has a year at most, to the day.
#[tokio::test]
async fn a_consent_that_says_too_little_or_too_much_is_refused() {
    let house = House::new();
    let granted = now_ms() - DAY_MS;
    let good = json!({
        "channel": "sms", "addresses": ["+33639980001"], "granted_at_ms": granted, "expires_at_ms": 0, "evidence": "form-77",
    });
    assert_eq!(house.post("/v1/consents", &house.acme, &good).await.status, 200);
    let cases = [
        ("granted_at_ms", json!(null), 400),
        ("granted_at_ms", json!(now_ms() + DAY_MS), 400),
        ("expires_at_ms", json!(null), 400),
        ("evidence", json!(null), 400),
        ("evidence", json!(" "), 400),
        ("evidence", json!("ada@example.org"), 400),
        ("list", json!("news"), 400),
        ("reason", json!("consent"), 400),
        ("channel", json!("voice"), 400),
        ("channel", json!("all"), 400),
        ("tenant", json!("globex"), 403),
        ("expires_at_ms", json!(granted), 422),
    ];
    for (field, value, status) in cases {
        let mut body = good.clone();
        body[field] = value;
        if body[field].is_null() {
            body.as_object_mut().unwrap().remove(field);
        }
        let answer = house.post("/v1/consents", &house.acme, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{field}: {}", answer.text);
    }
    let voice = |granted: i64, expires: i64| json!({ "channel": "voice", "contacts": ["c"], "granted_at_ms": granted, "expires_at_ms": expires, "evidence": "f" });
    let leap_day = 1_709_164_800_000; // 2024-02-29T00:00Z
    let year_on = 1_740_700_800_000; // 2025-02-28T00:00Z
    // Both have expired; a year and a millisecond is refused before that is looked at.
    assert_eq!(
        house.post("/v1/consents", &house.acme, &voice(leap_day, year_on)).await.told(),
        (422, "ALL_REJECTED")
    );
    assert_eq!(
        house.post("/v1/consents", &house.acme, &voice(leap_day, year_on + 1)).await.told(),
        (400, "BAD_FIELD")
    );
    assert_eq!(house.post("/v1/consents", &house.gateway, &good).await.told(), (403, "FORBIDDEN"));
}

/// Guarantees: each address gets a link of its own, in order, with headers ready for a mail; what is none gets a code; and
/// nothing is recorded.
#[tokio::test]
async fn links_are_made_in_order_and_record_nothing() {
    let mut house = House::new();
    house.state = house.state.clone().with_public_url("https://stop.example.org/");
    let body = json!({ "channel": "email", "list": "news", "addresses": ["ada@example.org", "+33639980001", "nobody@", "bob@example.org"] });
    let answer = house.post("/v1/unsubscribe-links", &house.acme, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let links = answer.json["links"].as_array().unwrap();
    assert_eq!(links[1], json!({ "index": 1, "code": "NOT_OF_THIS_CHANNEL" }));
    assert_eq!(links[2], json!({ "index": 2, "code": "INVALID_ADDRESS" }));
    let subjects = house.state.filter.doors();
    for (at, address) in [(0, "ada@example.org"), (3, "bob@example.org")] {
        let (link, token) = (&links[at], links[at]["token"].as_str().unwrap());
        let url = format!("https://stop.example.org/u/{token}");
        assert_eq!((&link["index"], &link["url"]), (&json!(at), &json!(url)));
        assert_eq!(link["headers"]["List-Unsubscribe"], format!("<{url}>"));
        assert_eq!(link["headers"]["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
        let opened = subjects.open(token).unwrap();
        assert_eq!(opened.first, subjects.first().email(address).unwrap());
        assert_eq!((&*opened.tenant, &*opened.list, opened.channel), ("acme", "news", Channel::Email));
        assert_eq!(i64::from(opened.day), now_ms() / DAY_MS);
    }
    until(|| house.got().is_empty());
    for (field, value) in [
        ("contacts", json!(["c"])),
        ("channel", json!("all")),
        ("channel", json!("mail")),
        ("list", json!("l".repeat(100))),
    ] {
        let mut body = body.clone();
        body[field] = value;
        assert_eq!(
            house.post("/v1/unsubscribe-links", &house.acme, &body).await.told(),
            (400, "BAD_FIELD"),
            "{field}"
        );
    }
}
