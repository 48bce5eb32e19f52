//! Some rows at a time: asked about together, so that the filter's look-ups wait for memory side by side, and judged in order.

use std::collections::BTreeMap;
use std::io::Write;

use tamis_campaign::{Reason, RejectReason};
use tamis_subject::Subject;
use tamis_suppression::{Places, of_both};

use crate::error::{Bad, Error};
use crate::kept::Kept;
use crate::report::Report;
use crate::rows::Row;
use crate::{Filter, Known, Unknown, escape};

/// Rows of a batch at most: what is looked up for them stays in the second cache. Tests have small ones, so that they have several.
pub(crate) const ROWS_MAX: usize = if cfg!(test) { 7 } else { 8_192 };
/// Bytes of a batch, but for the row that passes it.
const BYTES_MAX: usize = 4 << 20;

/// What is known of a row before the filter is asked.
enum Fate {
    /// No row: it stays as it is.
    Blank,
    Rejected(RejectReason),
    /// The number of its address, and whether a cell of it is a formula.
    Asked(usize, bool),
}

/// Rows that are judged together, and what became of those before.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// For each row where it ends in `bytes`.
    rows: Vec<(usize, Fate)>,
    /// Subjects of addresses, then of contacts.
    addresses: Vec<Subject>,
    contacts: Vec<Subject>,
    /// Whose each contact is: the number of its address.
    contact_of: Vec<usize>,
    reasons: Vec<Option<Reason>>,
    by_contact: Vec<Option<Reason>>,
    kept_before: Option<Kept>,
    /// By address: whether it was kept before.
    repeated: Vec<bool>,
    /// Of all rows that were put.
    put: u32,
    pub(crate) report: Report,
}

impl Batch {
    pub(crate) fn new(keep_duplicates: bool) -> Self {
        Self {
            bytes: Vec::new(),
            rows: Vec::new(),
            addresses: Vec::new(),
            contacts: Vec::new(),
            contact_of: Vec::new(),
            reasons: Vec::new(),
            by_contact: Vec::new(),
            kept_before: (!keep_duplicates).then(Kept::new),
            repeated: Vec::new(),
            put: 0,
            report: Report::default(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX || self.bytes.len() >= BYTES_MAX
    }

    /// Rows that were put, of all batches.
    pub(crate) fn rows(&self) -> u32 {
        self.put
    }

    /// Takes what is no row.
    pub(crate) fn pass(&mut self, raw: &[u8]) {
        self.bytes.extend_from_slice(raw);
        self.rows.push((self.bytes.len(), Fate::Blank));
    }

    /// Takes a row.
    pub(crate) fn put(&mut self, row: &Row<'_>, known: Result<Known, Unknown>, escaped: bool) {
        self.put += 1;
        let fate = match known {
            Ok(Known { address, contact }) => {
                let has_formula = escape::has_any(row.raw, row.cells);
                if escaped && has_formula {
                    escape::put(row.raw, row.cells, &mut self.bytes);
                } else {
                    self.bytes.extend_from_slice(row.raw);
                }
                let number = self.addresses.len();
                self.addresses.push(address);
                if let Some(contact) = contact {
                    self.contacts.push(contact);
                    self.contact_of.push(number);
                }
                Fate::Asked(number, has_formula)
            }
            Err(Unknown::Rejected(reason)) => Fate::Rejected(reason),
            Err(Unknown::Malformed(expected)) => {
                self.report.first_malformed.get_or_insert_with(|| Bad::new(row.line, expected));
                Fate::Rejected(RejectReason::MalformedRecipient)
            }
        };
        self.rows.push((self.bytes.len(), fate));
    }

    /// Gives each row its fate, writes those that are kept, and is empty again.
    pub(crate) fn judge<F: Filter>(
        &mut self,
        filter: &mut F,
        to: &mut impl Write,
    ) -> Result<(), Error<F::Error>> {
        self.ask(filter).map_err(Error::Filter)?;
        let Self { bytes, rows, addresses, reasons, kept_before, repeated, report, .. } = self;
        repeated.clear();
        repeated.resize(addresses.len(), false);
        if let Some(kept) = kept_before {
            kept.note(addresses, |number| reasons[number].is_none(), |number| repeated[number] = true);
        }
        // Rows that are kept one after the other are written together.
        let (mut kept_from, mut kept_to) = (0, 0);
        for (end, fate) in rows.drain(..) {
            let begin = std::mem::replace(&mut kept_to, end);
            let keeps = match fate {
                Fate::Blank => true,
                Fate::Rejected(reason) => note(&mut report.rows, &mut report.rejected, reason),
                Fate::Asked(number, has_formula) => match reasons[number] {
                    Some(reason) => note(&mut report.rows, &mut report.suppressed, reason),
                    None if repeated[number] => {
                        note(&mut report.rows, &mut report.rejected, RejectReason::DuplicateRecipient)
                    }
                    None => {
                        report.rows += 1;
                        report.kept += 1;
                        report.formulas += u32::from(has_formula);
                        true
                    }
                },
            };
            if !keeps {
                to.write_all(&bytes[kept_from..begin]).map_err(Error::Write)?;
                kept_from = end;
            }
        }
        to.write_all(&bytes[kept_from..]).map_err(Error::Write)?;
        bytes.clear();
        addresses.clear();
        Ok(())
    }

    /// Asks for all addresses and contacts, and brings what is said of a row's two together.
    fn ask<F: Filter>(&mut self, filter: &mut F) -> Result<(), F::Error> {
        let Self { addresses, contacts, contact_of, reasons, by_contact, .. } = self;
        reasons.clear();
        by_contact.clear();
        filter.reasons(addresses, reasons)?;
        filter.reasons(contacts, by_contact)?;
        assert_eq!(
            (reasons.len(), by_contact.len()),
            (addresses.len(), contacts.len()),
            "one for each subject"
        );
        for (of, reason) in contact_of.drain(..).zip(by_contact) {
            reasons[of] = of_both(reasons[of], *reason);
        }
        contacts.clear();
        Ok(())
    }
}

/// Counts a row that is dropped.
fn note<R: Ord>(rows: &mut u32, dropped: &mut BTreeMap<R, Places>, reason: R) -> bool {
    dropped.entry(reason).or_default().push(*rows);
    *rows += 1;
    false
}
