//! Incoming messages as Infobip forwards them (its default format, MO_JSON_2): `{"results": [{"messageId", "from", "to", "text", …}]}`.
//! Pure. What else it sends is passed over.

use axum::http::StatusCode;
use serde::Deserialize;
use tamis_campaign::{Channel, InboundKind, UnixMs};
use tamis_wire::inbound::{InboundEvent, Written};
use zeroize::Zeroizing;

use crate::answer::Refusal;
use crate::ask;
use crate::shape::{Many, Scalar};

/// Most messages in a call.
const RESULTS_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Body {
    results: Option<Many<Message>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    message_id: Option<Scalar>,
    from: Option<Scalar>,
    to: Option<Scalar>,
    text: Option<Scalar>,
    received_at: Option<Scalar>,
}

/// The replies of `body` that `gateway` tells of, each by itself: one that can't be read spoils no other.
pub(crate) fn events(
    body: &[u8],
    gateway: &str,
    now_ms: UnixMs,
) -> Result<Vec<Result<InboundEvent, Refusal>>, Refusal> {
    let Body { results: Some(Many::Rows(messages)) } = ask::json(body)? else {
        return Err(Refusal::field("results", "must be an array of messages"));
    };
    if messages.is_empty() {
        return Err(Refusal::field("results", "must have a message"));
    }
    if messages.len() > RESULTS_MAX {
        let text = format!("a call may have {RESULTS_MAX} messages at most");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_MANY_ROWS", text));
    }
    Ok(messages.into_iter().map(|message| event(message, gateway, now_ms)).collect())
}

fn event(message: Message, gateway: &str, now_ms: UnixMs) -> Result<InboundEvent, Refusal> {
    let text = |name: &str, value: Option<Scalar>| {
        ask::text(name, value).map(|text| Zeroizing::new(text.unwrap_or_default()))
    };
    let (id, from) = (text("messageId", message.message_id)?, text("from", message.from)?);
    let (to, said) = (text("to", message.to)?, text("text", message.text)?);
    let received_at = text("receivedAt", message.received_at)?;
    // Numbers come in international form without a plus.
    let plus = if !from.is_empty() && from.bytes().all(|digit| digit.is_ascii_digit()) { "+" } else { "" };
    let from = Zeroizing::new(format!("{plus}{}", *from));
    let written = Written {
        gateway,
        message_id: &id,
        kind: InboundKind::Reply.number(),
        channel: Channel::Sms.number(),
        address: &from,
        to: &to,
        text: &said,
        received_at_ms: moment(&received_at).unwrap_or(now_ms),
        ..Written::default()
    };
    written.check().map_err(Refusal::from)
}

/// `2016-10-06T09:28:39.220+0000`, Unix ms.
fn moment(text: &str) -> Option<UnixMs> {
    let moment = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?.as_millisecond();
    (moment > 0).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn a_moment_is_read_with_its_zone() {
        assert_eq!(moment("2016-10-06T09:28:39.220+0000"), Some(1_475_746_119_220));
        assert_eq!(moment("2016-10-06T11:28:39.220+0200"), Some(1_475_746_119_220));
        assert_eq!(moment("2016-10-06T07:28:39-0200"), Some(1_475_746_119_000));
        for bad in [
            "",
            "2016-10-06",
            "2016-10-06T09:28:39",
            "2016-13-06T09:28:39+0000",
            "é016-10-06T09:28:39+0000",
            "+",
        ] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }
}
