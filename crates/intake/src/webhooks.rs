//! What gateways tell by HTTP: `/v1/inbound` and its adapters (contract, section 6). Each call is signed with the gateway's key, or
//! carries it where the sender's own webhooks can't sign with a key of ours (`signer`).
//!
//! A call is answered 200 only when its records are durable. Its text is gone by then: it lives from the reading of the body to the
//! judgement (`call`), and in nothing that is kept.

mod arf;
mod call;
mod event;
mod infobip;
mod report;
mod seen;
mod signature;
mod signer;
mod twilio;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::answer::Refusal;
use crate::openapi::schemas;
use crate::state::ApiState;
use call::{Call, Judged};
#[cfg(test)]
pub(crate) use seen::MARKS_MAX;
#[cfg(test)]
use seen::Mark;
use seen::Seen;
use signer::TWILIO_SIGNATURE;

/// Largest body of an event, a form or a batch: the reply to an e-mail without what it quotes has some KiB.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 10;
/// Largest report: it may bring the whole message that it is about.
pub(crate) const REPORT_BYTES_MAX: usize = 1 << 20;
/// Calls at once. They have a number of their own, since who signs is known only when the body is here: strangers with slow bodies take
/// no place from opt-outs at other doors.
const CALLS_MAX: usize = 16;

/// What these doors share.
pub(crate) struct Webhooks {
    calls: Arc<Semaphore>,
    seen: Mutex<Seen>,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { calls: Arc::new(Semaphore::new(CALLS_MAX)), seen: Mutex::default() }
    }
}

#[cfg(test)]
impl Webhooks {
    /// As if an event had been taken.
    pub(crate) fn remember_for_test(&self, marks: &[Mark]) {
        self.seen.lock().remember(marks, crate::now_ms());
    }
}

pub(crate) fn routes() -> Router<ApiState> {
    let events = Router::new()
        .route("/v1/inbound", post(one))
        .route("/v1/inbound/twilio/{gateway}", post(from_twilio))
        .route("/v1/inbound/infobip/{gateway}", post(from_infobip))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let reports = Router::new()
        .route("/v1/inbound/arf/{gateway}", post(from_mail))
        .layer(DefaultBodyLimit::max(REPORT_BYTES_MAX));
    events.merge(reports)
}

/// Hand in one event: a reply, a bounce, a complaint, a key press, returned post. Signed with the gateway's key.
#[utoipa::path(post, path = "/v1/inbound", tag = "inbound", operation_id = "tellInbound",
    request_body = schemas::Inbound,
    responses((status = 200, description = "What came of it is recorded, durably.", body = schemas::Told)))]
pub(crate) async fn one(Shared(state): Shared<ApiState>, request: Request) -> Result<Json<Value>, Refusal> {
    let call = Call::read(state, request, BODY_BYTES_MAX, &["application/json"]).await?;
    let done = call
        .take(|call| {
            let signer = call.signed(None)?;
            let event = event::read(&call.body)?;
            if signer.gateway.as_deref().is_some_and(|gateway| *gateway != *event.gateway) {
                call.state.metrics.error("inbound", "gateway");
                return Err(Refusal::not_yours("gateway: this key belongs to another gateway"));
            }
            let judged = call.judge(&event, &signer)?;
            Ok((signer, vec![Ok(judged)]))
        })
        .await?;
    Ok(Json(json!({ "recorded": done.recorded, "meaning": done.says })))
}

/// `POST /v1/inbound/twilio/{gateway}`: a form; the answer is a TwiML document that says nothing back.
#[utoipa::path(post, path = "/v1/inbound/twilio/{gateway}", tag = "inbound", operation_id = "tellInboundAsTwilio",
    params(("gateway" = String, Path, description = "Whose webhook it is.")),
    request_body(content = schemas::TwilioForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "An empty TwiML document.", body = String, content_type = "text/xml")))]
pub(crate) async fn from_twilio(
    Shared(state): Shared<ApiState>,
    Path(gateway): Path<String>,
    request: Request,
) -> Response {
    let taken = async {
        let form = ["application/x-www-form-urlencoded"];
        let call = Call::read(state, request, BODY_BYTES_MAX, &form).await?;
        call.take(move |call| {
            let form = twilio::Form::read(&call.body)?;
            let signer = match call.carried(&gateway)? {
                Some(signer) => signer,
                None => {
                    let signature = call.header(TWILIO_SIGNATURE);
                    let urls = call.urls();
                    call.find(Some(&gateway), |key| form.proves(signature?, key, &urls), call.now_ms)?
                }
            };
            let judged = call.judge(&form.event(&gateway, call.now_ms)?, &signer)?;
            Ok((signer, vec![Ok(judged)]))
        })
        .await
    };
    match taken.await {
        Ok(_) => ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], "<Response/>").into_response(),
        Err(refusal) => ask_for_basic(refusal),
    }
}

/// `POST /v1/inbound/infobip/{gateway}`: a batch as JSON.
#[utoipa::path(post, path = "/v1/inbound/infobip/{gateway}", tag = "inbound", operation_id = "tellInboundAsInfobip",
    params(("gateway" = String, Path, description = "Whose webhook it is.")),
    request_body = schemas::InfobipMessages,
    responses((status = 200, description = "What came of the messages is recorded, durably.", body = schemas::ToldMany)))]
pub(crate) async fn from_infobip(
    Shared(state): Shared<ApiState>,
    Path(gateway): Path<String>,
    request: Request,
) -> Response {
    let taken = async {
        let call = Call::read(state, request, BODY_BYTES_MAX, &["application/json"]).await?;
        call.take(move |call| {
            let signer = match call.carried(&gateway)? {
                Some(signer) => signer,
                None => call.signed(Some(&gateway))?,
            };
            let events = infobip::events(&call.body, &gateway, call.now_ms)?;
            let judged = events.into_iter().map(|event| call.judge(&event?, &signer)).collect();
            Ok((signer, judged))
        })
        .await
    };
    match taken.await {
        Ok(done) => Json(json!({ "recorded": done.recorded, "rejected": done.rejected })).into_response(),
        Err(refusal) => ask_for_basic(refusal),
    }
}

/// `POST /v1/inbound/arf/{gateway}`: a feedback report.
#[utoipa::path(post, path = "/v1/inbound/arf/{gateway}", tag = "inbound", operation_id = "tellInboundReport",
    params(("gateway" = String, Path, description = "Whose mail server it is.")),
    request_body(content = String, content_type = "message/rfc822"),
    responses((status = 200, description = "What came of the report is recorded, durably.", body = schemas::Told)))]
pub(crate) async fn from_mail(
    Shared(state): Shared<ApiState>,
    Path(gateway): Path<String>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let kinds = ["message/rfc822", "multipart/report"];
    let call = Call::read(state, request, REPORT_BYTES_MAX, &kinds).await?;
    let done = call
        .take(move |call| {
            let signer = call.signed(Some(&gateway))?;
            let content_type = call.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
            let policy = call.state.policy.load();
            let subjects = call.state.filter.doors();
            let (effect, id) =
                arf::effect(&call.body, content_type, &gateway, &policy, &subjects, call.now_ms)?;
            let judged = Judged { marks: signer.marks(&gateway, &id), effect };
            Ok((signer, vec![Ok(judged)]))
        })
        .await?;
    Ok(Json(json!({ "recorded": done.recorded, "meaning": done.says })))
}

/// Senders of webhooks send their name and key only when they are asked.
fn ask_for_basic(refusal: Refusal) -> Response {
    let mut response = refusal.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static("Basic realm=\"tamis\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    response
}
