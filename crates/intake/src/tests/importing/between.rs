//! What others say while an import is on its way, and what is noted before the log has a batch.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tamis_bus::{Acked, KeyedRecord, Recorder};

use super::super::house::House;
use super::{PATIENCE, imported, in_force, numbers, with};

/// A recorder that lets somebody say something before each batch of an import.
struct Between {
    log: Arc<dyn Recorder>,
    said: Mutex<Vec<KeyedRecord>>,
}

impl Recorder for Between {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked) {
        let said = std::mem::take(&mut *self.said.lock());
        if !said.is_empty() {
            self.log.submit(said, Box::new(|_| {}));
        }
        self.log.submit(records, acked);
    }
}

/// Guarantees G1: an opt-out that is acknowledged while an import of the same person is on its way is in force at once, with its
/// own proof: the moment of the import does not put it off.
/// Fails when: what came between is not said again.
#[tokio::test(flavor = "multi_thread")]
async fn g1_an_opt_out_that_comes_between_is_not_put_off() {
    let mut house = House::real();
    // What the API would write, made with another recorder of the same log.
    let real = house.state.recorder.clone();
    let recorded = Arc::new(Kept(Mutex::default()));
    house.state.recorder = recorded.clone();
    let body =
        json!({ "channel": "sms", "reason": "stop_reply", "addresses": ["+33610000001"], "evidence": "own" });
    assert_eq!(house.add(&house.acme, &body).await.status, 200);
    let said = recorded.0.lock().clone();
    house.state.recorder = Arc::new(Between { log: real, said: Mutex::new(said) });
    let house = with(house, PATIENCE);
    let told = imported(&house, &house.acme, "?visible=at_once&import_id=race", &numbers(3)).await;
    assert_eq!(told["state"], "done", "{told}");
    let found = in_force(&house, "+33610000001").await;
    assert_eq!(found, [("stop_reply".into(), "api".into(), "own".into())]);
    assert!(in_force(&house, "+33610000002").await.is_empty());
}

/// Guarantees: a row that comes after a lift counts, also where the lift was on its way when the row was looked at, and found
/// somebody who was in force.
/// Fails when: who is in force already is not written again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lift_on_its_way_does_not_win_over_a_row_after_it() {
    let mut house = House::real();
    let real = house.state.recorder.clone();
    let body = json!({ "channel": "sms", "reason": "stop_reply", "addresses": ["+33610000001"] });
    assert_eq!(house.add(&house.acme, &body).await.status, 200);
    in_force(&house, "+33610000001").await;
    let recorded = Arc::new(Kept(Mutex::default()));
    house.state.recorder = recorded.clone();
    let answer = house.lift(&house.acme, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let said = recorded.0.lock().clone();
    assert_eq!(said.len(), 1);
    house.state.recorder = Arc::new(Between { log: real, said: Mutex::new(said) });
    let house = with(house, PATIENCE);
    imported(&house, &house.acme, "", &numbers(3)).await;
    assert_eq!(in_force(&house, "+33610000001").await.len(), 1);
}

/// A recorder that looks how much an import has noted as brought before it takes a batch.
struct Noting {
    log: Arc<dyn Recorder>,
    brought: std::path::PathBuf,
    handed: Mutex<Vec<(usize, usize)>>,
}

impl Recorder for Noting {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked) {
        let noted = std::fs::metadata(&self.brought).map_or(0, |about| about.len());
        let bytes = records.iter().map(|one| one.value.as_ref().map_or(0, Vec::len) + 4).sum();
        self.handed.lock().push((bytes, usize::try_from(noted).unwrap()));
        self.log.submit(records, acked);
    }
}

/// Guarantees: what an import brings is noted before the log has it, so that what is durable after a kill can be taken back.
/// Fails when: a batch is handed over before it is noted, or without.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_brought_is_noted_before_the_log_has_it() {
    for visible in ["as_it_goes", "at_once"] {
        let mut house = House::real();
        let noting = Arc::new(Noting {
            log: house.state.recorder.clone(),
            brought: house.dir.path().join("imports/noted.brought"),
            handed: Mutex::default(),
        });
        house.state.recorder = noting.clone();
        let house = with(house, PATIENCE);
        let query = format!("?import_id=noted&visible={visible}");
        imported(&house, &house.acme, &query, &numbers(30_000)).await;
        let mut all = 0;
        for (bytes, noted) in noting.handed.lock().iter() {
            all += bytes;
            assert!(*noted >= all, "{visible}: {noted} of {all} bytes");
        }
        assert!(all > 30_000 * 50);
    }
}

/// Keeps what it gets and acknowledges it.
struct Kept(Mutex<Vec<KeyedRecord>>);

impl Recorder for Kept {
    fn partitions(&self) -> u32 {
        8
    }

    fn submit(&self, records: Vec<KeyedRecord>, acked: Acked) {
        self.0.lock().extend(records);
        acked(Ok(tamis_bus::Positions::new(vec![1_000; 8])));
    }
}
