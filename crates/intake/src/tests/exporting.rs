//! What operators take out: records as rows, and who of some subjects is suppressed.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tamis_subject::Subject;

use super::house::{Answer, House, until};
use super::opening::Kept;

/// A house whose log is embedded, with what `people` of acme answered STOP to, applied.
async fn house(people: &[&str]) -> House {
    let mut house = House::real();
    house.state = house.state.clone().with_local(Arc::new(Kept::default()));
    let body = json!({ "channel": "sms", "reason": "stop_reply", "addresses": people, "evidence": "m-1" });
    let answer = house.add(&house.acme, &body).await;
    let wanted: Vec<i64> = serde_json::from_value(answer.json["position"].clone()).unwrap();
    let filter = house.running.filter();
    until(|| filter.read().position().iter().zip(&wanted).all(|(here, there)| here >= there));
    house
}

fn of(house: &House, people: &[&str], scheme: u32) -> Value {
    let key = house.running.filter().read().key().clone();
    let bytes = people.iter().flat_map(|one| key.phone(one).unwrap().to_bytes());
    json!({ "scheme": scheme, "subjects": BASE64_STANDARD.encode(bytes.collect::<Vec<u8>>()) })
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const EXPORT: &str = "/v1/local/export";
const JUDGE: &str = "/v1/local/judge";

/// Guarantees: an operator is told every record as a keyed digest, of all or of one tenant, or of some subjects with their numbers.
/// Fails when: an address, or another tenant's record, is told; the number is another's.
#[tokio::test(flavor = "multi_thread")]
async fn operators_export_records_and_nobody_else_does() {
    let house = house(&["06 39 98 12 34", "06 39 98 12 35"]).await;
    for key in [&house.acme, &house.gateway] {
        assert_eq!(house.post(EXPORT, key, &json!({})).await.told(), (403, "FORBIDDEN"));
        assert_eq!(house.post(JUDGE, key, &json!({})).await.told(), (403, "FORBIDDEN"));
    }
    let all = lines(&house.post(EXPORT, &house.operator, &json!({})).await);
    assert_eq!((all.len(), &all[0]["next"], &all[0]["scheme"]), (3, &Value::Null, &1.into()));
    let key = house.running.filter().read().key().clone();
    let subject =
        |number: &str| format!("{:032x}", u128::from_be_bytes(key.phone(number).unwrap().to_bytes()));
    let mut told: Vec<_> = all[1..].iter().map(|row| row["subject"].as_str().unwrap().to_owned()).collect();
    told.sort();
    let mut expected = vec![subject("+33639981234"), subject("+33639981235")];
    expected.sort();
    assert_eq!(told, expected);
    let mut one = all[1].clone();
    assert!(one["recorded_at_ms"].as_i64().unwrap() > 0);
    for name in ["recorded_at_ms", "subject"] {
        one.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(
        one,
        json!({
            "identity": "phone", "scope": "tenant", "tenant": "acme", "list": "", "channel": "sms",
            "reason": "stop_reply", "effective_at_ms": 0, "expires_at_ms": 0, "source": "api", "evidence": "m-1",
        })
    );
    let acme = lines(&house.post(EXPORT, &house.operator, &json!({ "tenant": "acme" })).await);
    let other = lines(&house.post(EXPORT, &house.operator, &json!({ "tenant": "other" })).await);
    assert_eq!((acme.len(), other.len()), (3, 1));
    let some = of(&house, &["+33639981236", "+33639981235"], 1);
    let some = lines(&house.post(EXPORT, &house.operator, &json!({ "of": some })).await);
    assert_eq!(
        (some.len(), &some[1]["line"], &some[1]["subject"]),
        (2, &1.into(), &subject("+33639981235").into())
    );
}

/// Guarantees: for each subject the number of the lowest reason is told, or 0; subjects of another key, which would all be unknown, are
/// refused, and so are more than fit, and what is none.
/// Fails when: the scheme is not looked at: then everybody would pass.
#[tokio::test(flavor = "multi_thread")]
async fn subjects_are_judged_as_the_line_does() {
    let house = house(&["06 39 98 12 34"]).await;
    let people = ["+33639981235", "+33639981234"];
    let ask = |channel: &str, purpose: &str, of: Value| json!({ "tenant": "acme", "list": "", "channel": channel, "purpose": purpose, "of": of });
    let reasons = |answer: &Answer| BASE64_STANDARD.decode(answer.json["reasons"].as_str().unwrap()).unwrap();
    let answer = house.post(JUDGE, &house.operator, &ask("sms", "marketing", of(&house, &people, 1))).await;
    assert_eq!(reasons(&answer), [0, 4]);
    assert!(answer.json["decided_at_ms"].as_i64().unwrap() > 0 && answer.json["position"].is_array());
    let answer = house.post(JUDGE, &house.operator, &ask("voice", "marketing", of(&house, &people, 1))).await;
    assert_eq!(reasons(&answer), [0, 0]);
    let answer = house.post(JUDGE, &house.operator, &ask("sms", "service", of(&house, &people, 1))).await;
    assert_eq!(reasons(&answer), [0, 0]);

    for (purpose, told) in [("marketing", [9, 4]), ("service", [0, 0])] {
        let mut consented = ask("sms", purpose, of(&house, &people, 1));
        consented["needs_consent"] = true.into();
        assert_eq!(
            reasons(&house.post(JUDGE, &house.operator, &consented).await),
            told,
            "nobody has said yes"
        );
    }

    let answer = house.post(JUDGE, &house.operator, &ask("sms", "marketing", of(&house, &people, 2))).await;
    assert_eq!(answer.told(), (409, "OTHER_KEY"));
    let answer = house.post(EXPORT, &house.operator, &json!({ "of": of(&house, &people, 2) })).await;
    assert_eq!(answer.told(), (409, "OTHER_KEY"));
    let subjects = |count: usize| {
        let bytes = Subject::from_bytes([7; 16]).to_bytes().repeat(count);
        json!({ "scheme": 1, "subjects": BASE64_STANDARD.encode(bytes) })
    };
    let most = house.post(JUDGE, &house.operator, &ask("sms", "marketing", subjects(1 << 16))).await;
    assert_eq!(reasons(&most).len(), 1 << 16);
    let answer = house.post(JUDGE, &house.operator, &ask("sms", "marketing", subjects((1 << 16) + 1))).await;
    assert_eq!(answer.told(), (413, "TOO_MANY_ROWS"));
    for bad in ["Camille", "AAAA", "é"] {
        let of = json!({ "scheme": 1, "subjects": bad });
        let answer = house.post(EXPORT, &house.operator, &json!({ "of": of })).await;
        assert_eq!((answer.told(), answer.text.contains("Camille")), ((400, "BAD_FIELD"), false));
    }
    let answer = house.post(EXPORT, &house.operator, &json!({ "tenant": "a b" })).await;
    assert_eq!(answer.told(), (400, "BAD_FIELD"));
    let answer =
        house.post(JUDGE, &house.operator, &ask("pigeon", "marketing", of(&house, &people, 1))).await;
    assert_eq!(answer.told(), (400, "BAD_FIELD"));
}
