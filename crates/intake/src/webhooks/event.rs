//! The JSON of an [`InboundEvent`] (contract, sections 2 and 6).

use serde::Deserialize;
use tamis_campaign::{Channel, InboundKind};
use tamis_subject::Postal;
use tamis_wire::inbound::{InboundEvent, Written};
use zeroize::Zeroizing;

use crate::answer::Refusal;
use crate::ask;
use crate::shape::{PostalRow, Scalar};

/// A body as it is written: names known, each once; values not looked at yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    gateway: Option<Scalar>,
    message_id: Option<Scalar>,
    kind: Option<Scalar>,
    channel: Option<Scalar>,
    address: Option<Scalar>,
    to: Option<Scalar>,
    text: Option<Scalar>,
    received_at_ms: Option<Scalar>,
    tenant: Option<Scalar>,
    job_id: Option<Scalar>,
    contact: Option<Scalar>,
    postal: Option<PostalRow>,
}

/// Reads the event of `body`.
///
/// # Errors
/// A 400 that names the field, or a 422 when nobody is named.
pub(crate) fn read(body: &[u8]) -> Result<InboundEvent, Refusal> {
    let body: Body = ask::json(body)?;
    let text = |name: &str, value: Option<Scalar>| -> Result<Zeroizing<String>, Refusal> {
        ask::text(name, value).map(|text| Zeroizing::new(text.unwrap_or_default()))
    };
    let (gateway, message_id) = (text("gateway", body.gateway)?, text("message_id", body.message_id)?);
    let (kind, channel) = (text("kind", body.kind)?, text("channel", body.channel)?);
    let (address, to) = (text("address", body.address)?, text("to", body.to)?);
    let (said, contact) = (text("text", body.text)?, text("contact", body.contact)?);
    let (tenant, job_id) = (text("tenant", body.tenant)?, text("job_id", body.job_id)?);
    let postal = match body.postal {
        None => None,
        Some(PostalRow::Fields(fields)) => Some(fields.map(Zeroizing::new)),
        Some(PostalRow::Other) => {
            return Err(Refusal::field(
                "postal",
                "must be an object of texts with the fields of the contract",
            ));
        }
    };
    let postal = postal.as_ref().map(|[name, street, extra, postal_code, city, country]| Postal {
        name,
        street,
        extra,
        postal_code,
        city,
        country,
    });
    // A name that is none has a number that is none.
    let number = |name: &str, known: Option<i32>| if name.is_empty() { 0 } else { known.unwrap_or(-1) };
    let written = Written {
        gateway: &gateway,
        message_id: &message_id,
        kind: number(&kind, InboundKind::from_name(&kind).map(InboundKind::number)),
        channel: number(&channel, Channel::from_name(&channel).map(Channel::number)),
        address: &address,
        to: &to,
        text: &said,
        received_at_ms: ask::moment("received_at_ms", body.received_at_ms)?,
        tenant: &tenant,
        job_id: &job_id,
        contact: &contact,
        postal,
    };
    written.check().map_err(Refusal::from)
}
