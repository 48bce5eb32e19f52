//! What stops a list, and what is wrong with it.

use std::borrow::Cow;
use std::io;

/// Where a list is not what it says, and what was expected there. Never what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub struct Bad {
    /// The line of the file, from 1, on which the row begins.
    pub line: u64,
    /// What a row there would have.
    pub expected: Cow<'static, str>,
}

impl Bad {
    pub(crate) fn new(line: u64, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { line, expected: expected.into() }
    }
}

/// Why a list was not cleaned to its end. What was written so far is clean, but it is not all.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// It can't be read.
    #[error("read the list: {0}")]
    Read(io::Error),
    /// It is no list.
    #[error(transparent)]
    Bad(#[from] Bad),
    /// The cleaned list can't be written.
    #[error("write the cleaned list: {0}")]
    Write(io::Error),
    /// Whoever knows who is suppressed does not say.
    #[error("ask the filter")]
    Filter(E),
}
