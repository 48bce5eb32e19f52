//! `/v1/local`: the embedded log, which one process has, for commands on the same machine. Operators only.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tamis_bus::{Blame, Error};
use tamis_campaign::Channel;
use tamis_pipeline::Filter;
use tamis_pipeline::rotate::Rotated;

use crate::access::Caller;
use crate::answer::Refusal;
use crate::audit::{self, Change, Of};
use crate::body;
use crate::keys::Owner;
use crate::problems::Code;
use crate::state::ApiState;

/// The largest body, bytes: a job of the largest message that topics take by default, in base64, and room for more.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;
/// Deliveries in an answer.
const RECORDS_MAX: usize = 1_000;
/// How long an answer may wait for deliveries.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// A reader's name, as the log takes it.
const GROUP_MOST: usize = 200;

/// Which deliveries are wanted.
#[derive(Debug, Clone)]
pub struct LocalAsk {
    /// Of which channel.
    pub channel: Channel,
    /// In whose name.
    pub group: String,
    /// Begin at the oldest if the group has committed nothing.
    pub from_beginning: bool,
    /// Records in an answer.
    pub max: usize,
    /// How long to wait for the first.
    pub wait: Duration,
}

/// A delivery as it stands in the log. Holds personal data: no `Debug`.
pub struct LocalRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The log's timestamp, Unix ms.
    pub timestamp_ms: i64,
    /// The key: a job's id.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// Headers, name and value.
    pub headers: Vec<(String, String)>,
}

/// The embedded log of this process. Calls may block; they are made on threads where that is fine.
pub trait Local: Send + Sync {
    /// Writes jobs, each an id and a value, and returns when all are durable.
    ///
    /// # Errors
    /// When one could not be written; the others may have been.
    fn submit_jobs(&self, jobs: Vec<(String, Vec<u8>)>) -> Result<(), Error>;

    /// Reads on for the group; what was read is kept in mind for [`Local::commit`].
    ///
    /// # Errors
    /// When the log can't be read.
    fn poll(&self, ask: &LocalAsk) -> Result<Vec<LocalRecord>, Error>;

    /// Commits what was read for the group.
    ///
    /// # Errors
    /// When the log can't be written.
    fn commit(&self, channel: Channel, group: &str) -> Result<(), Error>;

    /// Rotates the identity key; goes on once `filter`, which is this process's, has the new one.
    ///
    /// # Errors
    /// When the key file or the log can't be changed. To be called again then.
    fn rotate(&self, filter: &Filter) -> Result<Rotated, Error>;

    /// Waits until `filter` has come to where the suppression log ends now: whoever asks after an opt-out was acknowledged is told of
    /// it.
    ///
    /// # Errors
    /// When it does not come there in time.
    fn caught_up(&self, filter: &Filter) -> Result<(), Error>;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jobs {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    job_id: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    channel: String,
    group: String,
}

/// `{"jobs":[{"job_id","value"}]}`, values in base64 → `{"accepted"}`.
pub(crate) async fn submit_jobs(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (caller, _place) = state.enter_local(&request)?;
    let local = operators(&state, &caller)?;
    let body = body::read(request, BODY_BYTES_MAX).await?;
    let Jobs { jobs } = parse(&body, "jobs")?;
    let decode = |job: Job| match BASE64_STANDARD.decode(&job.value) {
        Ok(value) => Ok((job.job_id, value)),
        Err(_) => Err(Refusal::field("jobs", "each value must be base64")),
    };
    let jobs: Vec<_> = jobs.into_iter().map(decode).collect::<Result<_, _>>()?;
    let accepted = jobs.len();
    blocking(move || local.submit_jobs(jobs)).await?;
    Ok(Json(json!({ "accepted": accepted })))
}

/// `?channel=&group=&from_beginning=&max=&wait_ms=` → `{"records":[…]}`.
pub(crate) async fn deliveries(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (caller, _place) = state.enter_local(&request)?;
    let local = operators(&state, &caller)?;
    let ask = asked(request.uri())?;
    let records = blocking(move || local.poll(&ask)).await?;
    let told = |record: LocalRecord| {
        json!({
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": record.key,
            "value": BASE64_STANDARD.encode(record.value),
            "headers": record.headers.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        })
    };
    Ok(Json(json!({ "records": records.into_iter().map(told).collect::<Vec<Value>>() })))
}

/// `{"channel","group"}` → `{}`.
pub(crate) async fn commit(State(state): State<ApiState>, request: Request) -> Result<Json<Value>, Refusal> {
    let (caller, _place) = state.enter_local(&request)?;
    let local = operators(&state, &caller)?;
    let body = body::read(request, BODY_BYTES_MAX).await?;
    let Commit { channel: name, group } = parse(&body, "body")?;
    let (channel, group) = (channel(&name)?, checked_group(group)?);
    blocking(move || local.commit(channel, &group)).await?;
    Ok(Json(json!({})))
}

/// `{}` → `{"number","taken_at_ms","subjects","records"}`: a snapshot of the filter, written now.
pub(crate) async fn snapshot(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (caller, _place) = state.enter_local(&request)?;
    operators(&state, &caller)?;
    let snapshots = state.snapshots.clone();
    let written =
        tokio::task::spawn_blocking(move || snapshots.map_or(Ok(None), |snapshots| snapshots.write()));
    match written.await.map_err(|_| Refusal::defect())? {
        Ok(Some((number, about))) => Ok(Json(json!({
            "number": number,
            "taken_at_ms": about.taken_at_ms,
            "subjects": about.subjects,
            "records": about.records,
        }))),
        Ok(None) => Err(Refusal::new(Code::NotReady, "the opt-outs on record are being read")),
        Err(error) => Err(Refusal::new(Code::NotWritten, format!("no snapshot: {error}"))),
    }
}

/// `{}` → `{"scheme","copied","removed","blocked_again"}`, when it is done.
pub(crate) async fn rotate(State(state): State<ApiState>, request: Request) -> Result<Json<Value>, Refusal> {
    let (caller, _place) = state.enter_local(&request)?;
    let local = operators(&state, &caller)?;
    state.loaded()?;
    let filter = state.filter.clone();
    let Rotated { scheme, copied, removed, blocked_again } = blocking(move || local.rotate(&filter)).await?;
    tracing::info!(key = caller.id, scheme, copied, removed, blocked_again, "identity key rotated");
    let count = usize::try_from(copied).unwrap_or(usize::MAX);
    audit::changed(&caller, Change::RotateKey, &Of { count, ..Of::default() });
    Ok(Json(json!({
        "scheme": scheme, "copied": copied, "removed": removed, "blocked_again": blocked_again,
    })))
}

pub(crate) fn operators(state: &ApiState, caller: &Caller) -> Result<Arc<dyn Local>, Refusal> {
    match (&caller.owner, &state.local) {
        (Owner::Operator, Some(local)) => Ok(local.clone()),
        (Owner::Operator, None) | (Owner::Tenant(_) | Owner::Gateway(_), _) => {
            Err(Refusal::not_yours("this needs an operator's key"))
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::defect())?;
    done.map_err(|error| {
        tracing::warn!(%error, "the embedded log refuses a command");
        if matches!(error.blame(), Blame::Configuration) {
            return Refusal::new(Code::Refused, error.to_string());
        }
        // Its text names operations and topics, never a record's key or value.
        Refusal::new(Code::NotDurable, format!("not durable now: {error}"))
    })
}

pub(crate) fn parse<'de, T: Deserialize<'de>>(body: &'de [u8], field: &str) -> Result<T, Refusal> {
    // serde's words would quote what came in.
    serde_json::from_slice(body).map_err(|_| Refusal::field(field, "not what this call takes"))
}

fn asked(uri: &Uri) -> Result<LocalAsk, Refusal> {
    let pairs: Vec<(&str, &str)> =
        uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).collect();
    let value = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let number = |name: &str, default: u64| match value(name) {
        None => Ok(default),
        Some(text) => text.parse::<u64>().map_err(|_| Refusal::field(name, "must be a whole number")),
    };
    let max = usize::try_from(number("max", 100)?).unwrap_or(RECORDS_MAX);
    Ok(LocalAsk {
        channel: channel(value("channel").unwrap_or_default())?,
        group: checked_group(value("group").unwrap_or_default().to_owned())?,
        from_beginning: value("from_beginning") == Some("true"),
        max: max.clamp(1, RECORDS_MAX),
        wait: Duration::from_millis(number("wait_ms", 0)?).min(WAIT_MAX),
    })
}

fn channel(name: &str) -> Result<Channel, Refusal> {
    Channel::from_name(name).ok_or_else(|| Refusal::field("channel", "not a channel"))
}

fn checked_group(group: String) -> Result<String, Refusal> {
    if tamis_campaign::is_identifier(group.as_bytes(), GROUP_MOST) {
        return Ok(group);
    }
    Err(Refusal::field("group", format!("must be 1 to {GROUP_MOST} characters of [A-Za-z0-9._:-]")))
}
