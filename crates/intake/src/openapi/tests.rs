//! The document against the router, and the published copy against the document.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;

use super::*;
use crate::tests::house::House;

/// The API's routes as `state.rs` has them.
const ROUTES: &str = concat!(include_str!("../state.rs"), include_str!("../webhooks.rs"));
/// Routes that are no part of what is published.
const UNPUBLISHED: &[&str] = &["/v1/local/", "/openapi.json", "/problems"];
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

/// Path and method of every call in the document.
fn documented() -> Vec<(String, String)> {
    let document = document_value();
    let paths = document["paths"].as_object().unwrap().clone();
    let calls = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (path.clone(), method.to_uppercase()))
    });
    calls.collect()
}

/// Guarantees: every route is in the document, or is meant not to be.
/// Fails when: a route is added to `state.rs` and not to `Doc`.
#[test]
fn every_route_is_in_the_document() {
    let documented = documented();
    let routes: Vec<&str> =
        ROUTES.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1)).collect();
    assert!(routes.len() >= 6, "routes are written `.route(\"…\", …)`: {routes:?}");
    for route in routes {
        let known = documented.iter().any(|(path, _)| path == route);
        assert!(
            known || UNPUBLISHED.iter().any(|begin| route.starts_with(begin)),
            "{route} is not in the document"
        );
    }
}

/// Guarantees: every call of the document is a route, and asks for a key.
/// Fails when: an annotation names another path or method than the route.
#[tokio::test]
async fn every_call_of_the_document_is_a_route() {
    let house = House::new();
    for (path, method) in documented() {
        let call =
            Request::builder().method(method.as_str()).uri(path.replace(['{', '}'], "")).body(Body::empty());
        let answer = house.call(call.unwrap()).await;
        assert_eq!(answer.told(), (401, "UNAUTHORIZED"), "{method} {path}");
    }
}

/// Guarantees: every call of the document says its scope, its codes by status, and refers to nothing that is not there.
#[test]
fn every_call_says_what_it_needs_and_how_it_may_end() {
    let document = document_value();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, method) in documented() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        assert!(
            operation["description"].as_str().unwrap().contains("Needs the scope"),
            "{path}: a line in OWN_CODES"
        );
        for status in ["401", "403", "429", "500", "503"] {
            assert!(operation["responses"][status].is_object(), "{path} {status}");
        }
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

/// Guarantees: a call that is about people takes the fields that the document says it has, and none that only another one has.
/// Fails when: the table in `ask` has a call too many or too few beside a field.
#[tokio::test]
async fn a_call_takes_its_own_fields_and_no_others() {
    let (house, document) = (House::new(), document_value());
    let fields = |path: &str| {
        let body = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        let schema = body["schema"]["$ref"].as_str()?.strip_prefix('#')?;
        let fields = document.pointer(schema)?["properties"].as_object()?;
        Some(fields.keys().cloned().collect::<BTreeSet<String>>())
            .filter(|fields| fields.contains("addresses"))
    };
    let calls: Vec<_> =
        documented().into_iter().filter_map(|(path, _)| Some((fields(&path)?, path))).collect();
    assert_eq!(calls.len(), 6, "suppressions, consents and links");
    let all: BTreeSet<String> = calls.iter().flat_map(|(fields, _)| fields.clone()).collect();
    for (own, path) in &calls {
        for field in &all {
            // Of a kind that no field is, so that a call's own are refused too: for another reason.
            let answer = house.post(path, &house.operator, &json!({ field: false })).await;
            assert_eq!(answer.told(), (400, "BAD_FIELD"), "{path} {field}");
            let refused = answer.json["message"].as_str().unwrap().contains("not a field of this call");
            assert_eq!(refused, !own.contains(field), "{path} {field}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn the_document_is_served_without_a_key() {
    let house = House::new();
    let answer = house.call(Request::get("/openapi.json").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json, document_value());
}

/// Guarantees: the published copy is what is served.
/// Fails when: a call changes and the copy is not written again.
#[test]
fn the_published_document_is_current() {
    let written = std::fs::read_to_string(PATH).unwrap_or_default();
    // By what it says: a build with other crates in it may order its members otherwise.
    let written = serde_json::from_str::<Value>(&written).unwrap_or_default();
    assert!(written == document_value(), "run `cargo test -p tamis-intake write_docs -- --ignored`");
}

#[test]
#[ignore = "writes docs/openapi.json"]
fn write_docs_of_the_document() {
    std::fs::write(PATH, format!("{}\n", *DOCUMENT)).unwrap();
}
