//! What operators take out of a filter: records as rows, and which of some subjects are suppressed. Keyed digests, no addresses.
//!
//! Commands on the same machine ask for both where this process has the embedded log. An answer is one stretch of a walk
//! ([`tamis_suppression::Stretch`]), some MB: so memory is flat however many records there are, whoever reads slowly holds up
//! nobody, and a walk goes on where it was after a restart.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tamis_campaign::{Channel, Purpose, Tenant, UnixMs};
use tamis_pipeline::{Filter, View};
use tamis_subject::Subject;
use tamis_suppression::{Known, Unreadable};

use crate::answer::Refusal;
use crate::body;
use crate::local::{operators, parse};
use crate::problems::Code;
use crate::state::ApiState;

/// Subjects of a call.
const SUBJECTS_MAX: usize = 1 << 16;
/// Subjects that are looked up while the filter stands still: some milliseconds, even from a disk.
const STILL: usize = 512;

/// A record as it is exported. Empty texts and zeros are told, so that every row has the same fields.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportRow<'a> {
    /// Of what was asked for: the line on which it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Of what was asked for: the contact, as the caller gave it.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Cow<'a, str>>,
    /// The person's keyed digest: 32 hexadecimal digits.
    #[serde(borrow)]
    pub subject: Cow<'a, str>,
    /// What it was made from.
    #[serde(borrow)]
    pub identity: Cow<'a, str>,
    /// `platform`, `tenant` or `list`.
    #[serde(borrow)]
    pub scope: Cow<'a, str>,
    /// The tenant, empty for the platform.
    #[serde(borrow)]
    pub tenant: Cow<'a, str>,
    /// The list, where the scope is one.
    #[serde(borrow)]
    pub list: Cow<'a, str>,
    /// The channel, or `all`.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// Why.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// From when on, Unix ms; 0 = at once.
    pub effective_at_ms: UnixMs,
    /// Until when, Unix ms; 0 = for good.
    pub expires_at_ms: UnixMs,
    /// Which door it came in by.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// An opaque id.
    #[serde(borrow)]
    pub evidence: Cow<'a, str>,
    /// When the log took it, Unix ms.
    pub recorded_at_ms: UnixMs,
}

/// Some of the records of a filter.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportPage {
    /// The next offset of each partition: every record before it is told, if it was in force all the while.
    pub position: Vec<i64>,
    /// The scheme of its subjects.
    pub scheme: u32,
    /// Where to go on; `None` at the end.
    pub next: Option<u32>,
    /// An [`ExportRow`] in JSON on each line.
    #[serde(skip)]
    pub rows: Vec<u8>,
}

impl ExportPage {
    /// The records of subjects that begin with the bits of `from` on, a tenant's own or all.
    ///
    /// # Errors
    /// When the snapshot in use can't be read.
    pub fn of(filter: &Filter, from: u32, tenant: Option<&str>, now_ms: UnixMs) -> Result<Self, Unreadable> {
        let (mut page, stretch) = filter.hold_still(|view| (Self::begun(view), view.stretch(from, tenant)));
        page.next = stretch.records(now_ms, |known| page.put(None, &known))?;
        Ok(page)
    }

    /// The records of each of `subjects`, whose numbers are their lines.
    ///
    /// # Errors
    /// When the snapshot in use can't be read.
    pub fn of_subjects(
        filter: &Filter,
        subjects: &[Subject],
        tenant: Option<&str>,
        now_ms: UnixMs,
    ) -> Result<Self, Unreadable> {
        let mut page = Self::begun(&filter.read());
        for (at, some) in (0..).step_by(STILL).zip(subjects.chunks(STILL)) {
            let told = |number: usize, known: Known<'_>| page.put(Some(at + number as u64), &known);
            filter.hold_still(|view| view.records_of(some, tenant, now_ms, told))?;
        }
        Ok(page)
    }

    fn begun(view: &View) -> Self {
        let (position, scheme) = (view.position().to_vec(), view.key().scheme());
        Self { position, scheme, next: None, rows: Vec::new() }
    }

    fn put(&mut self, line: Option<u64>, known: &Known<'_>) {
        let (tenant, list) = known.scope.names();
        let row = ExportRow {
            line,
            contact: None,
            subject: hex(&known.subject).into(),
            identity: known.identity.as_str().into(),
            scope: known.scope.as_str().into(),
            tenant: tenant.into(),
            list: list.into(),
            channel: known.channel.map_or("all", Channel::as_str).into(),
            reason: known.reason.as_str().into(),
            effective_at_ms: known.effective_at_ms,
            expires_at_ms: known.expires_at_ms,
            source: known.source.as_str().into(),
            evidence: known.evidence.into(),
            recorded_at_ms: known.recorded_at_ms,
        };
        serde_json::to_writer(&mut self.rows, &row).expect("a Vec takes what is written to it");
        self.rows.push(b'\n');
    }
}

/// A subject as exports have it: its bytes in order, as hexadecimal digits.
fn hex(subject: &Subject) -> String {
    format!("{:032x}", u128::from_be_bytes(subject.to_bytes()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    from: u32,
    #[serde(default)]
    of: Option<Subjects>,
}

/// Subjects, sixteen bytes each, in base64, and the scheme that they are of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subjects {
    scheme: u32,
    subjects: String,
}

impl Subjects {
    fn read(&self) -> Result<Vec<Subject>, Refusal> {
        let bytes = BASE64_STANDARD.decode(&self.subjects).unwrap_or_default();
        let (subjects, rest) = bytes.as_chunks();
        if !rest.is_empty() || (subjects.is_empty() && !self.subjects.is_empty()) {
            return Err(Refusal::field("subjects", "must be sixteen bytes each, in base64"));
        }
        if subjects.len() > SUBJECTS_MAX {
            let text = format!("at most {SUBJECTS_MAX} subjects go in a call");
            return Err(Refusal::new(Code::TooManyRows, text));
        }
        Ok(subjects.iter().map(|subject| Subject::from_bytes(*subject)).collect())
    }
}

/// Subjects of another key than the filter's would all be unknown to it.
fn same_key(asked: u32, filter: &Filter) -> Result<(), Refusal> {
    if asked == filter.read().key().scheme() {
        return Ok(());
    }
    let text = "the identity key was rotated: make subjects with the one in use";
    Err(Refusal::new(Code::OtherKey, text))
}

fn named(tenant: Option<&str>) -> Result<(), Refusal> {
    match tenant.map(Tenant::parse) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(Refusal::field("tenant", error.to_string())),
    }
}

/// `{"tenant","from"}` or `{"tenant","of":{"scheme","subjects"}}`, without `tenant` of everybody → in NDJSON a line with
/// `{"position","scheme","next"}`, then a line for each record.
pub(crate) async fn export(State(state): State<ApiState>, request: Request) -> Result<Response, Refusal> {
    let (caller, place) = state.enter_local(&request)?;
    let local = operators(&state, &caller)?;
    let body = body::read(request, body::BODY_BYTES_MAX).await?;
    let Export { tenant, from, of } = parse(&body, "body")?;
    named(tenant.as_deref())?;
    state.loaded()?;
    if from == 0 {
        tracing::info!(key = caller.id, of_all = tenant.is_none(), "opt-outs exported");
    }
    let page = apart(move || {
        let _place = place;
        local.caught_up(&state.filter).map_err(behind)?;
        let (filter, tenant, now_ms) = (&state.filter, tenant.as_deref(), crate::now_ms());
        let page = match of {
            None => ExportPage::of(filter, from, tenant, now_ms),
            Some(of) => {
                let subjects = of.read()?;
                let page = ExportPage::of_subjects(filter, &subjects, tenant, now_ms);
                same_key(of.scheme, filter)?;
                page
            }
        };
        page.map_err(|error| Refusal::new(Code::NotReady, format!("not known now: {error}")))
    });
    let page = page.await?;
    let mut text = serde_json::to_vec(&page).map_err(|_| Refusal::defect())?;
    text.push(b'\n');
    text.extend_from_slice(&page.rows);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Judge {
    tenant: String,
    list: String,
    channel: String,
    purpose: String,
    #[serde(default)]
    needs_consent: bool,
    of: Subjects,
}

/// `{"tenant","list","channel","purpose","needs_consent","of":{"scheme","subjects"}}` → `{"position","decided_at_ms","reasons"}`: for
/// each subject a byte, the number of the lowest reason for which the line would drop it, or 0; in base64.
pub(crate) async fn judge(State(state): State<ApiState>, request: Request) -> Result<Json<Value>, Refusal> {
    let (caller, place) = state.enter_local(&request)?;
    let local = operators(&state, &caller)?;
    let body = body::read(request, body::BODY_BYTES_MAX).await?;
    let Judge { tenant, list, channel, purpose, needs_consent, of } = parse(&body, "body")?;
    named(Some(&tenant))?;
    let channel = Channel::from_name(&channel).ok_or_else(|| Refusal::field("channel", "not a channel"))?;
    let purpose =
        Purpose::from_name(&purpose).ok_or_else(|| Refusal::field("purpose", "marketing or service"))?;
    state.loaded()?;
    let told = apart(move || {
        let _place = place;
        let subjects = of.read()?;
        local.caught_up(&state.filter).map_err(behind)?;
        let position = state.filter.position();
        let decided_at_ms = crate::now_ms();
        let mut reasons = Vec::with_capacity(subjects.len());
        for some in subjects.chunks(STILL) {
            let view = state.filter.read();
            let selection = view.selection(&tenant, &list, channel, purpose, needs_consent);
            selection.reasons(some, decided_at_ms, &mut reasons);
        }
        // If the key changed meanwhile, some were not looked for under their own.
        same_key(of.scheme, &state.filter)?;
        let reasons: Vec<u8> =
            reasons.into_iter().map(|reason| reason.map_or(0, |reason| reason as u8)).collect();
        Ok(json!({
            "position": position.as_slice(),
            "decided_at_ms": decided_at_ms,
            "reasons": BASE64_STANDARD.encode(reasons),
        }))
    });
    told.await.map(Json)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn behind(error: tamis_bus::Error) -> Refusal {
    Refusal::new(Code::NotReady, format!("not known now: {error}"))
}

/// Work that takes a while, on a thread where that is fine.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::defect())?
}
