//! Records handed to the log, and the wait until they are durable: every door confirms by this and by nothing else (G1).

use axum::Json;
use serde::Serialize;
use serde_json::{Value, json};
use tamis_bus::{KeyedRecord, Positions};
use tamis_campaign::RecordReason;
use tokio::sync::oneshot;

use crate::access::Caller;
use crate::answer::Refusal;
use crate::audit::{self, Change, Of};
use crate::problems::Code;
use crate::state::{ApiState, Place};

/// Records that are handed over on the spot where the log has room: a thread beside is two switches away, each of which waits for its
/// turn while the workers route.
const FEW: usize = 64;
/// Why records are not confirmed; nothing may be assumed to be recorded then.
const NOT_DURABLE: &str =
    "not durable now: take none of these as recorded, and send them again, which is safe";

/// A row that was not taken.
#[derive(Serialize)]
pub(crate) struct Rejected {
    pub(crate) field: &'static str,
    pub(crate) index: usize,
    pub(crate) code: &'static str,
}

/// What the rows of a call make.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) records: Vec<KeyedRecord>,
    /// Rows that make records.
    pub(crate) accepted: usize,
    pub(crate) rejected: Vec<Rejected>,
}

/// What a call does, for the books.
pub(crate) struct Deed {
    pub(crate) change: Change,
    pub(crate) reason: RecordReason,
    pub(crate) evidence: Box<str>,
    /// Whether its rows are so few that no thread beside is worth it.
    pub(crate) brief: bool,
}

impl ApiState {
    /// Writes what `make` makes of a call's rows, and confirms it only when all of it is durable (G1).
    ///
    /// # Errors
    /// When every row is rejected, or as [`ApiState::record`].
    pub(crate) async fn carry_out(
        &self,
        deed: Deed,
        caller: &Caller,
        place: Place,
        make: impl FnOnce(&Self, &Caller) -> Result<Made, Refusal> + Send + 'static,
    ) -> Result<Json<Value>, Refusal> {
        self.loaded()?;
        let made = if deed.brief {
            make(self, caller)
        } else {
            // Making subjects takes a while for many rows. The place is given back when this call has its answer and the work is
            // done, whichever is later.
            let (shared, by, working) = (self.clone(), caller.clone(), place.clone());
            let making = tokio::task::spawn_blocking(move || {
                let _place = working;
                make(&shared, &by)
            });
            making.await.map_err(|_| Refusal::defect())?
        };
        let Made { records, accepted, rejected } = made?;
        if accepted == 0 {
            return Err(Refusal::new(Code::AllRejected, "every row is rejected")
                .with(json!({ "accepted": 0, "rejected": rejected })));
        }
        let reached = self.record(records, &caller.id, place.clone()).await?;
        self.metrics.suppression_records(deed.reason, caller.source, accepted as u64);
        let evidence = &deed.evidence;
        let of = Of { count: accepted, rejected: rejected.len(), evidence, reached: Some(&reached) };
        audit::changed(caller, deed.change, &of);
        let position = position(&reached, self.filter.read().position());
        Ok(Json(json!({ "accepted": accepted, "rejected": rejected, "position": position })))
    }

    /// Hands `records` to the log and waits until all of them are durable. Answers the position reached in each partition touched, -1
    /// in the others. A full log may make its writers wait, so this is not done on a thread that others wait for.
    ///
    /// # Errors
    /// A 503 when the log refuses or does not answer in time. `key` names the caller in tamis's own log; `place` is kept until the
    /// records are handed over, also when the caller hangs up meanwhile.
    pub(crate) async fn record(
        &self,
        records: Vec<KeyedRecord>,
        key: &str,
        place: Place,
    ) -> Result<Positions, Refusal> {
        let (told, answer) = oneshot::channel();
        let recorder = self.recorder.clone();
        let at_once = records.len() <= FEW && recorder.has_room();
        let hand_over = move || {
            let _place = place;
            // Nobody listens any more only after the time-out below.
            recorder.submit(records, Box::new(move |acked| drop(told.send(acked))));
        };
        if at_once {
            hand_over();
        } else {
            tokio::task::spawn_blocking(hand_over).await.map_err(|_| Refusal::defect())?;
        }
        match tokio::time::timeout(self.ack_timeout, answer).await {
            Ok(Ok(Ok(reached))) => Ok(reached),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, key, "opt-outs not recorded");
                self.metrics.error("intake", "record");
                Err(Refusal::new(Code::NotDurable, NOT_DURABLE))
            }
            // Too late, or the log dropped the question.
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(key, "opt-outs not confirmed in time");
                self.metrics.error("intake", "record_timeout");
                Err(Refusal::new(Code::NotDurable, NOT_DURABLE))
            }
        }
    }
}

/// Where the log is: as acked where it was touched, elsewhere as far as the filter has read.
fn position(reached: &Positions, filter: &[i64]) -> Vec<i64> {
    let known = |at: usize| filter.get(at).copied().unwrap_or(0);
    reached.as_slice().iter().enumerate().map(|(at, &next)| if next < 0 { known(at) } else { next }).collect()
}
