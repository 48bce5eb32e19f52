//! The doors of imports. A body of any length is read while it is imported: bounded in what waits, in the length of its rows
//! and in the time in which nothing comes, not in bytes.

use std::io::{self, Read};
use std::pin::Pin;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Body as _;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::plan::{self, Plan};
use super::told::{Failure, Status};
use super::{Imports, NotBegun};
use crate::access::Caller;
use crate::answer::Refusal;
use crate::keys::Owner;
use crate::state::ApiState;

/// How long a body may bring nothing: whoever reads his rows from a database may pause.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pieces of a body that wait to be imported; one has some ten KiB.
const PIECES_MAX: usize = 16;
/// How much of a refused body is read on, so that its sender hears why before the connection is closed, bytes.
const READ_ON_MAX: usize = 8 << 20;
/// The longest query, bytes.
const QUERY_MOST: usize = 4 << 10;

/// `POST /v1/suppressions/import`: 202 when every row is read; those accepted may still be on their way to the log.
pub(crate) async fn create(Shared(state): Shared<ApiState>, request: Request) -> Result<Response, Refusal> {
    let caller = state.caller(request.headers())?;
    let imports = imports(&state, &caller)?;
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
        let at = format!("/v1/imports/{id}");
        return Ok((StatusCode::ACCEPTED, [(header::LOCATION, at)], Json(json!({ "import_id": id })))
            .into_response());
    }
    let failure = working.await.map_err(|_| Refusal::defect())?.ok_or_else(Refusal::defect)?;
    read_on(&mut body).await;
    Err(refused(&failure, &told.status()))
}

/// `GET /v1/imports/{id}`.
pub(crate) async fn tell(
    Shared(state): Shared<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let caller = state.caller(&headers)?;
    let imports = imports(&state, &caller)?;
    let status =
        known(&id).and_then(|id| imports.status(&id, &caller.owner).map_err(|e| not_begun(e.into())))?;
    status.map_or_else(|| Err(not_begun(NotBegun::Unknown)), |status| Ok(Json(shown(&status))))
}

/// `POST /v1/imports/{id}/undo`: 202, and `GET /v1/imports/{id}` tells what became of it.
pub(crate) async fn undo(
    Shared(state): Shared<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = state.caller(&headers)?;
    let imports = imports(&state, &caller)?;
    state.loaded()?;
    let id = known(&id)?;
    let undoing = imports.undo(&id, &caller.owner, caller.source).map_err(not_begun)?;
    tokio::task::spawn_blocking(move || undoing.run());
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

fn imports(state: &ApiState, caller: &Caller) -> Result<Imports, Refusal> {
    if matches!(caller.owner, Owner::Gateway(_)) {
        return Err(Refusal::not_yours("a gateway's key is not for this"));
    }
    state.imports.clone().ok_or_else(|| Refusal::unavailable("NO_IMPORTS", "this service takes no imports"))
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
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "NOT_ROWS", text));
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
    let (status, code) = match &why {
        NotBegun::Busy => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_IMPORTS"),
        NotBegun::Runs => (StatusCode::CONFLICT, "IMPORT_RUNNING"),
        NotBegun::Taken => (StatusCode::CONFLICT, "IMPORT_ID_TAKEN"),
        NotBegun::Unknown => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        NotBegun::NotUndone(_) => (StatusCode::CONFLICT, "NOT_UNDONE"),
        NotBegun::Folder(error) => {
            tracing::error!(%error, "the folder of imports can't be used");
            return Refusal::unavailable(
                "NOT_DURABLE",
                "not durable now: the folder of imports can't be used",
            );
        }
    };
    Refusal::new(status, code, why.to_string())
}

/// A failure as an answer: what is wrong with the rows is a 422, what is wrong here a 503.
fn refused(failure: &Failure, status: &Status) -> Refusal {
    let (http, code) = match failure.code.as_str() {
        "NOT_DURABLE" | "NOT_KEPT" | "NOT_READY" => (StatusCode::SERVICE_UNAVAILABLE, "NOT_DURABLE"),
        "BROKE_OFF" => (StatusCode::BAD_REQUEST, "BODY_UNREADABLE"),
        "TOO_MANY_REJECTED" => (StatusCode::UNPROCESSABLE_ENTITY, "TOO_MANY_REJECTED"),
        _ => (StatusCode::UNPROCESSABLE_ENTITY, "NOT_AN_IMPORT"),
    };
    Refusal::new(http, code, failure.message.clone()).with(json!({
        "import_id": status.import_id, "reason": failure.code, "line": failure.line, "next_line": status.next_line,
    }))
}
