//! A call of a gateway, from its body to what is recorded of it. Its text lives no longer than the judgement.

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, Uri, header};
use serde_json::{Value, json};
use tamis_campaign::UnixMs;
use tamis_wire::inbound::InboundEvent;

use super::seen::Mark;
use super::signer::{Signer, may_be_signed};
use crate::answer::Refusal;
use crate::problems::Code;
use crate::replies::{self, Effect, Made};
use crate::state::{ApiState, Place, place};
use crate::{body, now_ms};

/// A call as it came, with what is needed to find out who signed it.
pub(super) struct Call {
    pub(super) state: ApiState,
    pub(super) headers: HeaderMap,
    pub(super) uri: Uri,
    pub(super) body: Bytes,
    place: Place,
    pub(super) now_ms: UnixMs,
}

/// One event of a call, judged.
pub(super) struct Judged {
    pub(super) marks: Vec<Mark>,
    pub(super) effect: Effect,
}

/// What was made of a call.
#[derive(Default)]
pub(super) struct Done {
    pub(super) recorded: usize,
    /// What its one event says; `repeated` when it was taken before.
    pub(super) says: &'static str,
    pub(super) rejected: Vec<Value>,
}

impl Call {
    /// Takes the body in, of one of `kinds`.
    pub(super) async fn read(
        state: ApiState,
        request: Request,
        bytes_max: usize,
        kinds: &[&str],
    ) -> Result<Self, Refusal> {
        let place = place(&state.webhooks.calls)?;
        let (headers, uri) = (request.headers().clone(), request.uri().clone());
        may_be_signed(&state, &headers)?;
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kinds.iter().any(|kind| essence.eq_ignore_ascii_case(kind)) {
            let text = format!("send content-type: {}", kinds.join(" or "));
            return Err(Refusal::new(Code::WrongContentType, text));
        }
        let body = body::read_any(request, bytes_max).await?;
        Ok(Self { state, headers, uri, body, place, now_ms: now_ms() })
    }

    /// Judges the call by `judge`, on a thread that may take a while, and records what comes of it.
    pub(super) async fn take(
        self,
        judge: impl FnOnce(&Self) -> Result<(Signer, Vec<Result<Judged, Refusal>>), Refusal> + Send + 'static,
    ) -> Result<Done, Refusal> {
        let judging = tokio::task::spawn_blocking(move || {
            let judged = judge(&self);
            // The body, and with it the text, goes here.
            judged.map(|(signer, events)| (self.state, self.place, self.now_ms, signer, events))
        });
        let (state, place, now_ms, signer, events) = judging.await.map_err(|_| Refusal::defect())??;
        record(state, place, now_ms, signer, events).await
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What `event` does.
    pub(super) fn judge(&self, event: &InboundEvent, signer: &Signer) -> Result<Judged, Refusal> {
        let policy = self.state.policy.load();
        let subjects = self.state.filter.doors();
        let known = self.state.job_tenants.as_ref().zip(event.job_id.as_deref());
        let tenant = known.and_then(|(tenants, job)| tenants.of(job));
        let effect = replies::records(event, &policy, tenant.as_deref(), &subjects, self.now_ms)?;
        let effect = if effect.lifts() {
            self.state.loaded()?;
            let since_ms = match event.received_at_ms {
                0 => signer.signed_at_ms,
                received_at_ms => received_at_ms,
            };
            let look = |view: &_| effect.without_outlived(view, since_ms, self.now_ms);
            let looked = self.state.filter.hold_still(look);
            looked.map_err(|error| Refusal::new(Code::NotReady, format!("not known now: {error}")))?
        } else {
            effect
        };
        Ok(Judged { marks: signer.marks(&event.gateway, &event.message_id), effect })
    }
}

/// Hands what came of a call to the log, and remembers it once it is durable.
async fn record(
    state: ApiState,
    place: Place,
    now_ms: UnixMs,
    signer: Signer,
    events: Vec<Result<Judged, Refusal>>,
) -> Result<Done, Refusal> {
    let mut done = Done::default();
    let (mut records, mut marks, mut last) = (Vec::new(), Vec::new(), None);
    let count = events.len();
    {
        let mut seen = state.webhooks.seen.lock();
        for (index, judged) in events.into_iter().enumerate() {
            let Judged { marks: of_event, effect } = match judged {
                Ok(judged) => judged,
                // Not now: then nothing of the call counts, and it is sent again.
                Err(refusal) if refusal.code.status().is_server_error() => return Err(refusal),
                Err(refusal) => {
                    done.rejected.push(json!({ "index": index, "code": refusal.code.as_str() }));
                    last = Some(refusal);
                    continue;
                }
            };
            if seen.has_any(&of_event, now_ms) {
                state.metrics.error("inbound", "repeated");
                done.says = "repeated";
                continue;
            }
            if effect.lifts() && seen.is_full(now_ms) {
                state.metrics.error("inbound", "full");
                return Err(Refusal::new(
                    Code::NotReady,
                    "too many events to take a start now: send it again later",
                ));
            }
            done.says = effect.says;
            marks.push(of_event);
            records.extend(effect.records);
        }
    }
    if let Some(refusal) = last.filter(|_| done.rejected.len() == count) {
        return Err(if count == 1 { refusal } else { refusal.with(json!({ "rejected": done.rejected })) });
    }
    done.recorded = records.len();
    if !records.is_empty() {
        state.loaded()?;
        let partitions = state.recorder.partitions();
        let keyed = records.iter().map(|made| made.keyed(partitions)).collect();
        state.record(keyed, &signer.key, place).await?;
    }
    for Made { record, .. } in &records {
        state.metrics.suppression_records(record.reason, record.source, 1);
    }
    let mut seen = state.webhooks.seen.lock();
    for of_event in marks {
        seen.remember(&of_event, now_ms);
    }
    tracing::info!(key = signer.key, events = count, recorded = done.recorded, "inbound events taken");
    Ok(done)
}
