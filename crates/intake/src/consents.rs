//! `/v1/consents`: a consent is recorded with its evidence, or withdrawn (contract, section 6).
//!
//! A consent is a positive record; a withdrawal lifts it and is an opt-out besides, which counts on channels that need no consent,
//! too. So a consent given anew must lift that opt-out, and may only when it was given after: a list of old consents that is sent
//! again must not undo what was withdrawn since (nothing that adds in bulk can lift).

use axum::extract::{Request, State as Shared};
use axum::response::Response;
use tamis_bus::KeyedRecord;
use tamis_campaign::{Identity, RecordReason, Tenant, UnixMs};
use tamis_subject::{SCHEME, Subject, Subjects};
use tamis_suppression::{Found, Index};
use tamis_wire::record::{self, Record, Scope, State};

use crate::access::Caller;
use crate::answer::Refusal;
use crate::ask::ConsentAsk;
use crate::audit::Change;
use crate::body;
use crate::once::Once;
use crate::openapi::schemas;
use crate::problems::Code;
use crate::recording::{Deed, Made, Rejected};
use crate::rows::Row;
use crate::scopes::KeyScope;
use crate::state::ApiState;

/// What is said of a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Granted,
    Withdrawn,
}

/// Record consents, each with the evidence that it rests on.
#[utoipa::path(post, path = "/v1/consents", tag = "consents", operation_id = "grantConsents",
    request_body = schemas::Consents,
    responses((status = 200, description = "The accepted consents are recorded, durably.", body = schemas::Recorded)))]
pub(crate) async fn grant(Shared(state): Shared<ApiState>, request: Request) -> Result<Response, Refusal> {
    write(state, request, Said::Granted).await
}

/// Withdraw consents: each is lifted, and marketing on that channel stops.
#[utoipa::path(post, path = "/v1/consents/withdraw", tag = "consents", operation_id = "withdrawConsents",
    request_body = schemas::Withdrawals,
    responses((status = 200, description = "The accepted withdrawals are recorded, durably.", body = schemas::Recorded)))]
pub(crate) async fn withdraw(Shared(state): Shared<ApiState>, request: Request) -> Result<Response, Refusal> {
    write(state, request, Said::Withdrawn).await
}

/// Takes a call in, and carries it out unless it was before.
async fn write(state: ApiState, request: Request, said: Said) -> Result<Response, Refusal> {
    let (caller, place) = state.enter(&request, KeyScope::Consents)?;
    let once = Once::of(&request, &caller)?;
    let body = body::read(request, body::BODY_BYTES_MAX).await?;
    let work = async {
        let now_ms = crate::now_ms();
        let (ask, reason, change) = match said {
            Said::Granted => {
                let ask = ConsentAsk::granted(&body, &caller, now_ms)?;
                (ask, RecordReason::Consent, Change::GrantConsent)
            }
            Said::Withdrawn => {
                let ask = ConsentAsk::withdrawn(&body, &caller)?;
                (ask, RecordReason::ConsentWithdrawn, Change::WithdrawConsent)
            }
        };
        // Looking up what was withdrawn may wait for the filter's writer: never where others wait for their turn.
        let deed = Deed { change, reason, evidence: ask.evidence.clone(), brief: false };
        state.carry_out(deed, &caller, place, move |state, by| records(state, &ask, said, by, now_ms)).await
    };
    state.once(once, &body, work).await
}

/// The records to write, and the rows that make none.
fn records(
    state: &ApiState,
    ask: &ConsentAsk,
    said: Said,
    caller: &Caller,
    now_ms: UnixMs,
) -> Result<Made, Refusal> {
    let subjects = state.filter.doors();
    let expired = said == Said::Granted && ask.expires_at_ms != 0 && ask.expires_at_ms <= now_ms;
    let rows: Vec<Row> = ask.rows.subjects(&subjects.first(), Tenant::parse(&ask.tenant).ok()).collect();
    let withdrawn = match said {
        Said::Granted => withdrawals(state, ask, &rows, now_ms)?,
        Said::Withdrawn => vec![None; rows.len()],
    };
    let maker = Maker { state, ask, caller, subjects: &subjects };
    let mut made = Made::default();
    for (Row { field, index, subject }, withdrawn) in rows.into_iter().zip(withdrawn) {
        let code = match subject {
            Err(code) => code,
            Ok(_) if expired => "EXPIRED",
            Ok(_) if withdrawn.is_some_and(|at_ms| at_ms >= ask.granted_at_ms) => "WITHDRAWN_SINCE",
            Ok(who) => {
                made.accepted += 1;
                match said {
                    Said::Granted => {
                        made.records.push(maker.record(who, RecordReason::Consent, State::InForce));
                        if withdrawn.is_some() {
                            made.records.push(maker.record(
                                who,
                                RecordReason::ConsentWithdrawn,
                                State::Lifted,
                            ));
                        }
                    }
                    // The opt-out first: between the two nobody is written to.
                    Said::Withdrawn => {
                        made.records.push(maker.record(who, RecordReason::ConsentWithdrawn, State::InForce));
                        made.records.push(maker.record(who, RecordReason::Consent, State::Lifted));
                    }
                }
                continue;
            }
        };
        made.rejected.push(Rejected { field, index, code });
    }
    Ok(made)
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
    found.map_err(|error| Refusal::new(Code::NotReady, format!("not known now: {error}")))
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
