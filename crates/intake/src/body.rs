//! Takes a body in: JSON, of a bounded size, in a bounded time.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request};
use axum::http::{StatusCode, header};
use serde_json::json;

use crate::answer::Refusal;
use crate::problems::Code;

/// The largest body of a call, bytes: 10,000 postal addresses of 400 bytes.
pub(crate) const BODY_BYTES_MAX: usize = 4 << 20;
/// A body of which so much is quickly made that no thread beside is worth it: a few rows, in well under a millisecond.
pub(crate) const BRIEF: usize = 2 << 10;
/// How long a body may take to come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The body of `request`, whose route has a `DefaultBodyLimit` of `bytes_max`.
pub(crate) async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Refusal> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(Code::NotJson, "send JSON, with content-type: application/json"));
    }
    read_any(request, bytes_max).await
}

/// As [`read`], whatever it says that it is.
pub(crate) async fn read_any(request: Request, bytes_max: usize) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Refusal::new(Code::BodyTooLarge, format!("a body may have {bytes_max} bytes at most"))
                .with(json!({ "limit_bytes": bytes_max })))
        }
        Ok(Err(_)) => Err(Refusal::new(Code::BodyUnreadable, "the body broke off")),
        Err(_) => Err(Refusal::new(
            Code::BodyTooSlow,
            format!("a body must come in within {} s", BODY_TIMEOUT.as_secs()),
        )),
    }
}
