//! A log, a filter that follows it, and an API over both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{Acked, Blame, Error, KeyedRecord, Positions, Recorder};
use tamis_pipeline::{Options, Running};
use tamis_subject::{Key, Region, Subjects};
use tamis_telemetry::{Health, Metrics};
use tamis_wire::record::{Entry, Record, decode};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::keys::{self, Owner};
use crate::{Access, ApiState, api};

/// An address of this machine, at a port that is free.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How a recorder answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Acks,
    Fails,
    Never,
}

/// A recorder of eight partitions that keeps what it got.
pub(crate) struct Fake {
    answers: Answers,
    got: Mutex<Vec<Record>>,
    unanswered: Mutex<Vec<Acked>>,
}

impl Recorder for Fake {
    fn partitions(&self) -> u32 {
        8
    }

    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked) {
        let mut reached = vec![-1; 8];
        for record in &records {
            let value = record.value.as_deref().expect("a door writes no tombstone");
            let Ok(Entry::Record(read)) = decode(&record.key, value) else {
                panic!("what is written can be read")
            };
            reached[usize::try_from(record.partition).unwrap()] = 1_000;
            self.got.lock().push(read);
        }
        match self.answers {
            Answers::Acks => acked(Ok(Positions::new(reached))),
            Answers::Fails => acked(Err(Error::new("record", Blame::Unreachable, "no leader"))),
            Answers::Never => self.unanswered.lock().push(acked),
        }
    }
}

/// A house with one key for each kind of caller.
pub(crate) struct House {
    pub(crate) dir: TempDir,
    pub(crate) bus: Arc<Embedded>,
    pub(crate) keys: PathBuf,
    pub(crate) acme: String,
    /// A gateway's, made of the identity key.
    pub(crate) gateway: String,
    pub(crate) other_gateway: String,
    /// The first gateway's from before keys were made so.
    pub(crate) random_gateway: String,
    pub(crate) subjects: Subjects,
    pub(crate) operator: String,
    pub(crate) state: ApiState,
    pub(crate) running: Running,
    fake: Arc<Fake>,
}

/// A status and a body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) json: Value,
}

impl House {
    /// With a recorder that acks.
    pub(crate) fn new() -> Self {
        Self::with(Answers::Acks)
    }

    pub(crate) fn with(answers: Answers) -> Self {
        Self::of(&Key::generate().unwrap(), answers)
    }

    /// With an identity key that is known.
    pub(crate) fn of(key: &Key, answers: Answers) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bus = Embedded::open(&dir.path().join("log"), Config::default()).unwrap();
        let subjects = Subjects::new(key, Region::parse("FR").unwrap());
        let options = Options { workers: 0, ..Options::default() };
        let running =
            tamis_pipeline::start(bus.clone(), subjects.clone(), options, Metrics::detached(), Health::new())
                .unwrap();
        let filter = running.filter();
        until(|| filter.is_loaded());
        let keys = dir.path().join("var/api-keys.toml");
        let key = |owner| keys::create(&keys, owner).unwrap().1;
        let acme = key(Owner::Tenant("acme".into()));
        let made = |name| keys::create_gateway(&keys, name, &subjects, None, None).unwrap().key;
        let (gateway, other_gateway) = (made("sms-paris"), made("sms-lyon"));
        let random_gateway = key(Owner::Gateway("sms-paris".into()));
        let operator = key(Owner::Operator);
        let fake = Arc::new(Fake { answers, got: Mutex::default(), unanswered: Mutex::default() });
        let access = Access::keys(&keys).unwrap();
        let state = ApiState::new(filter, fake.clone(), Metrics::detached(), access)
            .with_ack_timeout(Duration::from_millis(300));
        Self {
            dir,
            bus,
            keys,
            acme,
            gateway,
            other_gateway,
            random_gateway,
            subjects,
            operator,
            state,
            running,
            fake,
        }
    }

    /// The same, with the log's own recorder.
    pub(crate) fn real() -> Self {
        let mut house = Self::new();
        house.state.recorder = house.running.recorder();
        house.state.ack_timeout = Duration::from_secs(10);
        house
    }

    /// What was handed to the log.
    pub(crate) fn got(&self) -> Vec<Record> {
        self.fake.got.lock().clone()
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        self.call(request.unwrap()).await
    }

    pub(crate) async fn add(&self, key: &str, body: &Value) -> Answer {
        self.post("/v1/suppressions", key, body).await
    }

    pub(crate) async fn lift(&self, key: &str, body: &Value) -> Answer {
        self.post("/v1/suppressions/lift", key, body).await
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        answer(api(self.state.clone()), request).await
    }
}

/// Calls a router.
pub(crate) async fn answer(router: axum::Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, text, headers, json }
}

impl Answer {
    /// Status, and the code of an error.
    pub(crate) fn told(&self) -> (u16, &str) {
        (self.status.as_u16(), self.json["code"].as_str().unwrap_or(""))
    }
}

/// Waits until it is so.
pub(crate) fn until(mut so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never came to pass");
        std::thread::sleep(Duration::from_millis(10));
    }
}
