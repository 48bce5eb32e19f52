//! `GET /openapi.json`: the API as OpenAPI 3.1, made of the handlers' annotations, the schemas below and the tables of codes.
//!
//! A new route has an annotation at its handler, a line in [`Doc`] and, if it refuses in a way of its own, one in [`OWN_CODES`];
//! a test tells which is missing. Bodies are read by hand (`ask`, `shape`), so the schemas say what those take.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::once::KEY_MOST;
use crate::problems::Code;
use crate::scopes::KeyScope;
use crate::{consents, imports, links, suppressions, webhooks};

pub(crate) mod schemas;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "tamis",
        description = "Opt-outs in, lifted and looked up. What is confirmed here is honoured for every job read after."
    ),
    paths(
        suppressions::add,
        suppressions::lift,
        suppressions::look_up,
        links::mint,
        consents::grant,
        consents::withdraw,
        imports::doors::create,
        imports::doors::tell,
        imports::doors::undo,
        webhooks::one,
        webhooks::from_twilio,
        webhooks::from_infobip,
        webhooks::from_mail
    ),
    components(schemas(schemas::Problem))
)]
struct Doc;

/// Every call with a key may be answered with these.
const KEYED: &[Code] = &[
    Code::Unauthorized,
    Code::Forbidden,
    Code::TooManyCalls,
    Code::RateLimited,
    Code::NotReady,
    Code::Internal,
];
/// Every call with a JSON body, with these too.
const WITH_BODY: &[Code] = &[
    Code::NotJson,
    Code::BadField,
    Code::BodyUnreadable,
    Code::BodyTooSlow,
    Code::BodyTooLarge,
    Code::TooManyRows,
];
/// And every call that writes, with these.
const WRITING: &[Code] =
    &[Code::BadIdempotencyKey, Code::IdempotencyKeyReused, Code::IdempotencyKeyInUse, Code::NotDurable];

/// And every call that tells of an event, with these.
const TOLD: &[Code] = &[Code::WrongContentType, Code::MissingAddress, Code::InvalidAddress, Code::NotDurable];

/// What a call needs, and the codes of its own.
const OWN_CODES: &[(&str, KeyScope, &[&[Code]])] = &[
    ("/v1/suppressions", KeyScope::WriteSuppressions, &[WITH_BODY, WRITING, &[Code::AllRejected]]),
    ("/v1/suppressions/lift", KeyScope::LiftSuppressions, &[WITH_BODY, WRITING, &[Code::AllRejected]]),
    ("/v1/suppressions/lookup", KeyScope::ReadSuppressions, &[WITH_BODY]),
    ("/v1/unsubscribe-links", KeyScope::Links, &[WITH_BODY]),
    ("/v1/consents", KeyScope::Consents, &[WITH_BODY, WRITING, &[Code::AllRejected]]),
    (
        "/v1/suppressions/import",
        KeyScope::Import,
        &[&[
            Code::BadField,
            Code::BodyUnreadable,
            Code::NotRows,
            Code::ImportRunning,
            Code::ImportIdTaken,
            Code::NotAnImport,
            Code::TooManyRejected,
            Code::TooManyImports,
            Code::NotDurable,
            Code::NoImports,
        ]],
    ),
    ("/v1/imports/{id}", KeyScope::Import, &[&[Code::NotFound, Code::NoImports]]),
    (
        "/v1/imports/{id}/undo",
        KeyScope::Import,
        &[&[
            Code::NotFound,
            Code::ImportRunning,
            Code::NotUndone,
            Code::TooManyImports,
            Code::NotDurable,
            Code::NoImports,
        ]],
    ),
    ("/v1/inbound", KeyScope::Inbound, &[WITH_BODY, TOLD]),
    ("/v1/inbound/twilio/{gateway}", KeyScope::Inbound, &[WITH_BODY, TOLD, &[Code::NotAForm]]),
    ("/v1/inbound/infobip/{gateway}", KeyScope::Inbound, &[WITH_BODY, TOLD]),
    ("/v1/inbound/arf/{gateway}", KeyScope::Inbound, &[WITH_BODY, TOLD]),
    ("/v1/consents/withdraw", KeyScope::Consents, &[WITH_BODY, WRITING, &[Code::AllRejected]]),
];

/// What comes in has no field that is not known (`ask`).
const STRICT: &[&str] =
    &["OptOuts", "Lifts", "LookUps", "PostalAddress", "LinkAsk", "Consents", "Withdrawals", "Inbound"];

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    serde_json::to_string_pretty(&document_value()).expect("it is made of texts and numbers")
});

/// `GET /openapi.json`.
pub(crate) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

fn document_value() -> Value {
    let mut document = serde_json::to_value(Doc::openapi()).expect("it is made of texts and numbers");
    // 3.1 means JSON Schema 2020-12.
    document["openapi"] = json!("3.1.0");
    for strict in STRICT {
        document["components"]["schemas"][strict]["additionalProperties"] = json!(false);
    }
    document["security"] = json!([{ "key": [] }]);
    document["components"]["securitySchemes"] = json!({ "key": {
        "type": "http", "scheme": "bearer",
        "description": "A key of `tamis keys api create`, of one tenant, a gateway or an operator.",
    }, "signature": {
        "type": "apiKey", "in": "header", "name": "X-Tamis-Signature",
        "description": "`t=<Unix s>,v1=<hex>`: HMAC-SHA-256 with the gateway's key over `<t>.<body>`, five minutes old at most.",
    }});
    let paths = document["paths"].as_object_mut().map(std::mem::take).unwrap_or_default();
    let described = paths.into_iter().map(|(path, mut item)| {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            describe(&path, operation);
        }
        (path, item)
    });
    document["paths"] = described.collect::<Map<_, _>>().into();
    document
}

/// Calls under this are signed with a gateway's key, which need not be in them.
const SIGNED: &str = "/v1/inbound";

/// Adds what all calls have: the scope needed, headers, codes by status.
fn describe(path: &str, operation: &mut Value) {
    let Some((_, scope, own)) = OWN_CODES.iter().find(|(known, _, _)| *known == path) else { return };
    if path.starts_with(SIGNED) {
        operation["security"] = json!([{ "signature": [] }]);
    }
    let text = operation["description"].as_str().unwrap_or_default();
    operation["description"] = json!(format!("{text}\n\nNeeds the scope `{}`.", scope.as_str()).trim());
    let codes: Vec<Code> = KEYED.iter().chain(own.iter().copied().flatten()).copied().collect();
    if codes.contains(&Code::IdempotencyKeyReused) {
        let parameter = json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "For 24 hours the same call under it gets the same answer, and nothing is written again.",
            "schema": { "type": "string", "pattern": format!("^[!#-~]{{1,{KEY_MOST}}}$") },
        });
        operation["parameters"] = json!([parameter]);
    }
    if let Some(done) = operation["responses"]["200"].as_object_mut() {
        let text = |text: &str| json!({ "description": text, "schema": { "type": "string" } });
        done.insert(
            "headers".to_owned(),
            json!({
                "RateLimit": text("Calls left to this key now."),
                "RateLimit-Policy": text("Calls that this key may make each second."),
            }),
        );
    }
    let statuses: std::collections::BTreeSet<u16> = codes.iter().map(|code| code.status().as_u16()).collect();
    for status in statuses {
        let those = || codes.iter().filter(|code| code.status().as_u16() == status);
        let texts: Vec<String> =
            those().map(|code| format!("`{}`: {}.", code.as_str(), code.title())).collect();
        let names: Vec<&str> = those().map(|code| code.as_str()).collect();
        operation["responses"][status.to_string()] = json!({
            "description": texts.join(" "),
            "content": { "application/problem+json": { "schema": {
                "allOf": [{ "$ref": "#/components/schemas/Problem" }, { "properties": { "code": { "enum": names } } }],
            }}},
        });
    }
}

#[cfg(test)]
mod tests;
