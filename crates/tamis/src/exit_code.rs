//! How a command ends (contract, section 4), and the error that carries it.

use std::fmt;

/// The exit codes of the contract, section 4. `0` is not an error and `2` is the argument parser's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// It was tried and did not work.
    Failed = 1,
    /// Wrong usage that the argument parser could not see.
    Usage = 2,
    /// Settings or input are not as they must be.
    Refused = 3,
    /// A broker, a store or the service can't be reached.
    Unreachable = 4,
    /// A safety rule says no: the key is missing, wrong, or readable by others.
    Unsafe = 5,
}

/// Why a command did not do what it was asked, and the code that says who must act.
#[derive(Debug)]
pub(crate) struct Failure {
    code: ExitCode,
    error: anyhow::Error,
}

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with this code; `error` must hold no personal data.
    pub(crate) fn new(code: ExitCode, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }

    /// A failure in words.
    pub(crate) fn say(code: ExitCode, text: impl fmt::Display) -> Self {
        Self { code, error: anyhow::anyhow!("{text}") }
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code as u8
    }

    /// Whether this is only a reader of our output that has gone away: not worth a word.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl From<tamis_bus::Error> for Failure {
    fn from(error: tamis_bus::Error) -> Self {
        let code = match error.blame() {
            tamis_bus::Blame::Unreachable => ExitCode::Unreachable,
            tamis_bus::Blame::Configuration => ExitCode::Refused,
            tamis_bus::Blame::Fenced | tamis_bus::Blame::Internal => ExitCode::Failed,
        };
        Self::new(code, error)
    }
}

/// Gives any error an exit code.
pub(crate) trait OrExit<T> {
    /// The value, or a failure with `code` and `context` in front of the error.
    fn or_exit(self, code: ExitCode, context: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, code: ExitCode, context: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure { code, error: error.into().context(context.to_string()) })
    }
}
