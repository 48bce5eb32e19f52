//! Records handed to the log, and the wait until they are durable: every door confirms by this and by nothing else (G1).

use tamis_bus::{KeyedRecord, Positions};
use tokio::sync::oneshot;

use crate::answer::Refusal;
use crate::problems::Code;
use crate::state::{ApiState, Place};

/// Records that are handed over on the spot where the log has room: a thread beside is two switches away, each of which waits for its
/// turn while the workers route.
const FEW: usize = 64;
/// Why records are not confirmed; nothing may be assumed to be recorded then.
const NOT_DURABLE: &str =
    "not durable now: take none of these as recorded, and send them again, which is safe";

impl ApiState {
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
