//! The door of people with an unsubscribe link: `/u/{token}` (contract, section 6; RFC 8058; semantics, section 4).
//!
//! GET and HEAD show a page and change nothing, whoever sends them: mail scanners fetch every link. POST is one-click or the
//! page's own button, and is answered only once the log has the opt-out (G1). Whatever is wrong with a token, the answer is the
//! same one. No token, and no part of a path, is ever logged.

mod form;
mod language;
mod link;
mod page;
mod secure;
mod words;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use tamis_subject::SCHEME;
use tamis_suppression::Found;
use tamis_wire::record::State;

use crate::answer::Refusal;
use crate::state::{ApiState, Place};
use form::Form;
use language::Language;
use link::{Choice, Link, Undo};
use page::{Problem, Shown};

/// How these opt-outs are called in the log.
const CALLER: &str = "link";
/// How long a page may wait for the filter to come to the record that it tells of, and how often it looks. The filter is
/// milliseconds behind the log; where it is not, the page is shown without an undo.
const SEEN_TIMEOUT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// No search engine has any business here.
const ROBOTS: &str = "User-agent: *\nDisallow: /\n";

/// The public routes.
pub fn public(state: ApiState) -> Router {
    let https = state.links.https;
    Router::new()
        .route("/u/{token}", get(ask).post(stop))
        .route("/robots.txt", get(|| async { ROBOTS }))
        // Browsers ask for it by themselves.
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .layer(DefaultBodyLimit::max(form::BODY_BYTES_MAX))
        // Every other path is a link that does not work.
        .fallback(ask)
        .method_not_allowed_fallback(not_allowed)
        .layer(map_response(move |response| secure::secure(response, https)))
        .with_state(state)
}

/// Says what can be stopped.
async fn ask(Shared(state): Shared<ApiState>, uri: Uri, headers: HeaderMap) -> Response {
    let language = Language::of(&headers);
    match open(&state, &uri) {
        Ok(link) => page::shown(language, &link, &state.policy.load(), &Shown::Ask),
        Err(problem) => page::problem(language, problem),
    }
}

/// One-click, the page's button, or its undo.
async fn stop(Shared(state): Shared<ApiState>, request: Request) -> Response {
    let language = Language::of(request.headers());
    let link = match open(&state, request.uri()) {
        Ok(link) => Arc::new(link),
        Err(problem) => return page::problem(language, problem),
    };
    match act(&state, &link, request).await {
        Ok(shown) => page::shown(language, &link, &state.policy.load(), &shown),
        Err(problem) => page::problem(language, problem),
    }
}

async fn not_allowed(headers: HeaderMap) -> Response {
    page::problem(Language::of(&headers), Problem::NotUnderstood(StatusCode::METHOD_NOT_ALLOWED))
}

/// What the token in `uri` is for. It is taken as it stands: none of its characters is ever written with a `%`.
fn open(state: &ApiState, uri: &Uri) -> Result<Link, Problem> {
    let token = uri.path().strip_prefix("/u/").unwrap_or_default();
    let link = Link::open(state.filter.doors(), token, state.links.days, crate::now_ms());
    // While the new key is missing here, a token that does not open may be one of that key's.
    link.ok_or(if state.filter.is_outdated() { Problem::Unavailable } else { Problem::NotFound })
}

/// Does what `request` asks for.
async fn act(state: &ApiState, link: &Arc<Link>, request: Request) -> Result<Shown, Problem> {
    let form = Form::read(request).await.map_err(not_understood)?;
    state.loaded().map_err(unavailable)?;
    let place = state.enter_public().await.map_err(unavailable)?;
    if let Some(sealed) = form.undo {
        return undo(state, link, &sealed, place).await;
    }
    let Some(name) = form.scope else {
        // One-click: the token decides, and nobody is there to change their mind.
        let choice = link.choices()[0];
        record(state, link, choice, State::InForce, place).await?;
        return Ok(Shown::Done(choice, None));
    };
    let choice = link.choice(&name).ok_or(Problem::NotUnderstood(StatusCode::BAD_REQUEST))?;
    // An opt-out is recorded whether or not it can be told what was before; without that there is no undo.
    let before = standing(state, link, choice).await;
    let next = record(state, link, choice, State::InForce, place).await?;
    let undo = if matches!(before, Ok(None)) { offer(state, link, choice, next).await } else { None };
    Ok(Shown::Done(choice, undo))
}

/// An undo of the record of `choice` that ends at `next`, sealed; none if the filter does not come to it soon, or knows that it is
/// not the last word any more.
async fn offer(state: &ApiState, link: &Arc<Link>, choice: Choice, next: i64) -> Option<String> {
    let begun = tokio::time::Instant::now();
    while read(state, link) < next {
        if begun.elapsed() >= SEEN_TIMEOUT {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let found = standing(state, link, choice).await.ok()??;
    let undo = Undo { choice, at_ms: crate::now_ms(), next, recorded_at_ms: found.recorded_at_ms };
    link.wrote(&found).then(|| link.seal(undo))
}

/// How far the filter has read the person's partition.
fn read(state: &ApiState, link: &Link) -> i64 {
    let partition = usize::try_from(link.partition(state.recorder.partitions())).unwrap_or(0);
    state.filter.read().position().get(partition).copied().unwrap_or(0)
}

/// Lifts what a POST of this link brought into force, if it still is what is in force. A repeat lifts nothing again.
async fn undo(state: &ApiState, link: &Arc<Link>, sealed: &str, place: Place) -> Result<Shown, Problem> {
    let undo =
        link.open_undo(sealed).filter(|undo| undo.is_in_time(crate::now_ms())).ok_or(Problem::TooLate)?;
    if read(state, link) < undo.next {
        // Only by what came after the record can it be told whether it is still the last word.
        return Err(Problem::Unavailable);
    }
    match standing(state, link, undo.choice).await? {
        None => {}
        Some(found) if link.wrote(&found) && found.recorded_at_ms == undo.recorded_at_ms => {
            record(state, link, undo.choice, State::Lifted, place).await?;
        }
        Some(_) => return Err(Problem::TooLate),
    }
    Ok(Shown::Undone(undo.choice))
}

/// The record of `choice` that is in force, as far as the filter has read.
async fn standing(state: &ApiState, link: &Arc<Link>, choice: Choice) -> Result<Option<Found>, Problem> {
    let (filter, link) = (state.filter.clone(), link.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let now_ms = crate::now_ms();
        let found = filter.hold_still(|view| {
            view.in_force(link.tenant(), &view.key().advance(link.first(), SCHEME), now_ms)
        })?;
        Ok::<_, tamis_suppression::Unreadable>(found.into_iter().find(|found| link.is_of(found, choice)))
    });
    looked.await.map_err(|_| Problem::Unavailable)?.map_err(|_| Problem::Unavailable)
}

/// Writes the record of `choice` and answers, once it is durable, the offset after it.
async fn record(
    state: &ApiState,
    link: &Link,
    choice: Choice,
    to: State,
    place: Place,
) -> Result<i64, Problem> {
    let partitions = state.recorder.partitions();
    let record = link.record(choice, to, partitions);
    let partition = usize::try_from(record.partition).unwrap_or(0);
    let reached = state.record(vec![record], CALLER, place).await.map_err(unavailable)?;
    state.metrics.suppression_records(link::REASON, link::SOURCE, 1);
    tracing::info!(
        key = CALLER,
        scope = choice.as_str(),
        ?to,
        reference = link.reference(),
        "opt-out by link recorded"
    );
    Ok(reached.as_slice().get(partition).copied().unwrap_or(0))
}

fn not_understood(refusal: Refusal) -> Problem {
    Problem::NotUnderstood(refusal.code.status())
}

/// The refusal was logged where it was made; a person needs to know only that it is worth trying again.
fn unavailable(_: Refusal) -> Problem {
    Problem::Unavailable
}
