//! What a call asks, checked: the rules of the contract, sections 6 and 9 (Scopes, Statuses).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tamis_campaign::{Channel, Reason, RecordReason, Tenant, UnixMs, is_identifier};
use tamis_wire::record::{EVIDENCE_MOST, Scope, is_evidence};

use crate::access::Caller;
use crate::answer::Refusal;
use crate::keys::Owner;
use crate::problems::Code;
use crate::rows::Rows;
use crate::shape::{Many, PostalRow, Scalar};

/// As the log's records take it.
const LIST_MOST: usize = 128;
/// How far a caller's clock may be ahead of ours.
const CLOCKS_APART_MS: i64 = 60_000;

/// What is wanted of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Add,
    Lift,
}

/// Records to write, or to lift.
pub(crate) struct Ask {
    pub(crate) scope: Scope,
    pub(crate) channel: Option<Channel>,
    pub(crate) reason: RecordReason,
    pub(crate) evidence: Box<str>,
    pub(crate) expires_at_ms: UnixMs,
    pub(crate) rows: Rows,
}

/// Links to make.
pub(crate) struct LinksAsk {
    pub(crate) tenant: String,
    pub(crate) channel: Channel,
    /// Empty for the tenant as a whole.
    pub(crate) list: String,
    pub(crate) rows: Rows,
}

/// Consents to record, or to withdraw.
pub(crate) struct ConsentAsk {
    pub(crate) tenant: String,
    pub(crate) channel: Option<Channel>,
    pub(crate) granted_at_ms: UnixMs,
    pub(crate) expires_at_ms: UnixMs,
    pub(crate) evidence: Box<str>,
    pub(crate) rows: Rows,
}

/// Records to look up.
pub(crate) struct LookUp {
    pub(crate) tenant: String,
    pub(crate) rows: Rows,
}

/// A body as it is written: names known, each once; values not looked at yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tenant: Option<Scalar>,
    scope: Option<Scalar>,
    list: Option<Scalar>,
    channel: Option<Scalar>,
    reason: Option<Scalar>,
    addresses: Option<Many<Scalar>>,
    contacts: Option<Many<Scalar>>,
    postal: Option<Many<PostalRow>>,
    evidence: Option<Scalar>,
    expires_at_ms: Option<Scalar>,
    granted_at_ms: Option<Scalar>,
    reason_text: Option<Scalar>,
}

/// A body's JSON; what is wrong with it is told without a word of it.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            return unknown_field(&error.to_string());
        }
        let text = format!("not JSON at line {}, column {}", error.line(), error.column());
        Refusal::new(Code::NotJson, text)
    })
}

/// A call that takes such a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Add,
    Lift,
    LookUp,
    Links,
    Grant,
    Withdraw,
}

impl Written {
    /// Reads `body`, and refuses what is a field elsewhere, but not of `call`.
    fn read(body: &[u8], call: Call) -> Result<Self, Refusal> {
        use Call::{Add, Grant, Lift, Links, LookUp, Withdraw};
        let it: Self = json(body)?;
        // Tenant and addresses are everybody's.
        let fields: [(&str, bool, &[Call]); 10] = [
            ("scope", it.scope.is_some(), &[Add, Lift]),
            ("list", it.list.is_some(), &[Add, Lift, Links]),
            ("channel", it.channel.is_some(), &[Add, Lift, Links, Grant, Withdraw]),
            ("reason", it.reason.is_some(), &[Add, Lift]),
            ("contacts", it.contacts.is_some(), &[Add, Lift, LookUp, Grant, Withdraw]),
            ("postal", it.postal.is_some(), &[Add, Lift, LookUp]),
            ("evidence", it.evidence.is_some(), &[Add, Lift, Grant, Withdraw]),
            ("expires_at_ms", it.expires_at_ms.is_some(), &[Add, Lift, Grant]),
            ("granted_at_ms", it.granted_at_ms.is_some(), &[Grant]),
            ("reason_text", it.reason_text.is_some(), &[Lift]),
        ];
        match fields.iter().find(|(_, stands, calls)| *stands && !calls.contains(&call)) {
            Some((name, ..)) => Err(Refusal::field(name, "not a field of this call")),
            None => Ok(it),
        }
    }
}

/// serde's words quote what came in, so only a field's name is taken from them, and only if it looks like one.
fn unknown_field(words: &str) -> Refusal {
    let name = words.split('`').nth(1).filter(|name| {
        (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    });
    match name {
        Some(name) if words.starts_with("unknown field") => Refusal::field(name, "unknown field"),
        Some(name) if words.starts_with("duplicate field") => Refusal::field(name, "stands twice"),
        _ if words.starts_with("unknown field") => Refusal::field("body", "it has an unknown field"),
        _ => Refusal::field("body", "must be one JSON object"),
    }
}

impl Ask {
    /// What `body` asks at `door` in the name of `caller`.
    pub(crate) fn read(body: &[u8], door: Door, caller: &Caller) -> Result<Self, Refusal> {
        let call = match door {
            Door::Add => Call::Add,
            Door::Lift => Call::Lift,
        };
        let written = Written::read(body, call)?;
        let channel = channel(written.channel)?;
        let reason = reason(written.reason)?;
        let evidence = opaque("evidence", written.evidence)?;
        let reason_text = opaque("reason_text", written.reason_text)?;
        let expires_at_ms = moment("expires_at_ms", written.expires_at_ms)?;
        let scope = scope(written.scope, written.list, written.tenant, caller)?;
        may_write(reason, door, caller, reason_text.as_deref())?;
        Ok(Self {
            scope,
            channel,
            reason,
            evidence: reason_text.or(evidence).unwrap_or_default().into(),
            expires_at_ms,
            rows: Rows::take(written.addresses, written.contacts, written.postal)?,
        })
    }

    /// The tenant that contacts belong to; none on the platform.
    pub(crate) fn tenant(&self) -> Option<Tenant<'_>> {
        Tenant::parse(self.scope.names().0).ok()
    }
}

impl LinksAsk {
    /// What `body` asks in the name of `caller`.
    pub(crate) fn read(body: &[u8], caller: &Caller) -> Result<Self, Refusal> {
        let written = Written::read(body, Call::Links)?;
        let channel = channel(written.channel)?
            .filter(|channel| *channel != Channel::Mail)
            .ok_or_else(|| Refusal::field("channel", "a link is of one channel, and post has none"))?;
        let tenant = tenant(written.tenant, caller)?.ok_or_else(no_tenant)?;
        let list = list(written.list)?.unwrap_or_default();
        Ok(Self { tenant, channel, list, rows: Rows::take(written.addresses, None, None)? })
    }
}

impl ConsentAsk {
    /// What `body` asks to record, in the name of `caller`, at `now_ms`.
    pub(crate) fn granted(body: &[u8], caller: &Caller, now_ms: UnixMs) -> Result<Self, Refusal> {
        let written = Written::read(body, Call::Grant)?;
        let granted = written.granted_at_ms.is_some();
        let expires = written.expires_at_ms.is_some();
        let ask = Self::read(written, caller)?;
        if !granted || ask.granted_at_ms == 0 {
            return Err(Refusal::field("granted_at_ms", "missing: when the person said yes"));
        }
        if ask.granted_at_ms > now_ms + CLOCKS_APART_MS {
            return Err(Refusal::field(
                "granted_at_ms",
                "is in the future: a consent is recorded once it is given",
            ));
        }
        if !expires {
            return Err(Refusal::field("expires_at_ms", "missing: until when it counts; 0 is for good"));
        }
        // A consent for every channel is one for voice, too.
        let voice = ask.channel.is_none_or(|channel| channel == Channel::Voice);
        if voice && (ask.expires_at_ms == 0 || ask.expires_at_ms > a_year_after(ask.granted_at_ms)) {
            let text = "a consent to be called counts for a year at most (C. conso. L.223-1)";
            return Err(Refusal::field("expires_at_ms", text));
        }
        Ok(ask)
    }

    /// What `body` asks to withdraw, in the name of `caller`.
    pub(crate) fn withdrawn(body: &[u8], caller: &Caller) -> Result<Self, Refusal> {
        Self::read(Written::read(body, Call::Withdraw)?, caller)
    }

    fn read(written: Written, caller: &Caller) -> Result<Self, Refusal> {
        let evidence = opaque("evidence", written.evidence)?.filter(|text| !text.trim().is_empty());
        Ok(Self {
            tenant: tenant(written.tenant, caller)?.ok_or_else(no_tenant)?,
            channel: channel(written.channel)?,
            granted_at_ms: moment("granted_at_ms", written.granted_at_ms)?,
            expires_at_ms: moment("expires_at_ms", written.expires_at_ms)?,
            evidence: evidence.ok_or_else(|| Refusal::field("evidence", "missing: what proves it"))?.into(),
            rows: Rows::take(written.addresses, written.contacts, None)?,
        })
    }
}

/// The same day of the next year, UTC; of a 29 February the 28th.
fn a_year_after(ms: UnixMs) -> UnixMs {
    let later = jiff::Timestamp::from_millisecond(ms)
        .map(|moment| moment.to_zoned_datetime(jiff::tz::TimeZone::UTC))
        .and_then(|moment| moment.checked_add(jiff::Span::new().years(1)));
    later.map_or(ms, |moment| moment.timestamp().as_millisecond())
}

impl LookUp {
    /// What `body` asks in the name of `caller`.
    pub(crate) fn read(body: &[u8], caller: &Caller) -> Result<Self, Refusal> {
        let written = Written::read(body, Call::LookUp)?;
        let tenant = tenant(written.tenant, caller)?.ok_or_else(no_tenant)?;
        Ok(Self { tenant, rows: Rows::take(written.addresses, written.contacts, written.postal)? })
    }
}

/// `list` makes it LIST; `tenant` or `platform` together with it is refused (contract, section 9).
fn scope(
    written: Option<Scalar>,
    list: Option<Scalar>,
    of: Option<Scalar>,
    caller: &Caller,
) -> Result<Scope, Refusal> {
    let (written, list) = (text("scope", written)?, self::list(list)?);
    let tenant = tenant(of, caller)?;
    match (written.as_deref(), list) {
        (None | Some("list"), Some(list)) => {
            Ok(Scope::List { tenant: tenant.ok_or_else(no_tenant)?.into(), list: list.into() })
        }
        (None | Some("tenant"), None) => Ok(Scope::Tenant(tenant.ok_or_else(no_tenant)?.into())),
        (Some("platform"), None) => match caller.owner {
            Owner::Operator => Ok(Scope::Platform),
            Owner::Tenant(_) | Owner::Gateway(_) => {
                Err(Refusal::not_yours("scope: platform needs an operator's key"))
            }
        },
        (Some("list"), None) => Err(Refusal::field("list", "missing")),
        (Some("tenant" | "platform"), Some(_)) => {
            Err(Refusal::field("scope", "a list has the scope list: leave scope out"))
        }
        (Some(_), _) => Err(Refusal::field("scope", "must be tenant, list or platform")),
    }
}

fn list(written: Option<Scalar>) -> Result<Option<String>, Refusal> {
    let list = text("list", written)?;
    if list.as_ref().is_some_and(|list| !is_identifier(list.as_bytes(), LIST_MOST)) {
        let text = format!("must be 1 to {LIST_MOST} characters of [A-Za-z0-9._:-]");
        return Err(Refusal::field("list", text));
    }
    Ok(list)
}

/// The tenant asked for, or the key's own; `None` when an operator names none.
fn tenant(written: Option<Scalar>, caller: &Caller) -> Result<Option<String>, Refusal> {
    let written = text("tenant", written)?;
    if let Some(name) = &written
        && let Err(error) = Tenant::parse(name)
    {
        return Err(Refusal::field("tenant", error.to_string()));
    }
    match &caller.owner {
        Owner::Tenant(own) if written.as_ref().is_none_or(|name| name == own) => Ok(Some(own.clone())),
        Owner::Tenant(_) => Err(Refusal::not_yours("tenant: this key belongs to another tenant")),
        Owner::Gateway(_) => Err(Refusal::not_yours("a gateway's key is not for this")),
        Owner::Operator => Ok(written),
    }
}

/// Which reasons whose key may write and lift (contract, sections 6 and 9).
fn may_write(reason: RecordReason, door: Door, caller: &Caller, why: Option<&str>) -> Result<(), Refusal> {
    let operator = caller.owner == Owner::Operator;
    let hard = matches!(reason, RecordReason::Erased | RecordReason::Blocked);
    match door {
        Door::Add if reason == RecordReason::Blocked && !operator => {
            Err(Refusal::not_yours("reason: blocked needs an operator's key"))
        }
        Door::Lift if hard && !operator => {
            Err(Refusal::not_yours("reason: erased and blocked are lifted by an operator only"))
        }
        Door::Lift if hard && why.is_none_or(|why| why.trim().is_empty()) => {
            Err(Refusal::field("reason_text", "missing: erased and blocked are lifted with a reason"))
        }
        Door::Add | Door::Lift => Ok(()),
    }
}

fn channel(value: Option<Scalar>) -> Result<Option<Channel>, Refusal> {
    let written = text("channel", value)?;
    let names = || Channel::ALL.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(", ");
    match written.as_deref() {
        Some("all") => Ok(None),
        Some(name) => match Channel::from_name(name) {
            Some(channel) => Ok(Some(channel)),
            None => Err(Refusal::field("channel", format!("must be all, or one of {}", names()))),
        },
        None => Err(Refusal::field("channel", format!("missing: all, or one of {}", names()))),
    }
}

fn reason(value: Option<Scalar>) -> Result<RecordReason, Refusal> {
    let written = text("reason", value)?.ok_or_else(|| Refusal::field("reason", "missing"))?;
    match RecordReason::from_name(&written) {
        Some(RecordReason::Consent) => {
            Err(Refusal::field("reason", "consent is not a suppression and doesn't come in here"))
        }
        Some(reason) => Ok(reason),
        None if written == Reason::NoConsent.as_str() => {
            Err(Refusal::field("reason", "no_consent is never a record"))
        }
        None => Err(Refusal::field("reason", "not a reason of the contract")),
    }
}

/// A text that is kept with the record, so it must not be an address.
fn opaque(field: &str, value: Option<Scalar>) -> Result<Option<String>, Refusal> {
    let written = text(field, value)?;
    if written.as_ref().is_some_and(|text| !is_evidence(text)) {
        let text =
            format!("must be {EVIDENCE_MOST} printable characters at most, and no @: it is never an address");
        return Err(Refusal::field(field, text));
    }
    Ok(written)
}

pub(crate) fn moment(field: &str, value: Option<Scalar>) -> Result<UnixMs, Refusal> {
    match value {
        None => Ok(0),
        Some(Scalar::Whole(ms)) if ms >= 0 => Ok(ms),
        Some(Scalar::Whole(_) | Scalar::Text(_) | Scalar::Other) => {
            Err(Refusal::field(field, "must be Unix milliseconds, a whole number; 0 is never"))
        }
    }
}

pub(crate) fn text(field: &str, value: Option<Scalar>) -> Result<Option<String>, Refusal> {
    match value {
        None => Ok(None),
        Some(Scalar::Text(text)) => Ok(Some(text)),
        Some(Scalar::Whole(_) | Scalar::Other) => Err(Refusal::field(field, "must be a text")),
    }
}

fn no_tenant() -> Refusal {
    Refusal::field("tenant", "missing: an operator's key has no tenant of its own")
}
