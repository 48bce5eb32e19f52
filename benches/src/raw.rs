//! The ceiling: jobs copied as they are, in transactions, as fast as rdkafka's calls let us. Each worker reads on while its last
//! batch is committed.

use anyhow::{Result, anyhow};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::producer::Producer as _;
use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::rival::{BATCH_BYTES, Rival};
use crate::setting::Setting;

/// Copies every job with so many workers; returns when all are committed.
///
/// # Errors
/// When the broker refuses.
pub fn run(
    setting: &Setting,
    group: &str,
    ends: &BTreeMap<i32, i64>,
    fill: Duration,
    workers: u16,
) -> Result<()> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || copy(&Rival::open(setting, group, (worker, workers), ends)?, fill))
            })
            .collect();
        workers.into_iter().try_for_each(|w| w.join().map_err(|_| anyhow!("a worker panicked"))?)
    })
}

fn copy(rival: &Rival, fill: Duration) -> Result<()> {
    std::thread::scope(|scope| {
        let (sender, batches) = sync_channel::<Vec<BorrowedMessage<'_>>>(1);
        let writer = scope.spawn(move || batches.into_iter().try_for_each(|batch| write(rival, &batch)));
        let mut left = rival.jobs;
        while left > 0 {
            let batch = rival.read(fill, BATCH_BYTES)?;
            left -= i64::try_from(batch.len())?;
            if sender.send(batch).is_err() {
                break;
            }
        }
        drop(sender);
        writer.join().map_err(|_| anyhow!("a writer panicked"))?
    })
}

fn write(rival: &Rival, batch: &[BorrowedMessage<'_>]) -> Result<()> {
    rival.producer.begin_transaction()?;
    for message in batch {
        let key = message.key().unwrap_or_default();
        let headers = message.headers().map(|headers| headers.detach());
        rival.send(message.partition(), key, message.payload().unwrap_or_default(), headers)?;
    }
    rival.commit(batch)
}
