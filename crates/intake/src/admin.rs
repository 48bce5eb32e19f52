//! What probes and dashboards ask: `/livez`, `/readyz`, `/metrics`. Nothing in it is secret, so it asks for no key.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tamis_telemetry::{Exposition, Health};

use crate::answer;

/// The admin endpoints.
pub fn admin(health: Health, exposition: Exposition) -> Router {
    let ready = move || async move {
        let (ready, lines) = health.answer();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, [(CONTENT_TYPE, "application/x-ndjson")], lines)
    };
    let metrics = move || async move {
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], exposition.render())
    };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::not_allowed)
}
