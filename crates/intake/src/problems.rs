//! What can be wrong with a call: a closed set of codes, each with its status, what it means and what to do about it.
//!
//! A code keeps its meaning for good: programs are written against it. `docs/problems.md` and the pages under `/problems`
//! are made of this table.

use axum::http::StatusCode;

macro_rules! codes {
    ($($code:ident = $name:literal, $status:ident, $title:literal, $remedy:literal;)+) => {
        /// Why a call is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $(#[doc = $title] $code,)+ }

        impl Code {
            /// Every code, in the order of their statuses.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$code),+];

            /// As callers see it.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name,)+ }
            }

            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)+ }
            }

            /// What it means, for every call alike; a refusal's message says what it was this time.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)+ }
            }

            /// What the caller can do about it.
            pub(crate) const fn remedy(self) -> &'static str {
                match self { $(Self::$code => $remedy,)+ }
            }
        }
    };
}

codes! {
    NotJson = "NOT_JSON", BAD_REQUEST, "The body is not JSON",
        "Send one JSON object with content-type: application/json. The message names line and column.";
    WrongContentType = "WRONG_CONTENT_TYPE", BAD_REQUEST, "The body is of another kind",
        "The message names the content types that this path takes.";
    NotRows = "NOT_ROWS", BAD_REQUEST, "The body is neither CSV nor NDJSON",
        "Send it with content-type: text/csv or application/x-ndjson.";
    NotAForm = "NOT_A_FORM", BAD_REQUEST, "The body is not a form",
        "Send it as application/x-www-form-urlencoded, in UTF-8.";
    BadField = "BAD_FIELD", BAD_REQUEST, "A field is missing, unknown or wrong",
        "`details.field` names it and the message says what it may be. Mend it and send the call again.";
    BodyUnreadable = "BODY_UNREADABLE", BAD_REQUEST, "The body broke off",
        "Send the call again. Nothing was recorded.";
    BadIdempotencyKey = "BAD_IDEMPOTENCY_KEY", BAD_REQUEST, "The Idempotency-Key is not one",
        "Send one such header, of 1 to 128 printable characters, in quotes or without; a UUID is usual.";
    Refused = "REFUSED", BAD_REQUEST, "The embedded log does not take this",
        "The message says why. Only commands on this machine see this code.";
    Unauthorized = "UNAUTHORIZED", UNAUTHORIZED, "No key, or none that is taken",
        "Send a key as `Authorization: Bearer`. Whether it is missing, unknown, revoked or expired is not told; \
         `tamis keys api list` tells those who may know.";
    Forbidden = "FORBIDDEN", FORBIDDEN, "Not with this key",
        "The key is known, but belongs to somebody else or has not the scope for this. `tamis keys api list` shows scopes; \
         make a key that has the one named in the message.";
    NotFound = "NOT_FOUND", NOT_FOUND, "There is nothing here",
        "Look at `/openapi.json` for what there is.";
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, "Not with this method",
        "Look at `/openapi.json` for the methods of this path.";
    BodyTooSlow = "BODY_TOO_SLOW", REQUEST_TIMEOUT, "The body did not come in time",
        "Send the call again, in smaller parts if the line is slow. Nothing was recorded.";
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", CONFLICT, "The Idempotency-Key was used for another call",
        "A key stands for one path and one body for 24 hours. Make a new key for a new call; send the very same bytes to repeat \
         one.";
    IdempotencyKeyInUse = "IDEMPOTENCY_KEY_IN_USE", CONFLICT, "A call with this Idempotency-Key is still under way",
        "Wait for its answer, or repeat the call in a moment.";
    OtherKey = "OTHER_KEY", CONFLICT, "Subjects of another identity key",
        "The key was rotated meanwhile: read the key file again. Only commands on this machine see this code.";
    ImportRunning = "IMPORT_RUNNING", CONFLICT, "The import is under way",
        "Ask `/v1/imports/{id}` until it has ended.";
    ImportIdTaken = "IMPORT_ID_TAKEN", CONFLICT, "Another import has this id",
        "Choose another `import_id`, or leave it out.";
    NotUndone = "NOT_UNDONE", CONFLICT, "This import can't be taken back",
        "The message says why: its day is over, it was taken back before, or it was a dry run. Lift single opt-outs instead.";
    BodyTooLarge = "BODY_TOO_LARGE", PAYLOAD_TOO_LARGE, "The body is too large",
        "`details.limit_bytes` says how large it may be. Split the call.";
    TooManyRows = "TOO_MANY_ROWS", PAYLOAD_TOO_LARGE, "Too many rows in one call",
        "`details.limit_rows` says how many there may be in all arrays together. Split the call.";
    AllRejected = "ALL_REJECTED", UNPROCESSABLE_ENTITY, "Every row was rejected",
        "`details.rejected` names each row with its code (below). Nothing was recorded.";
    NotAnImport = "NOT_AN_IMPORT", UNPROCESSABLE_ENTITY, "The file is not what it says",
        "The message names the first bad line and what was expected. Rows before it may be recorded; sending all again is safe.";
    TooManyRejected = "TOO_MANY_REJECTED", UNPROCESSABLE_ENTITY, "More rows are rejected than were allowed",
        "Nothing was recorded. Mend the rows that `/v1/imports/{id}` names, or allow more with `reject_most`.";
    MissingAddress = "MISSING_ADDRESS", UNPROCESSABLE_ENTITY, "The event says of nobody",
        "Send the address of the person, or the postal address of returned post.";
    InvalidAddress = "INVALID_ADDRESS", UNPROCESSABLE_ENTITY, "The event's address is nobody's",
        "Send it as the message was sent to it: a telephone number, an e-mail address, or a whole postal address.";
    TooManyCalls = "TOO_MANY_CALLS", TOO_MANY_REQUESTS, "Too many calls at once",
        "Wait as long as `Retry-After` says and send the call again. Fewer, larger calls get more through.";
    TooManyImports = "TOO_MANY_IMPORTS", TOO_MANY_REQUESTS, "Too many imports at once",
        "Wait until one has ended.";
    RateLimited = "RATE_LIMITED", TOO_MANY_REQUESTS, "Too many calls in this time",
        "Wait as long as `Retry-After` says. `RateLimit` and `RateLimit-Policy` tell what a key may do and what is left. Calls with no \
         known key share a small allowance of their address.";
    Internal = "INTERNAL", INTERNAL_SERVER_ERROR, "A defect of tamis",
        "Its log says more. Take nothing of the call as recorded, and send it again, which is safe.";
    NotReady = "NOT_READY", SERVICE_UNAVAILABLE, "Not ready",
        "The opt-outs on record are being read, or a new identity key is not here yet; `/readyz` of the admin door says how far it \
         is. Send the call again in a moment. Nothing was recorded.";
    NotDurable = "NOT_DURABLE", SERVICE_UNAVAILABLE, "Not durable now",
        "The log did not confirm in time. Take nothing of the call as recorded, and send it again, which is safe.";
    NoImports = "NO_IMPORTS", SERVICE_UNAVAILABLE, "This service takes no imports",
        "Ask one that has the role intake.";
    NotWritten = "NOT_WRITTEN", SERVICE_UNAVAILABLE, "The snapshot was not written",
        "The message says why. Only commands on this machine see this code.";
}

/// Codes of single rows, in `rejected` and in look-ups, what each means and what to do.
pub(crate) const ROWS: &[(&str, &str)] = &[
    (
        "INVALID_ADDRESS",
        "It is no telephone number, e-mail address or postal address. National numbers are read as of `identity.default_region`.",
    ),
    ("MISSING_ADDRESS", "It is empty, or a postal address without name, street, postal code or country."),
    ("MISSING_CONTACT", "The contact is empty."),
    ("NO_PLATFORM_SCOPE", "A contact belongs to its tenant, so it can't be suppressed for the platform."),
    ("EXPIRED", "`expires_at_ms` is in the past: the record would never count."),
    (
        "NOT_OF_THIS_CHANNEL",
        "It is an address, but of another channel: a link made of it would stop nothing.",
    ),
    (
        "WITHDRAWN_SINCE",
        "The person has withdrawn the consent after `granted_at_ms`; only one that was given later counts again.",
    ),
];

impl Code {
    /// The code of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// `type` of RFC 9457: where its page is, on the door that answered.
    pub(crate) fn page(self) -> String {
        format!("/problems/{}", self.as_str())
    }
}
