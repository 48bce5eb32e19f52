//! Imports through their doors, over a real log.

mod between;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tamis_bus::{Bus as _, EndOffsets as _, Follower, KeyedRecord};
use tamis_campaign::{Channel, RecordReason};
use tamis_telemetry::Metrics;
use tamis_wire::record::{self, Record, Scope};

use super::house::{Answer, Answers, House, until};
use crate::imports::{Imports, World};

/// A house with a real log that takes imports.
fn house() -> House {
    with(House::real(), PATIENCE)
}

/// How long a log may take that answers, and one that does not.
const PATIENCE: Duration = Duration::from_secs(30);
const NONE: Duration = Duration::from_secs(2);

fn with(mut house: House, ack_timeout: Duration) -> House {
    let bus = house.bus.clone();
    let world = World {
        filter: house.state.filter.clone(),
        recorder: house.state.recorder.clone(),
        follow: Arc::new(move |from| Ok(Box::new(bus.follower(from)?) as Box<dyn Follower>)),
        metrics: Metrics::detached(),
        ack_timeout,
    };
    let imports = Imports::open(&house.dir.path().join("imports"), world).unwrap();
    house.state = house.state.clone().with_imports(imports);
    house
}

async fn import(house: &House, key: &str, query: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(format!("/v1/suppressions/import{query}"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/octet-stream")
        .body(body.into());
    house.call(request.unwrap()).await
}

async fn status(house: &House, key: &str, id: &str) -> Value {
    let request = Request::get(format!("/v1/imports/{id}"))
        .header("authorization", format!("Bearer {key}"))
        .body(Body::empty());
    house.call(request.unwrap()).await.json
}

/// What is told of an import once it has ended.
async fn ended(house: &House, key: &str, id: &str) -> Value {
    loop {
        let told = status(house, key, id).await;
        if told["state"] != "running" && told["undo"]["state"] != "running" {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An import that is taken, once it has ended.
async fn imported(house: &House, key: &str, query: &str, body: &str) -> Value {
    let answer = import(house, key, query, body.to_owned()).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    ended(house, key, answer.json["import_id"].as_str().unwrap()).await
}

async fn undo(house: &House, key: &str, id: &str) -> Answer {
    house.post(&format!("/v1/imports/{id}/undo"), key, &json!({})).await
}

/// The reasons in force of acme's, for an address.
async fn in_force(house: &House, address: &str) -> Vec<(String, String, String)> {
    // What is acknowledged is in the filter a moment later.
    let end = house.bus.end_offsets().unwrap().ask(Duration::from_secs(1)).unwrap();
    until(|| house.state.filter.position().reaches(&end));
    let body = json!({ "tenant": "acme", "addresses": [address] });
    let told = house.post("/v1/suppressions/lookup", &house.operator, &body).await;
    let records = told.json["results"][0]["records"].as_array().unwrap().clone();
    let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    records.iter().map(|r| (text(r, "reason"), text(r, "source"), text(r, "evidence"))).collect()
}

fn numbers(count: u32) -> String {
    let mut rows = "address,channel,reason\n".to_owned();
    for n in 0..count {
        writeln!(rows, "+3361{n:07},sms,stop_reply").unwrap();
    }
    rows
}

/// Guarantees: rows are in force when the import is done, with its id as their evidence or their own, and the status counts
/// and places them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_import_are_in_force_once_it_is_done() {
    let house = house();
    let body = "address;channel;reason;list;evidence\n06 39 98 12 34;sms;stop_reply;;\n\
                ada@example.org;email;unsubscribed;news;form-7\n";
    let told = imported(&house, &house.acme, "?import_id=first", body).await;
    assert_eq!((&told["state"], &told["rows"], &told["accepted"]), (&json!("done"), &json!(2), &json!(2)));
    assert_eq!((&told["new"], &told["next_line"]), (&json!(2), &json!(4)));
    assert_eq!((&told["format"], &told["layout"]), (&json!("csv"), &json!("plain")));
    assert!(told["position"].as_array().unwrap().iter().all(|at| at.as_i64().unwrap() >= 0));
    assert!(told.get("owner").is_none());
    let found = in_force(&house, "+33639981234").await;
    assert_eq!(found, [("stop_reply".into(), "import".into(), "import:first".into())]);
    let found = in_force(&house, "ada@example.org").await;
    assert_eq!(found, [("unsubscribed".into(), "import".into(), "form-7".into())]);
}

/// Guarantees: a row that asks for a lift is an error, whatever it is written in, and lifts nothing.
/// Fails when: `adds` is not asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_asks_for_a_lift_is_lift_not_allowed() {
    let house = house();
    imported(&house, &house.acme, "?channel=sms&reason=stop_reply", "address\n+33639981234\n").await;
    for body in [
        "address,channel,reason,state\n+33639981234,sms,stop_reply,lifted\n",
        "address,channel,reason,action\n+33639981234,sms,stop_reply,Réabonner\n",
        "address,channel,reason,reason_text\n+33639981234,sms,stop_reply,they asked\n",
        "{\"address\":\"+33639981234\",\"channel\":\"sms\",\"reason\":\"stop_reply\",\"state\":\"lifted\"}\n",
        "{\"address\":\"+33639981234\",\"channel\":\"sms\",\"reason\":\"stop_reply\",\"lift\":true}\n",
    ] {
        let told = imported(&house, &house.acme, "", body).await;
        assert_eq!(told["accepted"], 0, "{body}");
        assert_eq!(told["errors"][0]["code"], "LIFT_NOT_ALLOWED", "{body}");
    }
    assert_eq!(in_force(&house, "+33639981234").await.len(), 1);
}

/// Guarantees: a tenant's key writes for its tenant only and blocks nobody; an operator says whose.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_bound_to_its_keys_tenant() {
    let house = house();
    let body =
        "tenant,address,channel,reason\nother,+33639981234,sms,stop_reply\nacme,+33639981235,sms,blocked\n";
    let told = imported(&house, &house.acme, "", body).await;
    let codes: Vec<_> = told["errors"].as_array().unwrap().iter().map(|e| e["code"].clone()).collect();
    assert_eq!(codes, ["FOREIGN_TENANT", "REASON_NOT_ALLOWED"]);
    let told = imported(&house, &house.operator, "", body).await;
    assert_eq!(told["accepted"], 2);
    let told =
        imported(&house, &house.operator, "", "address,channel,reason\n+33639981236,sms,objected\n").await;
    assert_eq!(told["errors"][0]["code"], "MISSING_TENANT");
    let answer = import(&house, &house.acme, "?tenant=other", "address\n").await;
    assert_eq!(answer.told(), (400, "BAD_FIELD"));
    assert_eq!(import(&house, &house.gateway, "", "").await.told(), (403, "FORBIDDEN"));
    assert_eq!(import(&house, "nobody", "", "").await.told(), (401, "UNAUTHORIZED"));
}

/// Guarantees: who has another's id is told of nothing, and can't take it.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_told_to_its_owner_and_to_operators() {
    let house = house();
    imported(
        &house,
        &house.operator,
        "?import_id=theirs&tenant=acme&channel=sms&reason=objected",
        "address\n",
    )
    .await;
    let request = |key: &str| {
        Request::get("/v1/imports/theirs")
            .header("authorization", format!("Bearer {key}"))
            .body(Body::empty())
    };
    assert_eq!(house.call(request(&house.acme).unwrap()).await.told(), (404, "NOT_FOUND"));
    assert_eq!(house.call(request(&house.operator).unwrap()).await.status, 200);
    assert_eq!(undo(&house, &house.acme, "theirs").await.told(), (404, "NOT_FOUND"));
    let answer = import(&house, &house.acme, "?import_id=theirs", numbers(1)).await;
    assert_eq!(answer.told(), (409, "IMPORT_ID_TAKEN"));
    let long = format!("?import_id={}", "i".repeat(65));
    for id in ["?import_id=33612345678", "?import_id=..%2Fa", "?import_id=a%40b", &long] {
        assert_eq!(import(&house, &house.acme, id, numbers(1)).await.told(), (400, "BAD_FIELD"), "{id}");
    }
}

/// Guarantees: no answer and no file of an import holds an address, a rejected one either.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_kept_or_told_of_an_import_holds_an_address() {
    let house = house();
    let body = "address,channel,reason\n+33639981234,sms,objected\ndupont@,email,objected\n39981234x,sms,\
                dupont\ncamille@example.org,email,objected\n";
    for query in ["?import_id=a", "?import_id=b&visible=at_once&reject_most=9", "?import_id=c&dry_run=true"] {
        let told = imported(&house, &house.acme, query, body).await;
        assert_eq!((&told["accepted"], &told["rejected"]), (&json!(2), &json!(2)), "{told}");
        for needle in ["39981234", "dupont", "camille"] {
            assert!(!told.to_string().contains(needle), "{told}");
        }
    }
    for entry in std::fs::read_dir(house.dir.path().join("imports")).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        for needle in ["39981234", "dupont", "camille"] {
            assert!(!text.contains(needle), "{path:?}");
        }
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        assert_ne!(path.extension().unwrap(), "spool", "a spool goes with its import");
    }
}

/// Guarantees: a dry run counts what would change, and writes nothing.
/// Fails when: it goes the way of the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_tells_what_would() {
    let house = house();
    imported(&house, &house.acme, "", "address,channel,reason\n+33610000000,sms,stop_reply\n").await;
    assert_eq!(in_force(&house, "+33610000000").await.len(), 1);
    let mut body = numbers(3);
    body.push_str("nobody,sms,stop_reply\n+33610000009,pigeon,stop_reply\n");
    let told = imported(&house, &house.acme, "?dry_run=true&import_id=dry", &body).await;
    assert_eq!((&told["rows"], &told["new"], &told["already"]), (&json!(5), &json!(2), &json!(1)));
    assert_eq!(told["rejected_by"], json!({ "INVALID_ADDRESS": 1, "INVALID_CHANNEL": 1 }));
    assert!(in_force(&house, "+33610000001").await.is_empty());
    assert!(!house.dir.path().join("imports/dry.brought").exists());
}

/// Guarantees: an undo lifts exactly what the import brought and what is still in force by it: not what was there before, not
/// what somebody said anew since, not what another import said, not the erased.
/// Fails when: `liftable` takes whatever is in force, or everything is noted as brought.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_lifts_what_the_import_brought_and_nothing_else() {
    let house = house();
    let said =
        |n: u32| json!({ "channel": "sms", "reason": "stop_reply", "addresses": [format!("+3361{n:07}")] });
    assert_eq!(house.add(&house.acme, &said(0)).await.status, 200);
    in_force(&house, "+33610000000").await;
    let body = format!("{}+33610000005,sms,erased\n", numbers(4));
    imported(&house, &house.acme, "?import_id=one", &body).await;
    let kept = in_force(&house, "+33610000000").await;
    assert_eq!(kept[0].1, "api", "the proof that was there stays");
    assert_eq!(house.add(&house.acme, &said(1)).await.status, 200);
    let again = "address,channel,reason\n+33610000002,sms,stop_reply\n";
    imported(&house, &house.acme, "?import_id=two", again).await;
    in_force(&house, "+33610000002").await;

    assert_eq!(undo(&house, &house.acme, "one").await.status, 202);
    let told = ended(&house, &house.acme, "one").await;
    assert_eq!(told["undo"], json!({ "state": "done", "lifted": 1, "kept": 3 }), "{told}");
    for (n, count) in [(0, 1), (1, 1), (2, 1), (3, 0), (5, 1)] {
        assert_eq!(in_force(&house, &format!("+3361{n:07}")).await.len(), count, "{n}");
    }
    assert_eq!(undo(&house, &house.acme, "one").await.told(), (409, "NOT_UNDONE"));
    assert!(!house.dir.path().join("imports/one.brought").exists());
}

/// Guarantees: an undo that failed says so, has lifted nothing that it does not tell, and can be asked for again.
/// Fails when: whatever an undo came to counts as done.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_failed_can_be_asked_for_again() {
    let house = house();
    imported(&house, &house.acme, "?import_id=one", &numbers(2)).await;
    in_force(&house, "+33610000001").await;
    let brought = house.dir.path().join("imports/one.brought");
    let aside = house.dir.path().join("aside");
    std::fs::rename(&brought, &aside).unwrap();
    std::fs::create_dir(&brought).unwrap();
    assert_eq!(undo(&house, &house.acme, "one").await.status, 202);
    let told = ended(&house, &house.acme, "one").await;
    assert_eq!((&told["undo"]["state"], &told["undo"]["lifted"]), (&json!("failed"), &json!(0)), "{told}");
    std::fs::remove_dir(&brought).unwrap();
    std::fs::rename(&aside, &brought).unwrap();
    assert_eq!(undo(&house, &house.acme, "one").await.status, 202);
    let told = ended(&house, &house.acme, "one").await;
    assert_eq!(told["undo"], json!({ "state": "done", "lifted": 2, "kept": 0 }), "{told}");
}

/// Guarantees: an import can be undone for a day and not longer, and what it brought is deleted then.
#[tokio::test(flavor = "multi_thread")]
async fn the_window_of_an_undo_ends_after_a_day() {
    let house = house();
    imported(&house, &house.acme, "?import_id=old", &numbers(1)).await;
    let path = house.dir.path().join("imports/old.json");
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    kept["ended_at_ms"] = json!(crate::now_ms() - 24 * 3_600_000 - 1_000);
    std::fs::write(&path, kept.to_string()).unwrap();
    assert_eq!(undo(&house, &house.acme, "old").await.told(), (409, "NOT_UNDONE"));
    let brought = house.dir.path().join("imports/old.brought");
    assert!(brought.exists());
    with(house, PATIENCE);
    assert!(!brought.exists(), "opening them sweeps");
}

/// Guarantees: of rows that are visible at once none is written while one too many is rejected.
/// Fails when: the spool is written whatever was rejected.
#[tokio::test(flavor = "multi_thread")]
async fn at_once_is_all_or_nothing() {
    let house = house();
    let mut body = numbers(10);
    body.push_str("nobody,sms,stop_reply\n");
    let answer = import(&house, &house.acme, "?visible=at_once&import_id=all", body.clone()).await;
    assert_eq!(answer.told(), (422, "TOO_MANY_REJECTED"));
    let told = ended(&house, &house.acme, "all").await;
    assert_eq!((&told["state"], &told["accepted"]), (&json!("failed"), &json!(0)), "{told}");
    assert!(house.state.filter.read().records() == 0);
    let told = imported(&house, &house.acme, "?visible=at_once&reject_most=1&import_id=all", &body).await;
    assert_eq!(
        (&told["state"], &told["accepted"], &told["rejected"]),
        (&json!("done"), &json!(10), &json!(1))
    );
}

/// Guarantees: rows that are visible at once are in force from one moment on, which is told, and those that were in force before
/// stay so meanwhile.
/// Fails when: `weigh` gives the moment to everybody.
#[tokio::test(flavor = "multi_thread")]
async fn at_once_is_one_moment_for_all_and_puts_nobody_off() {
    let house = house();
    let before = json!({ "channel": "sms", "reason": "stop_reply", "addresses": ["+33610000000"] });
    assert_eq!(house.add(&house.acme, &before).await.status, 200);
    in_force(&house, "+33610000000").await;
    let told = imported(&house, &house.acme, "?visible=at_once&import_id=moment", &numbers(3)).await;
    let at = told["visible_at_ms"].as_i64().unwrap();
    assert!(at > crate::now_ms() && told.get("visible_late").is_none(), "{told}");
    assert_eq!(in_force(&house, "+33610000000").await.len(), 1, "who opted out before is still dropped");
    assert!(in_force(&house, "+33610000001").await.is_empty());
    {
        let subjects = house.state.filter.doors();
        let view = house.state.filter.read();
        let when = |now: i64, n: u32| {
            let found =
                view.in_force("acme", &subjects.phone(&format!("+3361{n:07}")).unwrap(), now).unwrap();
            found.first().map(|found| found.effective_at_ms)
        };
        assert_eq!((when(at - 1, 1), when(at, 1), when(at, 2)), (None, Some(at), Some(at)));
        assert_eq!(when(at - 1, 0), Some(0));
    }
    assert_eq!(undo(&house, &house.acme, "moment").await.status, 202);
    let told = ended(&house, &house.acme, "moment").await;
    assert_eq!((&told["undo"]["lifted"], &told["undo"]["kept"]), (&json!(2), &json!(0)), "{told}");
}

/// Guarantees: what is over is not in force: a row brings it into force anew, which is told, and taken back by an undo.
/// Fails when: `weigh` does not look at the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_over_is_not_in_force() {
    let house = house();
    let subject = house.subjects.phone("+33610000001").unwrap();
    let over = Record {
        channel: Some(Channel::Sms),
        reason: RecordReason::StopReply,
        expires_at_ms: crate::now_ms() - 1_000,
        scheme: house.subjects.scheme(),
        ..Record::plain(subject, Scope::Tenant("acme".into()))
    };
    let partition = record::partition_of(&house.subjects.first().phone("+33610000001").unwrap(), 8);
    let keyed = KeyedRecord::new(partition, record::key(&over), record::encode(&over));
    house.state.recorder.submit(vec![keyed], Box::new(|_| {}));
    until(|| house.state.filter.read().records() == 1);
    let told = imported(&house, &house.acme, "?import_id=anew", &numbers(2)).await;
    assert_eq!((&told["new"], &told["already"]), (&json!(2), &json!(0)), "{told}");
    assert_eq!(in_force(&house, "+33610000001").await.len(), 1);
    assert_eq!(undo(&house, &house.acme, "anew").await.status, 202);
    assert_eq!(ended(&house, &house.acme, "anew").await["undo"]["lifted"], 2);
    assert!(in_force(&house, "+33610000001").await.is_empty());
}

/// Guarantees: a stream that breaks off is an import that failed, with what was durable till then; half a row is nobody's; it goes
/// on under its id from the line told, and sending the same again is safe.
/// Fails when: a body that is given up is taken for its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_can_go_on_where_it_was() {
    let house = house();
    let whole = numbers(10_000);
    let cut = whole.len() / 2 + 3;
    let broken = Body::new(Cut { rest: Bytes::from(whole.clone().into_bytes()).slice(..cut) });
    let answer = import(&house, &house.acme, "?import_id=cut", broken).await;
    assert_eq!(answer.told(), (400, "BODY_UNREADABLE"));
    let told = ended(&house, &house.acme, "cut").await;
    assert_eq!((&told["state"], &told["failure"]["code"]), (&json!("failed"), &json!("BROKE_OFF")));
    let lines = whole[..cut].lines().count() as u64 - 1;
    assert_eq!((told["next_line"].as_u64(), told["accepted"].as_u64()), (Some(lines + 1), Some(lines - 1)));
    let query = format!("?import_id=cut&from_line={}", told["next_line"]);
    let told = imported(&house, &house.acme, &query, &whole).await;
    assert_eq!(
        (&told["state"], &told["rows"], &told["accepted"]),
        (&json!("done"), &json!(10_000), &json!(10_000))
    );
    // Durable is not yet applied, and what the filter has not read is told as new.
    until(|| house.state.filter.read().records() == 10_000);
    let told = imported(&house, &house.acme, "?import_id=again", &whole).await;
    assert_eq!((&told["new"], &told["already"]), (&json!(0), &json!(10_000)));
    assert_eq!(house.state.filter.read().records(), 10_000);
    assert_eq!(undo(&house, &house.acme, "cut").await.status, 202);
    assert_eq!(
        ended(&house, &house.acme, "cut").await["undo"]["kept"],
        10_000,
        "the second import said them, too"
    );
}

/// A body that ends in an error.
struct Cut {
    rest: Bytes,
}

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
        let length = self.rest.len().min(1_000);
        let piece = self.rest.split_to(length);
        std::task::Poll::Ready(Some(if piece.is_empty() {
            Err(std::io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(hyper::body::Frame::data(piece))
        }))
    }
}

/// Guarantees: a log that refuses is a 503, and the status has counted nothing that is not durable.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_refuses_is_told_and_counts_nothing() {
    let house = with(House::with(Answers::Fails), PATIENCE);
    let answer = import(&house, &house.acme, "?import_id=no", numbers(50_000)).await;
    assert_eq!(answer.told(), (503, "NOT_DURABLE"));
    let told = ended(&house, &house.acme, "no").await;
    assert_eq!((&told["accepted"], &told["next_line"]), (&json!(0), &json!(1)), "{told}");
}

/// Guarantees: what waits on its way to the log is bounded, however long the file is and however slow the log: the reading stops.
/// Fails when: `hand` does not wait for room.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_answer_stops_the_reading() {
    let house = Arc::new(with(House::with(Answers::Never), NONE));
    let calling = house.clone();
    let call =
        tokio::spawn(
            async move { import(&calling, &calling.acme, "?import_id=slow", numbers(400_000)).await },
        );
    until(|| house.got().len() >= 16 * 8_192);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(house.got().len(), 16 * 8_192);
    call.abort();
}

/// Guarantees: two imports at once, the third is told to come again, and the same one never twice.
#[tokio::test(flavor = "multi_thread")]
async fn imports_at_once_are_bounded() {
    let house = Arc::new(with(House::with(Answers::Never), NONE));
    let mut calls = Vec::new();
    for id in ["a", "b"] {
        let calling = house.clone();
        let query = format!("?import_id={id}");
        calls.push(tokio::spawn(async move { import(&calling, &calling.acme, &query, numbers(100)).await }));
    }
    until(|| house.got().len() == 200);
    assert_eq!(import(&house, &house.acme, "?import_id=a", numbers(1)).await.told(), (409, "IMPORT_RUNNING"));
    assert_eq!(
        import(&house, &house.acme, "?import_id=c", numbers(1)).await.told(),
        (429, "TOO_MANY_IMPORTS")
    );
    assert_eq!(undo(&house, &house.acme, "a").await.told(), (409, "IMPORT_RUNNING"));
    let body = json!({ "channel": "sms", "reason": "stop_reply", "addresses": ["0639981234"] });
    assert_eq!(
        house.add(&house.acme, &body).await.status,
        503,
        "imports take no place of other calls: this waits for its log"
    );
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Guarantees: of a file that is rejected row by row a thousand errors are told, and all are counted.
#[tokio::test(flavor = "multi_thread")]
async fn errors_kept_are_bounded_and_the_counts_go_on() {
    let house = house();
    let body = format!("address,channel,reason\n{}", "nobody,sms,stop_reply\n".repeat(3_000));
    let told = imported(&house, &house.acme, "", &body).await;
    assert_eq!((told["errors"].as_array().unwrap().len(), &told["rejected"]), (1_000, &json!(3_000)));
    assert_eq!(told["errors"][999], json!({ "line": 1_001, "code": "INVALID_ADDRESS" }));
}

/// Guarantees: a file that is not what it says is refused as a whole, with the line that shows it and what was expected, in words that
/// repeat nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_it_says_is_refused_with_its_first_bad_line() {
    let house = house();
    let open = format!("address,channel,reason\n\"+33639981234,sms,objected\n{}", numbers(5_000));
    let cases: [(&str, &[u8], &str, u64); 12] = [
        ("", b"PK\x03\x04 dupont", "NOT_TEXT", 1),
        ("", b"\xff\xfea\0d\0", "NOT_TEXT", 1),
        ("", b"address\0,dupont\n", "NOT_TEXT", 1),
        ("", b"", "EMPTY", 1),
        ("", b"\n\ndupont,camille\nx,y\n", "NO_ADDRESS_COLUMN", 3),
        ("", b"address,reason\n+33639981234,objected\n", "NO_CHANNEL", 1),
        ("", b"address,channel\n+33639981234,sms\n", "NO_REASON", 1),
        ("", b"email,courriel,reason\n", "COLUMN_TWICE", 1),
        ("?column.address=dupont", b"address,channel,reason\n", "NO_SUCH_COLUMN", 1),
        ("?format=ndjson", b"address,channel,reason\n+33639981234,sms,objected\n", "NOT_NDJSON", 1),
        ("", b"Email Address,LEID,EUID\ndupont@example.org,1,2\n", "NOT_OPT_OUTS", 1),
        ("", open.as_bytes(), "UNCLOSED_QUOTE", 2),
    ];
    for (query, body, reason, line) in cases {
        let answer = import(&house, &house.acme, query, body.to_vec()).await;
        assert_eq!(answer.told(), (422, "NOT_AN_IMPORT"), "{reason}: {}", answer.text);
        let details = &answer.json["details"];
        assert_eq!((&details["reason"], &details["line"]), (&json!(reason), &json!(line)), "{}", answer.text);
        assert!(!answer.text.contains("dupont") && !answer.text.contains("39981234"), "{}", answer.text);
    }
    let xml = Request::post("/v1/suppressions/import")
        .header("authorization", format!("Bearer {}", house.acme))
        .header("content-type", "application/xml")
        .body(Body::empty());
    assert_eq!(house.call(xml.unwrap()).await.told(), (400, "NOT_ROWS"));
    for query in
        ["?tennant=acme", "?from_line=x", "?visible=soon", "?delimiter=x", "?column.dupont=x", "?list=a%20b"]
    {
        assert_eq!(import(&house, &house.acme, query, "").await.told(), (400, "BAD_FIELD"), "{query}");
    }
}

/// Guarantees: an import of a process that died has failed, and can go on.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_nobody_works_on_any_more_has_failed() {
    let house = house();
    imported(&house, &house.acme, "?import_id=dead", &numbers(1)).await;
    let path = house.dir.path().join("imports/dead.json");
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    kept["state"] = json!("running");
    std::fs::write(&path, kept.to_string()).unwrap();
    let told = status(&house, &house.acme, "dead").await;
    assert_eq!((&told["state"], &told["failure"]["code"]), (&json!("failed"), &json!("INTERRUPTED")));
}
