//! The audit line: one for each change that is durable, none for what is not, and nobody in it.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::house::{Answers, House};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// The audit lines among those logged on this thread until the guard is dropped.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let logs = tracing_subscriber::fmt().json().flatten_event(true).with_writer(self.clone());
        tracing::subscriber::set_default(logs.finish())
    }

    fn audit(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["target"] == "audit").collect()
    }
}

fn body(evidence: &str) -> Value {
    json!({
        "tenant": "acme", "channel": "sms", "reason": "erased", "evidence": evidence,
        "addresses": ["0639981234", "nobody"], "contacts": ["c-77"],
    })
}

/// Guarantees: a change has one line that says who, what, how many, on what evidence and where; it names no address and no
/// contact, and no evidence that could be one.
/// Fails when: a door confirms without the line, or the line takes something of the call as it came.
#[tokio::test]
async fn each_change_has_a_line_with_nobody_in_it() {
    let (house, lines) = (House::new(), Lines::default());
    let guard = lines.listen();
    assert_eq!(house.add(&house.acme, &body("ticket-4711")).await.status, 200);
    assert_eq!(house.add(&house.acme, &body("0639985555")).await.status, 200);
    let mut lift = body("");
    lift["reason_text"] = json!("Ada rang us from 0639986666");
    assert_eq!(house.lift(&house.operator, &lift).await.status, 200);
    drop(guard);
    let audit = lines.audit();
    let ids: Vec<String> =
        crate::keys::list(&house.keys).unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(audit.len(), 3, "{audit:?}");
    assert_eq!((&audit[0]["key"], &audit[0]["owner"]), (&json!(ids[0]), &json!("tenant")));
    assert_eq!((&audit[0]["change"], &audit[0]["evidence"]), (&json!("add"), &json!("ticket-4711")));
    assert_eq!((&audit[0]["count"], &audit[0]["rejected"]), (&json!(2), &json!(1)));
    assert!(audit[0]["position"].as_str().unwrap().contains(":1000"), "{}", audit[0]);
    assert_eq!((&audit[2]["owner"], &audit[2]["change"]), (&json!("operator"), &json!("lift")));
    assert!(audit[1]["evidence"].is_null() && audit[2]["evidence"].is_null());
    let all = String::from_utf8(lines.0.lock().clone()).unwrap();
    for person in ["639981234", "639985555", "639986666", "nobody", "c-77", "Ada"] {
        assert!(!all.contains(person), "{person} in {all}");
    }
}

/// Guarantees: what is not durable, refused, or said again under its key, has no line.
/// Fails when: the line is written before the log has answered, or for each call.
#[tokio::test]
async fn what_changes_nothing_has_no_line() {
    let (house, lines) = (House::with(Answers::Fails), Lines::default());
    let guard = lines.listen();
    assert_eq!(house.add(&house.acme, &body("ticket-1")).await.status, 503);
    assert_eq!(house.add("no key", &body("ticket-1")).await.status, 401);
    drop(guard);
    assert!(lines.audit().is_empty());
}
