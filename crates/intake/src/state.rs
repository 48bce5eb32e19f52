//! The API: its routes, and what its calls share.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use tamis_bus::Recorder;
use tamis_pipeline::Filter;
use tamis_pipeline::snapshots::Snapshots;
use tamis_telemetry::Metrics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{Access, Caller};
use crate::answer::{self, Refusal};
use crate::imports::{self, Imports};
use crate::local::{self, Local};
use crate::{body, suppressions};

/// Calls at once; one may hold a body of 4 MiB and what is made of it.
const CALLS_MAX: usize = 32;
/// Calls of commands on this machine at once; they wait for deliveries, and opt-outs must not wait for them.
const LOCAL_CALLS_MAX: usize = 8;
/// How long the log may take to make a call's records durable.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// What the API works with. Clones share it.
#[derive(Clone)]
pub struct ApiState {
    pub(crate) filter: Filter,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) metrics: Metrics,
    pub(crate) local: Option<Arc<dyn Local>>,
    pub(crate) snapshots: Option<Arc<Snapshots>>,
    pub(crate) imports: Option<Imports>,
    pub(crate) ack_timeout: Duration,
    access: Access,
    process_token: Option<Arc<str>>,
    calls: Arc<Semaphore>,
    local_calls: Arc<Semaphore>,
}

/// A place among the calls at once, given back with the last clone.
pub(crate) type Place = Arc<OwnedSemaphorePermit>;

impl ApiState {
    /// Opt-outs become subjects by the key of `filter`, are looked up there and written by `recorder`.
    #[must_use]
    pub fn new(filter: Filter, recorder: Arc<dyn Recorder>, metrics: Metrics, access: Access) -> Self {
        Self {
            filter,
            recorder,
            metrics,
            local: None,
            snapshots: None,
            imports: None,
            ack_timeout: ACK_TIMEOUT,
            access,
            process_token: None,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            local_calls: Arc::new(Semaphore::new(LOCAL_CALLS_MAX)),
        }
    }

    /// Also opens the embedded log to operators, under `/v1/local`.
    #[must_use]
    pub fn with_local(self, local: Arc<dyn Local>) -> Self {
        Self { local: Some(local), ..self }
    }

    /// Also has snapshots of the filter written when an operator asks for one.
    #[must_use]
    pub fn with_snapshots(self, snapshots: Option<Arc<Snapshots>>) -> Self {
        Self { snapshots, ..self }
    }

    /// Also takes imports.
    #[must_use]
    pub fn with_imports(self, imports: Imports) -> Self {
        Self { imports: Some(imports), ..self }
    }

    /// Also takes `token` as an operator's key: that of commands on this machine.
    #[must_use]
    pub fn with_process_token(self, token: &str) -> Self {
        Self { process_token: Some(token.into()), ..self }
    }

    /// Waits `timeout` for the log instead of ten seconds.
    #[must_use]
    pub fn with_ack_timeout(self, timeout: Duration) -> Self {
        Self { ack_timeout: timeout, ..self }
    }

    /// Who calls, and a place among the calls at once. The key is looked at before anything else is.
    pub(crate) fn enter(&self, headers: &HeaderMap) -> Result<(Caller, Place), Refusal> {
        Ok((self.caller(headers)?, place(&self.calls)?))
    }

    /// As [`ApiState::enter`], for `/v1/local`.
    pub(crate) fn enter_local(&self, headers: &HeaderMap) -> Result<(Caller, Place), Refusal> {
        Ok((self.caller(headers)?, place(&self.local_calls)?))
    }

    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        self.access.caller(headers, self.process_token.as_deref())
    }

    /// Nothing is recorded or looked up before the filter has read its log: only then is it known that the key is the
    /// log's, and what is in force. Nor with a key from before a rotation.
    pub(crate) fn loaded(&self) -> Result<(), Refusal> {
        if self.filter.is_outdated() {
            return Err(Refusal::unavailable(
                "NOT_READY",
                "not durable now: the new identity key is not here yet",
            ));
        }
        if self.filter.is_loaded() {
            return Ok(());
        }
        Err(Refusal::unavailable("NOT_READY", "not durable now: the opt-outs on record are being read"))
    }
}

fn place(calls: &Arc<Semaphore>) -> Result<Place, Refusal> {
    let permit = calls.clone().try_acquire_owned().map_err(|_| {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_CALLS", "too many calls at once: try again")
    })?;
    Ok(Arc::new(permit))
}

/// The API's routes.
pub fn api(state: ApiState) -> Router {
    let mut router = Router::new()
        .route("/v1/suppressions", post(suppressions::add))
        .route("/v1/suppressions/lift", post(suppressions::lift))
        .route("/v1/suppressions/lookup", post(suppressions::look_up))
        .layer(DefaultBodyLimit::max(body::BODY_BYTES_MAX))
        // Its body is read in pieces, and bounded by what waits.
        .route("/v1/suppressions/import", post(imports::create))
        .route("/v1/imports/{id}", get(imports::tell))
        .route("/v1/imports/{id}/undo", post(imports::undo));
    if state.local.is_some() {
        let local = Router::new()
            .route("/v1/local/snapshot", post(local::snapshot))
            .route("/v1/local/jobs", post(local::submit_jobs))
            .route("/v1/local/deliveries", get(local::deliveries))
            .route("/v1/local/deliveries/commit", post(local::commit))
            .route("/v1/local/keys/rotate", post(local::rotate))
            .layer(DefaultBodyLimit::max(local::BODY_BYTES_MAX));
        router = router.merge(local);
    }
    router.fallback(answer::not_found).method_not_allowed_fallback(answer::not_allowed).with_state(state)
}
