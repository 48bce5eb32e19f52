//! The barrier's question, and its like: what is asked of the brokers by calls that rdkafka does not wrap.

use super::Config;
use super::client::{self, Watch, drop_aside};
use crate::{Blame, EndOffsets, Error, Positions};
use rdkafka::bindings as rd;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString};
use std::time::Duration;

const VERB: &str = "ask end offsets";
const DESCRIBE: &str = "describe suppression log";

/// Asks where the suppression log ends, on a client of its own: behind a fetch's long poll the question would
/// wait for hundreds of milliseconds.
pub struct KafkaEndOffsets {
    /// `None` only while it is dropped.
    client: Option<BaseConsumer<Watch>>,
    config: Config,
    topic: String,
    partitions: Option<u32>,
}

impl KafkaEndOffsets {
    pub(super) fn open(config: &Config, topic: &str) -> Result<Self, Error> {
        let client = Some(Self::connect(config)?);
        Ok(Self { client, config: config.clone(), topic: topic.to_owned(), partitions: None })
    }

    fn connect(config: &Config) -> Result<BaseConsumer<Watch>, Error> {
        let mut client = client::base(config);
        // Without a group it never fetches; `read_uncommitted` is asked for in the question itself, too: the end
        // must be the log's, not that of the last finished transaction (G1).
        client.set("isolation.level", "read_uncommitted");
        client.create_with_context(Watch::default()).map_err(|e| client::error("open end offsets", &e))
    }
}

impl EndOffsets for KafkaEndOffsets {
    fn ask(&mut self, timeout: Duration) -> Result<Positions, Error> {
        self.ask_for(Edge::End, timeout)
    }
}

impl KafkaEndOffsets {
    /// That edge of every partition of the topic.
    pub(super) fn ask_for(&mut self, edge: Edge, timeout: Duration) -> Result<Positions, Error> {
        let client = self.client.as_ref().expect("it is taken in drop only");
        // Serves the client's own news, which would pile up otherwise. There is never a record.
        let _ = client.poll(Duration::ZERO);
        let partitions = match self.partitions {
            Some(partitions) => partitions,
            None => client::partitions(client.client(), &self.topic, timeout)?,
        };
        self.partitions = Some(partitions);
        let answer = list_offsets(client.client(), &self.topic, partitions, edge, timeout);
        if answer.is_err() {
            // After a broker stood still, questions that it never answered keep the connection busy: a new client
            // asks on a new one.
            if let Ok(fresh) = Self::connect(&self.config)
                && let Some(old) = self.client.replace(fresh)
            {
                drop_aside(old, false);
            }
        }
        answer
    }
}

impl Drop for KafkaEndOffsets {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop_aside(client, false);
        }
    }
}

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edge {
    /// The first that can be read: where the log starts.
    Start,
    /// One past the last, whoever's transactions are open before it.
    End,
    /// Where what is decided ends: every transaction before it has ended.
    Stable,
}

/// Asks every partition's edge at once. All must answer: a missing answer is an error, never a guess (G5).
#[allow(unsafe_code)] // rdkafka has no ListOffsets, and asking one by one costs a round trip each.
pub(super) fn list_offsets(
    client: &Client<Watch>,
    topic: &str,
    partitions: u32,
    edge: Edge,
    timeout: Duration,
) -> Result<Positions, Error> {
    let name = c_name(VERB, topic)?;
    let count =
        i32::try_from(partitions).map_err(|_| Error::new(VERB, Blame::Internal, "too many partitions"))?;
    let spec = match edge {
        Edge::Start => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
        Edge::End | Edge::Stable => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
    };
    let isolation = match edge {
        Edge::Start | Edge::End => rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
        Edge::Stable => rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
    };
    let question =
        Question { verb: VERB, operation: rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout };
    // SAFETY: the list is ours and destroyed once; librdkafka copies it and the topic's name before ListOffsets returns.
    let put = |rk, options, queue| unsafe {
        let refused = rd::rd_kafka_AdminOptions_set_isolation_level(options, isolation);
        if !refused.is_null() {
            rd::rd_kafka_error_destroy(refused);
            return Err(Error::new(VERB, Blame::Internal, "the isolation level was refused"));
        }
        let list = rd::rd_kafka_topic_partition_list_new(count);
        for partition in 0..count {
            let element = rd::rd_kafka_topic_partition_list_add(list, name.as_ptr(), partition);
            (*element).offset = spec as i64;
        }
        rd::rd_kafka_ListOffsets(rk, list, options, queue);
        rd::rd_kafka_topic_partition_list_destroy(list);
        Ok(())
    };
    // SAFETY: `read_offsets` is given the live event of that question.
    question.ask(client, put, |event| unsafe { read_offsets(event, partitions) })
}

/// Reads the offsets out of their event.
///
/// # Safety
/// `event` is a live event, which is only read.
#[allow(unsafe_code)] // The reading half of `list_offsets`.
unsafe fn read_offsets(event: *mut rd::rd_kafka_event_t, partitions: u32) -> Result<Positions, Error> {
    // SAFETY: the event lives (see above); what is borrowed from it is read before this returns.
    unsafe {
        let result = rd::rd_kafka_event_ListOffsets_result(event);
        if result.is_null() {
            return Err(Error::new(VERB, Blame::Internal, "an answer to another question"));
        }
        let mut count = 0;
        let infos = rd::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let mut next = vec![-1; partitions as usize];
        for place in 0..count {
            let found = &*rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(place));
            if found.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                let detail = format!("partition {}: {:?}", found.partition, found.err);
                return Err(Error::new(VERB, client::blame(found.err.into()), detail));
            }
            if let Some(slot) = usize::try_from(found.partition).ok().and_then(|p| next.get_mut(p)) {
                *slot = found.offset;
            }
        }
        match next.iter().position(|offset| *offset < 0) {
            Some(silent) => {
                Err(Error::new(VERB, Blame::Unreachable, format!("partition {silent} did not answer")))
            }
            None => Ok(Positions::new(next)),
        }
    }
}

/// The topic's id, as Kafka prints it, and how many partitions it has.
#[allow(unsafe_code)] // rdkafka has no DescribeTopics, and its metadata is without ids.
pub(super) fn describe_topic(
    client: &Client<Watch>,
    topic: &str,
    timeout: Duration,
) -> Result<(String, u32), Error> {
    let name = c_name(DESCRIBE, topic)?;
    let question = Question {
        verb: DESCRIBE,
        operation: rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        timeout,
    };
    // SAFETY: the collection is ours and destroyed once; it and librdkafka's question each copy the name.
    let put = |rk, options: *mut rd::rd_kafka_AdminOptions_t, queue| unsafe {
        let topics = rd::rd_kafka_TopicCollection_of_topic_names([name.as_ptr()].as_mut_ptr(), 1);
        rd::rd_kafka_DescribeTopics(rk, topics, options, queue);
        rd::rd_kafka_TopicCollection_destroy(topics);
        Ok(())
    };
    // SAFETY: `read_topic` is given the live event of that question.
    question.ask(client, put, |event| unsafe { read_topic(event) })
}

/// Reads the one topic out of its event.
///
/// # Safety
/// `event` is a live event, which is only read.
#[allow(unsafe_code)] // The reading half of `describe_topic`.
unsafe fn read_topic(event: *mut rd::rd_kafka_event_t) -> Result<(String, u32), Error> {
    let refuse = |blame, detail: &str| Err(Error::new(DESCRIBE, blame, detail));
    // SAFETY: the event lives (see above); what is borrowed from it is read before this returns.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return refuse(Blame::Internal, "an answer to another question");
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count != 1 || (*topics).is_null() {
            return refuse(Blame::Unreachable, "the topic is not in the answer");
        }
        let topic = *topics;
        let error = rd::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            let text = CStr::from_ptr(rd::rd_kafka_error_string(error)).to_string_lossy();
            return refuse(client::blame(rd::rd_kafka_error_code(error).into()), &text);
        }
        let mut partitions = 0;
        rd::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        if rd::rd_kafka_Uuid_most_significant_bits(id) == 0
            && rd::rd_kafka_Uuid_least_significant_bits(id) == 0
        {
            return refuse(
                Blame::Configuration,
                "the brokers have no topic ids: they are older than Kafka 2.8",
            );
        }
        let text = CStr::from_ptr(rd::rd_kafka_Uuid_base64str(id)).to_string_lossy();
        Ok((as_kafka_prints(&text), u32::try_from(partitions).unwrap_or(u32::MAX)))
    }
}

/// An id as Kafka prints it: in the base64 of URLs, where librdkafka has the other.
fn as_kafka_prints(id: &str) -> String {
    id.replace('+', "-").replace('/', "_")
}

fn c_name(verb: &'static str, topic: &str) -> Result<CString, Error> {
    CString::new(topic).map_err(|_| Error::new(verb, Blame::Internal, "the topic's name holds a zero byte"))
}

/// One of librdkafka's admin questions that rdkafka does not wrap.
struct Question {
    verb: &'static str,
    operation: rd::rd_kafka_admin_op_t,
    timeout: Duration,
}

impl Question {
    /// Puts the question and reads its answer; none in time is an error. `put` asks with these options, to be answered on
    /// this queue; `read` is given an event without an error, which lives until it returns.
    #[allow(unsafe_code)] // The other of two places: what `list_offsets` and `describe_topic` have in common.
    fn ask<T>(
        &self,
        client: &Client<Watch>,
        put: impl FnOnce(
            *mut rd::rd_kafka_t,
            *mut rd::rd_kafka_AdminOptions_t,
            *mut rd::rd_kafka_queue_t,
        ) -> Result<(), Error>,
        read: impl FnOnce(*mut rd::rd_kafka_event_t) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let ms = i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX).max(1);
        let rk = client.native_ptr();
        // SAFETY: `rk` is the live client's handle, borrowed for the whole call. Everything made here (options, queue,
        // event) is ours, used only while it lives, destroyed exactly once, in the order librdkafka asks for (event before
        // queue); results are read before their event is destroyed, and borrowed from it only. librdkafka copies the
        // options as the question is put.
        unsafe {
            let options = rd::rd_kafka_AdminOptions_new(rk, self.operation);
            rd::rd_kafka_AdminOptions_set_request_timeout(options, ms, std::ptr::null_mut(), 0);
            let queue = rd::rd_kafka_queue_new(rk);
            let answer = put(rk, options, queue).and_then(|()| {
                let event = rd::rd_kafka_queue_poll(queue, ms);
                if event.is_null() {
                    return Err(Error::new(self.verb, Blame::Unreachable, "no answer in time"));
                }
                let code = rd::rd_kafka_event_error(event);
                let answer = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    read(event)
                } else {
                    let text = CStr::from_ptr(rd::rd_kafka_event_error_string(event)).to_string_lossy();
                    Err(Error::new(self.verb, client::blame(code.into()), text))
                };
                rd::rd_kafka_event_destroy(event);
                answer
            });
            rd::rd_kafka_queue_destroy(queue);
            rd::rd_kafka_AdminOptions_destroy(options);
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: an id can be compared with what Kafka's own tools and files show.
    #[test]
    fn an_id_reads_as_in_kafkas_own_tools() {
        assert_eq!(as_kafka_prints("688kFd/iRF6rC+aC3nnOdg"), "688kFd_iRF6rC-aC3nnOdg");
    }
}
