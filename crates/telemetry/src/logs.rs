//! Logs: to stderr, as text or JSON. Messages are static lower-case text; values are fields.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Logs could not be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogError {
    /// The level or filter (`TAMIS_LOG`) is not understood; the parser's own words.
    Filter(String),
    /// Logs were set up before in this process.
    Twice,
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Filter(why) => write!(f, "read log filter: {why}"),
            Self::Twice => f.write_str("set up logs: they were set up before"),
        }
    }
}

impl std::error::Error for LogError {}

/// Sends logs to stderr, as JSON or as text. `filter` is what `TAMIS_LOG` holds (`debug`,
/// `info,tamis_bus=debug`, …); `info` where there is none.
///
/// # Errors
/// [`LogError`] when `filter` is not understood or logs were set up before.
pub fn init_logs(json: bool, filter: Option<&str>) -> Result<(), LogError> {
    let filter = EnvFilter::builder()
        .parse(filter.filter(|text| !text.is_empty()).unwrap_or("info"))
        .map_err(|why| LogError::Filter(why.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    done.map_err(|_| LogError::Twice)
}
