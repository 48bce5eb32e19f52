//! Which log the suppression log is.

use super::client::{Watch, drop_aside};
use super::end_offsets::describe_topic;
use super::{Config, topics};
use crate::types::after;
use crate::{Blame, Error, LogIdentity};
use rdkafka::admin::AdminClient;
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
    let silent =
        |what: &str| Error::new(VERB, Blame::Unreachable, format!("the brokers did not tell {what}"));
    let settings = topics::describe(admin, std::iter::once(topic), left())?;
    let kept = settings
        .first()
        .and_then(|settings| settings.get("delete.retention.ms")?.value.as_deref()?.parse().ok());
    let kept = kept.ok_or_else(|| silent("delete.retention.ms"))?;
    let cluster = admin.inner().fetch_cluster_id(left()).ok_or_else(|| silent("the cluster's id"))?;
    let (topic, partitions) = describe_topic(admin.inner(), topic, left())?;
    Ok(LogIdentity { cluster, topic, partitions, tombstones_kept: Some(Duration::from_millis(kept)) })
}
