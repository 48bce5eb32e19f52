//! Records that a consumer has already, taken many at once: rdkafka takes them one by one, each as an event of its own, which costs
//! several times as much.

use std::ffi::{CStr, CString, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tamis_memory::prefetch_lines;

/// Octets of what describes a record in librdkafka, of its headers, and of what is asked for of a record at most: for speed only.
const DESCRIPTION: usize = 192;
const HEADERS: usize = 160;
const FORESEEN_MOST: usize = 640;

/// A record, or a report that stands among them, as the client gave it. It pins the fetch that it came with.
#[repr(transparent)]
pub(super) struct Fetched<'c> {
    /// Ours alone, until it is destroyed, once.
    message: NonNull<rd::rd_kafka_message_t>,
    consumer: PhantomData<&'c ()>,
}

#[expect(unsafe_code, reason = "rdkafka's own record is an event's")]
impl Fetched<'_> {
    /// What the client has to report, where this is no record.
    pub(super) fn report(&self) -> Option<KafkaError> {
        let code = self.message().err;
        (code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
            .then(|| KafkaError::MessageConsumption(code.into()))
    }

    pub(super) fn partition(&self) -> i32 {
        self.message().partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.message().offset
    }

    /// Unix ms; 0 when it has none.
    pub(super) fn timestamp_ms(&self) -> i64 {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        unsafe { rd::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) }.max(0)
    }

    pub(super) fn key(&self) -> &[u8] {
        self.octets(self.message().key, self.message().key_len).unwrap_or_default()
    }

    /// `None` for a tombstone.
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.octets(self.message().payload, self.message().len)
    }

    /// The record's headers, read anew whenever they are asked for: a dozen allocations, which a batch should not keep.
    pub(super) fn headers(&self) -> Option<Headers> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; what it had of headers is the list's, and the list is ours.
        let code = unsafe { rd::rd_kafka_message_detach_headers(self.message.as_ptr(), &raw mut headers) };
        let there = code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        NonNull::new(headers).filter(|_| there).map(Headers)
    }

    /// Asks memory for what describes the record.
    #[inline]
    pub(super) fn foresee(&self) {
        prefetch_lines(self.message.as_ptr(), DESCRIPTION);
    }

    /// Asks memory for the value of a small record, or the beginning of it, and for its headers, which the log has behind it.
    #[inline]
    pub(super) fn foresee_value(&self) {
        let value = self.value().unwrap_or_default();
        prefetch_lines(value.as_ptr(), (value.len() + HEADERS).min(FORESEEN_MOST));
    }

    fn message(&self) -> &rd::rd_kafka_message_t {
        // SAFETY: it is alive, and nobody changes it.
        unsafe { self.message.as_ref() }
    }

    fn octets(&self, at: *mut c_void, length: usize) -> Option<&[u8]> {
        // SAFETY: what is not null has so many octets, as long as the message is alive.
        NonNull::new(at).map(|at| unsafe { slice::from_raw_parts(at.cast().as_ptr(), length) })
    }
}

impl Drop for Fetched<'_> {
    #[expect(unsafe_code, reason = "as above")]
    fn drop(&mut self) {
        // SAFETY: it was the client's to make and is ours to destroy, which is done here only.
        unsafe { rd::rd_kafka_message_destroy(self.message.as_ptr()) };
    }
}

/// Headers of a record, copied out of it.
pub(super) struct Headers(NonNull<rd::rd_kafka_headers_t>);

#[expect(unsafe_code, reason = "as above")]
impl Headers {
    /// The last value under `name`.
    pub(super) fn last(&self, name: &CStr) -> Option<&[u8]> {
        let (mut value, mut length) = (ptr::null(), 0);
        // SAFETY: the list is alive, and what is found has so many octets, as long as it is.
        unsafe {
            let code =
                rd::rd_kafka_header_get_last(self.0.as_ptr(), name.as_ptr(), &raw mut value, &raw mut length);
            let found = code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && !value.is_null();
            found.then(|| slice::from_raw_parts(value.cast(), length))
        }
    }
}

impl Drop for Headers {
    #[expect(unsafe_code, reason = "as above")]
    fn drop(&mut self) {
        // SAFETY: detached from its message, so that it is ours to destroy, which is done here only.
        unsafe { rd::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}

/// A queue of a consumer. To be dropped before the consumer is.
pub(super) struct Queue(NonNull<rd::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues are for every thread.
#[expect(unsafe_code, reason = "a pointer to what is for every thread")]
unsafe impl Send for Queue {}

#[expect(unsafe_code, reason = "rdkafka has no such calls")]
impl Queue {
    /// The one that everything comes by: for a consumer whose partitions were assigned by hand, since news of a group would be
    /// passed over.
    pub(super) fn of_all<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Self {
        // SAFETY: the client is alive.
        let queue = unsafe { rd::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Self(NonNull::new(queue).expect("a consumer has a queue"))
    }

    /// One for records alone, and reports among them, of the partitions that are brought to it: what else there is, news of a group
    /// among it, stays in the consumer's own. That a partition is not there any more is only logged.
    pub(super) fn of_records<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Self {
        // SAFETY: the client is alive.
        let queue = unsafe { rd::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Self(NonNull::new(queue).expect("librdkafka ends the process rather than answer without memory"))
    }

    /// Brings the records of a partition here from when it is assigned until it is given back; to be called before it is assigned, and
    /// when what was assigned before has been given back.
    ///
    /// # Errors
    /// When the client knows of no such partition.
    pub(super) fn bring<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        topic: &str,
        partition: i32,
    ) -> Result<(), KafkaError> {
        let topic = CString::new(topic)?;
        // SAFETY: client and both queues are alive, and the partition's is given back.
        unsafe {
            let client = consumer.client().native_ptr();
            let from = rd::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if from.is_null() {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownPartition));
            }
            rd::rd_kafka_queue_forward(from, self.0.as_ptr());
            rd::rd_kafka_queue_destroy(from);
        }
        Ok(())
    }

    /// Appends `most` records or reports at most, after waiting `wait` at most for so many.
    pub(super) fn take<'c, C: ConsumerContext>(
        &self,
        _: &'c BaseConsumer<C>,
        wait: Duration,
        most: usize,
        into: &mut Vec<Fetched<'c>>,
    ) {
        into.reserve(most);
        // A part of a millisecond as a whole one, for which nobody need ask over and over.
        let wait_ms = i32::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
        let room = into.spare_capacity_mut().as_mut_ptr().cast::<*mut rd::rd_kafka_message_t>();
        // SAFETY: there is room for `most` pointers, and the call writes no more and says how many; each is of a message that is ours
        // from now on, and not null, which is all that a `Fetched` is.
        unsafe {
            let taken = rd::rd_kafka_consume_batch_queue(self.0.as_ptr(), wait_ms, room, most);
            into.set_len(into.len() + usize::try_from(taken).unwrap_or(0));
        }
    }
}

impl Drop for Queue {
    #[expect(unsafe_code, reason = "as above")]
    fn drop(&mut self) {
        // SAFETY: it was given to us, and is given back once.
        unsafe { rd::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}
