//! A list of people, cleaned of those who must not be written to: rows in, the same rows out, and a report.
//!
//! Each row has the fate that the line would give it as a recipient, in the same order of judgement (contract, section 9):
//! malformed, missing, invalid, suppressed, duplicate, kept. Rows that are kept are the list's own bytes, so that whoever made it
//! gets back what they gave: a list goes on to a tool that knows its dialect, and a changed cell would be another person's.

mod batch;
mod columns;
mod error;
mod escape;
mod json;
mod kept;
mod report;
mod rows;
mod scan;

use std::io::{Read, Write};

use tamis_campaign::{Channel, Reason, RejectReason, Tenant};
use tamis_subject::{Invalid, Postal, Subject, Subjects};

use crate::batch::Batch;
use crate::columns::Columns;
use crate::json::Names;
use crate::rows::{Dialect, Row, Rows};

pub use columns::{Named, What};
pub use error::{Bad, Error};
pub use escape::is_formula;
pub use report::Report;
pub use rows::Format;

/// What is to be done with a list.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Whose list it is: contacts are this tenant's.
    pub tenant: Tenant<'a>,
    /// What its addresses are for.
    pub channel: Channel,
    /// How it is written; `None` when it is to be told from its beginning.
    pub format: Option<Format>,
    /// Whether the first row of a CSV names the columns.
    pub header: bool,
    /// Columns, or fields of NDJSON, that the caller has named.
    pub named: &'a Named,
    /// Keep rows whose address was kept before. Otherwise memory holds 20 to 30 bytes for each row that is kept, and 50 while the
    /// table of them grows.
    pub keep_duplicates: bool,
    /// Make texts of cells that a spreadsheet would take for formulas (CSV only).
    pub escape: bool,
}

/// Who knows which subjects are suppressed.
pub trait Filter {
    /// Why it can't say.
    type Error;

    /// Puts, for each of `subjects`, the lowest reason for which it must not be written to into `reasons`, which is empty; the last is
    /// that no consent is in force, where one is needed.
    ///
    /// # Errors
    /// When it can't say: nothing is kept on a guess.
    fn reasons(&mut self, subjects: &[Subject], reasons: &mut Vec<Option<Reason>>)
    -> Result<(), Self::Error>;
}

/// Reads a list `from` somewhere and writes those of its rows `to` somewhere that may be written to. Blank lines stay. It holds
/// some rows at a time, however long the list is, and see [`Ask::keep_duplicates`].
///
/// # Errors
/// When the list can't be read or is none, the filter does not say, or nothing more can be written. What was written is clean then,
/// but not all of it.
pub fn scrub<F: Filter>(
    ask: &Ask<'_>,
    subjects: &Subjects,
    filter: &mut F,
    from: impl Read,
    mut to: impl Write,
) -> Result<Report, Error<F::Error>> {
    let mut rows = Rows::new(from);
    let mut head = Vec::new();
    let list = List::open(ask, subjects, &mut rows, &mut head)?;
    to.write_all(&head).map_err(Error::Write)?;
    let mut batch = Batch::new(ask.keep_duplicates);
    loop {
        let more = list.fill(&mut rows, &mut batch)?;
        batch.judge(filter, &mut to)?;
        if !more {
            break;
        }
    }
    to.flush().map_err(Error::Write)?;
    let report = batch.report;
    debug_assert!(report.books_close(), "G6: every row has one fate");
    let malformed = report.rejected.get(&RejectReason::MalformedRecipient).map_or(0, |places| places.count());
    match &report.first_malformed {
        Some(bad) if malformed == u64::from(report.rows) => Err(bad.clone().into()),
        _ => Ok(report),
    }
}

/// A list whose dialect and columns are known.
struct List<'a> {
    ask: &'a Ask<'a>,
    subjects: &'a Subjects,
    dialect: Dialect,
    who: Who,
}

/// Where in a row it says who it is.
enum Who {
    Columns(Columns),
    Fields(Names),
}

/// A row's subjects: of its address, and of its contact if it has one.
struct Known {
    address: Subject,
    contact: Option<Subject>,
}

/// Why a row has none.
enum Unknown {
    Malformed(&'static str),
    Rejected(RejectReason),
}

impl<'a> List<'a> {
    /// Reads the beginning. What stands before the first row of people goes to `head`, to be written as it is.
    fn open<R: Read, E>(
        ask: &'a Ask<'a>,
        subjects: &'a Subjects,
        rows: &mut Rows<R>,
        head: &mut Vec<u8>,
    ) -> Result<Self, Error<E>> {
        let first = rows.beginning(head)?;
        let is_json = first.trim_ascii_start().starts_with(b"{");
        let format = ask.format.unwrap_or(if is_json { Format::Ndjson } else { Format::Csv });
        let line = |rows: &Rows<R>| rows.line();
        match format {
            Format::Ndjson => {
                let who = Who::Fields(fields(ask, line(rows))?);
                Ok(Self { ask, subjects, dialect: Dialect::Ndjson, who })
            }
            Format::Csv => {
                let dialect = Dialect::Csv { separator: rows::separator(first) };
                let columns = columns(ask, rows, dialect, head)?;
                Ok(Self { ask, subjects, dialect, who: Who::Columns(columns) })
            }
        }
    }

    /// Reads as many rows as go together; `false` after the last.
    fn fill<R: Read, E>(&self, rows: &mut Rows<R>, batch: &mut Batch) -> Result<bool, Error<E>> {
        let is_csv = matches!(self.dialect, Dialect::Csv { .. });
        while !batch.is_full() {
            let Some(row) = rows.next(self.dialect)? else { return Ok(false) };
            if row.is_blank() {
                batch.pass(row.raw);
                continue;
            }
            if batch.rows() == u32::MAX {
                return Err(Bad::new(row.line, "a list of 4,294,967,295 rows at most").into());
            }
            let known = match row.bad {
                Some(expected) => Err(Unknown::Malformed(expected)),
                None => self.recognise(&row),
            };
            batch.put(&row, known, is_csv && self.ask.escape);
        }
        Ok(true)
    }

    /// Who a row is.
    fn recognise(&self, row: &Row<'_>) -> Result<Known, Unknown> {
        match &self.who {
            Who::Columns(columns) => {
                if row.cells.len() != columns.count {
                    return Err(Unknown::Malformed("as many cells as the first row has"));
                }
                let cell =
                    |what| columns.of_what(what).map(|at| row.cells[at].text(row.raw)).unwrap_or_default();
                let address = if self.ask.channel == Channel::Mail {
                    let parts = [What::Name, What::Street, What::PostalCode, What::Country];
                    self.postal(parts.map(cell))?
                } else {
                    self.address(&cell(What::Address))?
                };
                Ok(Known { address, contact: self.contact(&cell(What::Contact))? })
            }
            Who::Fields(names) => {
                let fields = names.read(row.raw).ok_or(Unknown::Malformed(
                    "a JSON object, its address and contact texts that stand in it once",
                ))?;
                let address = if self.ask.channel == Channel::Mail {
                    let postal = fields.postal.unwrap_or_default();
                    let parts = [postal.name, postal.street, postal.postal_code, postal.country];
                    self.postal(parts.map(|part| part.into_owned().into_bytes().into()))?
                } else {
                    self.address(fields.address.as_bytes())?
                };
                Ok(Known { address, contact: self.contact(fields.contact.as_bytes())? })
            }
        }
    }

    fn address(&self, address: &[u8]) -> Result<Subject, Unknown> {
        self.subjects.address(self.ask.channel, address).map_err(|invalid| match invalid {
            Invalid::NotAnAddress if std::str::from_utf8(address).is_err() => NOT_UTF8,
            invalid => rejected(invalid),
        })
    }

    /// Name, street, postal code, country.
    fn postal(&self, parts: [std::borrow::Cow<'_, [u8]>; 4]) -> Result<Subject, Unknown> {
        let text = |part: usize| std::str::from_utf8(&parts[part]).map_err(|_| NOT_UTF8);
        let (name, street, postal_code, country) = (text(0)?, text(1)?, text(2)?, text(3)?);
        if [name, street, postal_code, country].iter().all(|part| part.trim().is_empty()) {
            return Err(Unknown::Rejected(RejectReason::MissingAddress));
        }
        let postal = Postal { name, street, postal_code, country, ..Postal::default() };
        self.subjects.postal(&postal).map_err(rejected)
    }

    fn contact(&self, contact: &[u8]) -> Result<Option<Subject>, Unknown> {
        match contact {
            [] => Ok(None),
            _ if std::str::from_utf8(contact).is_err() => Err(NOT_UTF8),
            _ => Ok(Some(self.subjects.contact(self.ask.tenant, contact))),
        }
    }
}

const NOT_UTF8: Unknown = Unknown::Malformed("an address and a contact in UTF-8");

fn rejected(invalid: Invalid) -> Unknown {
    Unknown::Rejected(match invalid {
        Invalid::Missing => RejectReason::MissingAddress,
        Invalid::NotAnAddress => RejectReason::InvalidAddress,
    })
}

/// The names of a list's fields.
fn fields(ask: &Ask<'_>, line: u64) -> Result<Names, Bad> {
    let name = |what: What| ask.named.iter().find(|(of, _)| *of == what).map(|(_, name)| name.clone());
    if ask.named.iter().any(|(what, _)| !matches!(what, What::Address | What::Contact)) {
        return Err(Bad::new(line, "a CSV: of NDJSON only address and contact can be named"));
    }
    let (address, contact) = (name(What::Address), name(What::Contact));
    Ok(Names {
        address: address.unwrap_or_else(|| What::Address.as_str().to_owned()),
        contact: contact.unwrap_or_else(|| What::Contact.as_str().to_owned()),
    })
}

/// The columns of a CSV. A row of names goes to `head`.
fn columns<R: Read, E>(
    ask: &Ask<'_>,
    rows: &mut Rows<R>,
    dialect: Dialect,
    head: &mut Vec<u8>,
) -> Result<Columns, Error<E>> {
    let line = rows.line();
    if !ask.header {
        return Ok(Columns::by_numbers(rows.cells_ahead(dialect)?, ask.named, ask.channel, line)?);
    }
    let Some(row) = rows.next(dialect)? else {
        return Err(Bad::new(line, "a row that names the columns").into());
    };
    if let Some(expected) = row.bad {
        return Err(Bad::new(line, expected).into());
    }
    let names: Vec<_> = row.cells.iter().map(|cell| cell.text(row.raw)).collect();
    let columns = Columns::of_header(&names, ask.named, ask.channel, line)?;
    if ask.escape {
        escape::put(row.raw, row.cells, head);
    } else {
        head.extend_from_slice(row.raw);
    }
    Ok(columns)
}

#[cfg(test)]
mod tests;
