//! Imports through the running service, and a bar that shows how far they are.

use std::io::{self, IsTerminal as _, Read};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tamis_bus::{Bus, Follower};
use tamis_intake::imports::Follow;

use crate::exit_code::{ExitCode, Failure, Outcome};
use crate::service::Service;

/// Between two looks at an import that runs.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Opens readers of the bus's suppression log.
pub(crate) fn follow<B: Bus>(bus: Arc<B>) -> Follow
where
    B::Follower: 'static,
{
    Arc::new(move |from| bus.follower(from).map(|follower| Box::new(follower) as Box<dyn Follower>))
}

/// Asks the service for imports.
pub(crate) struct Asking<'a>(&'a Service);

impl<'a> Asking<'a> {
    /// Of a service.
    pub(crate) fn of(service: &'a Service) -> Self {
        Self(service)
    }

    /// Sends rows; returns when the service has read them all.
    pub(crate) fn import(&self, parameters: &[(String, String)], mut rows: impl Read) -> Outcome {
        let pairs = parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let path = format!("/v1/suppressions/import?{}", pairs.collect::<Vec<_>>().join("&"));
        self.0.stream(&path, &mut rows).map(drop)
    }

    /// What the service tells of an import.
    pub(crate) fn status(&self, id: &str) -> Outcome<Value> {
        self.0.get(&format!("/v1/imports/{id}"))
    }

    /// Waits until an import has ended, well or not.
    pub(crate) fn ended(&self, id: &str) -> Outcome<Value> {
        loop {
            let status = self.status(id)?;
            if status["state"] != "running" {
                // What the log did not take can be sent again.
                if matches!(status["failure"]["code"].as_str(), Some("NOT_DURABLE" | "INTERRUPTED")) {
                    return Err(Failure::say(ExitCode::Unreachable, "the log did not take all rows"));
                }
                return Ok(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Has an import taken back; what is told of it when that has ended.
    pub(crate) fn undo(&self, id: &str) -> Outcome<Value> {
        self.0.stream(&format!("/v1/imports/{id}/undo"), &mut io::empty())?;
        loop {
            let status = self.status(id)?;
            if status["undo"]["state"] != "running" {
                return Ok(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// A value in a query (RFC 3986).
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Rows that show how many of them were read, on a terminal.
pub(crate) struct Progress<R> {
    rows: R,
    bar: Option<ProgressBar>,
}

impl<R: Read> Progress<R> {
    /// Of `bytes`, if it is known how many there are; `verb` says what is done to them.
    pub(crate) fn new(rows: R, bytes: Option<u64>, verb: &'static str) -> Self {
        if !io::stderr().is_terminal() {
            return Self { rows, bar: None };
        }
        let (bar, style) = match bytes {
            Some(bytes) => (
                ProgressBar::new(bytes),
                "{wide_bar} {bytes} of {total_bytes} {msg}, {bytes_per_sec}, {eta} left",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {bytes} {msg}, {bytes_per_sec}"),
        };
        let style = ProgressStyle::with_template(style).expect("the template is one of the two above");
        bar.set_style(style);
        bar.set_message(verb);
        Self { rows, bar: Some(bar) }
    }
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.rows.read(into)?;
        if let Some(bar) = &self.bar {
            bar.inc(count as u64);
        }
        Ok(count)
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_no_letter_of_a_query_is_encoded() {
        assert_eq!(super::encoded("Téléphone 1&x"), "T%C3%A9l%C3%A9phone%201%26x");
    }
}
