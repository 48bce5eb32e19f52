//! `/v1/unsubscribe-links`: links for people of a list, each with a token of its own (RFC 8058, RFC 2369). Nothing is recorded.

use axum::Json;
use axum::extract::{Request, State as Shared};
use serde_json::{Value, json};
use tamis_campaign::{Channel, Identity, Tenant};
use tamis_subject::Subject;
use tamis_subject::token::{Minter, NamesTooLong, Token};

use crate::answer::Refusal;
use crate::ask::LinksAsk;
use crate::body;
use crate::state::ApiState;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// `{tenant, channel, list?, addresses}` → `{links:[{index, token, url, headers} or {index, code}]}`, in order.
pub(crate) async fn mint(Shared(state): Shared<ApiState>, request: Request) -> Result<Json<Value>, Refusal> {
    let (caller, place) = state.enter(request.headers())?;
    let body = body::read(request, body::BODY_BYTES_MAX).await?;
    let ask = LinksAsk::read(&body, &caller)?;
    state.loaded()?;
    let minted = tokio::task::spawn_blocking(move || {
        let _place = place;
        let subjects = state.filter.doors();
        let mut mint = minter(&subjects, &ask.tenant, ask.channel, &ask.list)
            .map_err(|error| Refusal::field("list", error.to_string()))?;
        let first = subjects.first();
        let rows = ask.rows.subjects(&first, Tenant::parse(&ask.tenant).ok());
        let links: Vec<Value> = rows
            .map(|row| match row.subject.and_then(|(first, identity)| fits(first, identity, ask.channel)) {
                Ok((first, identity)) => link(row.index, &mint.mint(first, identity), &state.public_url),
                Err(code) => json!({ "index": row.index, "code": code }),
            })
            .collect();
        Ok(json!({ "links": links }))
    });
    minted.await.map_err(|_| Refusal::defect())?.map(Json)
}

/// Makes tokens of today for `tenant` and `list`.
///
/// # Errors
/// [`NamesTooLong`].
pub(crate) fn minter(
    subjects: &tamis_subject::Subjects,
    tenant: &str,
    channel: Channel,
    list: &str,
) -> Result<Minter, NamesTooLong> {
    let tenant = Tenant::parse(tenant).expect("whoever asks has checked it");
    let day = u16::try_from(crate::now_ms() / DAY_MS).unwrap_or(u16::MAX);
    subjects.minter(channel, tenant, list, day)
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
