//! Limits on everything that comes in: what is longer, deeper, slower or more is refused in words, and nobody else waits
//! for it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tamis_telemetry::{Exposition, Metrics};

use super::house::{ANY_PORT, Answer, House};
use crate::keys::{self, Error, Owner};
use crate::serve::{Limits, serve_within};
use crate::{Access, api, listen};

async fn raw(house: &House, body: String) -> Answer {
    let request = Request::post("/v1/suppressions")
        .header("authorization", format!("Bearer {}", house.operator))
        .header("content-type", "application/json")
        .body(Body::from(body));
    house.call(request.unwrap()).await
}

fn opt_out(name: &str, value: Value) -> Value {
    let mut body =
        json!({ "tenant": "acme", "channel": "sms", "reason": "stop_reply", "addresses": ["0639981234"] });
    body[name] = value;
    body
}

/// Guarantees: JSON that is nested deeper than any field is refused, wherever it stands, and does not exhaust the stack: it is
/// read over, which takes no stack however deep it is.
/// Fails when: what has no business in a call is taken as a tree of values, with serde_json's `unbounded_depth`.
#[tokio::test]
async fn json_that_is_too_deep_is_not_understood() {
    let house = House::new();
    for depth in [200, 100_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(raw(&house, deep.clone()).await.told().0, 400);
        for field in ["tenant", "addresses", "postal"] {
            let answer = raw(&house, format!(r#"{{"{field}":{deep}}}"#)).await;
            assert_eq!(answer.told(), (400, "BAD_FIELD"), "{field} at {depth}");
        }
    }
    assert!(house.got().is_empty());
}

/// Guarantees: a body of millions of tiny values is refused as soon as it is read, and is not kept as millions of values
/// (`shape` has the test of how many are).
/// Fails when: rows are taken as a tree of values first; then it takes seconds.
#[tokio::test]
async fn a_body_of_a_million_rows_is_refused_at_once() {
    let house = House::new();
    let rows = format!("[\"a\"{}]", ",\"a\"".repeat(1_000_000));
    let begun = Instant::now();
    let body = format!(r#"{{"channel":"sms","reason":"stop_reply","tenant":"acme","contacts":{rows}}}"#);
    assert_eq!(raw(&house, body).await.told(), (413, "TOO_MANY_ROWS"));
    let body = format!(r#"{{"channel":"sms","reason":"stop_reply","tenant":{rows}}}"#);
    assert_eq!(raw(&house, body).await.told(), (400, "BAD_FIELD"));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Guarantees: names and texts of the greatest length pass, and one character more is a 400 that names the field.
/// Fails when: a limit is left out, or is off by one.
#[tokio::test]
async fn names_and_texts_have_a_greatest_length() {
    let house = House::new();
    let x = |count: usize| json!("x".repeat(count));
    for (field, most) in [("tenant", 64), ("list", 128), ("evidence", 256)] {
        let answer = house.add(&house.operator, &opt_out(field, x(most))).await;
        assert_eq!(answer.status, 200, "{field}: {}", answer.text);
        let answer = house.add(&house.operator, &opt_out(field, x(most + 1))).await;
        assert_eq!(
            (answer.told(), &answer.json["details"]["field"]),
            ((400, "BAD_FIELD"), &json!(field)),
            "{field}"
        );
    }
    let lift = |count| {
        let mut body = opt_out("reason", json!("erased"));
        body["reason_text"] = x(count);
        body
    };
    assert_eq!(house.lift(&house.operator, &lift(256)).await.status, 200);
    let answer = house.lift(&house.operator, &lift(257)).await;
    assert_eq!(
        (answer.told(), &answer.json["details"]["field"]),
        ((400, "BAD_FIELD"), &json!("reason_text"))
    );
}

/// Guarantees: a row of any length costs a look and a code, not minutes: a telephone number, an e-mail address, a domain of
/// a million labels or of one long one, a postal address.
/// Fails when: a canonical form is made of a text whose length nobody looked at.
#[tokio::test]
async fn a_row_as_long_as_a_body_is_a_code() {
    let house = House::new();
    let long = |text: &str| text.repeat((1 << 20) / text.len());
    let rows = [
        long("1"),
        format!("+{}", long("٣")),
        format!("{}@example.org", long("a")),
        format!("a@{}", long("ü.")),
        format!("a@{}", long("ü")),
        format!("a@xn--{}", long("a")),
        format!("\"{}\"@example.org", long("\\\"")),
        format!("a@{}example.org", long("\u{ad}")),
    ];
    let begun = Instant::now();
    for row in rows {
        let answer = house.add(&house.operator, &opt_out("addresses", json!([row]))).await;
        assert!(matches!(answer.status.as_u16(), 200 | 422), "{}", answer.status);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
    let mut body = opt_out("addresses", json!([]));
    body["postal"] =
        json!([{ "name": long("é "), "street": "1 rue", "postal_code": "75002", "country": "FR" }]);
    assert_eq!(house.add(&house.operator, &body).await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Guarantees: a keys file that is too large, no file, or names somebody outside the alphabet is refused whole: such a name
/// would go into records that no follower takes.
/// Fails when: `parse` looks at the digests only, or the file is read without a limit.
#[test]
fn a_keys_file_is_bounded_and_its_names_are_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    keys::create(&path, Owner::Tenant("acme".into())).unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    let refused = |text: &str| {
        std::fs::write(&path, text).unwrap();
        matches!(keys::list(&path), Err(Error::Malformed(_)))
    };
    assert!(!refused(&good));
    assert!(refused(&good.replace("\"acme\"", "\"acme corp\"")));
    assert!(refused(&good.replace("\"acme\"", &format!("\"{}\"", "a".repeat(65)))));
    let id = keys::list({
        std::fs::write(&path, &good).unwrap();
        &path
    })
    .unwrap()[0]
        .id
        .clone();
    assert!(refused(&good.replace(&format!("id = \"{id}\""), "id = \"a\\nb\"")));
    let room = (4 << 20) - good.len() - 1;
    assert!(!refused(&format!("{good}#{}", "x".repeat(room))), "the greatest length is taken");
    assert!(keys::create(&path, Owner::Operator).is_ok(), "a comment is not kept");
    assert!(refused(&format!("{good}#{}", "x".repeat(room + 1))));
    assert!(Access::keys(&path).is_err());
    assert!(refused(&"[".repeat(1 << 20)), "however deep it is");
}

/// A door with its API on a free port, and what it counts.
struct Door {
    at: SocketAddr,
    house: House,
    exposition: Exposition,
}

async fn door(limits: Limits) -> Door {
    let house = House::new();
    let listener = listen(ANY_PORT).unwrap();
    let at = listener.local_addr().unwrap();
    let (metrics, exposition) = Metrics::install();
    tokio::spawn(serve_within(
        listener,
        api(house.state.clone()),
        std::future::pending(),
        metrics,
        None,
        limits,
    ));
    Door { at, house, exposition }
}

/// What comes back for `sent`, until the door closes the connection, and after how long.
async fn said(at: SocketAddr, sent: &'static [u8]) -> (String, Duration) {
    let talk = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let begun = Instant::now();
        // The door may close before it has taken everything.
        let _ = stream.write_all(sent);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
    });
    talk.await.unwrap()
}

/// Guarantees: a head that is too long, or has too many headers, is a 431.
/// Fails when: the door is axum's own, which takes 400 KiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_greatest_length() {
    let door = door(Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\ncookie: {}\r\n\r\n", "x".repeat(64 << 10));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(70));
    let some = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n", "a: b\r\n".repeat(50));
    for (head, status) in [(long, "431"), (many, "431"), (some, "404")] {
        let (answer, _) = said(door.at, head.leak().as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
    }
}

/// Guarantees: who connects and says nothing, or half a head, or falls silent after a call, is let go in time, so that
/// nobody keeps a place by patience.
/// Fails when: the connection has no timer.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_let_go() {
    let door = door(Limits { head_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    let whole = b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n";
    for sent in [&b""[..], b"GET / HT", b"PRI * HTTP/2.0\r\n", whole] {
        let (answer, after) = said(door.at, sent).await;
        assert!(after < Duration::from_secs(5), "{after:?} for {sent:?}: {answer}");
    }
}

/// Guarantees: no more connections than there are places; the next one is answered when one ends, not refused.
/// Fails when: a connection takes no place, or does not give it back.
#[tokio::test(flavor = "multi_thread")]
async fn connections_past_the_limit_wait_for_a_place() {
    let timeout = Duration::from_millis(600);
    let door = door(Limits { connections: 2, head_timeout: timeout, ..Limits::default() }).await;
    let silent: Vec<_> = (0..2).map(|_| TcpStream::connect(door.at).unwrap()).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (answer, after) = said(door.at, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(after >= Duration::from_millis(300), "it waited for a place: {after:?}");
    drop(silent);
}

/// Guarantees: a caller without a key is refused before its body is taken in.
/// Fails when: the body is read before the key is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_no_body_is_waited_for() {
    let door = door(Limits::default()).await;
    let head = b"POST /v1/suppressions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 1000000\r\n\r\n{";
    let (answer, after) = said(door.at, head).await;
    assert!(answer.starts_with("HTTP/1.1 401") && after < Duration::from_secs(5), "{after:?} {answer}");
}

impl Door {
    /// A call whose answer has some 470 KB, several times what the system keeps for a caller; nothing of it is read yet.
    fn ask_for_much(&self) -> TcpStream {
        let body = json!({ "tenant": "acme", "contacts": vec!["c"; 10_000] }).to_string();
        let mut caller = TcpStream::connect(self.at).unwrap();
        let head = format!(
            "POST /v1/suppressions/lookup HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            self.house.operator,
            body.len()
        );
        caller.write_all(head.as_bytes()).and_then(|()| caller.write_all(body.as_bytes())).unwrap();
        caller.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        caller
    }

    /// How many answers were given up.
    fn unread(&self) -> usize {
        let text = self.exposition.render();
        let row = r#"tamis_errors_total{stage="answer",kind="unread"} "#;
        text.lines().find_map(|line| line.strip_prefix(row)).map_or(0, |count| count.parse().unwrap())
    }
}

/// Reads an answer to its end, `bytes` at a time with `pause` between; whether it is whole.
fn read_on(mut caller: TcpStream, bytes: usize, pause: Duration) -> bool {
    let (mut answer, mut some) = (Vec::new(), vec![0; bytes]);
    while let Ok(read @ 1..) = caller.read(&mut some) {
        answer.extend_from_slice(&some[..read]);
        std::thread::sleep(pause);
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    assert!(length.parse::<usize>().unwrap() > 400_000, "{length}");
    body.len().to_string() == length
}

/// Guarantees: an answer that its caller does not read is given up in time, cut short, counted, and its place given to the
/// next; meanwhile others are served.
/// Fails when: a write waits for its peer without a limit; then the last call is answered after 20 s or never.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_is_given_up() {
    let patience = Duration::from_secs(2);
    let door = door(Limits { connections: 2, unread_timeout: patience, ..Limits::default() }).await;
    let deaf = door.ask_for_much();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let call = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let (answer, after) = said(door.at, call).await;
    assert!(answer.starts_with("HTTP/1.1 404") && after < Duration::from_secs(1), "{after:?} {answer}");
    let silent = TcpStream::connect(door.at).unwrap();
    let (answer, after) = said(door.at, call).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "after {after:?}: {answer}");
    assert!(after > Duration::from_millis(500) && after < Duration::from_secs(6), "{after:?}");
    assert_eq!(door.unread(), 1);
    assert!(!tokio::task::spawn_blocking(|| read_on(deaf, 1 << 20, Duration::ZERO)).await.unwrap());
    drop(silent);
}

/// Guarantees: who reads slowly but goes on gets all of its answer, though it takes longer than nothing may be read.
/// Fails when: an answer has a time in all, or the system keeps so much of it that it does not tell when some was read.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_not_cut_off() {
    let patience = Duration::from_secs(1);
    let door = door(Limits { unread_timeout: patience, ..Limits::default() }).await;
    let slow = door.ask_for_much();
    let begun = Instant::now();
    let read = move || read_on(slow, 16 << 10, Duration::from_millis(100));
    assert!(tokio::task::spawn_blocking(read).await.unwrap());
    assert!(begun.elapsed() > patience * 2, "{:?}", begun.elapsed());
    assert_eq!(door.unread(), 0);
}
