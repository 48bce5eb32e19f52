//! What gateways tell by HTTP: `/v1/inbound` and its adapters (contract, section 6). Each call is signed with the gateway's key, or
//! carries it where the sender's own webhooks can't sign with a key of ours.
//!
//! A call is answered 200 only when its records are durable. Its text is gone by then: it lives from the reading of the body to the
//! judgement, and in nothing that is kept.

mod arf;
mod event;
mod infobip;
mod report;
mod seen;
mod signature;
mod twilio;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tamis_campaign::UnixMs;
use tamis_subject::Subjects;
use tamis_wire::inbound::InboundEvent;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::access::{Signers, bearer};
use crate::answer::Refusal;
use crate::keys::{Entry, Owner, digest_of};
use crate::openapi::schemas;
use crate::problems::Code;
use crate::replies::{self, Effect, Made};
use crate::state::{ApiState, Place, place};
use crate::{body, now_ms};
#[cfg(test)]
pub(crate) use seen::MARKS_MAX;
use seen::{Mark, Seen};
use signature::{Proof, Signature};

/// Largest body of an event, a form or a batch: the reply to an e-mail without what it quotes has some KiB.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 10;
/// Largest report: it may bring the whole message that it is about.
pub(crate) const REPORT_BYTES_MAX: usize = 1 << 20;
/// Calls at once. They have a number of their own, since who signs is known only when the body is here: strangers with slow bodies take
/// no place from opt-outs at other doors.
const CALLS_MAX: usize = 16;
/// Longest `Authorization: Basic`: a gateway's name and a key, with room.
const BASIC_MAX: usize = 512;

const SIGNATURE: &str = "x-tamis-signature";
const TWILIO_SIGNATURE: &str = "x-twilio-signature";

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
        self.seen.lock().remember(marks, now_ms());
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

/// A call as it came, with what is needed to find out who signed it.
struct Call {
    state: ApiState,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
    place: Place,
    now_ms: UnixMs,
}

/// Who signed a call.
struct Signer {
    /// The key's id, for the log.
    key: String,
    /// `None` where nobody signs (`http.auth = "off"`).
    gateway: Option<String>,
    /// Tells this call from others; `None` where what it carries is the same each time.
    proof: Option<Proof>,
    signed_at_ms: UnixMs,
}

/// One event of a call, judged.
struct Judged {
    marks: Vec<Mark>,
    effect: Effect,
}

/// What was made of a call.
#[derive(Default)]
struct Done {
    recorded: usize,
    /// What its one event says; `repeated` when it was taken before.
    says: &'static str,
    rejected: Vec<Value>,
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

impl Call {
    /// Takes the body in, of one of `kinds`.
    async fn read(
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
    async fn take(
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

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Who signed the body with `X-Tamis-Signature`; of the gateway in the path where there is one.
    fn signed(&self, gateway: Option<&str>) -> Result<Signer, Refusal> {
        if let Signers::Nobody = self.state.access().signers() {
            return Ok(self.nobody());
        }
        let refused = |kind| {
            self.state.metrics.error("inbound", kind);
            unsigned()
        };
        let header = self.header(SIGNATURE).ok_or_else(|| refused("unsigned"))?;
        let signature = Signature::parse(header).ok_or_else(|| refused("signature"))?;
        if !signature.is_fresh(self.now_ms) {
            return Err(refused("late"));
        }
        self.find(gateway, |key| signature.proves(key, &self.body), signature.signed_at_ms)
    }

    /// The gateway whose key `proves` the call. A key that is in the call is looked at, and no other; else each that can be made again.
    fn find(
        &self,
        gateway: Option<&str>,
        proves: impl Fn(&str) -> Option<Proof>,
        signed_at_ms: UnixMs,
    ) -> Result<Signer, Refusal> {
        let Signers::Keys(keys) = self.state.access().signers() else { return Ok(self.nobody()) };
        let given = bearer(&self.headers);
        let subjects = self.state.filter.doors();
        let mut found = None;
        // Every key of this gateway is tried, whichever fits.
        for entry in keys.iter().filter(|entry| is_of(entry, gateway)) {
            let Some(key) = key_of(entry, given, &subjects) else { continue };
            if let Some(proof) = proves(&key) {
                found = Some(entry.signer(Some(proof), signed_at_ms));
            }
        }
        found.ok_or_else(|| {
            self.state.metrics.error("inbound", "signature");
            unsigned()
        })
    }

    /// Who calls with `Authorization: Basic`, the gateway's name and its key; `None` where there is no such header.
    fn carried(&self, gateway: &str) -> Result<Option<Signer>, Refusal> {
        let Signers::Keys(keys) = self.state.access().signers() else { return Ok(Some(self.nobody())) };
        let Some((scheme, given)) =
            self.header(header::AUTHORIZATION.as_str()).and_then(|text| text.split_once(' '))
        else {
            return Ok(None);
        };
        if !scheme.eq_ignore_ascii_case("basic") {
            return Ok(None);
        }
        let given = Some(given.trim()).filter(|given| given.len() <= BASIC_MAX);
        let given = given.and_then(|given| BASE64_STANDARD.decode(given).ok()).map(Zeroizing::new);
        let text = given.as_ref().and_then(|octets| std::str::from_utf8(octets).ok()).unwrap_or_default();
        let (name, key) = text.split_once(':').unwrap_or_default();
        let mut found = None;
        for entry in keys.iter().filter(|entry| is_of(entry, Some(gateway))) {
            if entry.digest() == Some(digest_of(key)) && name == gateway {
                found = Some(entry.signer(None, self.now_ms));
            }
        }
        match found {
            Some(signer) => Ok(Some(signer)),
            None => {
                self.state.metrics.error("inbound", "key");
                Err(unsigned())
            }
        }
    }

    fn nobody(&self) -> Signer {
        Signer { key: "auth off".to_owned(), gateway: None, proof: None, signed_at_ms: self.now_ms }
    }

    /// The URLs that this call may have had outside: proxies end TLS and may name the host in another header. A signature is for one of
    /// them only, and whoever has the key could sign any.
    fn urls(&self) -> Vec<String> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let hosts = [self.header("x-forwarded-host"), self.header(header::HOST.as_str()), self.uri.host()];
        let of = |host: &str| ["https", "http"].map(|scheme| format!("{scheme}://{host}{path}"));
        hosts.into_iter().flatten().flat_map(of).collect()
    }

    /// What `event` does.
    fn judge(&self, event: &InboundEvent, signer: &Signer) -> Result<Judged, Refusal> {
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

impl Entry {
    fn signer(&self, proof: Option<Proof>, signed_at_ms: UnixMs) -> Signer {
        let gateway = match &self.owner {
            Owner::Gateway(name) => Some(name.clone()),
            Owner::Tenant(_) | Owner::Operator => None,
        };
        Signer { key: self.id.clone(), gateway, proof, signed_at_ms }
    }
}

impl Signer {
    /// What an event of this call is remembered by: the call's signature with the event's id, and the id.
    fn marks(&self, gateway: &str, message_id: &str) -> Vec<Mark> {
        let digest = |parts: &[&[u8]]| {
            let mut hasher = blake3::Hasher::new();
            for part in parts {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
            }
            let mut mark = Mark::default();
            hasher.finalize_xof().fill(&mut mark);
            mark
        };
        let (gateway, id) = (gateway.as_bytes(), message_id.as_bytes());
        let mut marks = vec![digest(&[b"message", gateway, id])];
        marks.extend(self.proof.map(|proof| digest(&[b"signature", gateway, &proof, id])));
        marks
    }
}

/// Whether it is a gateway's key, of this gateway where one is named.
fn is_of(entry: &Entry, gateway: Option<&str>) -> bool {
    match &entry.owner {
        Owner::Gateway(name) => gateway.is_none_or(|gateway| gateway == name),
        Owner::Tenant(_) | Owner::Operator => false,
    }
}

/// The key of `entry`: as it was given if it is this one, made again if none was given.
fn key_of(entry: &Entry, given: Option<&str>, subjects: &Subjects) -> Option<Zeroizing<String>> {
    match given {
        // Digests are compared in constant time.
        Some(given) => (entry.digest()? == digest_of(given)).then(|| Zeroizing::new(given.to_owned())),
        None => entry.gateway_key(subjects),
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

/// Nothing is waited for from a caller who can't be anybody: without any proof, or with an old one.
fn may_be_signed(state: &ApiState, headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = |kind| {
        state.metrics.error("inbound", kind);
        Err(unsigned())
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(header) = text(SIGNATURE) else {
        let other = headers.contains_key(TWILIO_SIGNATURE) || headers.contains_key(header::AUTHORIZATION);
        let nobody_signs = matches!(state.access().signers(), Signers::Nobody);
        return if other || nobody_signs { Ok(()) } else { refused("unsigned") };
    };
    match Signature::parse(header) {
        None => refused("signature"),
        Some(signature) if !signature.is_fresh(now_ms()) => refused("late"),
        Some(_) => Ok(()),
    }
}

/// One answer, whatever is wrong with a signature.
fn unsigned() -> Refusal {
    Refusal::new(Code::Unauthorized, "a valid signature of the gateway's key is needed")
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
