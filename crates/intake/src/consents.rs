//! `/v1/consents`: a consent is recorded with its evidence, or withdrawn (contract, section 6).
//!
//! A consent is a positive record; a withdrawal lifts it and is an opt-out besides, which counts on channels that need no consent,
//! too. So a consent given anew must lift that opt-out, and may only when it was given after: a list of old consents that is sent
//! again must not undo what was withdrawn since (nothing that adds in bulk can lift).

use axum::Json;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tamis_bus::KeyedRecord;
use tamis_campaign::{Identity, RecordReason, Tenant, UnixMs};
use tamis_subject::{SCHEME, Subject, Subjects};
use tamis_suppression::{Found, Index};
use tamis_wire::record::{self, Record, Scope, State};

use crate::access::Caller;
use crate::answer::Refusal;
use crate::ask::ConsentAsk;
use crate::body;
use crate::rows::Row;
use crate::state::ApiState;
use crate::suppressions::{Rejected, position};

/// What is said of a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Granted,
    Withdrawn,
}

pub(crate) async fn grant(Shared(state): Shared<ApiState>, request: Request) -> Result<Json<Value>, Refusal> {
    write(state, request, Said::Granted).await
}

pub(crate) async fn withdraw(
    Shared(state): Shared<ApiState>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    write(state, request, Said::Withdrawn).await
}

async fn write(state: ApiState, request: Request, said: Said) -> Result<Json<Value>, Refusal> {
    let (caller, place) = state.enter(request.headers())?;
    let body = body::read(request, body::BODY_BYTES_MAX).await?;
    let now_ms = crate::now_ms();
    let ask = match said {
        Said::Granted => ConsentAsk::granted(&body, &caller, now_ms)?,
        Said::Withdrawn => ConsentAsk::withdrawn(&body, &caller)?,
    };
    state.loaded()?;
    let (shared, working, source) = (state.clone(), place.clone(), caller.source);
    let id = caller.id.clone();
    let made = tokio::task::spawn_blocking(move || {
        let _place = working;
        records(&shared, &ask, said, &caller, now_ms)
    });
    let (records, accepted, rejected) = made.await.map_err(|_| Refusal::defect())??;
    if accepted == 0 {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "ALL_REJECTED", "every row is rejected")
            .with(json!({ "accepted": 0, "rejected": rejected })));
    }
    let reached = state.record(records, &id, place).await?;
    let reason = if said == Said::Granted { RecordReason::Consent } else { RecordReason::ConsentWithdrawn };
    state.metrics.suppression_records(reason, source, accepted as u64);
    tracing::info!(key = id, ?said, accepted, rejected = rejected.len(), "consents recorded");
    let position = position(&reached, state.filter.read().position());
    Ok(Json(json!({ "accepted": accepted, "rejected": rejected, "position": position })))
}

/// The records to write, how many rows they are of, and the rows that make none.
fn records(
    state: &ApiState,
    ask: &ConsentAsk,
    said: Said,
    caller: &Caller,
    now_ms: UnixMs,
) -> Result<(Vec<KeyedRecord>, usize, Vec<Rejected>), Refusal> {
    let subjects = state.filter.doors();
    let expired = said == Said::Granted && ask.expires_at_ms != 0 && ask.expires_at_ms <= now_ms;
    let rows: Vec<Row> = ask.rows.subjects(&subjects.first(), Tenant::parse(&ask.tenant).ok()).collect();
    let withdrawn = match said {
        Said::Granted => withdrawals(state, ask, &rows, now_ms)?,
        Said::Withdrawn => vec![None; rows.len()],
    };
    let maker = Maker { state, ask, caller, subjects: &subjects };
    let (mut records, mut accepted, mut rejected) = (Vec::new(), 0, Vec::new());
    for (Row { field, index, subject }, withdrawn) in rows.into_iter().zip(withdrawn) {
        let code = match subject {
            Err(code) => code,
            Ok(_) if expired => "EXPIRED",
            Ok(_) if withdrawn.is_some_and(|at_ms| at_ms >= ask.granted_at_ms) => "WITHDRAWN_SINCE",
            Ok(who) => {
                accepted += 1;
                match said {
                    Said::Granted => {
                        records.push(maker.record(who, RecordReason::Consent, State::InForce));
                        if withdrawn.is_some() {
                            records.push(maker.record(who, RecordReason::ConsentWithdrawn, State::Lifted));
                        }
                    }
                    // The opt-out first: between the two nobody is written to.
                    Said::Withdrawn => {
                        records.push(maker.record(who, RecordReason::ConsentWithdrawn, State::InForce));
                        records.push(maker.record(who, RecordReason::Consent, State::Lifted));
                    }
                }
                continue;
            }
        };
        rejected.push(Rejected { field, index, code });
    }
    Ok((records, accepted, rejected))
}

/// When each row's consent for this channel was withdrawn, where that is in force.
fn withdrawals(
    state: &ApiState,
    ask: &ConsentAsk,
    rows: &[Row],
    now_ms: UnixMs,
) -> Result<Vec<Option<UnixMs>>, Refusal> {
    let mine = |found: &Found| {
        found.reason == RecordReason::ConsentWithdrawn
            && found.channel == ask.channel
            && matches!(found.scope, Scope::Tenant(_))
    };
    let one = |index: &Index, first: Subject, key: &Subjects| {
        let found = index.in_force(&ask.tenant, &key.advance(first, SCHEME), now_ms)?;
        Ok(found.iter().filter(|found| mine(found)).map(|found| found.recorded_at_ms).max())
    };
    let found = state.filter.hold_still(|view| {
        let key = view.key().clone();
        rows.iter()
            .map(|row| row.subject.map_or(Ok(None), |(first, _)| one(view, first, &key)))
            .collect::<Result<Vec<_>, tamis_suppression::Unreadable>>()
    });
    found.map_err(|error| Refusal::unavailable("NOT_READY", format!("not known now: {error}")))
}

/// Makes records of one call.
struct Maker<'a> {
    state: &'a ApiState,
    ask: &'a ConsentAsk,
    caller: &'a Caller,
    subjects: &'a Subjects,
}

impl Maker<'_> {
    fn record(
        &self,
        (first, identity): (Subject, Identity),
        reason: RecordReason,
        state: State,
    ) -> KeyedRecord {
        let consents = reason == RecordReason::Consent && state == State::InForce;
        let record = Record {
            subject: self.subjects.advance(first, SCHEME),
            identity,
            scope: Scope::Tenant(self.ask.tenant.as_str().into()),
            channel: self.ask.channel,
            reason,
            state,
            effective_at_ms: 0,
            expires_at_ms: if consents { self.ask.expires_at_ms } else { 0 },
            source: self.caller.source,
            evidence: self.ask.evidence.clone(),
            scheme: self.subjects.scheme(),
        };
        let partition = record::partition_of(&first, self.state.recorder.partitions());
        KeyedRecord::new(partition, record::key(&record), record::encode(&record))
    }
}
