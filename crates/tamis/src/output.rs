//! Results on stdout, everything else on stderr; a reader that goes away ends us quietly.

use std::io::{self, Write};

use crate::exit_code::{ExitCode, Failure, Outcome};

/// Writes one line of result.
///
/// # Errors
/// When stdout can't be written; a closed pipe is told apart by [`Failure::is_closed_pipe`].
pub(crate) fn line(text: impl AsRef<str>) -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.as_ref())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::new(ExitCode::Failed, error))
}

/// Writes one line of JSON.
///
/// # Errors
/// As [`line`].
pub(crate) fn json(value: &serde_json::Value) -> Outcome {
    line(value.to_string())
}

/// Writes one line for the person at the terminal. That nobody reads it is no error.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}
