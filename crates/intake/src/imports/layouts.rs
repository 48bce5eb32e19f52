//! From a header to what each column is, and which provider's export it is.
//!
//! The exports of providers, where each header is from (seen November 2026), and what it is taken for. All are e-mail:
//!
//! - *SendGrid*, Suppressions → Export: `status,reason,email,created` for bounces (and blocks, which are no hard bounces: told
//!   apart by the class of the status), `reason,email,created` for invalid addresses, `ip,email,created` for spam reports,
//!   `email,created` for unsubscribes. The fields are those of the v3 suppression API. `reason` is the server's free text there.
//! - *Mailgun*, the CSV of `/v3/{domain}/{bounces,complaints,unsubscribes}/import`, which exports have too:
//!   `address,code,error,created_at`, `address,created_at`, `address,tags,created_at`. An unsubscribe of one tag is taken as
//!   one of the tenant: tags are no lists of ours, and an opt-out that is dropped is worse than one that reaches further.
//! - *Mailchimp*, audience export: one file each for subscribed, unsubscribed and cleaned members, with `Email Address`, `LEID`
//!   and `EUID` in all, `UNSUB_TIME` in the second and `CLEAN_TIME` in the third. The first is refused: those people did not
//!   opt out.
//! - *Brevo*, contact export with subscription status: `EMAIL` and `_BLOCKLISTED`, which names the channels that a contact is
//!   blocked for (`email_marketing`). Other contacts of the file did not opt out.
//! - *Amazon SES*, account-level suppression list: the objects of `ListSuppressedDestinations`, `EmailAddress`, `Reason`,
//!   `LastUpdateTime`; the CSV of its import jobs has no header: `someone@example.org,BOUNCE`.

use tamis_campaign::{Channel, RecordReason};

use super::columns::{self, Column, fold};
use super::plan::Plan;
use super::reading::Row;

/// Whose layout a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The contract's names, or others that are known.
    Plain,
    /// SendGrid's bounces or blocks.
    SendGridBounces,
    /// Another export of SendGrid.
    SendGrid,
    /// Mailgun.
    Mailgun,
    /// Mailchimp.
    Mailchimp,
    /// Brevo's contacts.
    Brevo,
    /// Amazon SES.
    Ses,
}

impl Layout {
    /// Its name where it is told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::SendGridBounces | Self::SendGrid => "sendgrid",
            Self::Mailgun => "mailgun",
            Self::Mailchimp => "mailchimp",
            Self::Brevo => "brevo",
            Self::Ses => "ses",
        }
    }
}

/// A file that is not what it says: which line shows it, and what was expected. Every word of it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// A stable code.
    pub code: &'static str,
    /// The line that shows it.
    pub line: u64,
    /// What was expected there.
    pub expected: String,
}

impl Unfit {
    pub(super) fn new(code: &'static str, line: u64, expected: impl Into<String>) -> Self {
        Self { code, line, expected: expected.into() }
    }
}

/// Where each column is, and what holds for every row that does not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose it is.
    pub layout: Layout,
    places: [Option<usize>; Column::COUNT],
    /// How many columns a row has.
    pub columns: usize,
    /// Whether the row that it was read from is one of people, not of names.
    pub has_people: bool,
    /// What a row without a channel is of, by the layout.
    pub channel: Option<Channel>,
    /// What a row without a reason has, by the layout.
    pub reason: Option<RecordReason>,
}

impl Header {
    /// The place of a column.
    #[must_use]
    pub fn place(&self, column: Column) -> Option<usize> {
        self.places[column as usize]
    }

    pub(super) fn places(&self) -> &[Option<usize>; Column::COUNT] {
        &self.places
    }

    fn put(&mut self, column: Column, at: usize) {
        self.places[column as usize] = Some(at);
    }

    /// Takes the first row of a CSV as names.
    ///
    /// # Errors
    /// When nobody could be found in such rows, or it is not said what they opted out of.
    pub fn read(row: &Row, plan: &Plan) -> Result<Self, Unfit> {
        let names: Vec<String> = (0..row.columns()).map(|at| fold(row.text(at)).into_owned()).collect();
        let mut header = Self {
            layout: Layout::Plain,
            places: [None; Column::COUNT],
            columns: names.len(),
            has_people: false,
            channel: None,
            reason: None,
        };
        if let Some(known) = Self::of_a_provider(&header, &names, row) {
            header = known;
        }
        if header.layout == Layout::Plain {
            for (at, name) in names.iter().enumerate() {
                let Some(column) = columns::column(name) else { continue };
                if header.place(column).is_some() {
                    // Of a postal address the first counts: exports have many names beside it.
                    if column.is_postal() || plan.columns.iter().any(|(own, _)| *own == column) {
                        continue;
                    }
                    return Err(Unfit::new(
                        "COLUMN_TWICE",
                        row.line,
                        "each column once: two of this header mean the same; say which with column.<name>=<header>",
                    ));
                }
                header.put(column, at);
            }
        }
        for (column, wanted) in &plan.columns {
            let found = names.iter().position(|name| *name == fold(wanted));
            match found {
                Some(at) => header.put(*column, at),
                // An empty name takes the column away.
                None if wanted.is_empty() => header.places[*column as usize] = None,
                None => {
                    return Err(Unfit::new(
                        "NO_SUCH_COLUMN",
                        row.line,
                        "a header that has every column named with column=",
                    ));
                }
            }
        }
        header.check(row.line, plan)?;
        Ok(header)
    }

    fn of_a_provider(plain: &Self, names: &[String], row: &Row) -> Option<Self> {
        let at = |name: &str| names.iter().position(|known| known == name);
        let exactly =
            |wanted: &[&str]| wanted.len() == names.len() && wanted.iter().all(|name| at(name).is_some());
        let make = |layout, column, place, reason| {
            let mut header = Self { layout, channel: Some(Channel::Email), reason, ..plain.clone() };
            header.put(column, place);
            header
        };
        let email = at("email").or_else(|| at("emailaddress"));
        if exactly(&["status", "reason", "email", "created"]) {
            let mut header =
                make(Layout::SendGridBounces, Column::Email, email?, Some(RecordReason::HardBounce));
            header.put(Column::Mark, at("status")?);
            return Some(header);
        }
        for (wanted, reason) in [
            (&["reason", "email", "created"][..], RecordReason::HardBounce),
            (&["ip", "email", "created"][..], RecordReason::Complaint),
            (&["email", "created"][..], RecordReason::Unsubscribed),
        ] {
            if exactly(wanted) {
                return Some(make(Layout::SendGrid, Column::Email, email?, Some(reason)));
            }
        }
        for (wanted, reason) in [
            (&["address", "code", "error", "createdat"][..], RecordReason::HardBounce),
            (&["address", "createdat"][..], RecordReason::Complaint),
            (&["address", "tags", "createdat"][..], RecordReason::Unsubscribed),
        ] {
            if exactly(wanted) {
                return Some(make(Layout::Mailgun, Column::Email, at("address")?, Some(reason)));
            }
        }
        if at("leid").is_some() && at("euid").is_some() {
            let reason = match (at("unsubtime"), at("cleantime")) {
                (Some(_), None) => Some(RecordReason::Unsubscribed),
                (None, Some(_)) => Some(RecordReason::HardBounce),
                (None, None) | (Some(_), Some(_)) => None,
            };
            return Some(make(Layout::Mailchimp, Column::Email, email?, reason));
        }
        // Folding takes the underscore off.
        if let Some(mark) = at("blocklisted").filter(|_| at("email").is_some()) {
            let mut header = make(Layout::Brevo, Column::Email, email?, Some(RecordReason::Unsubscribed));
            header.put(Column::Mark, mark);
            return Some(header);
        }
        if let Some(reason) = at("reason").filter(|_| exactly(&["emailaddress", "reason", "lastupdatetime"]))
        {
            let mut header = make(Layout::Ses, Column::Email, email?, None);
            header.put(Column::Reason, reason);
            return Some(header);
        }
        if names.len() == 2 && row.text(0).contains('@') && matches!(row.text(1), "BOUNCE" | "COMPLAINT") {
            let mut header = make(Layout::Ses, Column::Email, 0, None);
            header.put(Column::Reason, 1);
            header.has_people = true;
            return Some(header);
        }
        None
    }

    /// Whether rows can say who, of what, and why.
    fn check(&mut self, line: u64, plan: &Plan) -> Result<(), Unfit> {
        let places = self.places;
        let has = |column: Column| places[column as usize].is_some();
        let (address, email, phone) = (has(Column::Address), has(Column::Email), has(Column::Phone));
        let postal = has(Column::Name) && has(Column::Street) && has(Column::PostalCode);
        if !(address || email || phone || postal || has(Column::Contact)) {
            return Err(Unfit::new(
                "NO_ADDRESS_COLUMN",
                line,
                "a header with a column address, email, phone or contact, or name, street, postal_code and country; or \
                 column.address=<header>",
            ));
        }
        if self.layout == Layout::Mailchimp && self.reason.is_none() && plan.reason.is_none() {
            return Err(Unfit::new(
                "NOT_OPT_OUTS",
                line,
                "Mailchimp's export of unsubscribed (UNSUB_TIME) or cleaned (CLEAN_TIME) members: those of this file did \
                 not opt out",
            ));
        }
        if plan.channel.is_none() && !has(Column::Channel) && self.channel.is_none() {
            if email && !address && !phone && !postal {
                self.channel = Some(Channel::Email);
            } else {
                return Err(Unfit::new("NO_CHANNEL", line, "a column channel, or channel= for all rows"));
            }
        }
        if plan.reason.is_none() && !has(Column::Reason) && self.reason.is_none() {
            return Err(Unfit::new("NO_REASON", line, "a column reason, or reason= for all rows"));
        }
        Ok(())
    }
}
