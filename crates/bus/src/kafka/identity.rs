//! Which log the suppression log is.

use super::client::{Watch, drop_aside};
use super::end_offsets::describe_topic;
use super::{Config, topics};
use crate::types::after;
use crate::{Blame, Error, LogIdentity};
use rdkafka::admin::{AdminClient, ConfigResource};
use std::time::{Duration, Instant};

const VERB: &str = "identify suppression log";

/// Asks on a client of its own, so that nothing is an answer of before.
pub(super) fn ask(config: &Config, topic: &str, timeout: Duration) -> Result<LogIdentity, Error> {
    let admin = topics::admin(config)?;
    let identity = ask_on(&admin, topic, timeout);
    drop_aside(admin, false);
    identity
}

/// The topic's id is asked for last: were it made anew in between, the id is the new one's, and whoever compares it sees that
/// it is another log, whatever else was answered.
fn ask_on(admin: &AdminClient<Watch>, topic: &str, timeout: Duration) -> Result<LogIdentity, Error> {
    let deadline = after(timeout);
    let left = || deadline.saturating_duration_since(Instant::now());
    let settings = topics::describe(admin, std::iter::once(topic), left())?;
    let tombstones_kept = Some(tombstones_kept(&settings)?);
    let cluster = admin.inner().fetch_cluster_id(left()).ok_or_else(|| silent("the cluster's id"))?;
    let (topic, partitions) = describe_topic(admin.inner(), topic, left())?;
    Ok(LogIdentity { cluster, topic, partitions, tombstones_kept })
}

/// Of the one topic asked for. A broker that has just learnt of the topic may have no settings for it.
fn tombstones_kept(settings: &[ConfigResource]) -> Result<Duration, Error> {
    const KEY: &str = "delete.retention.ms";
    let kept = settings.first().and_then(|settings| settings.get(KEY)?.value.as_deref()?.parse().ok());
    kept.map(Duration::from_millis).ok_or_else(|| silent(KEY))
}

fn silent(what: &str) -> Error {
    Error::new(VERB, Blame::Unreachable, format!("the brokers did not tell {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::admin::{ConfigEntry, ConfigSource, OwnedResourceSpecifier};

    /// Guarantees (G5): what was not told is an error that passes, never a default.
    #[test]
    fn a_setting_that_is_not_told_is_no_answer_g5() {
        let told = |value: Option<&str>| {
            let entry = ConfigEntry {
                name: "delete.retention.ms".to_owned(),
                value: value.map(ToOwned::to_owned),
                source: ConfigSource::Default,
                is_read_only: false,
                is_default: true,
                is_sensitive: false,
            };
            let specifier = OwnedResourceSpecifier::Topic("suppressions".to_owned());
            tombstones_kept(&[ConfigResource { specifier, entries: vec![entry] }])
        };
        assert_eq!(told(Some("500")).ok(), Some(Duration::from_millis(500)));
        for silence in [told(None), told(Some("-1")), tombstones_kept(&[])] {
            assert!(silence.is_err_and(|error| error.retry()));
        }
    }
}
