//! An inbound event: what a gateway tells of a person (contract, section 2). Its texts are wiped when it goes and never print.
//!
//! [`Written`] is an event as it came, borrowed and not looked at, from protobuf ([`InboundEvent::decode`]) or by whoever reads another
//! form; [`Written::check`] makes an [`InboundEvent`] of it.

use std::fmt;

use tamis_campaign::{Channel, InboundKind, JobId, Tenant, UnixMs, is_identifier};
use tamis_subject::Postal;
use zeroize::Zeroizing;

use crate::cursor::{Cursor, Value, text};
use crate::dead_letter::{DeadLetterCode, Unreadable};

/// As a job's `gateway`.
const GATEWAY_MOST: usize = 128;
/// Greatest length of each text but the reply, octets: a `Message-ID` is a line of 998 at most (RFC 5322), an address 254. A reply may be
/// as long as what it came in.
pub const SHORT_BYTES_MAX: usize = 1_024;

/// Numbers of the fields, as the contract has them; index 0 is none.
pub const FIELDS: [&str; 13] = [
    "",
    "gateway",
    "message_id",
    "kind",
    "channel",
    "address",
    "to",
    "text",
    "received_at_ms",
    "tenant",
    "job_id",
    "contact",
    "postal",
];

/// An event as it is written. What is not there is empty or 0.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct Written<'a> {
    pub gateway: &'a str,
    pub message_id: &'a str,
    pub kind: i32,
    pub channel: i32,
    pub address: &'a str,
    pub to: &'a str,
    pub text: &'a str,
    pub received_at_ms: UnixMs,
    pub tenant: &'a str,
    pub job_id: &'a str,
    pub contact: &'a str,
    pub postal: Option<Postal<'a>>,
}

/// What is wrong with a field of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// What.
    pub code: DeadLetterCode,
    /// The field's number; its name is in [`FIELDS`].
    pub field: u32,
}

/// A postal address of an event.
pub struct PostalText([Zeroizing<String>; 6]);

impl PostalText {
    fn of(postal: &Postal<'_>) -> Self {
        let Postal { name, street, extra, postal_code, city, country } = postal;
        Self([name, street, extra, postal_code, city, country].map(|text| owned(text)))
    }

    /// Borrowed.
    #[must_use]
    pub fn as_postal(&self) -> Postal<'_> {
        let [name, street, extra, postal_code, city, country] = &self.0;
        Postal { name, street, extra, postal_code, city, country }
    }
}

/// An event that has what its kind needs.
#[non_exhaustive]
pub struct InboundEvent {
    /// Who tells.
    pub gateway: Box<str>,
    /// Its id of the message; may hold an `@`, and is 1 to [`SHORT_BYTES_MAX`] octets.
    pub message_id: Zeroizing<String>,
    /// What happened.
    pub kind: InboundKind,
    /// On which channel: VOICE for a key press, MAIL for returned post.
    pub channel: Channel,
    /// The person's; not empty but on MAIL.
    pub address: Zeroizing<String>,
    /// Short code or sender that it was sent to; may be empty.
    pub to: Zeroizing<String>,
    /// The reply; may be empty.
    pub text: Zeroizing<String>,
    /// When the gateway got it, Unix ms by its clock; 0 = not told.
    pub received_at_ms: UnixMs,
    /// The tenant, when the gateway knows it.
    pub tenant: Option<Box<str>>,
    /// The job, when the gateway knows it.
    pub job_id: Option<Box<str>>,
    /// The controller's own id of the person; may be empty.
    pub contact: Zeroizing<String>,
    /// There on MAIL, and nowhere else.
    pub postal: Option<PostalText>,
}

impl fmt::Debug for InboundEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, channel, .. } = self;
        f.debug_struct("InboundEvent").field("kind", kind).field("channel", channel).finish_non_exhaustive()
    }
}

impl InboundEvent {
    /// Reads a record's value.
    ///
    /// # Errors
    /// [`Unreadable`], for a dead letter: not well-formed, a field twice, or not what its kind needs.
    pub fn decode(value: &[u8]) -> Result<Self, Unreadable> {
        if value.is_empty() {
            return Err(Unreadable { code: DeadLetterCode::Empty, field: 0, byte: 0 });
        }
        let mut written = Written::default();
        let mut begins = [0; FIELDS.len()];
        let mut seen = 0u16;
        let mut cursor = Cursor::new(value);
        while !cursor.is_at_end() {
            let byte = cursor.at;
            let dead = |field, code| Unreadable { code, field, byte };
            let (field, value) = cursor.field().map_err(|(field, damage)| dead(field, damage.into()))?;
            // Fields of a later version are none of ours.
            let Some(begin) = begins.get_mut(field as usize) else { continue };
            *begin = byte;
            if seen & (1 << field) != 0 {
                return Err(dead(field, DeadLetterCode::BadField));
            }
            seen |= 1 << field;
            written.take(field, value).map_err(|code| dead(field, code))?;
        }
        written.check().map_err(|Wrong { code, field }| Unreadable {
            code,
            field,
            byte: begins[field as usize],
        })
    }
}

impl<'a> Written<'a> {
    #[expect(clippy::cast_possible_truncation, reason = "of an enum readers keep the low 32 bits")]
    fn take(&mut self, field: u32, value: Value<'a>) -> Result<(), DeadLetterCode> {
        match (field, value) {
            (3, Value::Varint(n)) => self.kind = n as i32,
            (4, Value::Varint(n)) => self.channel = n as i32,
            (8, Value::Varint(n)) => self.received_at_ms = n.cast_signed(),
            (12, Value::Bytes(bytes)) => {
                let postal = crate::recipient::postal(bytes);
                self.postal = Some(postal.map_err(|_| DeadLetterCode::BadField)?);
            }
            (1 | 2 | 5 | 6 | 7 | 9 | 10 | 11, Value::Bytes(bytes)) => {
                let text = text(bytes).ok_or(DeadLetterCode::InvalidUtf8)?;
                *match field {
                    1 => &mut self.gateway,
                    2 => &mut self.message_id,
                    5 => &mut self.address,
                    6 => &mut self.to,
                    7 => &mut self.text,
                    9 => &mut self.tenant,
                    10 => &mut self.job_id,
                    _ => &mut self.contact,
                } = text;
            }
            _ => return Err(DeadLetterCode::WrongWireType),
        }
        Ok(())
    }

    /// The event, if it has what its kind needs.
    ///
    /// # Errors
    /// [`Wrong`]: the first field that is not as it must be.
    pub fn check(&self) -> Result<InboundEvent, Wrong> {
        let wrong = |field, code| Err(Wrong { code, field });
        if !is_identifier(self.gateway.as_bytes(), GATEWAY_MOST) {
            return wrong(1, DeadLetterCode::BadGateway);
        }
        let id = self.message_id;
        if id.trim().is_empty() || id.len() > SHORT_BYTES_MAX || id.chars().any(char::is_control) {
            return wrong(2, DeadLetterCode::BadMessageId);
        }
        let Some(kind) = InboundKind::from_number(self.kind) else {
            return wrong(3, DeadLetterCode::BadKind);
        };
        let Some(channel) = self.channel_of(kind) else { return wrong(4, DeadLetterCode::BadChannel) };
        for (field, text) in [(5, self.address), (6, self.to), (11, self.contact)] {
            if text.len() > SHORT_BYTES_MAX {
                return wrong(field, DeadLetterCode::BadField);
            }
        }
        let by_post = channel == Channel::Mail;
        match &self.postal {
            Some(Postal { name, street, extra, postal_code, city, country }) => {
                let texts = [name, street, extra, postal_code, city, country];
                if !by_post || texts.iter().any(|text| text.len() > SHORT_BYTES_MAX) {
                    return wrong(12, DeadLetterCode::BadField);
                }
            }
            None if by_post => return wrong(12, DeadLetterCode::MissingAddress),
            None if self.address.trim().is_empty() => return wrong(5, DeadLetterCode::MissingAddress),
            None => {}
        }
        if self.received_at_ms < 0 {
            return wrong(8, DeadLetterCode::BadField);
        }
        if !self.tenant.is_empty() && Tenant::parse(self.tenant).is_err() {
            return wrong(9, DeadLetterCode::BadTenant);
        }
        if !self.job_id.is_empty() && JobId::parse(self.job_id).is_err() {
            return wrong(10, DeadLetterCode::BadJobId);
        }
        let name = |text: &str| (!text.is_empty()).then(|| text.into());
        Ok(InboundEvent {
            gateway: self.gateway.into(),
            message_id: owned(id),
            kind,
            channel,
            address: owned(self.address),
            to: owned(self.to),
            text: owned(self.text),
            received_at_ms: self.received_at_ms,
            tenant: name(self.tenant),
            job_id: name(self.job_id),
            contact: owned(self.contact),
            postal: self.postal.as_ref().map(PostalText::of),
        })
    }

    /// The channel; key presses and returned post have one each, which need not be said.
    fn channel_of(&self, kind: InboundKind) -> Option<Channel> {
        let only = match kind {
            InboundKind::Keypress => Some(Channel::Voice),
            InboundKind::ReturnedMail => Some(Channel::Mail),
            InboundKind::Reply | InboundKind::HardBounce | InboundKind::Complaint => None,
        };
        match (self.channel, only) {
            (0, only) => only,
            (number, None) => Channel::from_number(number),
            (number, Some(only)) => (number == only.number()).then_some(only),
        }
    }
}

fn owned(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}
