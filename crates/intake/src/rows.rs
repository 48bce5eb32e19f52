//! The rows of a call, and the subjects made of them. Rows are personal data: nothing here prints.

use tamis_campaign::{Identity, Tenant};
use tamis_subject::{Invalid, Postal, Subject, Subjects};

use crate::answer::Refusal;
use crate::problems::Code;
use crate::shape::{Many, POSTAL_FIELDS, PostalRow, Scalar};

/// Most rows in a call, in all arrays together (contract, section 6).
pub(crate) const ROWS_MAX: usize = 10_000;

/// Whom a call is about.
#[derive(Default)]
pub(crate) struct Rows {
    addresses: Vec<String>,
    contacts: Vec<String>,
    postal: Vec<[String; POSTAL_FIELDS.len()]>,
}

/// One row, as a subject or as the code it is rejected with.
pub(crate) struct Row {
    pub(crate) field: &'static str,
    pub(crate) index: usize,
    pub(crate) subject: Result<(Subject, Identity), &'static str>,
}

impl Rows {
    /// Takes the arrays as they were written.
    pub(crate) fn take(
        addresses: Option<Many<Scalar>>,
        contacts: Option<Many<Scalar>>,
        postal: Option<Many<PostalRow>>,
    ) -> Result<Self, Refusal> {
        let rows = Self {
            addresses: texts("addresses", addresses)?,
            contacts: texts("contacts", contacts)?,
            postal: array("postal", postal)?
                .into_iter()
                .enumerate()
                .map(|(index, row)| postal_fields(index, row))
                .collect::<Result<_, _>>()?,
        };
        let count = rows.addresses.len() + rows.contacts.len() + rows.postal.len();
        if count == 0 {
            return Err(Refusal::field("addresses", "no row: give addresses, contacts or postal"));
        }
        if count > ROWS_MAX {
            return Err(Refusal::new(
                Code::TooManyRows,
                format!("a call may have {ROWS_MAX} rows at most, in all arrays together"),
            )
            .with(serde_json::json!({ "limit_rows": ROWS_MAX })));
        }
        Ok(rows)
    }

    /// Every row, array by array. Contacts belong to `tenant`; without one they have no subject.
    pub(crate) fn subjects<'a>(
        &'a self,
        subjects: &'a Subjects,
        tenant: Option<Tenant<'a>>,
    ) -> impl Iterator<Item = Row> + 'a {
        let addresses = self.addresses.iter().map(|text| address(subjects, text));
        let contacts = self.contacts.iter().map(move |text| contact(subjects, tenant, text));
        let postal = self.postal.iter().map(|fields| {
            let [name, street, extra, postal_code, city, country] = fields;
            let one = Postal { name, street, extra, postal_code, city, country };
            subjects.postal(&one).map(|subject| (subject, Identity::Postal)).map_err(code)
        });
        let row = |field| move |(index, subject)| Row { field, index, subject };
        addresses
            .enumerate()
            .map(row("addresses"))
            .chain(contacts.enumerate().map(row("contacts")))
            .chain(postal.enumerate().map(row("postal")))
    }
}

/// A text with `@` is an e-mail address, any other a telephone number (contract, section 6).
fn address(subjects: &Subjects, text: &str) -> Result<(Subject, Identity), &'static str> {
    if text.contains('@') {
        subjects.email(text).map(|subject| (subject, Identity::Email)).map_err(code)
    } else {
        subjects.phone(text).map(|subject| (subject, Identity::Phone)).map_err(code)
    }
}

fn contact(
    subjects: &Subjects,
    tenant: Option<Tenant<'_>>,
    text: &str,
) -> Result<(Subject, Identity), &'static str> {
    if text.is_empty() {
        return Err("MISSING_CONTACT");
    }
    // A contact belongs to its tenant (contract, section 9).
    let tenant = tenant.ok_or("NO_PLATFORM_SCOPE")?;
    Ok((subjects.contact(tenant, text.as_bytes()), Identity::Contact))
}

fn code(invalid: Invalid) -> &'static str {
    match invalid {
        Invalid::Missing => "MISSING_ADDRESS",
        Invalid::NotAnAddress => "INVALID_ADDRESS",
    }
}

fn array<T>(field: &str, value: Option<Many<T>>) -> Result<Vec<T>, Refusal> {
    match value {
        None => Ok(Vec::new()),
        Some(Many::Rows(rows)) => Ok(rows),
        Some(Many::Other) => Err(Refusal::field(field, "must be an array")),
    }
}

fn texts(field: &str, value: Option<Many<Scalar>>) -> Result<Vec<String>, Refusal> {
    let one = |(index, row)| match row {
        Scalar::Text(text) => Ok(text),
        Scalar::Whole(_) | Scalar::Other => {
            Err(Refusal::field(&format!("{field}[{index}]"), "must be a text"))
        }
    };
    array(field, value)?.into_iter().enumerate().map(one).collect()
}

fn postal_fields(index: usize, row: PostalRow) -> Result<[String; POSTAL_FIELDS.len()], Refusal> {
    match row {
        PostalRow::Fields(fields) => Ok(fields),
        PostalRow::Other => {
            let text =
                format!("must be an object of texts, each once, with some of {}", POSTAL_FIELDS.join(", "));
            Err(Refusal::field(&format!("postal[{index}]"), text))
        }
    }
}
