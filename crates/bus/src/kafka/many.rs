//! Taking many records at once that a consumer has already: rdkafka takes them one by one, each as an event of its own, which costs
//! several times as much.

use std::ptr::NonNull;
use std::slice;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use super::client::Watch;
use crate::LogRecord;

/// Room for the records of a call, reused from call to call.
#[derive(Default)]
pub(super) struct Many(Vec<*mut rd::rd_kafka_message_t>);

// SAFETY: between calls it holds no record, only the memory for pointers.
#[expect(unsafe_code, reason = "pointers that are not there yet belong to no thread")]
unsafe impl Send for Many {}

impl Many {
    /// Takes `most` records at most, without waiting for any, and gives each to `each`, or the client's report that stands among
    /// them.
    ///
    /// For a consumer whose partitions were assigned by hand: news of a group would be passed over.
    #[expect(
        unsafe_code,
        reason = "rdkafka has no such call, and one by one is a fourth of the time that a log takes to be read"
    )]
    pub(super) fn take(
        &mut self,
        consumer: &BaseConsumer<Watch>,
        most: usize,
        mut each: impl FnMut(Result<LogRecord<'_>, KafkaError>),
    ) {
        self.0.clear();
        self.0.reserve(most);
        // SAFETY: the client lives as long as `consumer`. The queue is ours to give back, and is, before that. The call writes no more
        // than `most` pointers, for which there is room, and says how many; each is a message of ours until it is destroyed, once.
        unsafe {
            let queue = rd::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
            let taken = rd::rd_kafka_consume_batch_queue(queue, 0, self.0.as_mut_ptr(), most);
            rd::rd_kafka_queue_destroy(queue);
            // Less than none is the call's own failure, which the next poll reports.
            let taken = usize::try_from(taken).unwrap_or(0);
            self.0.set_len(taken);
            for message in self.0.drain(..) {
                each(read(&*message));
                rd::rd_kafka_message_destroy(message);
            }
        }
    }
}

/// What the client gave: a record, or a report.
///
/// # Safety
/// `message` is alive, and as the client made it.
#[expect(unsafe_code, reason = "as its caller")]
unsafe fn read(message: &rd::rd_kafka_message_t) -> Result<LogRecord<'_>, KafkaError> {
    if message.err != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(KafkaError::MessageConsumption(message.err.into()));
    }
    // SAFETY: what is not null has so many octets, for as long as the message is alive.
    let octets = |at: *mut std::ffi::c_void, length| {
        NonNull::new(at).map(|at| unsafe { slice::from_raw_parts(at.cast::<u8>().as_ptr(), length) })
    };
    let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive.
    let timestamp_ms = unsafe { rd::rd_kafka_message_timestamp(message, &raw mut kind) };
    Ok(LogRecord {
        partition: message.partition,
        offset: message.offset,
        timestamp_ms: timestamp_ms.max(0),
        key: octets(message.key, message.key_len).unwrap_or_default(),
        value: octets(message.payload, message.len),
    })
}
