//! A form post as Twilio sends it for an incoming message: `From`, `To`, `Body`, `MessageSid`. Pure.

use std::borrow::Cow;

use axum::http::StatusCode;
use tamis_campaign::{Channel, InboundKind, UnixMs};
use tamis_wire::inbound::{InboundEvent, Written};

use super::signature::{self, Proof};
use crate::answer::Refusal;

/// Most fields of a form; Twilio sends some thirty.
const FIELDS_MAX: usize = 200;
/// What Twilio says for a word of its own or its customer's that means stop there ("Advanced Opt-Out").
const OPT_OUT: &str = "STOP";

/// A form's fields. They hold a person and a text: nothing here prints.
pub(crate) struct Form<'b>(Vec<(Cow<'b, str>, Cow<'b, str>)>);

impl<'b> Form<'b> {
    /// Reads a body of `application/x-www-form-urlencoded`.
    pub(crate) fn read(body: &'b [u8]) -> Result<Self, Refusal> {
        let fields: Vec<_> = form_urlencoded::parse(body).take(FIELDS_MAX + 1).collect();
        if fields.len() > FIELDS_MAX {
            let text = format!("a form may have {FIELDS_MAX} fields at most");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "NOT_A_FORM", text));
        }
        Ok(Self(fields))
    }

    /// Whether `signature` is right for one of `urls`. Which of them is the URL that was signed depends on the proxies in between; each
    /// leads here, so it does not matter which.
    pub(crate) fn proves(&self, signature: &str, key: &str, urls: &[String]) -> Option<Proof> {
        let fields: Vec<(&str, &str)> = self.0.iter().map(|(name, value)| (&**name, &**value)).collect();
        urls.iter().find_map(|url| signature::twilio(signature, key, url, &fields))
    }

    /// The reply that `gateway` tells of.
    pub(crate) fn event(&self, gateway: &str, now_ms: UnixMs) -> Result<InboundEvent, Refusal> {
        let message_id = match self.field("MessageSid")? {
            "" => self.field("SmsSid")?,
            id => id,
        };
        // `rcs:+33…`, `whatsapp:+33…`: it is the person's number that says no.
        let number = self.field("From")?;
        let number = number.rsplit_once(':').map_or(number, |(_, number)| number);
        let text = if self.field("OptOutType")? == OPT_OUT { OPT_OUT } else { self.field("Body")? };
        let written = Written {
            gateway,
            message_id,
            kind: InboundKind::Reply.number(),
            channel: Channel::Sms.number(),
            address: number,
            to: self.field("To")?,
            text,
            received_at_ms: now_ms,
            ..Written::default()
        };
        written.check().map_err(Refusal::from)
    }

    /// The field's value; empty when it is not there.
    fn field(&self, name: &str) -> Result<&str, Refusal> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value);
        match (values.next(), values.next()) {
            (value, None) => Ok(value.unwrap_or_default()),
            (_, Some(_)) => Err(Refusal::field(name, "stands twice")),
        }
    }
}
