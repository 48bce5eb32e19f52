//! `/v1/suppressions`: opt-outs in, lifted, looked up.

use axum::Json;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use serde_json::{Value, json};
use tamis_bus::KeyedRecord;
use tamis_campaign::{Channel, Tenant};
use tamis_pipeline::View;
use tamis_subject::SCHEME;
use tamis_suppression::{Found, Unreadable};
use tamis_wire::record::{self, Record, State};

use crate::access::Caller;
use crate::answer::Refusal;
use crate::ask::{Ask, Door, LookUp};
use crate::audit::Change;
use crate::body;
use crate::once::Once;
use crate::openapi::schemas;
use crate::problems::Code;
use crate::recording::{Deed, Made, Rejected};
use crate::rows::Row;
use crate::scopes::KeyScope;
use crate::state::ApiState;

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
    let (scope, change) = match door {
        Door::Add => (KeyScope::WriteSuppressions, Change::Add),
        Door::Lift => (KeyScope::LiftSuppressions, Change::Lift),
    };
    let (caller, place) = state.enter(&request, scope)?;
    let once = Once::of(&request, &caller)?;
    let body = body::read(request, body::BODY_BYTES_MAX).await?;
    let work = async {
        let ask = Ask::read(&body, door, &caller)?;
        let deed = Deed {
            change,
            reason: ask.reason,
            evidence: ask.evidence.clone(),
            brief: body.len() <= body::BRIEF,
        };
        state.carry_out(deed, &caller, place, move |state, by| Ok(records(state, &ask, door, by))).await
    };
    state.once(once, &body, work).await
}

/// The records to write, and the rows that make none.
fn records(state: &ApiState, ask: &Ask, door: Door, caller: &Caller) -> Made {
    let partitions = state.recorder.partitions();
    let expires_at_ms = if door == Door::Add { ask.expires_at_ms } else { 0 };
    let expired = expires_at_ms != 0 && expires_at_ms <= crate::now_ms();
    let mut made = Made::default();
    let subjects = state.filter.doors();
    for Row { field, index, subject } in ask.rows.subjects(&subjects.first(), ask.tenant()) {
        let (first, identity) = match subject {
            Ok(_) if expired => {
                made.rejected.push(Rejected { field, index, code: "EXPIRED" });
                continue;
            }
            Ok(subject) => subject,
            Err(code) => {
                made.rejected.push(Rejected { field, index, code });
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
        made.records.push(KeyedRecord::new(partition, record::key(&record), record::encode(&record)));
        made.accepted += 1;
    }
    made
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
