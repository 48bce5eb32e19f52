//! The barrier's question.

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
#[allow(unsafe_code)] // The other of two places: rdkafka has no ListOffsets, and asking one by one costs a round trip each.
pub(super) fn list_offsets(
    client: &Client<Watch>,
    topic: &str,
    partitions: u32,
    edge: Edge,
    timeout: Duration,
) -> Result<Positions, Error> {
    let internal = |detail: &str| Error::new(VERB, Blame::Internal, detail);
    let name = CString::new(topic).map_err(|_| internal("the topic's name holds a zero byte"))?;
    let count = i32::try_from(partitions).map_err(|_| internal("too many partitions"))?;
    let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).max(1);
    let rk = client.native_ptr();
    let spec = match edge {
        Edge::Start => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
        Edge::End | Edge::Stable => rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
    };
    let isolation = match edge {
        Edge::Start | Edge::End => rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
        Edge::Stable => rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
    };
    // SAFETY: `rk` is the live client's handle, borrowed for the whole call. Everything made here (list, options,
    // queue, event) is ours, used only while it lives, destroyed exactly once, in the order librdkafka asks for
    // (event before queue); results are read before their event is destroyed, and borrowed from it only.
    // librdkafka copies the list, the options and the topic's name before ListOffsets returns.
    unsafe {
        let list = rd::rd_kafka_topic_partition_list_new(count);
        for partition in 0..count {
            let element = rd::rd_kafka_topic_partition_list_add(list, name.as_ptr(), partition);
            (*element).offset = spec as i64;
        }
        let options =
            rd::rd_kafka_AdminOptions_new(rk, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS);
        rd::rd_kafka_AdminOptions_set_request_timeout(options, ms, std::ptr::null_mut(), 0);
        let refused = rd::rd_kafka_AdminOptions_set_isolation_level(options, isolation);
        let queue = rd::rd_kafka_queue_new(rk);
        let answer = if refused.is_null() {
            rd::rd_kafka_ListOffsets(rk, list, options, queue);
            let event = rd::rd_kafka_queue_poll(queue, ms);
            let answer = read_event(event, partitions);
            if !event.is_null() {
                rd::rd_kafka_event_destroy(event);
            }
            answer
        } else {
            rd::rd_kafka_error_destroy(refused);
            Err(internal("the isolation level was refused"))
        };
        rd::rd_kafka_queue_destroy(queue);
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_topic_partition_list_destroy(list);
        answer
    }
}

/// Reads the answer out of its event; null is a time-out.
///
/// # Safety
/// `event` is null or a live event, which is only read.
#[allow(unsafe_code)] // The reading half of `list_offsets`.
unsafe fn read_event(event: *mut rd::rd_kafka_event_t, partitions: u32) -> Result<Positions, Error> {
    if event.is_null() {
        return Err(Error::new(VERB, Blame::Unreachable, "no answer in time"));
    }
    let refuse =
        |code: RDKafkaRespErr, detail: String| Err(Error::new(VERB, client::blame(code.into()), detail));
    // SAFETY: the event lives (see above); what is borrowed from it is read before this returns.
    unsafe {
        let code = rd::rd_kafka_event_error(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            let text = CStr::from_ptr(rd::rd_kafka_event_error_string(event)).to_string_lossy();
            return refuse(code, text.into_owned());
        }
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
                return refuse(found.err, format!("partition {}: {:?}", found.partition, found.err));
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
