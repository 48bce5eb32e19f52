//! `/v1/suppressions`: opt-outs in, lifted, looked up.

use axum::Json;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use tamis_bus::{KeyedRecord, Positions};
use tamis_campaign::{Channel, Tenant};
use tamis_pipeline::View;
use tamis_subject::SCHEME;
use tamis_suppression::{Found, Unreadable};
use tamis_wire::record::{self, Record, State};

use crate::access::Caller;
use crate::answer::Refusal;
use crate::ask::{Ask, Door, LookUp};
use crate::audit::{self, Change, Of};
use crate::body;
use crate::once::Once;
use crate::openapi::schemas;
use crate::problems::Code;
use crate::rows::Row;
use crate::scopes::KeyScope;
use crate::state::{ApiState, Place};

/// A row that was not taken.
#[derive(Serialize)]
pub(crate) struct Rejected {
    pub(crate) field: &'static str,
    pub(crate) index: usize,
    pub(crate) code: &'static str,
}

/// Record opt-outs; confirmed when every accepted one is durable.
#[utoipa::path(post, path = "/v1/suppressions", tag = "suppressions", operation_id = "addSuppressions",
    request_body = schemas::OptOuts,
    responses((status = 200, description = "The accepted rows are recorded, durably.", body = schemas::Recorded)))]
pub(crate) async fn add(Shared(state): Shared<ApiState>, request: Request) -> Result<Response, Refusal> {
    write(state, request, Door::Add).await
}

/// Lift exactly the records named.
#[utoipa::path(post, path = "/v1/suppressions/lift", tag = "suppressions", operation_id = "liftSuppressions",
    request_body = schemas::Lifts,
    responses((status = 200, description = "The accepted rows are lifted, durably.", body = schemas::Recorded)))]
pub(crate) async fn lift(Shared(state): Shared<ApiState>, request: Request) -> Result<Response, Refusal> {
    write(state, request, Door::Lift).await
}

/// Takes a call in, and carries it out unless it was before.
async fn write(state: ApiState, request: Request, door: Door) -> Result<Response, Refusal> {
    let scope = match door {
        Door::Add => KeyScope::WriteSuppressions,
        Door::Lift => KeyScope::LiftSuppressions,
    };
    let (caller, place) = state.enter(&request, scope)?;
    let once = Once::of(&request, &caller)?;
    let body = body::read(request, body::BODY_BYTES_MAX).await?;
    state.once(once, &body, record(&state, &body, door, caller, place)).await
}

/// Writes the rows' records and confirms them only when all are durable (G1).
async fn record(
    state: &ApiState,
    body: &[u8],
    door: Door,
    caller: Caller,
    place: Place,
) -> Result<Json<Value>, Refusal> {
    let ask = Ask::read(body, door, &caller)?;
    state.loaded()?;
    let (reason, evidence) = (ask.reason, ask.evidence.clone());
    // Making subjects takes a while for many rows. The place is given back when this call has its answer and the work is done,
    // whichever is later.
    let (records, rejected) = if body.len() <= body::BRIEF {
        records(state, &ask, door, &caller)
    } else {
        let (shared, by, working) = (state.clone(), caller.clone(), place.clone());
        let made = tokio::task::spawn_blocking(move || {
            let _place = working;
            records(&shared, &ask, door, &by)
        });
        made.await.map_err(|_| Refusal::defect())?
    };
    let accepted = records.len();
    if accepted == 0 {
        return Err(Refusal::new(Code::AllRejected, "every row is rejected")
            .with(json!({ "accepted": 0, "rejected": rejected })));
    }
    let reached = state.record(records, &caller.id, place.clone()).await;
    drop(place);
    let reached = reached?;
    state.metrics.suppression_records(reason, caller.source, accepted as u64);
    let change = match door {
        Door::Add => Change::Add,
        Door::Lift => Change::Lift,
    };
    let of = Of { count: accepted, rejected: rejected.len(), evidence: &evidence, reached: Some(&reached) };
    audit::changed(&caller, change, &of);
    let position = position(&reached, state.filter.read().position());
    Ok(Json(json!({ "accepted": accepted, "rejected": rejected, "position": position })))
}

/// The records to write, and the rows that make none.
fn records(state: &ApiState, ask: &Ask, door: Door, caller: &Caller) -> (Vec<KeyedRecord>, Vec<Rejected>) {
    let partitions = state.recorder.partitions();
    let expires_at_ms = if door == Door::Add { ask.expires_at_ms } else { 0 };
    let expired = expires_at_ms != 0 && expires_at_ms <= crate::now_ms();
    let (mut records, mut rejected) = (Vec::new(), Vec::new());
    let subjects = state.filter.doors();
    for Row { field, index, subject } in ask.rows.subjects(&subjects.first(), ask.tenant()) {
        let (first, identity) = match subject {
            Ok(_) if expired => {
                rejected.push(Rejected { field, index, code: "EXPIRED" });
                continue;
            }
            Ok(subject) => subject,
            Err(code) => {
                rejected.push(Rejected { field, index, code });
                continue;
            }
        };
        let record = Record {
            subject: subjects.advance(first, SCHEME),
            identity,
            scope: ask.scope.clone(),
            channel: ask.channel,
            reason: ask.reason,
            state: match door {
                Door::Add => State::InForce,
                Door::Lift => State::Lifted,
            },
            effective_at_ms: 0,
            expires_at_ms,
            source: caller.source,
            evidence: ask.evidence.clone(),
            scheme: subjects.scheme(),
        };
        let partition = record::partition_of(&first, partitions);
        records.push(KeyedRecord::new(partition, record::key(&record), record::encode(&record)));
    }
    (records, rejected)
}

/// Where the log is: as acked where it was touched, elsewhere as far as the filter has read.
pub(crate) fn position(reached: &Positions, filter: &[i64]) -> Vec<i64> {
    let known = |at: usize| filter.get(at).copied().unwrap_or(0);
    reached.as_slice().iter().enumerate().map(|(at, &next)| if next < 0 { known(at) } else { next }).collect()
}

/// The records in force for each row, without the row.
#[utoipa::path(post, path = "/v1/suppressions/lookup", tag = "suppressions", operation_id = "lookUpSuppressions",
    request_body = schemas::LookUps,
    responses((status = 200, description = "The records in force for each row.", body = schemas::LookedUp)))]
pub(crate) async fn look_up(
    Shared(state): Shared<ApiState>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (caller, place) = state.enter(&request, KeyScope::ReadSuppressions)?;
    let body = body::read(request, body::BODY_BYTES_MAX).await?;
    let ask = LookUp::read(&body, &caller)?;
    state.loaded()?;
    let looked = tokio::task::spawn_blocking(move || {
        let _place = place;
        // Subjects first: the filter's writer waits for whoever reads. Its key may be a later one by then.
        let first = state.filter.doors().first();
        let rows: Vec<Row> = ask.rows.subjects(&first, Tenant::parse(&ask.tenant).ok()).collect();
        let now_ms = crate::now_ms();
        let found = |view: &View, row: &Row| match &row.subject {
            Ok((subject, _)) => {
                let subject = view.key().advance(*subject, SCHEME);
                let records = view.in_force(&ask.tenant, &subject, now_ms)?;
                let records: Vec<Value> = records.iter().map(told).collect();
                Ok(json!({ "field": row.field, "index": row.index, "records": records }))
            }
            Err(code) => Ok(json!({ "field": row.field, "index": row.index, "code": code })),
        };
        state.filter.hold_still(|view| -> Result<Vec<Value>, Unreadable> {
            rows.iter().map(|row| found(view, row)).collect()
        })
    });
    let results = looked.await.map_err(|_| Refusal::defect())?;
    let results = results.map_err(|error| Refusal::new(Code::NotReady, format!("not known now: {error}")))?;
    Ok(Json(json!({ "results": results })))
}

fn told(found: &Found) -> Value {
    json!({
        "reason": found.reason.as_str(),
        "scope": found.scope.as_str(),
        "list": found.scope.names().1,
        "channel": found.channel.map_or("all", Channel::as_str),
        "effective_at_ms": found.effective_at_ms,
        "expires_at_ms": found.expires_at_ms,
        "source": found.source.as_str(),
        "evidence": found.evidence,
        "recorded_at_ms": found.recorded_at_ms,
    })
}
