//! Records that can't be read as a job: where, what, and nothing of what they hold.

use std::fmt;

use crate::cursor::Damage;
use crate::put;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $what:literal;)+) => {
        /// What is wrong with a record (contract, section 9, Reading a job).
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum DeadLetterCode { $($(#[$doc])* $variant,)+ }

        impl DeadLetterCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code in a dead letter and in metric labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What it means, in words that hold nothing of what came.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)+ }
            }
        }
    };
}

codes! {
    /// No value, or an empty one.
    Empty = "EMPTY_VALUE", "the record has no value";
    /// It ends inside a field.
    Truncated = "TRUNCATED", "the record ends inside this field";
    /// A varint of more than 64 bits.
    VarintTooLong = "VARINT_TOO_LONG", "a varint has more than 64 bits";
    /// A field number or wire type that does not exist.
    BadTag = "BAD_TAG", "no such field number or wire type";
    /// A group.
    Group = "GROUP", "groups are not part of proto3";
    /// A known field with another wire type.
    WrongWireType = "WRONG_WIRE_TYPE", "the field has another wire type";
    /// A string that is not UTF-8.
    InvalidUtf8 = "INVALID_UTF8", "the string is not UTF-8";
    /// No `job_id`.
    MissingJobId = "MISSING_JOB_ID", "job_id is missing";
    /// A `job_id` outside its alphabet or length.
    BadJobId = "BAD_JOB_ID", "job_id must be 1 to 128 characters of [A-Za-z0-9._:-]";
    /// No `tenant`.
    MissingTenant = "MISSING_TENANT", "tenant is missing";
    /// A `tenant` outside its alphabet or length.
    BadTenant = "BAD_TENANT", "tenant must be 1 to 64 characters of [A-Za-z0-9._:-]";
    /// Of an inbound event: a singular field twice, or another field out of its range.
    BadField = "BAD_FIELD", "the field stands twice, or is longer or of another form than it may be";
    /// Of an inbound event: no `gateway`, or one outside its alphabet or length.
    BadGateway = "BAD_GATEWAY", "gateway must be 1 to 128 characters of [A-Za-z0-9._:-]";
    /// Of an inbound event: no `message_id`, or none that can be one.
    BadMessageId = "BAD_MESSAGE_ID", "message_id must be 1 to 1,024 octets without control characters";
    /// Of an inbound event: a `kind` that does not exist.
    BadKind = "BAD_KIND", "kind must be one of the contract's";
    /// Of an inbound event: no `channel`, or one that the kind does not have.
    BadChannel = "BAD_CHANNEL", "channel is missing, or not one that this kind has";
    /// Of an inbound event: nobody is named.
    MissingAddress = "MISSING_ADDRESS", "the person's address is missing: address, and postal for MAIL";
    /// Of an inbound event: what is named is nobody's address.
    InvalidAddress = "INVALID_ADDRESS", "it is no address of this channel";
}

impl From<Damage> for DeadLetterCode {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Truncated => Self::Truncated,
            Damage::VarintTooLong => Self::VarintTooLong,
            Damage::BadTag => Self::BadTag,
            Damage::Group => Self::Group,
        }
    }
}

/// Why a record can't be read as a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// What is wrong.
    pub code: DeadLetterCode,
    /// The field's number; 0 where there is none.
    pub field: u32,
    /// The byte of the record at which the field begins, from 0.
    pub byte: usize,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field {} at byte {}: {}", self.field, self.byte, self.code.what())
    }
}

impl std::error::Error for Unreadable {}

/// xxh3 of a value, 64 bits, seed 0: tells two dead letters apart, nothing more.
#[must_use]
pub fn xxh3(value: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(value)
}

/// A dead letter to write.
#[derive(Debug)]
pub struct DeadLetter<'a> {
    /// The source's topic.
    pub topic: &'a str,
    /// The source's partition.
    pub partition: i32,
    /// The source's offset.
    pub offset: i64,
    /// Why.
    pub why: Unreadable,
    /// The value's length in bytes.
    pub size: u64,
    /// [`xxh3`] of the value.
    pub xxh3: u64,
    /// When, Unix ms.
    pub seen_at_ms: i64,
}

impl DeadLetter<'_> {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put::bytes(out, 1, self.topic.as_bytes());
        put::signed(out, 2, i64::from(self.partition));
        put::signed(out, 3, self.offset);
        put::bytes(out, 4, self.why.code.as_str().as_bytes());
        put::bytes(out, 5, self.why.to_string().as_bytes());
        put::number(out, 6, self.size);
        put::varint(out, 7 << 3 | 1);
        out.extend_from_slice(&self.xxh3.to_le_bytes());
        put::signed(out, 8, self.seen_at_ms);
    }
}
