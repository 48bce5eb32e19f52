//! Reading results by name, as a gateway does; what every named reader has committed is deleted.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use redb::ReadableTable;

use super::core::{Core, GROUPS, Topic, Write, fault};
use super::headers::{Origin, ce_id, ce_time, ce_type};
use super::record::Front;
use crate::types::after;
use crate::{Error, Partition, Tail, TailRecord};

/// A reader of a result topic.
pub struct EmbeddedTail {
    core: Arc<Core>,
    topic: Topic,
    group: String,
    source: String,
    cursors: Vec<(Partition, u64)>,
}

impl EmbeddedTail {
    pub(super) fn open(
        core: Arc<Core>,
        topic: Topic,
        group: &str,
        from_beginning: bool,
    ) -> Result<Self, Error> {
        let ends = core.ends(topic).get();
        let committed = core.group(topic, group)?;
        let cursors = (0..).zip(committed.iter().zip(ends)).map(|(partition, (committed, end))| {
            (partition, committed.unwrap_or(if from_beginning { 0 } else { end }))
        });
        let source = format!("/tamis/{}", core.config.group);
        Ok(Self { cursors: cursors.collect(), core, topic, group: group.to_owned(), source })
    }
}

impl Tail for EmbeddedTail {
    fn poll(
        &mut self,
        wait: Duration,
        most: usize,
        each: &mut dyn FnMut(TailRecord<'_>),
    ) -> Result<usize, Error> {
        if !self.core.ends(self.topic).wait_beyond(&self.cursors, after(wait)) {
            return Ok(0);
        }
        let mut count = 0;
        let (prefix, source, topic) = (&self.core.config.prefix, &self.source, self.topic);
        self.core.scan(topic, &mut self.cursors, |partition, offset, record| {
            hand_on(prefix, source, topic, (partition, offset), record, each)?;
            count += 1;
            Ok(if count >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(count)
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.core.write(|write| {
            store_group(write, self.topic, &self.group, &self.cursors)?;
            if let Topic::Deliveries(channel) = self.topic
                && self.core.config.purge
                && let Some(readers) = self.core.config.readers.get(&channel)
            {
                purge(write, self.topic, readers, self.core.config.partitions)?;
            }
            Ok(())
        })
    }
}

fn hand_on(
    prefix: &str,
    source: &str,
    topic: Topic,
    (partition, offset): (Partition, u64),
    record: &[u8],
    each: &mut dyn FnMut(TailRecord<'_>),
) -> Result<(), Error> {
    let mut front = Front::of(record);
    let timestamp_ms = front.i64()?;
    let decided_at_ms = front.i64()?;
    let origin = Origin { decided_at_ms, partition: front.i32()?, offset: front.i64()?, part: front.u32()? };
    let lengths = [front.u32()?, front.u32()?, front.u32()?];
    let key = front.bytes(lengths[0] as usize)?;
    let traceparent = front.bytes(lengths[1] as usize)?;
    let tracestate = front.bytes(lengths[2] as usize)?;
    let (id, time) = (ce_id(prefix, &origin), ce_time(origin.decided_at_ms));
    let mut headers: Vec<(&str, &[u8])> = vec![
        ("content-type", b"application/protobuf"),
        ("ce_specversion", b"1.0"),
        ("ce_id", id.as_bytes()),
        ("ce_source", source.as_bytes()),
        ("ce_type", ce_type(topic).as_bytes()),
        ("ce_time", time.as_bytes()),
    ];
    let traces = [("traceparent", traceparent), ("tracestate", tracestate)];
    headers.extend(traces.into_iter().filter(|(_, value)| !value.is_empty()));
    let (offset, value) = (offset as i64, front.rest());
    each(TailRecord { partition, offset, timestamp_ms, key, value, headers });
    Ok(())
}

fn store_group(write: &Write, topic: Topic, group: &str, cursors: &[(Partition, u64)]) -> Result<(), Error> {
    const VERB: &str = "commit group";
    let mut groups = write.transaction.open_table(GROUPS).map_err(|e| fault(VERB, e))?;
    for &(partition, cursor) in cursors {
        groups.insert((topic.noun(), group, partition as u32), cursor).map_err(|e| fault(VERB, e))?;
    }
    Ok(())
}

/// Deletes what every reader has committed past; a reader that has committed nothing yet holds everything.
fn purge(write: &Write, topic: Topic, readers: &[String], partitions: u32) -> Result<(), Error> {
    for partition in 0..partitions {
        let mut low = None;
        {
            let groups = write.transaction.open_table(GROUPS).map_err(|e| fault("purge", e))?;
            for reader in readers {
                let at =
                    groups.get((topic.noun(), reader.as_str(), partition)).map_err(|e| fault("purge", e))?;
                let at = at.map_or(0, |offset| offset.value());
                low = Some(low.map_or(at, |low: u64| low.min(at)));
            }
        }
        if let Some(low) = low.filter(|low| *low > 0) {
            write.delete_before(topic, partition, low)?;
        }
    }
    Ok(())
}
