//! From a row's fields to a record, or the code that it is rejected with. No code and no text here holds a value.

use tamis_campaign::{Channel, Identity, RecordReason, Source, Tenant, is_identifier};
use tamis_subject::{Invalid, Postal, SCHEME, Subject, Subjects};
use tamis_wire::record::{LIST_MOST, Record, Scope, State, is_evidence};

use super::columns::{self, Asked, Column};
use super::layouts::{Header, Layout};
use super::plan::Plan;
use super::reading::Row;
use super::values::Values;
use crate::keys::Owner;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal;)+) => {
        /// Why a row is rejected.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As it is told.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// Nobody is named.
    MissingAddress = "MISSING_ADDRESS";
    /// No address of its kind.
    InvalidAddress = "INVALID_ADDRESS";
    /// Several people are named: an address and a contact, say.
    AmbiguousPerson = "AMBIGUOUS_PERSON";
    /// An operator's row that names no tenant.
    MissingTenant = "MISSING_TENANT";
    /// No name of a tenant.
    InvalidTenant = "INVALID_TENANT";
    /// Another tenant's.
    ForeignTenant = "FOREIGN_TENANT";
    /// No channel.
    MissingChannel = "MISSING_CHANNEL";
    /// Not a channel.
    InvalidChannel = "INVALID_CHANNEL";
    /// No reason.
    MissingReason = "MISSING_REASON";
    /// Not a reason of a suppression.
    InvalidReason = "INVALID_REASON";
    /// BLOCKED is an operator's.
    ReasonNotAllowed = "REASON_NOT_ALLOWED";
    /// Not a list's name.
    InvalidList = "INVALID_LIST";
    /// Too long, or perhaps an address.
    InvalidEvidence = "INVALID_EVIDENCE";
    /// A row can only add.
    LiftNotAllowed = "LIFT_NOT_ALLOWED";
    /// `state` asks for what is not known.
    InvalidState = "INVALID_STATE";
    /// A field that other calls have, and an import has not.
    FieldNotAllowed = "FIELD_NOT_ALLOWED";
    /// A JSON field that nobody knows.
    UnknownField = "UNKNOWN_FIELD";
    /// A field that is not a text, or stands twice.
    BadField = "BAD_FIELD";
    /// Of an export with others in it: this person did not opt out.
    NotAnOptOut = "NOT_AN_OPT_OUT";
    /// More or fewer columns than the header.
    WrongNumberOfColumns = "WRONG_NUMBER_OF_COLUMNS";
    /// Past [`super::reading::COLUMNS_MAX`].
    TooManyColumns = "TOO_MANY_COLUMNS";
    /// Past [`super::reading::ROW_BYTES_MAX`].
    LineTooLong = "LINE_TOO_LONG";
    /// Not a JSON object.
    NotJson = "NOT_JSON";
    /// A NUL in it.
    NotText = "NOT_TEXT";
    /// Not UTF-8, in a file of UTF-8.
    NotUtf8 = "NOT_UTF8";
    /// UTF-8, in a file of Windows-1252.
    MixedEncoding = "MIXED_ENCODING";
}

/// A record to be, and the subject that chooses its partition. Both are pseudonyms; `Debug` shows neither.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) record: Record,
    pub(super) first: Subject,
}

/// Makes records of rows.
pub(super) struct Maker<'a> {
    pub(super) plan: &'a Plan,
    /// Of a CSV.
    pub(super) header: Option<&'a Header>,
    pub(super) subjects: Subjects,
    pub(super) first: Subjects,
    /// What proves a row that brings nothing: the import.
    pub(super) evidence: Box<str>,
}

impl Maker<'_> {
    /// The record of a row.
    pub(super) fn draft(&self, row: &Row) -> Result<Draft, Code> {
        match self.header {
            Some(header) => self.make(&Values::of_csv(header, row)?),
            None => self.make(&Values::of_json(row.text(0))?),
        }
    }

    fn make(&self, values: &Values<'_>) -> Result<Draft, Code> {
        self.adds(values)?;
        let tenant = self.tenant(values)?;
        let channel = self.channel(values)?;
        let reason = self.reason(values)?;
        let (first, identity) = self.person(values, tenant, channel)?;
        let list =
            Some(values.get(Column::List)).filter(|list| !list.is_empty()).or(self.plan.list.as_deref());
        let scope = match list {
            None => Scope::Tenant(tenant.as_str().into()),
            Some(list) if is_identifier(list.as_bytes(), LIST_MOST) => {
                Scope::List { tenant: tenant.as_str().into(), list: list.into() }
            }
            Some(_) => return Err(Code::InvalidList),
        };
        let evidence = values.get(Column::Evidence);
        if !is_evidence(evidence) {
            return Err(Code::InvalidEvidence);
        }
        let record = Record {
            subject: self.subjects.advance(first, SCHEME),
            identity,
            scope,
            channel,
            reason,
            state: State::InForce,
            effective_at_ms: 0,
            expires_at_ms: 0,
            source: Source::Import,
            evidence: if evidence.is_empty() { self.evidence.clone() } else { evidence.into() },
            scheme: self.subjects.scheme(),
        };
        Ok(Draft { record, first })
    }

    /// A row can only add (contract, section 6), and only somebody who opted out.
    fn adds(&self, values: &Values<'_>) -> Result<(), Code> {
        match columns::asked(values.get(Column::State)) {
            Some(Asked::Add) => {}
            Some(Asked::Lift) => return Err(Code::LiftNotAllowed),
            None => return Err(Code::InvalidState),
        }
        if !values.get(Column::OfALift).is_empty() {
            return Err(Code::LiftNotAllowed);
        }
        if !matches!(values.get(Column::Elsewhere), "" | "0") {
            return Err(Code::FieldNotAllowed);
        }
        let mark = values.get(Column::Mark);
        match self.header.map(|header| header.layout) {
            // Enhanced status codes (RFC 3463): class 5 is permanent, 4 is not.
            Some(Layout::SendGridBounces) if !mark.starts_with('5') => Err(Code::NotAnOptOut),
            Some(Layout::Brevo) if !mark.contains("email") => Err(Code::NotAnOptOut),
            Some(_) | None => Ok(()),
        }
    }

    fn tenant<'v>(&'v self, values: &'v Values<'_>) -> Result<Tenant<'v>, Code> {
        let written = values.get(Column::Tenant);
        let name = match (&self.plan.owner, written) {
            (Owner::Tenant(own), "") => own,
            (Owner::Tenant(own), name) if own == name => own,
            (Owner::Tenant(_), _) => return Err(Code::ForeignTenant),
            (Owner::Operator | Owner::Gateway(_), "") => {
                self.plan.tenant.as_deref().ok_or(Code::MissingTenant)?
            }
            (Owner::Operator | Owner::Gateway(_), name) => name,
        };
        Tenant::parse(name).map_err(|_| Code::InvalidTenant)
    }

    fn channel(&self, values: &Values<'_>) -> Result<Option<Channel>, Code> {
        let by_layout = || self.header.and_then(|header| header.channel).map(Some);
        match values.get(Column::Channel) {
            "" if self.header.is_none() && self.plan.channel.is_none() && self.is_an_email(values) => {
                Ok(Some(Channel::Email))
            }
            "" => self.plan.channel.or_else(by_layout).ok_or(Code::MissingChannel),
            word => columns::channel(word).ok_or(Code::InvalidChannel),
        }
    }

    /// Whether a JSON row has an address in a field that is called so, as those of SES do.
    fn is_an_email(&self, values: &Values<'_>) -> bool {
        !values.get(Column::Email).is_empty()
            && values.get(Column::Phone).is_empty()
            && values.get(Column::Address).is_empty()
    }

    fn reason(&self, values: &Values<'_>) -> Result<RecordReason, Code> {
        let by_layout = || self.header.and_then(|header| header.reason);
        let reason = match values.get(Column::Reason) {
            "" => self.plan.reason.or_else(by_layout).ok_or(Code::MissingReason)?,
            word => columns::reason(word).ok_or(Code::InvalidReason)?,
        };
        match reason {
            RecordReason::Consent => Err(Code::InvalidReason),
            RecordReason::Blocked if self.plan.owner != Owner::Operator => Err(Code::ReasonNotAllowed),
            RecordReason::Blocked
            | RecordReason::Erased
            | RecordReason::Complaint
            | RecordReason::StopReply
            | RecordReason::Unsubscribed
            | RecordReason::Objected
            | RecordReason::ConsentWithdrawn
            | RecordReason::HardBounce => Ok(reason),
        }
    }

    /// Who it is: exactly one of address, contact and postal address. Columns that are called e-mail or phone count for their
    /// channels only, and postal ones for post, since exports of customers have all of them.
    fn person(
        &self,
        values: &Values<'_>,
        tenant: Tenant<'_>,
        channel: Option<Channel>,
    ) -> Result<(Subject, Identity), Code> {
        let (mut email, mut phone) = (values.get(Column::Email), values.get(Column::Phone));
        let mut postal =
            [Column::Name, Column::Street, Column::Extra, Column::PostalCode, Column::City, Column::Country]
                .map(|column| values.get(column));
        match channel {
            None => {}
            Some(Channel::Email) => (phone, postal) = ("", [""; 6]),
            Some(Channel::Sms | Channel::Voice | Channel::Fax) => (email, postal) = ("", [""; 6]),
            Some(Channel::Mail) => (email, phone) = ("", ""),
        }
        let (address, contact) = (values.get(Column::Address), values.get(Column::Contact));
        let is_postal = !postal[1].is_empty() || !postal[3].is_empty();
        let named = [address, email, phone, contact].iter().filter(|text| !text.is_empty()).count();
        match named + usize::from(is_postal) {
            0 => return Err(Code::MissingAddress),
            1 => {}
            _ => return Err(Code::AmbiguousPerson),
        }
        let first = &self.first;
        if !contact.is_empty() {
            return Ok((first.contact(tenant, contact.as_bytes()), Identity::Contact));
        }
        if is_postal {
            let [name, street, extra, postal_code, city, country] = postal;
            let one = Postal { name, street, extra, postal_code, city, country };
            return first.postal(&one).map(|subject| (subject, Identity::Postal)).map_err(code);
        }
        // A text with `@` is an e-mail address, any other a phone number (contract, section 6).
        let text = [address, email, phone].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let (wants_email, wants_phone) = (!email.is_empty(), !phone.is_empty());
        if text.contains('@') && !wants_phone {
            first.email(text).map(|subject| (subject, Identity::Email)).map_err(code)
        } else if wants_email {
            Err(Code::InvalidAddress)
        } else {
            first.phone(text).map(|subject| (subject, Identity::Phone)).map_err(code)
        }
    }
}

fn code(invalid: Invalid) -> Code {
    match invalid {
        Invalid::Missing => Code::MissingAddress,
        Invalid::NotAnAddress => Code::InvalidAddress,
    }
}
