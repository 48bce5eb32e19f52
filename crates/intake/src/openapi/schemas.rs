//! What the bodies hold, for the document alone: nothing here is ever made.
#![allow(dead_code, reason = "only their schemas are used")]

use std::borrow::Cow;

use tamis_campaign::{Channel, InboundKind, RecordReason, Source};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Names of one of our closed sets, so that the document can't fall behind it.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $names:expr;)+) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let names: Vec<&'static str> = $names;
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

names! {
    /// A channel, or every one.
    ChannelOrAll = Channel::ALL.iter().map(|channel| channel.as_str()).chain(["all"]).collect();
    /// A channel that has links.
    LinkChannel = Channel::ALL.iter().filter(|channel| **channel != Channel::Mail).map(|channel| channel.as_str()).collect();
    /// What happened.
    EventKind = InboundKind::ALL.iter().map(|kind| kind.as_str()).collect();
    /// The channel of the message that it is about.
    EventChannel = Channel::ALL.iter().map(|channel| channel.as_str()).collect();
    /// Why somebody is suppressed.
    SuppressionReason = RecordReason::ALL
        .iter()
        .filter(|reason| **reason != RecordReason::Consent)
        .map(|reason| reason.as_str())
        .collect();
    /// What a record says.
    RecordKind = RecordReason::ALL.iter().map(|reason| reason.as_str()).collect();
    /// The door that a record came in by.
    RecordSource = Source::ALL.iter().map(|source| source.as_str()).collect();
    /// How far a record reaches.
    RecordScope = vec!["platform", "tenant", "list"];
}

/// Opt-outs to record.
#[derive(ToSchema)]
pub(crate) struct OptOuts {
    /// On whose behalf; the key's own, if it is a tenant's.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "acme")]
    tenant: String,
    /// `tenant` unless `list` is given; `platform` needs an operator's key.
    #[schema(inline)]
    scope: Option<RecordScope>,
    /// The subscription list; without it, everything of the tenant's.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,128}$", example = "newsletter")]
    list: Option<String>,
    #[schema(inline)]
    channel: ChannelOrAll,
    #[schema(inline)]
    reason: SuppressionReason,
    /// With `@` an e-mail address, any other a telephone number.
    #[schema(max_items = 10_000, example = json!(["+33639981234", "ada@example.org"]))]
    addresses: Option<Vec<String>>,
    /// The tenant's own ids of people.
    #[schema(max_items = 10_000)]
    contacts: Option<Vec<String>>,
    #[schema(max_items = 10_000)]
    postal: Option<Vec<PostalAddress>>,
    /// An opaque id of what the opt-outs rest on; never an address.
    #[schema(max_length = 256, pattern = "^[^@\\u0000-\\u001f\\u007f-\\u009f]*$", example = "ticket-4711")]
    evidence: Option<String>,
    /// Unix ms; 0 is never.
    #[schema(minimum = 0)]
    expires_at_ms: Option<i64>,
}

/// Opt-outs to lift: exactly the records named.
#[derive(ToSchema)]
pub(crate) struct Lifts {
    /// On whose behalf; the key's own, if it is a tenant's.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "acme")]
    tenant: String,
    /// As it was recorded.
    #[schema(inline)]
    scope: Option<RecordScope>,
    /// As it was recorded.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,128}$")]
    list: Option<String>,
    #[schema(inline)]
    channel: ChannelOrAll,
    #[schema(inline)]
    reason: SuppressionReason,
    /// With `@` an e-mail address, any other a telephone number.
    #[schema(max_items = 10_000, example = json!(["+33639981234"]))]
    addresses: Option<Vec<String>>,
    /// The tenant's own ids of people.
    #[schema(max_items = 10_000)]
    contacts: Option<Vec<String>>,
    #[schema(max_items = 10_000)]
    postal: Option<Vec<PostalAddress>>,
    /// An opaque id of what the lift rests on; never an address.
    #[schema(max_length = 256, pattern = "^[^@\\u0000-\\u001f\\u007f-\\u009f]*$")]
    evidence: Option<String>,
    /// Not used; as in the call that recorded.
    #[schema(minimum = 0)]
    expires_at_ms: Option<i64>,
    /// Why, in words; `erased` and `blocked` are lifted by an operator with it.
    #[schema(max_length = 256, pattern = "^[^@\\u0000-\\u001f\\u007f-\\u009f]*$")]
    reason_text: Option<String>,
}

/// Whom to look up.
#[derive(ToSchema)]
pub(crate) struct LookUps {
    /// On whose behalf; the key's own, if it is a tenant's.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "acme")]
    tenant: String,
    /// With `@` an e-mail address, any other a telephone number.
    #[schema(max_items = 10_000, example = json!(["+33639981234"]))]
    addresses: Option<Vec<String>>,
    /// The tenant's own ids of people.
    #[schema(max_items = 10_000)]
    contacts: Option<Vec<String>>,
    #[schema(max_items = 10_000)]
    postal: Option<Vec<PostalAddress>>,
}

/// A postal address; it needs name, street, postal code and country.
#[derive(ToSchema)]
pub(crate) struct PostalAddress {
    name: Option<String>,
    street: Option<String>,
    extra: Option<String>,
    postal_code: Option<String>,
    city: Option<String>,
    /// ISO 3166-1, two letters.
    country: Option<String>,
}

/// What was recorded, durably.
#[derive(ToSchema)]
pub(crate) struct Recorded {
    accepted: u32,
    rejected: Vec<RejectedRow>,
    /// How far the suppression log has got, a number for each partition.
    position: Vec<i64>,
}

/// A row that was not taken.
#[derive(ToSchema)]
pub(crate) struct RejectedRow {
    /// The array: `addresses`, `contacts` or `postal`.
    field: String,
    /// Its place there, from 0.
    index: u32,
    /// A code of rows, see `/problems`.
    code: String,
}

/// What is on record.
#[derive(ToSchema)]
pub(crate) struct LookedUp {
    results: Vec<Result>,
}

/// A row's records in force, or the code of a row that is nobody.
#[derive(ToSchema)]
#[schema(as = LookUpResult)]
pub(crate) struct Result {
    /// The array: `addresses`, `contacts` or `postal`.
    field: String,
    /// Its place there, from 0.
    index: u32,
    #[schema(nullable = false)]
    records: Option<Vec<InForce>>,
    /// A code of rows, see `/problems`.
    #[schema(nullable = false)]
    code: Option<String>,
}

/// A record in force.
#[derive(ToSchema)]
pub(crate) struct InForce {
    #[schema(inline)]
    reason: RecordKind,
    #[schema(inline)]
    scope: RecordScope,
    /// Empty but for scope `list`.
    list: String,
    #[schema(inline)]
    channel: ChannelOrAll,
    /// Unix ms; 0 is at once.
    effective_at_ms: i64,
    /// Unix ms; 0 is never.
    expires_at_ms: i64,
    #[schema(inline)]
    source: RecordSource,
    evidence: String,
    /// Unix ms.
    recorded_at_ms: i64,
}

/// Links to make.
#[derive(ToSchema)]
pub(crate) struct LinkAsk {
    /// On whose behalf; the key's own, if it is a tenant's.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "acme")]
    tenant: String,
    #[schema(inline)]
    channel: LinkChannel,
    /// The subscription list; without it, the tenant as a whole. With the tenant's name some 69 characters.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,128}$", example = "newsletter")]
    list: Option<String>,
    /// E-mail addresses for `email`, telephone numbers for the others.
    #[schema(max_items = 10_000, example = json!(["ada@example.org"]))]
    addresses: Vec<String>,
}

/// Links, in the order of the addresses.
#[derive(ToSchema)]
pub(crate) struct Links {
    links: Vec<Link>,
}

/// One person's link, or the code of an address that has none.
#[derive(ToSchema)]
pub(crate) struct Link {
    /// Its place in `addresses`, from 0.
    index: u32,
    #[schema(nullable = false)]
    token: Option<String>,
    #[schema(nullable = false)]
    url: Option<String>,
    #[schema(nullable = false)]
    headers: Option<LinkHeaders>,
    /// A code of rows, see `/problems`.
    #[schema(nullable = false)]
    code: Option<String>,
}

/// A mail's headers, ready (RFC 2369, RFC 8058).
#[derive(ToSchema)]
pub(crate) struct LinkHeaders {
    #[schema(rename = "List-Unsubscribe")]
    list_unsubscribe: String,
    #[schema(rename = "List-Unsubscribe-Post")]
    list_unsubscribe_post: String,
}

/// Consents to record.
#[derive(ToSchema)]
pub(crate) struct Consents {
    /// On whose behalf; the key's own, if it is a tenant's.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "acme")]
    tenant: String,
    #[schema(inline)]
    channel: ChannelOrAll,
    /// With `@` an e-mail address, any other a telephone number.
    #[schema(max_items = 10_000, example = json!(["+33639981234"]))]
    addresses: Option<Vec<String>>,
    /// The tenant's own ids of people.
    #[schema(max_items = 10_000)]
    contacts: Option<Vec<String>>,
    /// When the person said yes, Unix ms; not in the future.
    #[schema(minimum = 1)]
    granted_at_ms: i64,
    /// Until when it counts, Unix ms; 0 is for good, but for `voice` a year at most.
    #[schema(minimum = 0)]
    expires_at_ms: i64,
    /// An opaque id of what proves it; never an address.
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = "^[^@\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "form-4711"
    )]
    evidence: String,
}

/// Consents to withdraw.
#[derive(ToSchema)]
pub(crate) struct Withdrawals {
    /// On whose behalf; the key's own, if it is a tenant's.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "acme")]
    tenant: String,
    #[schema(inline)]
    channel: ChannelOrAll,
    /// With `@` an e-mail address, any other a telephone number.
    #[schema(max_items = 10_000, example = json!(["+33639981234"]))]
    addresses: Option<Vec<String>>,
    /// The tenant's own ids of people.
    #[schema(max_items = 10_000)]
    contacts: Option<Vec<String>>,
    /// An opaque id of what proves it; never an address.
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = "^[^@\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "call-4711"
    )]
    evidence: String,
}

/// An import that was taken.
#[derive(ToSchema)]
pub(crate) struct ImportBegun {
    import_id: String,
}

/// How far an import is; more fields may stand there.
#[derive(ToSchema)]
pub(crate) struct ImportTold {
    import_id: String,
    /// `running`, `done` or `failed`; of one that is taken back, more.
    state: String,
    /// Rows read.
    rows: u64,
    /// Rows whose opt-out is durable; of a dry run, would be.
    accepted: u64,
    rejected: u64,
    /// The first of the rows rejected.
    errors: Vec<RejectedLine>,
    /// How far the suppression log has got, a number for each partition.
    position: Vec<i64>,
    /// The line to go on from, with `from_line`.
    next_line: u64,
}

/// A row of an import that was not taken.
#[derive(ToSchema)]
pub(crate) struct RejectedLine {
    line: u64,
    code: String,
}

/// What a gateway tells: an `InboundEvent`. What it must hold depends on `kind`.
#[derive(ToSchema)]
pub(crate) struct Inbound {
    /// Who tells; the key's owner.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "sms-paris")]
    gateway: String,
    /// The gateway's own id of the event.
    message_id: String,
    #[schema(inline)]
    kind: EventKind,
    #[schema(inline)]
    channel: EventChannel,
    /// Of the person; not of returned post.
    #[schema(example = "+33639981234")]
    address: Option<String>,
    /// The short code or sender that it was sent to.
    to: Option<String>,
    /// What the person wrote; read, and forgotten.
    text: Option<String>,
    /// Unix ms.
    #[schema(minimum = 0)]
    received_at_ms: Option<i64>,
    /// When the gateway knows it.
    tenant: Option<String>,
    /// When the gateway knows it.
    job_id: Option<String>,
    /// The tenant's own id of the person.
    contact: Option<String>,
    postal: Option<PostalAddress>,
}

/// What an event came to.
#[derive(ToSchema)]
pub(crate) struct Told {
    /// Records written.
    recorded: u32,
    /// What it says; `repeated` when it was taken before.
    meaning: String,
}

/// What several events came to.
#[derive(ToSchema)]
pub(crate) struct ToldMany {
    /// Records written.
    recorded: u32,
    /// Messages that were not taken, by their place, each with a code.
    rejected: Vec<RejectedMessage>,
}

/// A message that was not taken.
#[derive(ToSchema)]
pub(crate) struct RejectedMessage {
    index: u32,
    code: String,
}

/// As Twilio posts a message that came in; more fields may stand there.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
pub(crate) struct TwilioForm {
    message_sid: String,
    from: String,
    to: String,
    body: String,
}

/// As Infobip posts messages that came in; more fields may stand there.
#[derive(ToSchema)]
pub(crate) struct InfobipMessages {
    results: Vec<InfobipMessage>,
}

/// One of them.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct InfobipMessage {
    message_id: String,
    from: String,
    to: String,
    text: String,
}

/// Why a call is refused (RFC 9457).
#[derive(ToSchema)]
pub(crate) struct Problem {
    /// The code's page, on the door that answered.
    r#type: String,
    /// What the code means.
    title: String,
    /// The HTTP status again.
    status: u16,
    /// What programs look at; it keeps its meaning.
    code: String,
    /// What it was this time.
    message: String,
    /// What goes with the code, such as `field`, `limit_rows`, `rejected`.
    details: serde_json::Value,
}
