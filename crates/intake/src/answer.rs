//! What is answered when something is refused: `{"code","message","details"}` (contract, section 6).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tamis_wire::DeadLetterCode;
use tamis_wire::inbound::{FIELDS, Wrong};

/// A call that is refused. No text of it holds a value that came in.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    message: String,
    details: Value,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: json!({}) }
    }

    /// Not understood; `field` is a name of the contract, or empty for the whole body.
    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_FIELD", format!("{field}: {}", message.into()))
            .with(json!({ "field": field }))
    }

    /// No key, or none that is known. It doesn't tell which.
    pub(crate) fn unknown_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "a valid API key is needed: Authorization: Bearer",
        )
    }

    /// A known key, but not for this.
    pub(crate) fn not_yours(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    /// The log, or what follows it, can't be relied on now.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// A defect of ours.
    pub(crate) fn defect() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "this is a defect of tamis; its log says more",
        )
    }

    pub(crate) fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }
}

/// A field of an inbound event that is not as it must be: 422 where the event is understood and its address is nobody's.
impl From<Wrong> for Refusal {
    fn from(Wrong { code, field }: Wrong) -> Self {
        let field = FIELDS.get(field as usize).copied().unwrap_or_default();
        match code {
            DeadLetterCode::MissingAddress | DeadLetterCode::InvalidAddress => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, code.as_str(), format!("{field}: {}", code.what()))
                    .with(json!({ "field": field }))
            }
            _ => Self::field(field, code.what()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, code, message, details } = self;
        let body = json!({ "code": code, "message": message, "details": details });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

pub(crate) async fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing here")
}

pub(crate) async fn not_allowed() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "not with this method")
}
