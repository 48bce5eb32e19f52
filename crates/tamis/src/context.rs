//! What commands share: parsers of arguments, and the runtime.

use std::time::Duration;

use tamis_campaign::Channel;

use crate::exit_code::{ExitCode, OrExit as _, Outcome};
use crate::job_json::names;

/// Parses a channel's name.
pub(crate) fn channel(text: &str) -> Result<Channel, String> {
    Channel::from_name(text).ok_or_else(|| format!("must be one of {}", names(Channel::ALL)))
}

/// Parses `500ms`, `5s`, `2m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 =
        digits.parse().map_err(|_| "must be a number with ms, s, m or h, as in 5s".to_owned())?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("must end in ms, s, m or h, as in 5s".to_owned()),
    };
    Ok(Duration::from_millis(count.saturating_mul(unit_ms)))
}

/// The runtime of what speaks HTTP or waits for signals.
pub(crate) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .or_exit(ExitCode::Failed, "start runtime")
}

/// How many workers for a setting of 0: one for each core, within the limits of the line.
pub(crate) fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores.clamp(1, 64)).unwrap_or(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("5").is_err());
        assert!(duration("5 s").is_err());
        assert!(duration("fünf").is_err());
    }
}
