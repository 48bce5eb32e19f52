//! A borrowed view of a `SendJob`, read in one pass over the log's own buffer.

use tamis_campaign::{Channel, JobId, Purpose, Tenant, is_identifier};

use crate::cursor::{Cursor, Value, text};
use crate::dead_letter::{DeadLetterCode, Unreadable};

/// Where one recipient stands in its job's record: bytes from `start` (its tag) to `end`, its body from `body`.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The first byte of the tag.
    pub start: u32,
    /// The first byte of the message.
    pub body: u32,
    /// One past its last byte.
    pub end: u32,
}

/// The recipients of one job; reused from job to job.
pub type Spans = Vec<Span>;

/// A field for which the whole job is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadField {
    /// The field's number.
    pub field: u32,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A job, borrowed from its record. Whatever is in it has been checked; what was not well-formed is empty, and then
/// `bad_field` says so.
#[derive(Debug, Clone, Copy)]
pub struct JobView<'a> {
    /// The idempotency key.
    pub job_id: JobId<'a>,
    /// The controller.
    pub tenant: Tenant<'a>,
    /// May be empty.
    pub campaign: &'a str,
    /// `None` only in a bad job.
    pub channel: Option<Channel>,
    /// Marketing unless it says otherwise.
    pub purpose: Purpose,
    /// May be empty.
    pub list: &'a str,
    /// Any text to 128 bytes.
    pub sender: &'a str,
    /// Unix ms, 0 = at once.
    pub not_before_ms: i64,
    /// Unix ms, 0 = none.
    pub not_after_ms: i64,
    /// May be empty.
    pub gateway: &'a str,
    /// Length of the content.
    pub content_bytes: u64,
    /// The first thing that is wrong with the job itself.
    pub bad_field: Option<BadField>,
}

const CAMPAIGN_MOST: usize = 128;
/// The contract gives `list` and `gateway` no length of their own: theirs is the campaign's.
const NAME_MOST: usize = 128;
const SENDER_MOST: usize = 128;

/// What a pass over the record finds, before it is judged.
#[derive(Default)]
struct Fields<'a> {
    /// `None` also when it is there and empty.
    job_id: Option<JobId<'a>>,
    tenant: Option<Tenant<'a>>,
    campaign: &'a str,
    channel: i32,
    purpose: i32,
    list: &'a str,
    sender: &'a str,
    not_before_ms: i64,
    not_after_ms: i64,
    gateway: &'a str,
    content_bytes: u64,
    seen: u32,
    bad_field: Option<BadField>,
}

impl<'a> JobView<'a> {
    /// Reads a record's value; the recipients' places go into `spans`.
    ///
    /// # Errors
    /// [`Unreadable`] for what the contract sends to the dead letters (section 9, Reading a job): that goes before
    /// anything for which a job is refused.
    pub fn parse(value: &'a [u8], spans: &mut Spans) -> Result<Self, Unreadable> {
        spans.clear();
        if value.is_empty() {
            return Err(Unreadable { code: DeadLetterCode::Empty, field: 0, byte: 0 });
        }
        // Kafka's own limit on a record is 2 GiB, so that 32 bits are enough; checked all the same.
        if u32::try_from(value.len()).is_err() {
            return Err(Unreadable { code: DeadLetterCode::Truncated, field: 0, byte: 0 });
        }
        let mut fields = Fields::default();
        let mut cursor = Cursor::new(value);
        loop {
            usual_recipients(value, &mut cursor.at, spans);
            if cursor.is_at_end() {
                return fields.judge(value.len());
            }
            let start = cursor.at;
            let dead = |field, code| Unreadable { code, field, byte: start };
            let (number, field) = cursor.field().map_err(|(number, damage)| dead(number, damage.into()))?;
            if number == 15 {
                let Value::Bytes(body) = field else { return Err(dead(15, DeadLetterCode::WrongWireType)) };
                spans.push(span(start, cursor.at - body.len(), cursor.at));
            } else {
                fields.take(number, field).map_err(|code| dead(number, code))?;
            }
        }
    }
}

/// Reads as many recipients as stand at `at` one after the other, each of less than 128 octets, as most are.
#[inline]
fn usual_recipients(value: &[u8], at: &mut usize, spans: &mut Spans) {
    const TAG: u8 = 15 << 3 | 2;
    let mut start = *at;
    while let Some(head @ &[TAG, length @ 0..0x80]) = value[start..].first_chunk()
        && start + 2 + usize::from(length) <= value.len()
    {
        // Most are as long as the one before, so that where the next stand need not wait for each to be read.
        let stride = 2 + usize::from(length);
        let row = value[start..].chunks_exact(stride).take(ROW);
        let alike = row.len() == ROW && row.fold(true, |alike, one| alike & one.starts_with(head));
        let count = if alike { ROW } else { 1 };
        spans.extend(
            (0..count).map(|n| span(start + n * stride, start + n * stride + 2, start + (n + 1) * stride)),
        );
        start += count * stride;
    }
    *at = start;
}

/// Recipients of one length that are read at once.
const ROW: usize = 8;

/// The places are within 32 bits, which is checked once a record.
#[expect(clippy::cast_possible_truncation, reason = "checked once a record")]
fn span(start: usize, body: usize, end: usize) -> Span {
    Span { start: start as u32, body: body as u32, end: end as u32 }
}

impl<'a> Fields<'a> {
    #[inline]
    fn take(&mut self, number: u32, value: Value<'a>) -> Result<(), DeadLetterCode> {
        if number == 16 {
            self.refuse(16, "a job brings no stamp");
            return Ok(());
        }
        if !matches!(number, 1..=10 | 13 | 14) {
            return Ok(());
        }
        if self.seen & (1 << number) != 0 {
            self.refuse(number, "the field stands twice");
        }
        self.seen |= 1 << number;
        match (number, value) {
            (1, Value::Bytes(bytes)) => {
                let id = string(bytes)?;
                // Every one must be well-formed, so that nothing unchecked is ever copied into an outcome.
                self.job_id = (!id.is_empty())
                    .then(|| JobId::parse(id).map_err(|_| DeadLetterCode::BadJobId))
                    .transpose()?;
            }
            (2, Value::Bytes(bytes)) => {
                let tenant = string(bytes)?;
                self.tenant = (!tenant.is_empty())
                    .then(|| Tenant::parse(tenant).map_err(|_| DeadLetterCode::BadTenant))
                    .transpose()?;
            }
            (3, Value::Bytes(bytes)) => self.campaign = self.name(3, bytes, CAMPAIGN_MOST)?,
            // An enum is an int32 on the wire: readers keep its low 32 bits.
            #[expect(clippy::cast_possible_truncation, reason = "as every protobuf reader does")]
            (4, Value::Varint(n)) => self.channel = n as i32,
            #[expect(clippy::cast_possible_truncation, reason = "as every protobuf reader does")]
            (5, Value::Varint(n)) => self.purpose = n as i32,
            (6, Value::Bytes(bytes)) => self.list = self.name(6, bytes, NAME_MOST)?,
            (7, Value::Bytes(bytes)) => {
                self.sender = string(bytes)?;
                if self.sender.len() > SENDER_MOST {
                    self.refuse(7, "sender has more than 128 bytes");
                }
            }
            (8, Value::Varint(n)) => self.not_before_ms = n.cast_signed(),
            (9, Value::Varint(n)) => self.not_after_ms = n.cast_signed(),
            (10, Value::Bytes(bytes)) => self.gateway = self.name(10, bytes, NAME_MOST)?,
            (13, Value::Bytes(bytes)) => drop(string(bytes)?),
            (14, Value::Bytes(bytes)) => self.content_bytes = bytes.len() as u64,
            _ => return Err(DeadLetterCode::WrongWireType),
        }
        Ok(())
    }

    fn name(&mut self, number: u32, bytes: &'a [u8], most: usize) -> Result<&'a str, DeadLetterCode> {
        let name = string(bytes)?;
        if name.is_empty() || is_identifier(bytes, most) {
            return Ok(name);
        }
        self.refuse(number, "the text must be at most 128 characters of [A-Za-z0-9._:-]");
        Ok("")
    }

    fn refuse(&mut self, field: u32, what: &'static str) {
        self.bad_field.get_or_insert(BadField { field, what });
    }

    fn judge(mut self, length: usize) -> Result<JobView<'a>, Unreadable> {
        let dead = |field, code| Unreadable { code, field, byte: length };
        let job_id = self.job_id.ok_or(dead(1, DeadLetterCode::MissingJobId))?;
        let tenant = self.tenant.ok_or(dead(2, DeadLetterCode::MissingTenant))?;
        let channel = Channel::from_number(self.channel);
        if channel.is_none() {
            self.refuse(4, "no such channel");
        }
        let purpose = match self.purpose {
            0 => Purpose::Marketing,
            number => Purpose::from_number(number).unwrap_or_else(|| {
                self.refuse(5, "no such purpose");
                Purpose::Marketing
            }),
        };
        Ok(JobView {
            job_id,
            tenant,
            campaign: self.campaign,
            channel,
            purpose,
            list: self.list,
            sender: self.sender,
            not_before_ms: self.not_before_ms,
            not_after_ms: self.not_after_ms,
            gateway: self.gateway,
            content_bytes: self.content_bytes,
            bad_field: self.bad_field,
        })
    }
}

fn string(bytes: &[u8]) -> Result<&str, DeadLetterCode> {
    text(bytes).ok_or(DeadLetterCode::InvalidUtf8)
}
