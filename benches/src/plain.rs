//! The plain rival, as any good engineer writes it in a day: decode with prost, ask a `HashSet` of numbers, encode
//! again, commit in a transaction; one thread a worker. It writes no outcomes, knows no reasons, normalises no
//! number, keeps its filter as plain text, and takes an opt-out that comes meanwhile for the next day.

use anyhow::{Result, anyhow};
use rdkafka::message::Message as _;
use rdkafka::producer::Producer as _;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1 as proto;

use crate::rival::{BATCH_BYTES, Rival, WORKERS};
use crate::setting::Setting;

/// Filters every job; returns when all are committed.
///
/// # Errors
/// When the broker refuses, or a job can't be read.
pub fn run(
    setting: &Setting,
    group: &str,
    ends: &BTreeMap<i32, i64>,
    fill: Duration,
    suppressed: &HashSet<String>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                scope.spawn(move || {
                    filter(&Rival::open(setting, group, (worker, WORKERS), ends)?, fill, suppressed)
                })
            })
            .collect();
        workers.into_iter().try_for_each(|w| w.join().map_err(|_| anyhow!("a worker panicked"))?)
    })
}

fn filter(rival: &Rival, fill: Duration, suppressed: &HashSet<String>) -> Result<()> {
    let mut left = rival.jobs;
    while left > 0 {
        let batch = rival.read(fill, BATCH_BYTES)?;
        left -= i64::try_from(batch.len())?;
        rival.producer.begin_transaction()?;
        for message in &batch {
            let mut job = proto::SendJob::decode(message.payload().unwrap_or_default())?;
            job.recipients.retain(|recipient| !suppressed.contains(&recipient.address));
            if !job.recipients.is_empty() {
                let key = message.key().unwrap_or_default();
                let headers = message.headers().map(|headers| headers.detach());
                rival.send(message.partition(), key, &job.encode_to_vec(), headers)?;
            }
        }
        rival.commit(&batch)?;
    }
    Ok(())
}
