//! The purge's part of the embedded log.
//!
//! Jobs are deleted where their offsets are committed, deliveries where their last named reader commits; so there is
//! hardly ever something left to delete here. The rule is the same as on Kafka all the same, and what readers hold is
//! told by the same figures.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Topic};
use super::record::Front;
use crate::{ContentTopic, Error, First, Partition, Purger, Reader, Span};

/// Asks and deletes for the purge.
pub struct EmbeddedPurger {
    core: Arc<Core>,
}

impl EmbeddedPurger {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The first record of a partition from `offset` on.
    fn first_from(&self, topic: Topic, partition: Partition, offset: i64) -> Result<Option<First>, Error> {
        let mut found = None;
        let cursor = (partition, offset.max(0).unsigned_abs());
        self.core.scan(topic, &mut [cursor], |_, offset, record| {
            found = Some(First { offset: offset as i64, timestamp_ms: Front::of(record).i64()? });
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

/// The store's topic; there is none for what comes back from gateways.
fn topic_of(topic: ContentTopic) -> Option<Topic> {
    match topic {
        ContentTopic::Jobs => Some(Topic::Jobs),
        ContentTopic::Deliveries(channel) => Some(Topic::Deliveries(channel)),
        ContentTopic::Inbound => None,
    }
}

/// The disk sets the time: a look takes microseconds, and a write that was begun can't be called back.
impl Purger for EmbeddedPurger {
    fn committed(
        &mut self,
        topic: ContentTopic,
        reader: Reader<'_>,
        _timeout: Duration,
    ) -> Result<Vec<Option<i64>>, Error> {
        let Some(topic) = topic_of(topic) else { return Ok(Vec::new()) };
        let committed = match reader {
            Reader::Own => self.core.committed()?.into_iter().map(Some).collect(),
            Reader::Group(group) => self.core.group(topic, group)?,
        };
        Ok(committed.into_iter().map(|offset: Option<u64>| offset.map(|offset| offset as i64)).collect())
    }

    fn spans(&mut self, topic: ContentTopic, _timeout: Duration) -> Result<Vec<Span>, Error> {
        let Some(topic) = topic_of(topic) else { return Ok(Vec::new()) };
        let ends = self.core.ends(topic).get();
        (0..)
            .zip(ends)
            .map(|(partition, end)| {
                let end = end as i64;
                let start = self.first_from(topic, partition, 0)?.map_or(end, |first| first.offset.min(end));
                Ok(Span { start, end })
            })
            .collect()
    }

    fn delete_before(
        &mut self,
        topic: ContentTopic,
        up_to: &[(Partition, i64)],
        _timeout: Duration,
    ) -> Result<(), Error> {
        let Some(topic) = topic_of(topic) else { return Ok(()) };
        self.core.write(|write| {
            for &(partition, offset) in up_to {
                write.delete_before(topic, partition as u32, offset.max(0).unsigned_abs())?;
            }
            Ok(())
        })
    }

    fn first(
        &mut self,
        topic: ContentTopic,
        from: &[(Partition, i64)],
        _timeout: Duration,
    ) -> Result<Vec<(Partition, Option<First>)>, Error> {
        let Some(topic) = topic_of(topic) else { return Ok(Vec::new()) };
        from.iter()
            .map(|&(partition, offset)| Ok((partition, self.first_from(topic, partition, offset)?)))
            .collect()
    }
}
