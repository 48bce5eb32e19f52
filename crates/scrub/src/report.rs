//! What became of a list, for whoever is responsible for it: how many, why, where. Never who.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tamis_campaign::{Reason, RejectReason};
use tamis_suppression::Places;

use crate::error::Bad;

/// So many runs of rows are listed; more than that are a bitmap, as in a job's outcome.
const RUNS_MAX: usize = 1_000;

/// The fate of every row.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    /// Rows that came in.
    pub rows: u32,
    /// Rows that went out.
    pub kept: u32,
    /// Of those, rows with a cell that a spreadsheet would take for a formula: made a text, if that was asked.
    pub formulas: u32,
    /// Rows of people who must not be written to, by the lowest reason in force.
    pub suppressed: BTreeMap<Reason, Places>,
    /// Other rows that were dropped.
    pub rejected: BTreeMap<RejectReason, Places>,
    /// The first row that could not be read.
    pub first_malformed: Option<Bad>,
}

impl Report {
    /// Whether every row has one fate (G6).
    #[must_use]
    pub fn books_close(&self) -> bool {
        let dropped = self.suppressed.values().chain(self.rejected.values()).map(Places::count).sum::<u64>();
        u64::from(self.rows) == u64::from(self.kept) + dropped
    }

    /// As JSON. Rows are counted from 0, as the places of recipients are in an outcome.
    #[must_use]
    pub fn json(&self) -> Value {
        let suppressed = self.suppressed.iter().map(|(reason, places)| group(reason.as_str(), places));
        let rejected = self.rejected.iter().map(|(reason, places)| group(reason.as_str(), places));
        let bad = |bad: &Bad| json!({ "line": bad.line, "expected": bad.expected });
        json!({
            "rows": self.rows,
            "kept": self.kept,
            "formulas": self.formulas,
            "suppressed": suppressed.collect::<Vec<_>>(),
            "rejected": rejected.collect::<Vec<_>>(),
            "first_malformed": self.first_malformed.as_ref().map(bad),
        })
    }
}

fn group(reason: &str, places: &Places) -> Value {
    let mut group = json!({ "reason": reason, "count": places.count() });
    if let Some(runs) = runs(places) {
        group["rows"] = json!(runs);
    } else {
        let mut bytes = Vec::new();
        places.write(&mut bytes);
        group["roaring"] = json!(BASE64_STANDARD.encode(bytes));
    }
    group
}

/// First and last row of each run; `None` when there are too many.
fn runs(places: &Places) -> Option<Vec<(u32, u32)>> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for place in places.iter() {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == place => *last = place,
            Some(_) | None => runs.push((place, place)),
        }
        if runs.len() > RUNS_MAX {
            return None;
        }
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_runs_or_a_bitmap_when_there_are_many() {
        let few = Places::from_ascending(&[0, 1, 2, 7, 9, 10]);
        assert_eq!(group("x", &few), json!({ "reason": "x", "count": 6, "rows": [[0, 2], [7, 7], [9, 10]] }));
        let many: Vec<u32> = (0..1_001).map(|n| n * 2).collect();
        let told = group("x", &Places::from_ascending(&many));
        let bytes = BASE64_STANDARD.decode(told["roaring"].as_str().expect("a bitmap")).expect("base64");
        assert_eq!(Places::from_bytes(&bytes).expect("roaring").iter().collect::<Vec<_>>(), many);
        assert_eq!(told["rows"], Value::Null);
        assert!(group("x", &Places::from_ascending(&many[..1_000]))["rows"].is_array());
    }
}
