//! Offsets into the transaction, on a thread of their own.
//!
//! `rd_kafka_send_offsets_to_transaction` of librdkafka 2.12 does not keep its time-out (librdkafka #5456), and does not
//! come back at all while the group's coordinator is one that has left the cluster's metadata: it waits for some other
//! connection of this client to change, which may be ten minutes away (#5511). Found by killing brokers: the worker stood
//! still, ready and not holding. So the call is left to itself after its time; the new writer's epoch fences whatever it
//! still does.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::Clerk;
use crate::Partition;

/// How long after its own time-out the call is waited for.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// One call, with all that it needs: it may outlive its transaction.
pub(super) struct Call {
    pub(super) producer: Arc<ThreadedProducer<Clerk>>,
    pub(super) topic: String,
    pub(super) offsets: Vec<(Partition, i64)>,
    pub(super) group: ConsumerGroupMetadata,
    pub(super) deadline: Instant,
}

impl Call {
    /// Calls, again while librdkafka says that this may help.
    pub(super) fn make(&self) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(self.offsets.len());
        for (partition, next) in &self.offsets {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*next))?;
        }
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.producer.send_offsets_to_transaction(&list, &self.group, left) {
                Err(KafkaError::Transaction(e)) if e.is_retriable() && Instant::now() < self.deadline => {}
                other => return other,
            }
        }
    }
}

/// What `call` gives, if it does until `limit`; else it is left to itself.
pub(super) fn within<T: Send + 'static>(
    limit: Instant,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (told, answer) = mpsc::channel();
    let caller = std::thread::Builder::new().name("kafka-offsets".to_owned());
    // Nobody listens any more after the limit.
    caller.spawn(move || drop(told.send(call()))).ok()?;
    answer.recv_timeout(limit.saturating_duration_since(Instant::now())).ok()
}

#[cfg(test)]
mod tests {
    use super::within;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    /// Guarantees that a worker goes on although librdkafka does not come back (G5: it must not stand still unseen).
    /// Fails when: the call is made on the caller's own thread.
    #[test]
    fn a_call_that_does_not_come_back_is_left_to_itself() {
        let (_open, never) = mpsc::channel::<()>();
        let since = Instant::now();
        assert!(within(since + Duration::from_millis(50), move || never.recv()).is_none());
        assert!(since.elapsed() < Duration::from_secs(5));
        assert_eq!(within(Instant::now() + Duration::from_secs(5), || 7), Some(7));
    }
}
