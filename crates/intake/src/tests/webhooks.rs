//! The adapters: recorded posts of Twilio's and Infobip's shape, and feedback reports.

use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha1::Sha1;
use tamis_campaign::{Channel, Identity, RecordReason, Source, Tenant};
use tamis_wire::record::Scope;
use tower::ServiceExt as _;

use super::house::{Answer, House};
use super::told::{now_s, policed, signature};

const TWILIO: &str = include_str!("../../tests/webhooks/twilio.form");
const INFOBIP: &str = include_str!("../../tests/webhooks/infobip.json");
const REPORT: &str = include_str!("../../tests/webhooks/report.eml");

fn basic(name: &str, key: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{key}")))
}

/// A call of `path` with these headers.
fn post(path: &str, kind: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::post(path).header("content-type", kind);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";

fn form(headers: &[(&str, &str)], body: &str) -> Request<Body> {
    post("/v1/inbound/twilio/sms-paris", FORM, headers, body)
}

/// `X-Twilio-Signature` of `body` at `url`.
fn twilio_signature(key: &str, url: &str, body: &str) -> String {
    let mut fields: Vec<_> = form_urlencoded::parse(body.as_bytes()).collect();
    fields.sort();
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    for (name, value) in fields {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn a_twilio_form_is_taken_with_its_signature_at_the_url_that_was_posted_to() {
    let house = policed(House::new());
    let url = "https://opt.example/v1/inbound/twilio/sms-paris";
    let signed = twilio_signature(&house.gateway, url, TWILIO);
    let answer = house.call(form(&[("x-twilio-signature", &signed), ("host", "opt.example")], TWILIO)).await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (200, "<Response/>"));
    let got = house.got();
    let scopes: Vec<_> = got.iter().map(|record| record.scope.clone()).collect();
    assert_eq!(scopes, [Scope::Tenant("acme".into()), Scope::Tenant("brie".into())]);
    assert_eq!(got[0].subject, house.subjects.phone("+33639981234").unwrap());
    assert_eq!(
        (got[0].reason, &*got[0].evidence),
        (RecordReason::StopReply, "SM0123456789abcdef0123456789abcdef")
    );
    // Behind a proxy that names itself; and the same message is not counted again.
    let headers =
        [("x-twilio-signature", &*signed), ("host", "10.0.0.7:8081"), ("x-forwarded-host", "opt.example")];
    assert_eq!(house.call(form(&headers, TWILIO)).await.status, 200);
    assert_eq!(house.got().len(), 2);
    // Forged, elsewhere, changed, another's, or under a key that can't be made again: one answer, which asks for name and key.
    let (other, random) = (
        twilio_signature(&house.other_gateway, url, TWILIO),
        twilio_signature(&house.random_gateway, url, TWILIO),
    );
    let changed = TWILIO.replace("39981234", "39981235");
    let cases = [
        ("AAAA", TWILIO, "opt.example"),
        (&signed, TWILIO, "other.example"),
        (&signed, &changed, "opt.example"),
    ];
    for (signature, body, host) in
        cases.into_iter().chain([(&*other, TWILIO, "opt.example"), (&*random, TWILIO, "opt.example")])
    {
        let answer = house.call(form(&[("x-twilio-signature", signature), ("host", host)], body)).await;
        assert_eq!(answer.told(), (401, "UNAUTHORIZED"));
    }
    assert_eq!(house.got().len(), 2);
}

/// Guarantees: Twilio itself, which signs with a token that it gives out, is let in with the gateway's name and key, and asked for them.
#[tokio::test]
async fn a_webhook_may_carry_the_gateways_name_and_key() {
    let house = House::new();
    let theirs =
        twilio_signature("a token of theirs", "https://opt.example/v1/inbound/twilio/sms-paris", TWILIO);
    let request = form(&[("x-twilio-signature", &theirs), ("host", "opt.example")], TWILIO);
    let asked = crate::api(house.state.clone()).oneshot(request).await.unwrap();
    assert_eq!(asked.status(), 401);
    assert!(asked.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic realm="));
    let cases = [
        ("sms-paris", &house.gateway, 200),
        ("sms-paris", &house.random_gateway, 200),
        ("sms-lyon", &house.gateway, 401),
        ("sms-lyon", &house.other_gateway, 401),
        ("sms-paris", &house.other_gateway, 401),
        ("sms-paris", &house.acme, 401),
        ("acme", &house.acme, 401),
        ("", &house.gateway, 401),
    ];
    for (name, key, status) in cases {
        let basic = basic(name, key);
        let answer =
            house.call(form(&[("authorization", &basic), ("x-twilio-signature", &theirs)], TWILIO)).await;
        assert_eq!(answer.status, status, "{name}");
    }
    assert_eq!(house.got().len(), 1, "the second was the same message");
    for bad in ["Basic", "Basic ====", &basic("sms-paris", &"x".repeat(600))] {
        assert_eq!(house.call(form(&[("authorization", bad)], TWILIO)).await.told(), (401, "UNAUTHORIZED"));
    }
}

#[tokio::test]
async fn a_form_that_lacks_what_a_reply_needs_is_refused() {
    let house = House::new();
    let basic = basic("sms-paris", &house.gateway);
    let twice = format!("{TWILIO}&From=%2B33639981235");
    let many = "a=1&".repeat(201);
    let cases = [
        (TWILIO.replace("MessageSid=", "x=").replace("SmsSid=", "y="), 400),
        (TWILIO.replace("From=%2B33639981234", "From=whatsapp%3AInfo"), 422),
        (TWILIO.replace("From=%2B33639981234", "z="), 422),
        (twice, 400),
        (many, 400),
    ];
    for (body, status) in cases {
        let answer = house.call(form(&[("authorization", &basic)], &body)).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(!answer.text.contains("39981"), "{}", answer.text);
    }
    assert!(house.got().is_empty());
    // A word of the gateway's own that it says is a stop.
    let own = TWILIO.replace("Body=Stop", "Body=Basta") + "&OptOutType=STOP";
    assert_eq!(house.call(form(&[("authorization", &basic)], &own)).await.status, 200);
    let rcs = TWILIO.replace("From=%2B", "From=rcs%3A%2B").replace("SM0", "SM1");
    assert_eq!(house.call(form(&[("authorization", &basic)], &rcs)).await.status, 200);
    let person = house.subjects.phone("+33639981234").unwrap();
    assert_eq!(house.got().iter().filter(|record| record.subject == person).count(), 2);
}

fn batch(headers: &[(&str, &str)], body: &str) -> Request<Body> {
    post("/v1/inbound/infobip/sms-paris", "application/json", headers, body)
}

#[tokio::test]
async fn an_infobip_batch_is_taken_and_one_bad_message_spoils_no_other() {
    let house = House::new();
    let basic = basic("sms-paris", &house.gateway);
    let answer = house.call(batch(&[("authorization", &basic)], INFOBIP)).await;
    assert_eq!((answer.status.as_u16(), &answer.json), (200, &json!({ "recorded": 1, "rejected": [] })));
    let record = &house.got()[0];
    assert_eq!(record.subject, house.subjects.phone("+33639981234").unwrap());
    assert_eq!((&record.scope, &*record.evidence), (&Scope::Platform, "817790313235066447"));
    let mixed = json!({ "results": [
        { "messageId": "1", "from": "InfoSMS", "to": "36200", "text": "STOP" },
        { "messageId": "2", "from": "33639981235", "to": "36200", "text": "stop" },
        { "messageId": "3", "to": "36200", "text": "stop" },
        { "messageId": "4", "from": "33639981236", "to": "36200", "text": "bonjour" },
        { "messageId": "2", "from": "33639981235", "to": "36200", "text": "stop" },
    ] })
    .to_string();
    let signed = signature(&house.gateway, now_s(), mixed.as_bytes());
    let answer = house.call(batch(&[("x-tamis-signature", &signed)], &mixed)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let rejected =
        json!([{ "index": 0, "code": "INVALID_ADDRESS" }, { "index": 2, "code": "MISSING_ADDRESS" }]);
    assert_eq!(answer.json["rejected"], rejected);
    let again = house.call(batch(&[("x-tamis-signature", &signed)], &mixed)).await;
    assert_eq!(again.json["recorded"], 0, "sent once more");
    for (body, status) in [
        (r#"{"results":[]}"#, 400),
        ("{}", 400),
        (r#"{"results":7}"#, 400),
        ("[", 400),
        (r#"{"results":[{"messageId":"9"}]}"#, 422),
    ] {
        assert_eq!(house.call(batch(&[("authorization", &basic)], body)).await.status, status, "{body}");
    }
    assert_eq!(house.call(batch(&[], INFOBIP)).await.told(), (401, "UNAUTHORIZED"));
    let lyon = signature(&house.other_gateway, now_s(), INFOBIP.as_bytes());
    assert_eq!(
        house.call(batch(&[("x-tamis-signature", &lyon)], INFOBIP)).await.told(),
        (401, "UNAUTHORIZED")
    );
}

impl House {
    async fn report(&self, kind: &str, body: &str) -> Answer {
        let signed = signature(&self.gateway, now_s(), body.as_bytes());
        self.call(post("/v1/inbound/arf/sms-paris", kind, &[("x-tamis-signature", &signed)], body)).await
    }

    /// A `List-Unsubscribe` with a token of `address` and `list`.
    fn unsubscribe(&self, address: &str, list: &str) -> String {
        let first = self.subjects.first();
        let mut minter =
            first.minter(Channel::Email, Tenant::parse("brie").unwrap(), list, crate::now_ms()).unwrap();
        let token = minter.mint(first.email(address).unwrap(), Identity::Email);
        format!(
            "List-Unsubscribe: <mailto:out@brie.example>,\r\n <https://opt.example/u/{}>\r\n",
            token.as_str()
        )
    }
}

const RFC822: &str = "message/rfc822";

#[tokio::test]
async fn a_feedback_report_is_a_complaint_of_its_recipient() {
    let house = policed(House::new());
    let plain = REPORT.replace("{unsubscribe}\r\n", "\r\n");
    let answer = house.report(RFC822, &plain).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json),
        (200, &json!({ "recorded": 1, "meaning": "complaint" }))
    );
    let record = &house.got()[0];
    assert_eq!(record.subject, house.subjects.email("user@example.com").unwrap());
    assert_eq!(record.scope, Scope::Tenant("acme".into()), "whose sender the original mail had");
    assert_eq!(
        (record.reason, record.channel, record.source),
        (RecordReason::Complaint, Some(Channel::Email), Source::Gateway)
    );
    assert!(record.evidence.starts_with("blake3:"), "a Message-ID has an @");
    assert_eq!(house.report(RFC822, &plain).await.json["meaning"], "repeated");
    // As the body of a multipart/report alone, its boundary in the call's header.
    let house = policed(House::new());
    let (_, body) = plain.split_once("\r\n\r\n").unwrap();
    let kind = "multipart/report; report-type=feedback-report; boundary=\"part1_13d.2e68ed54_boundary\"";
    assert_eq!(house.report(kind, body).await.json, json!({ "recorded": 1, "meaning": "complaint" }));
}

/// Guarantees: a report without its person (RFC 6590) counts by the token of the original message's link, for that token's tenant.
#[tokio::test]
async fn a_redacted_report_is_of_the_tokens_person() {
    let house = policed(House::new());
    let link = house.unsubscribe("user@example.com", "news");
    let redacted = REPORT
        .replace("Original-Rcpt-To: <user@example.com>\r\n", "")
        .replace("{unsubscribe}\r\n", &format!("{link}\r\n"));
    assert_eq!(house.report(RFC822, &redacted).await.json, json!({ "recorded": 1, "meaning": "complaint" }));
    let record = &house.got()[0];
    assert_eq!(record.subject, house.subjects.email("user@example.com").unwrap());
    assert_eq!((&record.scope, record.identity), (&Scope::Tenant("brie".into()), Identity::Email));
    // With the person too it is still one, and the token's tenant.
    let whole = REPORT.replace("{unsubscribe}\r\n", &format!("{link}\r\n")).replace("20050308", "20050309");
    assert_eq!(house.report(RFC822, &whole).await.json["recorded"], 1);
    assert_eq!(house.got()[1].scope, Scope::Tenant("brie".into()));
    // The headers alone.
    let headers = redacted
        .replace("Content-Type: message/rfc822", "Content-Type: text/rfc822-headers")
        .replace("20050308", "20050310");
    assert_eq!(house.report(RFC822, &headers).await.json["recorded"], 1);
    // A token that was not made here is none.
    let forged = redacted.replace("/u/A", "/u/B").replace("20050308", "20050311");
    let forged = house.report(RFC822, &forged).await;
    assert_eq!(forged.told(), (422, "MISSING_ADDRESS"));
}

#[tokio::test]
async fn opt_outs_unsubscribe_and_other_reports_do_nothing() {
    let house = policed(House::new());
    let link = house.unsubscribe("user@example.com", "news");
    let of = |kind: &str, day: u8| {
        REPORT
            .replace("Feedback-Type: abuse", &format!("Feedback-Type: {kind}"))
            .replace("{unsubscribe}\r\n", &format!("{link}\r\n"))
            .replace("20050308", &format!("200503{day}"))
    };
    let tenant = Scope::Tenant("brie".into());
    let list = Scope::List { tenant: "brie".into(), list: "news".into() };
    for (at, (kind, scope)) in [("opt-out", tenant), ("Opt-Out-List", list)].into_iter().enumerate() {
        let answer = house.report(RFC822, &of(kind, 10 + at as u8)).await;
        assert_eq!(answer.json, json!({ "recorded": 1, "meaning": "unsubscribed" }));
        let record = house.got().pop().unwrap();
        assert_eq!((record.reason, record.scope), (RecordReason::Unsubscribed, scope));
    }
    for (at, kind) in ["not-spam", "fraud", "virus", "other", "auth-failure", "x"].into_iter().enumerate() {
        let answer = house.report(RFC822, &of(kind, 20 + at as u8)).await;
        assert_eq!(answer.json, json!({ "recorded": 0, "meaning": "nothing" }), "{kind}");
    }
    assert_eq!(house.got().len(), 2);
    let twice = of("abuse", 30).replace("Version: 1", "Feedback-Type: not-spam");
    let many = of("abuse", 31).replace("Version: 1", &"Original-Rcpt-To: <a@b.example>\r\n".repeat(60));
    for bad in ["", "hello", "From: a@b.example\r\n\r\nI complain", &twice, &many] {
        let answer = house.report(RFC822, bad).await;
        assert_eq!(answer.told(), (400, "BAD_FIELD"));
    }
    let large = "x".repeat(crate::webhooks::REPORT_BYTES_MAX + 1);
    assert_eq!(house.report(RFC822, &large).await.told(), (413, "BODY_TOO_LARGE"));
    assert_eq!(house.got().len(), 2);
}
