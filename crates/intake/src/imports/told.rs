//! What is told of an import while it runs and afterwards: numbers, codes and lines, never a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tamis_bus::Positions;
use tamis_campaign::UnixMs;

use super::layouts::Unfit;
use super::plan::Plan;
use super::rows::Code;
use crate::keys::Owner;

/// Rejected rows that are told one by one; of the others there are the counts.
pub const ERRORS_MAX: usize = 1_000;

/// Where an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Under way.
    Running,
    /// Every row is read, and every one that was accepted is durable.
    Done,
    /// It ended before that.
    Failed,
}

/// A row that was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its line.
    pub line: u64,
    /// Why.
    pub code: String,
}

/// Why an import failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable code.
    pub code: String,
    /// In words of ours.
    pub message: String,
    /// The line that shows it, where one does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u64>,
}

impl Failure {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), line: None }
    }
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        let message = format!("line {}: expected {}", unfit.line, unfit.expected);
        Self { code: unfit.code.to_owned(), message, line: Some(unfit.line) }
    }
}

/// What became of an undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// Where it is.
    pub state: State,
    /// Opt-outs lifted.
    pub lifted: u64,
    /// Opt-outs that stay: they are in force for another reason by now, lifted already, or erased or blocked.
    pub kept: u64,
}

/// What is told of an import; also what its file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its id.
    pub import_id: String,
    /// Where it is.
    pub state: State,
    /// Rows read.
    pub rows: u64,
    /// Rows whose opt-out is durable; of a dry run, would be.
    pub accepted: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// The first of them.
    pub errors: Vec<Rejected>,
    /// Where the log is: next offset of each partition.
    pub position: Vec<i64>,
    /// Of those accepted, opt-outs that were not in force before.
    pub new: u64,
    /// Of those accepted, opt-outs that were.
    pub already: u64,
    /// Rows rejected, by code.
    pub rejected_by: BTreeMap<String, u64>,
    /// The line to go on from: everything before it is durable, or rejected.
    pub next_line: u64,
    /// How rows are written, whose export it is, and in what encoding, as far as known.
    pub format: Option<String>,
    /// See `format`.
    pub layout: Option<String>,
    /// See `format`.
    pub encoding: Option<String>,
    /// When rows are in force.
    pub visible: String,
    /// The moment for all, when they are visible at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub visible_at_ms: Option<UnixMs>,
    /// Whether that moment came before the last row was durable: some came into force later than others.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub visible_late: bool,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// When it began, Unix ms.
    pub began_at_ms: UnixMs,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at_ms: Option<UnixMs>,
    /// Until when it can be undone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undo_until_ms: Option<UnixMs>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
    /// What became of its undo.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undo: Option<Undo>,
    /// Whose it is.
    pub(super) owner: Owner,
}

impl Status {
    pub(super) fn begun(plan: &Plan, now_ms: UnixMs, partitions: usize) -> Self {
        Self {
            import_id: plan.id.clone(),
            state: State::Running,
            rows: 0,
            accepted: 0,
            rejected: 0,
            errors: Vec::new(),
            position: vec![-1; partitions],
            new: 0,
            already: 0,
            rejected_by: BTreeMap::new(),
            next_line: plan.from_line.max(1),
            format: None,
            layout: None,
            encoding: None,
            visible: plan.visible.as_str().to_owned(),
            visible_at_ms: None,
            visible_late: false,
            dry_run: plan.dry_run,
            began_at_ms: now_ms,
            ended_at_ms: None,
            undo_until_ms: None,
            failure: None,
            undo: None,
            owner: plan.owner.clone(),
        }
    }

    pub(super) fn reject(&mut self, line: u64, code: Code) {
        self.rejected += 1;
        *self.rejected_by.entry(code.as_str().to_owned()).or_default() += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(Rejected { line, code: code.as_str().to_owned() });
        }
    }

    /// Notes how far the log is.
    pub(super) fn reach(&mut self, reached: &Positions) {
        for (known, new) in self.position.iter_mut().zip(reached.as_slice()) {
            *known = (*known).max(*new);
        }
    }
}

/// The status of an import that runs, shared with whoever asks.
#[derive(Debug, Clone)]
pub struct Told(pub(super) Arc<Mutex<Status>>);

impl Told {
    pub(super) fn new(status: Status) -> Self {
        Self(Arc::new(Mutex::new(status)))
    }

    /// As it is now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.lock().clone()
    }

    /// Rows read and rows durable, without the rest.
    #[must_use]
    pub fn rows(&self) -> (u64, u64) {
        let status = self.0.lock();
        (status.rows, status.accepted)
    }
}
