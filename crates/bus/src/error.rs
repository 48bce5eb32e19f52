//! What can go wrong with the log, and who must act.

use std::fmt;

use crate::Positions;

/// Who must act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The log can't be reached or is not ready: it passes, or an operator mends the log.
    Unreachable,
    /// The settings or the topics are wrong.
    Configuration,
    /// Another process took over under the same name.
    Fenced,
    /// A defect, here or in the log.
    Internal,
}

/// An error of the log. Its text names operations, topics and codes, never a record's key or value.
#[derive(Debug, Clone)]
pub struct Error {
    verb: &'static str,
    blame: Blame,
    detail: String,
}

impl Error {
    /// An error while doing `verb` ("read jobs", "commit transaction").
    #[must_use]
    pub fn new(verb: &'static str, blame: Blame, detail: impl Into<String>) -> Self {
        Self { verb, blame, detail: detail.into() }
    }

    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.blame
    }

    /// A position of the suppression log that it no longer has.
    pub(crate) fn truncated() -> Self {
        Self::new(
            "read suppression log",
            Blame::Internal,
            "the log ends before what was read of it: it was truncated or recreated, and the filter must be rebuilt",
        )
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retry(&self) -> bool {
        matches!(self.blame, Blame::Unreachable)
    }

    /// What was being done.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        self.verb
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verb, self.detail)
    }
}

impl std::error::Error for Error {}

/// Here, since the types know no errors: `cargo xtask mutants` builds the simulator on them alone.
impl Positions {
    /// Whether a reader of `partitions` partitions can stand here.
    pub(crate) fn check(&self, verb: &'static str, partitions: u32) -> Result<(), Error> {
        let next = self.as_slice();
        if next.len() == partitions as usize && next.iter().all(|next| *next >= 0) {
            return Ok(());
        }
        Err(Error::new(
            verb,
            Blame::Internal,
            format!("{next:?} are no positions of {partitions} partitions"),
        ))
    }
}

/// What must become of a transaction, and of its writer, after an error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// Abort the transaction; the writer is good.
    #[error("abort: {0}")]
    Abort(Error),
    /// Nothing is known: replace the writer, then read the committed offsets.
    #[error("replace: {0}")]
    Replace(Error),
}
