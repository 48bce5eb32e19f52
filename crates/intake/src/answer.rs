//! What is answered when something is refused: `{"code","message","details"}` (contract, section 6), with the members of RFC
//! 9457 beside them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tamis_wire::DeadLetterCode;
use tamis_wire::inbound::{FIELDS, Wrong};

use crate::problems::Code;

/// A call that is refused. No text of it holds a value that came in.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    message: String,
    details: Value,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: json!({}) }
    }

    /// Not understood; `field` is a name of the contract, or empty for the whole body.
    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::new(Code::BadField, format!("{field}: {}", message.into())).with(json!({ "field": field }))
    }

    /// No key, or none that is known. It doesn't tell which.
    pub(crate) fn unknown_key() -> Self {
        Self::new(Code::Unauthorized, "a valid API key is needed: Authorization: Bearer")
    }

    /// A known key, but not for this.
    pub(crate) fn not_yours(message: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// There is no such thing, or it is not told that there is.
    pub(crate) fn nothing_here() -> Self {
        Self::new(Code::NotFound, "there is nothing here")
    }

    /// A defect of ours.
    pub(crate) fn defect() -> Self {
        Self::new(Code::Internal, "this is a defect of tamis; its log says more")
    }

    pub(crate) fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }
}

/// A field of an inbound event that is not as it must be: 422 where the event is understood and its address is nobody's.
impl From<Wrong> for Refusal {
    fn from(Wrong { code, field }: Wrong) -> Self {
        let field = FIELDS.get(field as usize).copied().unwrap_or_default();
        let nobody = |of| Self::new(of, format!("{field}: {}", code.what())).with(json!({ "field": field }));
        match code {
            DeadLetterCode::MissingAddress => nobody(Code::MissingAddress),
            DeadLetterCode::InvalidAddress => nobody(Code::InvalidAddress),
            _ => Self::field(field, code.what()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { code, message, details } = self;
        let status = code.status();
        let body = json!({
            "type": code.page(), "title": code.title(), "status": status.as_u16(),
            "code": code.as_str(), "message": message, "details": details,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, body.to_string()).into_response();
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
    Refusal::nothing_here()
}

pub(crate) async fn not_allowed() -> Refusal {
    Refusal::new(Code::MethodNotAllowed, "not with this method")
}
