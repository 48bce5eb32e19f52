//! The doors of imports. A body of any length is read while it is imported: bounded in what waits, in the length of its rows
//! and in the time in which nothing comes, not in bytes.

use std::io::{self, Read};
use std::pin::Pin;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Body as _;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::plan::{self, Plan};
use super::told::{Failure, Status};
use super::{Imports, NotBegun};
use crate::access::Caller;
use crate::answer::Refusal;
use crate::audit::{self, Change, Of};
use crate::openapi::schemas;
use crate::problems::Code;
use crate::scopes::KeyScope;
use crate::state::ApiState;

/// How long a body may bring nothing: whoever reads his rows from a database may pause.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pieces of a body that wait to be imported; one has some ten KiB.
const PIECES_MAX: usize = 16;
/// How much of a refused body is read on, so that its sender hears why before the connection is closed, bytes.
const READ_ON_MAX: usize = 8 << 20;
/// The longest query, bytes.
const QUERY_MOST: usize = 4 << 10;

/// Record opt-outs of a stream of any length, CSV or NDJSON. 202 when every row is read; a row can only add.
#[utoipa::path(post, path = "/v1/suppressions/import", tag = "imports", operation_id = "importSuppressions",
    params(
        ("import_id" = Option<String>, Query, description = "An id of the caller's, to follow the import while it is sent."),
        ("tenant" = Option<String>, Query, description = "For rows without one."),
        ("channel" = Option<String>, Query, description = "For rows without one."),
        ("reason" = Option<String>, Query, description = "For rows without one."),
        ("list" = Option<String>, Query, description = "For rows without one."),
        ("from_line" = Option<u64>, Query, description = "Where to go on after a break."),
        ("visible" = Option<String>, Query, description = "`as_it_goes` or `at_once`."),
        ("reject_most" = Option<u64>, Query, description = "With `at_once`: more rejected rows than these, and nothing is recorded."),
        ("dry_run" = Option<bool>, Query, description = "Says what would change, and records nothing."),
    ),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 202, description = "Every row is read.", body = schemas::ImportBegun)))]
pub(crate) async fn create(Shared(state): Shared<ApiState>, request: Request) -> Result<Response, Refusal> {
    let caller = state.caller(&request, KeyScope::Import)?;
    let imports = imports(&state)?;
    let plan = asked(&request, &caller)?;
    state.loaded()?;
    let id = plan.id.clone();
    let import = imports.begin(plan).map_err(not_begun)?;
    let told = import.told();
    let (send, pieces) = mpsc::channel(PIECES_MAX);
    let (tell_whole, whole) = oneshot::channel();
    let working = tokio::task::spawn_blocking(move || {
        // Nobody listens any more when the caller has hung up.
        let tell = || tell_whole.send(()).unwrap_or_default();
        import.run(Pieces { pieces, rest: Bytes::new(), ended: false }, tell).err()
    });
    let mut body = request.into_body();
    pump(&mut body, send).await;
    // `whole` is dropped unsaid when the import fails before.
    if whole.await.is_ok() {
        let status = told.status();
        let (count, rejected) = (usize::try_from(status.accepted), usize::try_from(status.rejected));
        let (count, rejected) = (count.unwrap_or(usize::MAX), rejected.unwrap_or(usize::MAX));
        let evidence = format!("import:{id}");
        audit::changed(&caller, Change::Import, &Of { count, rejected, evidence: &evidence, reached: None });
        let at = format!("/v1/imports/{id}");
        return Ok((StatusCode::ACCEPTED, [(header::LOCATION, at)], Json(json!({ "import_id": id })))
            .into_response());
    }
    let failure = working.await.map_err(|_| Refusal::defect())?.ok_or_else(Refusal::defect)?;
    read_on(&mut body).await;
    Err(refused(&failure, &told.status()))
}

/// How far an import is.
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports", operation_id = "tellImport",
    params(("id" = String, Path, description = "The import's id.")),
    responses((status = 200, description = "Its state.", body = schemas::ImportTold)))]
pub(crate) async fn tell(
    Shared(state): Shared<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let caller = state.caller(&request, KeyScope::Import)?;
    let imports = imports(&state)?;
    let status =
        known(&id).and_then(|id| imports.status(&id, &caller.owner).map_err(|e| not_begun(e.into())))?;
    status.map_or_else(|| Err(not_begun(NotBegun::Unknown)), |status| Ok(Json(shown(&status))))
}

/// Take an import back, within a day: what it brought and what is in force by it still is lifted.
#[utoipa::path(post, path = "/v1/imports/{id}/undo", tag = "imports", operation_id = "undoImport",
    params(("id" = String, Path, description = "The import's id.")),
    responses((status = 202, description = "It has begun; the import's state tells what became of it.", body = schemas::ImportBegun)))]
pub(crate) async fn undo(
    Shared(state): Shared<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = state.caller(&request, KeyScope::Import)?;
    let imports = imports(&state)?;
    state.loaded()?;
    let id = known(&id)?;
    let undoing = imports.undo(&id, &caller.owner, caller.source).map_err(not_begun)?;
    tokio::task::spawn_blocking(move || undoing.run());
    let evidence = format!("import:{id}");
    audit::changed(&caller, Change::UndoImport, &Of { evidence: &evidence, ..Of::default() });
    Ok((StatusCode::ACCEPTED, Json(json!({ "import_id": id }))).into_response())
}

/// A status as it is told: all but whose it is, which its reader knows.
fn shown(status: &Status) -> Value {
    let mut shown = json!(status);
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("owner");
    }
    shown
}

fn imports(state: &ApiState) -> Result<Imports, Refusal> {
    state.imports.clone().ok_or_else(|| Refusal::new(Code::NoImports, "this service takes no imports"))
}

fn known(id: &str) -> Result<String, Refusal> {
    plan::id(id).map_err(|_| not_begun(NotBegun::Unknown))
}

/// What a call asks: its query, and by its content type how rows are written.
fn asked(request: &Request, caller: &Caller) -> Result<Plan, Refusal> {
    let random = getrandom::u64().map_err(|_| Refusal::defect())?;
    let mut plan = Plan::new(plan::new_id(crate::now_ms(), random), caller.owner.clone());
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (essence, parameters) =
        content_type.unwrap_or_default().split_once(';').unwrap_or((content_type.unwrap_or_default(), ""));
    plan.hint.csv = match essence.trim().to_ascii_lowercase().as_str() {
        "text/csv" | "text/tab-separated-values" => Some(true),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(false),
        "" | "text/plain" | "application/octet-stream" | "application/x-www-form-urlencoded" => None,
        _ => {
            let text = "send CSV (content-type: text/csv) or NDJSON (application/x-ndjson)";
            return Err(Refusal::new(Code::NotRows, text));
        }
    };
    let charset = parameters.split(';').find_map(|one| one.trim().strip_prefix("charset="));
    if let Some(encoding) = charset.map(|name| name.trim_matches('"')) {
        set(&mut plan, "encoding", encoding)?;
    }
    let query = request.uri().query().unwrap_or_default();
    if query.len() > QUERY_MOST {
        return Err(Refusal::field("query", format!("must be {QUERY_MOST} bytes at most")));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = decoded(name).zip(decoded(value));
        let (name, value) =
            decoded.ok_or_else(|| Refusal::field("query", "must be UTF-8, percent-encoded"))?;
        set(&mut plan, &name, &value)?;
    }
    plan.check().map_err(|bad| Refusal::field(bad.name, bad.expected))?;
    Ok(plan)
}

fn set(plan: &mut Plan, name: &str, value: &str) -> Result<(), Refusal> {
    plan.set(name, value).map_err(|bad| Refusal::field(bad.name, bad.expected))
}

/// A part of a query, percent-decoded (RFC 3986; `+` is a space in forms).
fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (hex, after) = rest.split_at_checked(2)?;
                let hex = std::str::from_utf8(hex).ok().filter(|hex| !hex.starts_with('+'))?;
                bytes.push(u8::from_str_radix(hex, 16).ok()?);
                rest = after;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Hands a body on piece by piece, until its end, or until nobody takes it. Who falls silent, or breaks off, is told to the
/// reader as an error: what came is not the whole.
async fn pump(body: &mut Body, send: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let piece = tokio::select! {
            () = send.closed() => return,
            piece = tokio::time::timeout(IDLE_TIMEOUT, piece(body)) => piece,
        };
        let (piece, goes_on) = match piece {
            // The end is said: a call that is given up is none.
            Ok(None) => (Ok(Bytes::new()), false),
            Ok(Some(Ok(bytes))) if bytes.is_empty() => continue,
            Ok(Some(Ok(bytes))) => (Ok(bytes), true),
            Ok(Some(Err(()))) => (Err(io::ErrorKind::ConnectionReset.into()), false),
            Err(_) => (Err(io::ErrorKind::TimedOut.into()), false),
        };
        if send.send(piece).await.is_err() || !goes_on {
            return;
        }
    }
}

/// Reads some of what nobody wants.
async fn read_on(body: &mut Body) {
    let mut read = 0;
    while read < READ_ON_MAX {
        match tokio::time::timeout(Duration::from_secs(1), piece(body)).await {
            Ok(Some(Ok(bytes))) => read += bytes.len().max(1),
            Ok(Some(Err(())) | None) | Err(_) => return,
        }
    }
}

async fn piece(body: &mut Body) -> Option<Result<Bytes, ()>> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(bytes) => return Some(Ok(bytes)),
                // Trailers say nothing here.
                Err(_) => continue,
            },
            Err(_) => return Some(Err(())),
        }
    }
}

/// The body, as who reads it on a thread of his own sees it.
struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                None => return Err(io::ErrorKind::ConnectionReset.into()),
                Some(piece) => self.rest = piece?,
            }
            self.ended = self.rest.is_empty();
        }
        let piece = self.rest.split_to(self.rest.len().min(into.len()));
        into[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

fn not_begun(why: NotBegun) -> Refusal {
    let code = match &why {
        NotBegun::Busy => Code::TooManyImports,
        NotBegun::Runs => Code::ImportRunning,
        NotBegun::Taken => Code::ImportIdTaken,
        NotBegun::Unknown => Code::NotFound,
        NotBegun::NotUndone(_) => Code::NotUndone,
        NotBegun::Folder(error) => {
            tracing::error!(%error, "the folder of imports can't be used");
            return Refusal::new(Code::NotDurable, "not durable now: the folder of imports can't be used");
        }
    };
    Refusal::new(code, why.to_string())
}

/// A failure as an answer: what is wrong with the rows is a 422, what is wrong here a 503.
fn refused(failure: &Failure, status: &Status) -> Refusal {
    let code = match failure.code.as_str() {
        "NOT_DURABLE" | "NOT_KEPT" | "NOT_READY" => Code::NotDurable,
        "BROKE_OFF" => Code::BodyUnreadable,
        "TOO_MANY_REJECTED" => Code::TooManyRejected,
        _ => Code::NotAnImport,
    };
    Refusal::new(code, failure.message.clone()).with(json!({
        "import_id": status.import_id, "reason": failure.code, "line": failure.line, "next_line": status.next_line,
    }))
}
