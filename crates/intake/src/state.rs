//! The API: its routes, and what its calls share.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::Value;
use tamis_bus::Recorder;
use tamis_pipeline::Filter;
use tamis_pipeline::snapshots::Snapshots;
use tamis_policy::Current;
use tamis_telemetry::Metrics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::JobTenants;
use crate::access::{Access, Caller, Stranger};
use crate::answer::{self, Refusal};
use crate::imports::{self, Imports};
use crate::keys::Owner;
use crate::local::{self, Local};
use crate::once::{Once, Remembered};
use crate::problems::Code;
use crate::rates::{self, Peer, Rates, Slot};
use crate::scopes::KeyScope;
use crate::webhooks::{self, Webhooks};
use crate::{body, consents, export, links, openapi, problem_pages, suppressions};

/// Calls at once; one may hold a body of 4 MiB and what is made of it.
const CALLS_MAX: usize = 32;
/// Calls of commands on this machine at once; they wait for deliveries, and opt-outs must not wait for them.
const LOCAL_CALLS_MAX: usize = 8;
/// Opt-outs by link that are being recorded at once; they have places of their own, so that no load of the API's starves them.
const PUBLIC_CALLS_MAX: usize = 64;
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
    pub(crate) policy: Current,
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) job_tenants: Option<JobTenants>,
    /// What links begin with.
    pub(crate) public_url: Arc<str>,
    pub(crate) links: Links,
    access: Access,
    process_token: Option<Arc<str>>,
    rates: Arc<Rates>,
    remembered: Arc<Mutex<Remembered>>,
    calls: Arc<Semaphore>,
    local_calls: Arc<Semaphore>,
    public_calls: Arc<Semaphore>,
}

/// What holds for unsubscribe links.
#[derive(Debug, Clone, Copy, Default)]
pub struct Links {
    /// For how many days a link is good; 0 = for ever.
    pub days: u16,
    /// Whether people come by https, in front of which there is a proxy: then browsers are told to stay with it.
    pub https: bool,
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
            policy: Current::default(),
            webhooks: Arc::default(),
            job_tenants: None,
            public_url: "".into(),
            links: Links::default(),
            access,
            process_token: None,
            rates: Arc::new(Rates::new(0)),
            remembered: Arc::default(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            local_calls: Arc::new(Semaphore::new(LOCAL_CALLS_MAX)),
            public_calls: Arc::new(Semaphore::new(PUBLIC_CALLS_MAX)),
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

    /// Goes by `policy`, which may be replaced meanwhile.
    #[must_use]
    pub fn with_policy(self, policy: Current) -> Self {
        Self { policy, ..self }
    }

    /// Links begin with `url` (`http.public_url`).
    #[must_use]
    pub fn with_public_url(self, url: &str) -> Self {
        Self { public_url: url.into(), ..self }
    }

    /// Takes unsubscribe links as `links` says, instead of for ever.
    #[must_use]
    pub fn with_links(self, links: Links) -> Self {
        Self { links, ..self }
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

    /// Lets each key make so many calls a second; 0 is no limit. The process token, and callers where no key is asked for, have
    /// none.
    #[must_use]
    pub fn with_rate_per_key(self, per_second: u32) -> Self {
        Self { rates: Arc::new(Rates::new(per_second)), ..self }
    }

    /// The same behind a door of its own on this machine, which takes the process token and no key.
    #[must_use]
    pub fn for_this_machine(self) -> Self {
        Self { access: Access::closed(), ..self }
    }

    /// Knows whose the jobs are that replies name. Without, the next rule decides whose a reply is.
    #[must_use]
    pub fn with_job_tenants(self, tenants: JobTenants) -> Self {
        Self { job_tenants: Some(tenants), ..self }
    }

    /// Waits `timeout` for the log instead of ten seconds.
    #[must_use]
    pub fn with_ack_timeout(self, timeout: Duration) -> Self {
        Self { ack_timeout: timeout, ..self }
    }

    /// Who calls, if the key may do that and not too often, and a place among the calls at once. The key is looked at before
    /// anything else is. Every handler that asks for a key begins with this.
    pub(crate) fn enter(&self, request: &Request, scope: KeyScope) -> Result<(Caller, Place), Refusal> {
        Ok((self.caller(request, scope)?, place(&self.calls)?))
    }

    /// As [`ApiState::enter`], for `/v1/local`.
    pub(crate) fn enter_local(&self, request: &Request) -> Result<(Caller, Place), Refusal> {
        Ok((self.caller(request, KeyScope::Operate)?, place(&self.local_calls)?))
    }

    /// Carries out what a call asks, unless it was under its `Idempotency-Key`: then it is answered as it was. `once` was taken from the
    /// call's head, `body` is the whole of it.
    pub(crate) async fn once(
        &self,
        once: Once,
        body: &[u8],
        work: impl Future<Output = Result<Json<Value>, Refusal>>,
    ) -> Result<Response, Refusal> {
        once.run(&self.remembered, body, work).await
    }

    /// Who calls, without a place among the calls at once: for what takes its places elsewhere.
    pub(crate) fn caller(&self, request: &Request, scope: KeyScope) -> Result<Caller, Refusal> {
        let slot = request.extensions().get::<Slot>();
        let caller = match self.access.caller(request.headers(), self.process_token.as_deref()) {
            Ok(caller) => caller,
            Err(stranger) => return Err(self.stranger(request, stranger, slot)),
        };
        if caller.is_keyed && !self.rates.key(&caller.id, slot) {
            self.metrics.error("access", "rate_limited");
            return Err(Refusal::new(
                Code::RateLimited,
                "this key calls too often: wait as long as Retry-After says",
            ));
        }
        if caller.may(scope) {
            return Ok(caller);
        }
        self.metrics.error("access", "no_scope");
        let text = match (&caller.owner, KeyScope::of(&caller.owner).contains(&scope)) {
            (Owner::Gateway(_), false) => "a gateway's key is not for this".to_owned(),
            (_, false) => "this needs an operator's key".to_owned(),
            (_, true) => format!("this key has not the scope {}", scope.as_str()),
        };
        Err(Refusal::not_yours(text))
    }

    /// The same answer whatever is wrong with the key; which it is, is counted.
    fn stranger(&self, request: &Request, stranger: Stranger, slot: Option<&Slot>) -> Refusal {
        self.metrics.error("access", stranger.as_str());
        if self.rates.stranger(request.extensions().get::<Peer>().copied(), slot) {
            return Refusal::unknown_key();
        }
        self.metrics.error("access", "guessing");
        Refusal::new(
            Code::RateLimited,
            "too many calls without a valid key: wait as long as Retry-After says",
        )
    }

    /// Who may call.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// A place among the opt-outs by link, waited for as long as the log is: a person is not sent away for a moment's rush.
    pub(crate) async fn enter_public(&self) -> Result<Place, Refusal> {
        let waiting = tokio::time::timeout(self.ack_timeout, self.public_calls.clone().acquire_owned());
        let permit =
            waiting.await.map_err(|_| Refusal::new(Code::NotReady, "too many calls at once: try again"))?;
        Ok(Arc::new(permit.expect("the places are never closed")))
    }

    /// Nothing is recorded or looked up before the filter has read its log: only then is it known that the key is the
    /// log's, and what is in force. Nor with a key from before a rotation.
    pub(crate) fn loaded(&self) -> Result<(), Refusal> {
        if self.filter.is_outdated() {
            return Err(Refusal::new(
                Code::NotReady,
                "not durable now: the new identity key is not here yet",
            ));
        }
        if self.filter.is_loaded() {
            return Ok(());
        }
        Err(Refusal::new(Code::NotReady, "not durable now: the opt-outs on record are being read"))
    }
}

/// A place among `calls`.
pub(crate) fn place(calls: &Arc<Semaphore>) -> Result<Place, Refusal> {
    let permit = calls
        .clone()
        .try_acquire_owned()
        .map_err(|_| Refusal::new(Code::TooManyCalls, "too many calls at once: try again"))?;
    Ok(Arc::new(permit))
}

/// The API's routes.
pub fn api(state: ApiState) -> Router {
    let mut router = Router::new()
        .route("/v1/suppressions", post(suppressions::add))
        .route("/v1/suppressions/lift", post(suppressions::lift))
        .route("/v1/suppressions/lookup", post(suppressions::look_up))
        .route("/v1/unsubscribe-links", post(links::mint))
        .route("/v1/consents", post(consents::grant))
        .route("/v1/consents/withdraw", post(consents::withdraw))
        .route("/openapi.json", get(openapi::document))
        .route("/problems", get(problem_pages::all))
        .route("/problems/{code}", get(problem_pages::one))
        .layer(DefaultBodyLimit::max(body::BODY_BYTES_MAX))
        .merge(webhooks::routes())
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
            .route("/v1/local/export", post(export::export))
            .route("/v1/local/judge", post(export::judge))
            .layer(DefaultBodyLimit::max(local::BODY_BYTES_MAX));
        router = router.merge(local);
    }
    router
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::not_allowed)
        .layer(middleware::from_fn(rates::tell))
        .with_state(state)
}
