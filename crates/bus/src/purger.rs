//! The part of the log that the purge works with: what is readable, how far its readers are, and deleting what they
//! have all read.

use std::time::Duration;

use tamis_campaign::Channel;

use crate::{Error, Partition};

/// A topic that holds content, which must not stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContentTopic {
    /// `send-jobs`.
    Jobs,
    /// `deliveries.<channel>`.
    Deliveries(Channel),
    /// `inbound`; the embedded log has none.
    Inbound,
}

impl ContentTopic {
    /// Every topic with content that tamis itself reads or writes.
    pub const ALL: [Self; 7] = [
        Self::Jobs,
        Self::Deliveries(Channel::Sms),
        Self::Deliveries(Channel::Email),
        Self::Deliveries(Channel::Voice),
        Self::Deliveries(Channel::Fax),
        Self::Deliveries(Channel::Mail),
        Self::Inbound,
    ];

    /// Its place in [`ContentTopic::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Jobs => 0,
            Self::Deliveries(channel) => channel.number() as usize,
            Self::Inbound => 1 + Channel::ALL.len(),
        }
    }

    /// A short name from a closed set, for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "send_jobs",
            Self::Deliveries(channel) => channel.as_str(),
            Self::Inbound => "inbound",
        }
    }
}

/// What of a partition can be read: offsets from `start` to before `end`. There need not be a record at each of
/// them: the markers of transactions take offsets, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where the log starts.
    pub start: i64,
    /// One past the last offset.
    pub end: i64,
}

/// The first record of a partition that can still be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// Its offset.
    pub offset: i64,
    /// The log's timestamp, Unix ms.
    pub timestamp_ms: i64,
}

/// Whose committed offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader<'a> {
    /// tamis's own group: the router's for `send-jobs`, and that of the doors for `inbound`.
    Own,
    /// A gateway's group.
    Group(&'a str),
}

/// Asks and deletes for the purge. Used by one thread; after an error it is as good as new.
pub trait Purger: Send {
    /// The offset that `reader` has committed in each partition, as the log itself has it (never from memory);
    /// `None` where it has committed nothing.
    ///
    /// # Errors
    /// When one partition did not answer in time. Nothing may be assumed then.
    fn committed(
        &mut self,
        topic: ContentTopic,
        reader: Reader<'_>,
        timeout: Duration,
    ) -> Result<Vec<Option<i64>>, Error>;

    /// What can be read of each partition, transactions that are open or were aborted included.
    ///
    /// # Errors
    /// As [`Purger::committed`].
    fn spans(&mut self, topic: ContentTopic, timeout: Duration) -> Result<Vec<Span>, Error>;

    /// Deletes every record before the offset given for a partition. After `Ok` no reader can fetch one of them; what
    /// becomes of the bytes is the log's own business.
    ///
    /// # Errors
    /// When a partition refused or did not answer; others may be done.
    fn delete_before(
        &mut self,
        topic: ContentTopic,
        up_to: &[(Partition, i64)],
        timeout: Duration,
    ) -> Result<(), Error>;

    /// The first record at or after the offset given for a partition; `None` where there is no record up to the end.
    /// A partition that did not answer in time is left out.
    ///
    /// # Errors
    /// When the log refuses.
    fn first(
        &mut self,
        topic: ContentTopic,
        from: &[(Partition, i64)],
        timeout: Duration,
    ) -> Result<Vec<(Partition, Option<First>)>, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when: a topic is added to ALL out of order, so that its figures are told under another's name.
    #[test]
    fn every_content_topic_stands_at_its_index() {
        for (index, topic) in ContentTopic::ALL.into_iter().enumerate() {
            assert_eq!(topic.index(), index);
        }
    }
}
