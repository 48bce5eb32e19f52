//! What an import is asked to do, checked: from a call's query or a command's options.

use tamis_campaign::{Channel, RecordReason, Tenant, UnixMs, is_identifier};
use tamis_wire::record::LIST_MOST;

use super::columns::{self, Column};
use super::reading::{DELIMITERS, Hint};
use super::text::Encoding;
use crate::keys::Owner;

/// Greatest length of an import's id, which is a file's name and goes into records.
const ID_MOST: usize = 64;
/// Most octets of a value of the query.
const VALUE_MOST: usize = 256;

/// When what an import brings is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visible {
    /// Each row as soon as it is durable.
    #[default]
    AsItGoes,
    /// All rows at one moment, or none.
    AtOnce,
}

impl Visible {
    /// Its name in a query.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AsItGoes => "as_it_goes",
            Self::AtOnce => "at_once",
        }
    }
}

/// What an import is asked to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its id.
    pub id: String,
    /// Who asks.
    pub owner: Owner,
    /// The tenant of rows that name none.
    pub tenant: Option<String>,
    /// The channel of rows that name none; `Some(None)` is every one.
    pub channel: Option<Option<Channel>>,
    /// The reason of rows that name none.
    pub reason: Option<RecordReason>,
    /// The list of rows that name none.
    pub list: Option<String>,
    /// Headers of columns, where the caller says them.
    pub columns: Vec<(Column, String)>,
    /// How rows are written.
    pub hint: Hint,
    /// The first line whose row counts.
    pub from_line: u64,
    /// When rows are in force.
    pub visible: Visible,
    /// Most rows rejected with which an import that is visible at once is written.
    pub reject_most: u64,
    /// Write nothing.
    pub dry_run: bool,
}

/// A parameter that is not understood: its name, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {expected}")]
pub struct BadParameter {
    /// Its name, one of ours.
    pub name: &'static str,
    /// What it must be.
    pub expected: String,
}

/// Parameters of an import, in the order of the reference.
pub const PARAMETERS: [&str; 13] = [
    "import_id",
    "tenant",
    "channel",
    "reason",
    "list",
    "format",
    "delimiter",
    "encoding",
    "from_line",
    "visible",
    "reject_most",
    "dry_run",
    "column.",
];

impl Plan {
    /// An import of `owner` that nothing more is said of.
    #[must_use]
    pub fn new(id: String, owner: Owner) -> Self {
        let tenant = match &owner {
            Owner::Tenant(own) => Some(own.clone()),
            Owner::Gateway(_) | Owner::Operator => None,
        };
        Self {
            id,
            owner,
            tenant,
            channel: None,
            reason: None,
            list: None,
            columns: Vec::new(),
            hint: Hint::default(),
            from_line: 0,
            visible: Visible::default(),
            reject_most: 0,
            dry_run: false,
        }
    }

    /// Takes one parameter.
    ///
    /// # Errors
    /// When there is no such parameter, or its value is not one. Neither is repeated.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), BadParameter> {
        let Some(known) = PARAMETERS
            .into_iter()
            .find(|known| if known.ends_with('.') { name.starts_with(known) } else { *known == name })
        else {
            return bad("query", format!("knows {} and no other", PARAMETERS.join(", ")));
        };
        if value.len() > VALUE_MOST || value.contains('@') {
            return bad(known, format!("must be {VALUE_MOST} bytes at most, and is never an address"));
        }
        match known {
            "import_id" => self.id = id(value)?,
            "tenant" => self.tenant = Some(self.whose(value)?),
            "channel" => match columns::channel(value) {
                Some(channel) => self.channel = Some(channel),
                None => return bad(known, "must be sms, email, voice, fax, mail or all"),
            },
            "reason" => match columns::reason(value).filter(|reason| *reason != RecordReason::Consent) {
                Some(RecordReason::Blocked) if self.owner != Owner::Operator => {
                    return bad(known, "blocked needs an operator's key");
                }
                Some(reason) => self.reason = Some(reason),
                None => return bad(known, "must be a reason of the contract, and no consent"),
            },
            "list" if is_identifier(value.as_bytes(), LIST_MOST) => self.list = Some(value.to_owned()),
            "list" => return bad(known, format!("must be 1 to {LIST_MOST} characters of [A-Za-z0-9._:-]")),
            "format" => match value {
                "csv" => self.hint.csv = Some(true),
                "ndjson" => self.hint.csv = Some(false),
                _ => return bad(known, "must be csv or ndjson"),
            },
            "delimiter" => self.hint.delimiter = Some(delimiter(value)?),
            "encoding" => match Encoding::from_name(value) {
                Some(encoding) => self.hint.encoding = Some(encoding),
                None => return bad(known, "must be utf-8 or windows-1252"),
            },
            "from_line" => self.from_line = number(known, value)?,
            "visible" => match [Visible::AsItGoes, Visible::AtOnce].into_iter().find(|v| v.as_str() == value)
            {
                Some(visible) => self.visible = visible,
                None => return bad(known, "must be as_it_goes or at_once"),
            },
            "reject_most" => self.reject_most = number(known, value)?,
            "dry_run" => match value {
                "true" => self.dry_run = true,
                "false" => self.dry_run = false,
                _ => return bad(known, "must be true or false"),
            },
            // The only one left.
            _ => match columns::named(&name["column.".len()..]) {
                Some(column) => self.columns.push((column, value.to_owned())),
                None => {
                    return bad(known, "must be followed by a column of the contract, as in column.address");
                }
            },
        }
        Ok(())
    }

    fn whose(&self, value: &str) -> Result<String, BadParameter> {
        if Tenant::parse(value).is_err() {
            return bad("tenant", "must be 1 to 64 characters of [A-Za-z0-9._:-]");
        }
        match &self.owner {
            Owner::Tenant(own) if own != value => bad("tenant", "this key belongs to another tenant"),
            Owner::Tenant(_) | Owner::Gateway(_) | Owner::Operator => Ok(value.to_owned()),
        }
    }

    /// What holds together is looked at when everything is said.
    ///
    /// # Errors
    /// When two parameters exclude each other.
    pub fn check(&self) -> Result<(), BadParameter> {
        if self.hint.csv == Some(false) && (self.hint.delimiter.is_some() || !self.columns.is_empty()) {
            return bad("format", "ndjson has neither delimiter nor columns");
        }
        Ok(())
    }
}

/// An id of an import: it begins with a letter, since a path must not hold a telephone number.
///
/// # Errors
/// When it is not one.
pub fn id(value: &str) -> Result<String, BadParameter> {
    let good = value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.len() <= ID_MOST
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if good {
        return Ok(value.to_owned());
    }
    bad("import_id", format!("must be a letter and up to {} characters of [A-Za-z0-9._-]", ID_MOST - 1))
}

/// An id that nobody has chosen.
#[must_use]
pub fn new_id(now_ms: UnixMs, random: u64) -> String {
    format!("imp-{now_ms:x}-{random:016x}")
}

fn delimiter(value: &str) -> Result<u8, BadParameter> {
    let byte = match value {
        "tab" | "\\t" => b'\t',
        _ => value.bytes().next().filter(|_| value.len() == 1).unwrap_or(0),
    };
    if DELIMITERS.contains(&byte) {
        return Ok(byte);
    }
    bad("delimiter", "must be , ; | or tab")
}

fn number(name: &'static str, value: &str) -> Result<u64, BadParameter> {
    value.parse().or_else(|_| bad(name, "must be a whole number"))
}

fn bad<T>(name: &'static str, expected: impl Into<String>) -> Result<T, BadParameter> {
    Err(BadParameter { name, expected: expected.into() })
}
