//! Unsubscribe links: the page, one-click, undo, and what is answered to links that are none.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use proptest::prelude::*;
use tamis_campaign::{Channel, DAY_MS, Identity, RecordReason, Source, Tenant};
use tamis_policy::{Current, Policy};
use tamis_subject::{Key, Region, Subjects};
use tamis_wire::record::{Record, Scope, State};
use tower::ServiceExt as _;

use crate::KeyScope;

use super::house::{Answers, House, until};
use crate::state::Links;
use crate::{ApiState, public};

const FORM: &str = "application/x-www-form-urlencoded";
const ONE_CLICK: &str = "List-Unsubscribe=One-Click";
const LANGUAGES: [&str; 5] = ["fr", "en", "de", "es", "it"];

/// What came back.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The undo that the page offers.
    fn undo(&self) -> Option<String> {
        let (_, rest) = self.text.split_once("name=\"undo\" value=\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    }
}

async fn call(state: &ApiState, request: Request<Body>) -> Answer {
    let response = public(state.clone()).oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
}

fn request(method: Method, path: &str, language: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("accept-language", language);
    request.header("content-type", FORM).body(Body::empty()).unwrap()
}

async fn get(state: &ApiState, path: &str, language: &str) -> Answer {
    call(state, request(Method::GET, path, language)).await
}

async fn post_as(state: &ApiState, path: &str, content_type: &str, body: &str) -> Answer {
    let request = Request::post(path).header("content-type", content_type).body(Body::from(body.to_owned()));
    call(state, request.unwrap()).await
}

async fn post(state: &ApiState, path: &str, body: &str) -> Answer {
    post_as(state, path, FORM, body).await
}

fn minted(subjects: &Subjects, channel: Channel, list: &str, day: u16) -> String {
    let (tenant, now_ms) = (Tenant::parse("acme").unwrap(), i64::from(day) * DAY_MS);
    let mut minter = subjects.minter(channel, tenant, list, now_ms).unwrap();
    let (first, identity) = match channel {
        Channel::Email => (subjects.first().email("claire@example.org"), Identity::Email),
        _ => (subjects.first().phone("+33639981234"), Identity::Phone),
    };
    format!("/u/{}", minter.mint(first.unwrap(), identity).as_str())
}

/// Today's link to e-mails of acme's `list`.
fn link(state: &ApiState, list: &str) -> String {
    minted(&state.filter.doors(), Channel::Email, list, today())
}

fn today() -> u16 {
    u16::try_from(crate::now_ms() / DAY_MS).unwrap()
}

/// What a record says, but for whom.
fn said(record: &Record) -> (Scope, Option<Channel>, State) {
    assert_eq!((record.reason, record.source), (RecordReason::Unsubscribed, Source::OneClick));
    assert_eq!((record.effective_at_ms, record.expires_at_ms), (0, 0));
    (record.scope.clone(), record.channel, record.state)
}

fn news() -> Scope {
    Scope::List { tenant: "acme".into(), list: "news".into() }
}

/// Guarantees: a link that is looked at changes nothing, and says in the caller's language what can be stopped, the narrowest first
/// and chosen.
#[tokio::test]
async fn looking_at_a_link_changes_nothing() {
    let house = House::new();
    let path = link(&house.state, "news");
    for language in LANGUAGES {
        let answer = get(&house.state, &path, language).await;
        assert_eq!((answer.status, answer.header("content-language")), (200, language));
        assert!(answer.text.contains(&format!("<html lang=\"{language}\">")), "{}", answer.text);
        let at = |text: &str| answer.text.find(text).unwrap_or_else(|| panic!("{text}: {}", answer.text));
        let list = at("value=\"list\" checked");
        assert!(list < at("value=\"channel\">") && at("value=\"channel\">") < at("value=\"all\">"));
        assert!(answer.text.contains("<bdi>news</bdi>") && answer.text.contains("<bdi>acme</bdi>"));
        let head = call(&house.state, request(Method::HEAD, &path, language)).await;
        assert_eq!((head.status, &*head.text), (200, ""));
        assert_eq!(head.headers, answer.headers, "as GET, without the page");
    }
    let whole = get(&house.state, &link(&house.state, ""), "en").await;
    assert!(whole.text.contains("value=\"channel\" checked") && !whole.text.contains("value=\"list\""));
    assert!(house.got().is_empty());
}

/// Guarantees: whatever is wrong with a token, and whoever asks how, the answer is the same in each language, to the byte.
/// Fails when: a reason shows, a header differs, or such a token is taken.
#[tokio::test]
async fn every_bad_token_has_one_answer() {
    let mut house = House::new();
    house.state.links = Links { days: 30, https: false };
    let good = link(&house.state, "news");
    let foreign = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
    let bad = [
        minted(&foreign, Channel::Email, "news", today()),
        minted(&house.state.filter.doors(), Channel::Email, "news", today() - 31),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
        format!("{good}="),
        good.replace("/u/", "/u/%41"),
        good.replacen("/u/", "/U/", 1),
        format!("{good}/"),
        format!("/{good}"),
        format!("/u/{}", "A".repeat(120)),
        format!("/u/{}", "A".repeat(8_000)),
        "/u/%ff%00%2e%2e%2f".to_owned(),
        "/u/".to_owned(),
        "/u".to_owned(),
        "/".to_owned(),
        "/u/../robots.txt".to_owned(),
    ];
    for language in LANGUAGES {
        let one = get(&house.state, &bad[0], language).await;
        assert_eq!((one.status, one.header("content-language")), (404, language));
        for path in &bad {
            assert_eq!(get(&house.state, path, language).await, one, "{path}");
            assert_eq!(call(&house.state, request(Method::POST, path, language)).await, one, "{path}");
            assert_eq!(call(&house.state, request(Method::HEAD, path, language)).await.headers, one.headers);
        }
    }
    assert_eq!(
        get(&house.state, &minted(&house.state.filter.doors(), Channel::Email, "", today() - 30), "en")
            .await
            .status,
        200
    );
    assert!(house.got().is_empty());
}

/// Guarantees (RFC 8058): the pair in either encoding, an empty body or any other stops what the link is for, with the same answer
/// each time, and without an undo, since nobody reads it.
#[tokio::test]
async fn one_click_stops_what_the_link_is_for_however_often() {
    let house = House::new();
    let path = link(&house.state, "news");
    let multipart =
        "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
    let first = post(&house.state, &path, ONE_CLICK).await;
    assert_eq!((first.status, first.undo(), first.header("location")), (200, None, ""));
    assert_eq!(first.header("set-cookie"), "");
    for (content_type, body) in [
        (FORM, ONE_CLICK),
        (FORM, ""),
        (FORM, "utm_source=news"),
        ("multipart/form-data; boundary=x", multipart),
        ("multipart/form-data; boundary=x", "--x"),
        ("text/plain", ONE_CLICK),
        ("", ""),
    ] {
        assert_eq!(post_as(&house.state, &path, content_type, body).await, first, "{content_type}: {body}");
    }
    let without_type = Request::post(&path).body(Body::empty()).unwrap();
    assert_eq!(call(&house.state, without_type).await, first);
    let got = house.got();
    assert_eq!(got.len(), 9);
    let token = path.strip_prefix("/u/").unwrap();
    let digest = blake3::hash(token.as_bytes()).to_hex();
    for record in &got {
        assert_eq!(said(record), (news(), Some(Channel::Email), State::InForce));
        assert_eq!(record.subject, house.state.filter.doors().email("claire@example.org").unwrap());
        assert_eq!(
            (record.identity, &*record.evidence),
            (Identity::Email, &*format!("token:{}", &digest[..16]))
        );
    }
    let sms = minted(&house.state.filter.doors(), Channel::Sms, "", today());
    assert_eq!(post(&house.state, &sms, ONE_CLICK).await.status, 200);
    let last = house.got().pop().unwrap();
    assert_eq!(said(&last), (Scope::Tenant("acme".into()), Some(Channel::Sms), State::InForce));
}

#[tokio::test]
async fn the_button_stops_what_was_chosen() {
    let house = House::new();
    let path = link(&house.state, "news");
    for (scope, expected) in [
        ("list", (news(), Some(Channel::Email), State::InForce)),
        ("channel", (Scope::Tenant("acme".into()), Some(Channel::Email), State::InForce)),
        ("all", (Scope::Tenant("acme".into()), None, State::InForce)),
    ] {
        let answer = post(&house.state, &path, &format!("scope={scope}&other=1")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.undo(), None, "this filter never sees it");
        assert_eq!(said(&house.got().pop().unwrap()), expected);
    }
    assert_eq!(house.got().len(), 3);
    for (path, body) in
        [(path.clone(), "scope=everything"), (path, "scope="), (link(&house.state, ""), "scope=list")]
    {
        assert_eq!(post(&house.state, &path, body).await.status, 400, "{body}");
    }
    assert_eq!(house.got().len(), 3, "nothing was recorded");
}

/// Guarantees (G1): 200 only when the log has the record; else a page that says to try again, and when.
#[tokio::test]
async fn what_is_not_durable_is_not_confirmed_g1() {
    for answers in [Answers::Fails, Answers::Never] {
        let house = House::with(answers);
        for body in [ONE_CLICK, "scope=all"] {
            let answer = post(&house.state, &link(&house.state, "news"), body).await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
            assert!(answer.text.contains("Veuillez réessayer"), "{}", answer.text);
        }
        assert_eq!(house.got().len(), 2, "it was tried");
    }
    let mut house = House::new();
    house.state.filter = tamis_pipeline::Filter::new(8, house.state.filter.doors());
    let path = link(&house.state, "news");
    assert_eq!(post(&house.state, &path, ONE_CLICK).await.status, 503, "the filter is not loaded");
    assert_eq!(get(&house.state, &path, "fr").await.status, 200, "the page can be read all the same");
    assert!(house.got().is_empty());
}

/// Guarantees: an undo lifts exactly what its POST brought into force, once, and only while that is the last word.
/// Fails when: it is offered for what was in force before, lifts what somebody else wrote, or is taken with another link.
#[tokio::test]
async fn an_undo_takes_back_what_this_link_did_and_nothing_else() {
    let house = House::real();
    let state = &house.state;
    let (path, other) = (link(state, "news"), link(state, ""));
    let records = || state.filter.read().records();
    let undo = post(state, &path, "scope=channel").await.undo().unwrap();
    assert_eq!(records(), 1);
    assert_eq!(post(state, &other, &format!("undo={undo}")).await.status, 410, "another link's");
    for bad in ["", "AAAA", &undo[1..], &undo.replace(&undo[30..31], "-")] {
        assert_eq!(post(state, &path, &format!("undo={bad}")).await.status, 410, "{bad}");
    }
    assert_eq!(records(), 1);
    let undone = post(state, &path, &format!("undo={undo}")).await;
    assert_eq!(undone.status, 200, "{}", undone.text);
    until(|| records() == 0);
    let written = || state.filter.position().as_slice().iter().max().copied().unwrap();
    let before = written();
    for _ in 0..5 {
        assert_eq!(post(state, &path, &format!("undo={undo}")).await, undone, "a repeat has the same answer");
    }

    let old = undo;
    let undo = post(state, &path, "scope=channel").await.undo().unwrap();
    // The new record, and a heartbeat at most: repeats wrote nothing.
    assert!(records() == 1 && written() <= before + 2, "{} after {before}", written());
    assert_eq!(post(state, &path, &format!("undo={old}")).await.status, 410, "an earlier button's");
    let recorded = || {
        state.filter.hold_still(|view| {
            let subject = view.key().email("claire@example.org").unwrap();
            view.in_force("acme", &subject, crate::now_ms()).unwrap()[0].recorded_at_ms
        })
    };
    let first = recorded();
    // Records of one millisecond can't be told apart.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let again = post(state, &path, "scope=channel").await;
    assert_eq!((again.status, again.undo()), (200, None), "it was in force before");
    until(|| recorded() != first);
    assert_eq!(post(state, &path, &format!("undo={undo}")).await.status, 410, "a later button was pressed");
    assert_eq!(records(), 1);

    let undo = post(state, &path, "scope=list").await.undo().unwrap();
    let body = serde_json::json!({
        "channel": "email", "reason": "unsubscribed", "list": "news", "addresses": ["claire@example.org"],
        "evidence": "ticket 7",
    });
    assert_eq!(house.add(&house.acme, &body).await.status, 200);
    let by_ticket = |view: &tamis_pipeline::View| {
        let subject = view.key().email("claire@example.org").unwrap();
        let found = view.in_force("acme", &subject, crate::now_ms()).unwrap();
        found.iter().any(|found| &*found.evidence == "ticket 7")
    };
    until(|| state.filter.hold_still(by_ticket));
    assert_eq!(
        post(state, &path, &format!("undo={undo}")).await.status,
        410,
        "somebody else's word came after"
    );
    assert!(state.filter.hold_still(by_ticket));
}

/// Guarantees: an undo that the filter has not caught up with is not guessed at.
#[tokio::test]
async fn an_undo_waits_for_the_filter() {
    let house = House::new();
    let path = link(&house.state, "news");
    let bytes = [&[2][..], &crate::now_ms().to_be_bytes(), &1_000_i64.to_be_bytes(), &[0; 8]].concat();
    let undo = house.state.filter.doors().seal_undo(path.strip_prefix("/u/").unwrap(), &bytes);
    assert_eq!(post(&house.state, &path, &format!("undo={undo}")).await.status, 503);
    assert!(house.got().is_empty());
}

/// Guarantees: whatever the API is busy with, opt-outs by link find a place.
#[tokio::test]
async fn a_busy_api_does_not_keep_people_waiting() {
    let house = House::new();
    let bearer = format!("Bearer {}", house.operator);
    let call = Request::post("/").header("authorization", bearer).body(Body::empty()).unwrap();
    let mut places = Vec::new();
    while let Ok(place) = house.state.enter(&call, KeyScope::WriteSuppressions) {
        places.push(place);
    }
    assert!(!places.is_empty());
    assert_eq!(post(&house.state, &link(&house.state, ""), ONE_CLICK).await.status, 200);
}

#[tokio::test]
async fn other_methods_and_large_bodies_are_refused() {
    let house = House::new();
    let path = link(&house.state, "news");
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = call(&house.state, request(method, &path, "en")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET,HEAD,POST"));
    }
    let pad = |bytes: usize| format!("scope=all&pad={}", "x".repeat(bytes - 14));
    assert_eq!(post(&house.state, &path, &pad((16 << 10) + 1)).await.status, 413);
    assert!(house.got().is_empty());
    assert_eq!(post(&house.state, &path, &pad(16 << 10)).await.status, 200);
}

/// Guarantees: every answer of this door tells browsers and robots to keep their hands off it.
#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let mut house = House::new();
    house.state.links.https = true;
    let path = link(&house.state, "news");
    for (method, path) in [
        (Method::GET, &*path),
        (Method::HEAD, &path),
        (Method::POST, &path),
        (Method::PUT, &path),
        (Method::GET, "/nothing"),
        (Method::GET, "/robots.txt"),
        (Method::GET, "/favicon.ico"),
    ] {
        let answer = call(&house.state, request(method, path, "en")).await;
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("x-robots-tag", "noindex, nofollow"),
            ("vary", "Accept-Language"),
            ("strict-transport-security", "max-age=31536000"),
            ("set-cookie", ""),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
        assert!(answer.header("permissions-policy").contains("camera=()"));
    }
    assert_eq!(get(&house.state, "/robots.txt", "en").await.text, "User-agent: *\nDisallow: /\n");
    let icon = get(&house.state, "/favicon.ico", "en").await;
    assert_eq!((icon.status, &*icon.text), (204, ""));
    house.state.links.https = false;
    assert_eq!(get(&house.state, &path, "en").await.header("strict-transport-security"), "");
}

/// Guarantees: a tenant's name and colour stand where its policy has them, and whatever the name is, it is text and no markup.
#[tokio::test]
async fn a_page_has_the_tenants_name_and_colour() {
    let mut house = House::new();
    let text =
        "version = \"1\"\n[[tenant]]\nid = \"acme\"\ndisplay_name = \"Ac<b>&me\"\naccent = \"#0055aa\"\n";
    house.state.policy = Current::new(Policy::parse(text).unwrap());
    let answer = get(&house.state, &link(&house.state, "news"), "en").await;
    assert!(answer.text.contains("<style>:root{--accent:#0055aa}</style>"), "{}", answer.text);
    assert!(!answer.text.contains("<b>") && answer.text.contains("Ac&#60;b&#62;&#38;me"), "{}", answer.text);
    assert_eq!(answer.header("content-security-policy").matches("'sha256-").count(), 2);
    // A tenant that the policy has not is honoured all the same: an opt-out needs no contract.
    house.state.policy = Current::new(Policy::parse("version = \"1\"\n").unwrap());
    let unknown = get(&house.state, &link(&house.state, "news"), "en").await;
    assert!(unknown.status == 200 && unknown.text.contains("<bdi>acme</bdi>"));
    assert_eq!(unknown.header("content-security-policy").matches("'sha256-").count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Guarantees: no body makes it panic, or answer with what came in.
    #[test]
    fn any_body_is_answered(body: Vec<u8>, kind in 0..3_usize) {
        thread_local!(static HOUSE: House = House::new());
        let kind = [FORM, "multipart/form-data; boundary=x", "text/plain"][kind];
        HOUSE.with(|house| {
            let request = Request::post(link(&house.state, "news")).header("content-type", kind).body(Body::from(body));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let answer = runtime.block_on(call(&house.state, request.unwrap()));
            assert!(matches!(answer.status, 200 | 400 | 410), "{}", answer.status);
        });
    }
}
