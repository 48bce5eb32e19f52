//! `/v1/unsubscribe-links`: links for people of a list, each with a token of its own (RFC 8058, RFC 2369). Nothing is recorded.

use axum::Json;
use axum::extract::{Request, State as Shared};
use serde_json::{Value, json};
use tamis_campaign::{Channel, Identity, Tenant};
use tamis_subject::Subject;
use tamis_subject::token::Token;

use crate::answer::Refusal;
use crate::ask::LinksAsk;
use crate::body;
use crate::openapi::schemas;
use crate::scopes::KeyScope;
use crate::state::ApiState;

/// Make unsubscribe links, one for each address, in order. Nothing is recorded.
#[utoipa::path(post, path = "/v1/unsubscribe-links", tag = "links", operation_id = "mintUnsubscribeLinks",
    request_body = schemas::LinkAsk,
    responses((status = 200, description = "A link, or a code, for each address.", body = schemas::Links)))]
pub(crate) async fn mint(Shared(state): Shared<ApiState>, request: Request) -> Result<Json<Value>, Refusal> {
    let (caller, place) = state.enter(&request, KeyScope::Links)?;
    let body = body::read(request, body::BODY_BYTES_MAX).await?;
    let ask = LinksAsk::read(&body, &caller)?;
    state.loaded()?;
    let minted = tokio::task::spawn_blocking(move || {
        let _place = place;
        let subjects = state.filter.doors();
        let tenant = Tenant::parse(&ask.tenant).expect("whoever asks has checked it");
        let mut minter = subjects
            .minter(ask.channel, tenant, &ask.list, crate::now_ms())
            .map_err(|error| Refusal::field("list", error.to_string()))?;
        let first = subjects.first();
        let rows = ask.rows.subjects(&first, Some(tenant));
        let links: Vec<Value> = rows
            .map(|row| match row.subject.and_then(|(first, identity)| fits(first, identity, ask.channel)) {
                Ok((first, identity)) => link(row.index, &minter.mint(first, identity), &state.public_url),
                Err(code) => json!({ "index": row.index, "code": code }),
            })
            .collect();
        Ok(json!({ "links": links }))
    });
    minted.await.map_err(|_| Refusal::defect())?.map(Json)
}

/// An e-mail address has no place on a telephone's channel, nor the other way round: the link would stop nothing.
fn fits(first: Subject, identity: Identity, channel: Channel) -> Result<(Subject, Identity), &'static str> {
    if (identity == Identity::Email) == (channel == Channel::Email) {
        Ok((first, identity))
    } else {
        Err("NOT_OF_THIS_CHANNEL")
    }
}

fn link(index: usize, token: &Token, public_url: &str) -> Value {
    let url = url(public_url, token);
    json!({
        "index": index,
        "token": token.as_str(),
        "url": url,
        "headers": {
            "List-Unsubscribe": format!("<{url}>"),
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    })
}

fn url(public_url: &str, token: &Token) -> String {
    format!("{}/u/{}", public_url.trim_end_matches('/'), token.as_str())
}
