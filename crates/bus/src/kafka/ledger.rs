//! The transactional writer.

mod offsets;
mod trust;

use self::trust::Trust;
use super::client::{self, Watch, drop_aside};
use super::headers::Stationery;
use super::jobs::{self, Member};
use super::{Config, Names, slot};
use crate::types::after;
use crate::{Blame, Error, Fault, Ledger, OutTopic, Outgoing};
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, bindings};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tamis_campaign::Channel;

/// A batch is handed over at once and then committed, which flushes: lingering only matters while it is handed
/// over, and with 5 ms the requests were so many and small that the broker's share of the work grew by half
/// (`cargo xtask bench line`, 2026-11-25). lz4 pays for itself on protobuf, and costs next to nothing on sealed content.
const TUNING: [(&str, &str); 7] = [
    ("linger.ms", "50"),
    ("batch.size", "1000000"),
    ("compression.type", "lz4"),
    ("queue.buffering.max.messages", "1000000"),
    ("queue.buffering.max.kbytes", "65536"),
    ("retry.backoff.ms", "20"),
    ("retry.backoff.max.ms", "500"),
];

/// librdkafka reserves 100 ms of the transaction's timeout when it derives `socket.timeout.ms` from it.
const SOCKET_MARGIN: Duration = Duration::from_millis(100);

/// Events that are taken up at once: a lost connection makes a handful.
const TOLD_MOST: usize = 32;

/// How often a full queue is tried again.
const QUEUE_RETRY: Duration = Duration::from_millis(1);

/// How long [`Ledger::abort`] waits for the first answer about a record (librdkafka #4849).
const FIRST_REPORT_LIMIT: Duration = Duration::from_secs(2);

/// Watches one producer.
#[derive(Debug, Default)]
struct Clerk {
    watch: Watch,
    failed: AtomicU64,
}

impl ClientContext for Clerk {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Clerk {
    type DeliveryOpaque = ();

    /// Only failures come here (`delivery.report.only.error`): the commit itself waits for all records and
    /// refuses when one of them failed, so a report for each success would be a second count of the same.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// A producer between two replacements.
struct Writer {
    /// Shared with a call of [`offsets`] that may not come back.
    producer: Arc<ThreadedProducer<Clerk>>,
    shapes: Shapes,
    open: bool,
    sent: i32,
    trust: Trust,
}

impl Writer {
    fn clerk(&self) -> &Clerk {
        self.producer.client().context()
    }

    /// Looks back on a call that began at `since`.
    fn look_back(&mut self, since: Instant, limit: Duration) {
        // What the client has told and its own thread has not taken up: a lost connection is told before a request is
        // made again on another, so before the call came back.
        for _ in 0..TOLD_MOST {
            self.producer.poll(Duration::ZERO);
        }
        let doubts = self.clerk().watch.doubts();
        self.trust.look_back(doubts, since.elapsed() >= limit);
    }
}

/// The partitions of the topics written to, as of the last replacement.
struct Shapes {
    deliveries: [i32; Channel::ALL.len()],
    dead_letters: i32,
}

impl Shapes {
    fn read(client: &Client<Clerk>, names: &Names, timeout: Duration) -> Result<Self, Error> {
        let count = |topic: &str| {
            client::partitions(client, topic, timeout).map(|count| i32::try_from(count).unwrap_or(i32::MAX))
        };
        let mut deliveries = [1; Channel::ALL.len()];
        for channel in Channel::ALL.iter().copied() {
            deliveries[slot(channel)] = count(names.deliveries(channel))?;
        }
        count(&names.outcomes)?;
        Ok(Self { deliveries, dead_letters: count(&names.dead_letters)? })
    }

    /// Contract, sections 2 and 9: an outcome keeps its job's partition, the others modulo their topic's number.
    fn partition(&self, topic: OutTopic, source: i32) -> i32 {
        match topic {
            OutTopic::Outcomes => source,
            OutTopic::Deliveries(channel) => source.rem_euclid(self.deliveries[slot(channel)]),
            OutTopic::DeadLetters => source.rem_euclid(self.dead_letters),
        }
    }
}

/// Writes results and offsets in one transaction.
pub struct KafkaLedger {
    client: ClientConfig,
    names: Arc<Names>,
    /// The topic whose offsets are committed.
    source: String,
    member: Weak<BaseConsumer<Member>>,
    stationery: Stationery,
    /// A call longer than this may have been answered behind our back.
    call_limit: Duration,
    writer: Option<Writer>,
}

impl KafkaLedger {
    pub(super) fn new(
        config: &Config,
        names: &Arc<Names>,
        source: &str,
        worker: &str,
        member: Weak<BaseConsumer<Member>>,
    ) -> Self {
        let mut client = client::base(config);
        client::tune(&mut client, config, &TUNING);
        client::tell_all(&mut client);
        client
            .set("transactional.id", format!("{}-{}-{worker}", config.group, config.instance))
            .set("transaction.timeout.ms", config.transaction_timeout.as_millis().to_string())
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("delivery.report.only.error", "true")
            .set("message.max.bytes", config.topics.max_message_bytes.to_string());
        Self {
            client,
            names: Arc::clone(names),
            source: source.to_owned(),
            member,
            stationery: Stationery::new(source, &config.group),
            call_limit: config.transaction_timeout.saturating_sub(SOCKET_MARGIN),
            writer: None,
        }
    }

    /// The writer that has a transaction open, or why there is none.
    fn writer<'w>(writer: &'w mut Option<Writer>, verb: &'static str) -> Result<&'w mut Writer, Fault> {
        writer
            .as_mut()
            .ok_or_else(|| Fault::Replace(Error::new(verb, Blame::Internal, "the writer is not open")))
    }

    fn send_all(&mut self, outgoing: &Outgoing, deadline: Instant) -> Result<(), Fault> {
        const VERB: &str = "write results";
        let writer = Self::writer(&mut self.writer, VERB)?;
        self.stationery.date(outgoing.decided_at_ms);
        for record in &outgoing.records {
            let key = &outgoing.arena[record.key.clone()];
            let value = &outgoing.arena[record.value.clone()];
            let mut sent = writer.producer.send(
                BaseRecord::to(self.names.out(record.topic))
                    .partition(writer.shapes.partition(record.topic, record.partition))
                    .key(key)
                    .payload(value)
                    .headers(self.stationery.headers(record, outgoing)),
            );
            while let Err((error, again)) = sent {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || Instant::now() >= deadline {
                    return Err(judge(VERB, &error));
                }
                std::thread::sleep(QUEUE_RETRY);
                sent = writer.producer.send(again);
            }
            writer.sent = writer.sent.saturating_add(1);
        }
        Ok(())
    }

    fn send_offsets(&mut self, outgoing: &Outgoing, deadline: Instant) -> Result<(), Fault> {
        const VERB: &str = "write offsets";
        if outgoing.offsets.is_empty() {
            return Ok(());
        }
        let writer = Self::writer(&mut self.writer, VERB)?;
        // Taken now, not earlier: the group's generation in it is what fences a member that was put out.
        let member = self.member.upgrade().ok_or_else(|| Fault::Abort(jobs::gone(VERB)))?;
        let group = member.group_metadata().ok_or_else(|| Fault::Abort(jobs::gone(VERB)))?;
        // A member that was put out may have neither an id nor a generation any more, and the broker fences nobody
        // who names none (`tamis-sim` has the script). The loss is noted by the time they are gone: look after taking them.
        if member.assignment_lost() {
            return Err(Fault::Abort(Error::new(VERB, Blame::Fenced, "the group has put this member out")));
        }
        let call = offsets::Call {
            producer: Arc::clone(&writer.producer),
            topic: self.source.clone(),
            offsets: outgoing.offsets.clone(),
            group,
            deadline,
        };
        let answer = offsets::within(deadline + offsets::GRACE, move || call.make());
        match answer {
            Some(answer) => answer.map_err(|error| judge(VERB, &error)),
            None => {
                writer.trust.lose();
                let detail = "the client does not come back from a call; a new one takes over";
                Err(Fault::Replace(Error::new(VERB, Blame::Unreachable, detail)))
            }
        }
    }
}

impl Ledger for KafkaLedger {
    fn append(&mut self, outgoing: &Outgoing) -> Result<(), Fault> {
        const VERB: &str = "begin transaction";
        let (since, limit) = (Instant::now(), self.call_limit);
        let writer = Self::writer(&mut self.writer, VERB)?;
        let doubts = writer.clerk().watch.doubts();
        let trusted = writer.trust.begin(doubts);
        if !trusted || writer.open {
            let detail = "an earlier transaction may not have ended; a new epoch settles it";
            return Err(Fault::Replace(Error::new(VERB, Blame::Unreachable, detail)));
        }
        writer.sent = 0;
        writer.clerk().failed.store(0, Ordering::Release);
        writer.producer.begin_transaction().map_err(|e| judge(VERB, &e))?;
        writer.open = true;
        let deadline = after(limit);
        let handed_over =
            self.send_all(outgoing, deadline).and_then(|()| self.send_offsets(outgoing, deadline));
        Self::writer(&mut self.writer, VERB)?.look_back(since, limit);
        handed_over
    }

    fn commit(&mut self, timeout: Duration) -> Result<(), Fault> {
        const VERB: &str = "commit transaction";
        let (since, limit) = (Instant::now(), self.call_limit);
        let writer = Self::writer(&mut self.writer, VERB)?;
        if !writer.open {
            return Err(Fault::Abort(Error::new(VERB, Blame::Internal, "no transaction is open")));
        }
        let deadline = after(timeout);
        let committed = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match commit_transaction(&writer.producer, left) {
                Ok(()) => break Ok(()),
                Err(refusal) if refusal.retriable && Instant::now() < deadline => {}
                Err(refusal) => break Err(refusal),
            }
        };
        writer.look_back(since, limit);
        match committed {
            Ok(()) => {
                writer.open = false;
                Ok(())
            }
            Err(refusal) => Err(refusal.fault(VERB)),
        }
    }

    fn abort(&mut self) -> Result<(), Fault> {
        const VERB: &str = "abort transaction";
        let (since, limit) = (Instant::now(), self.call_limit);
        let writer = Self::writer(&mut self.writer, VERB)?;
        if !writer.open {
            return Ok(());
        }
        // An abort right after the first record can be fatal (librdkafka #4849): let one be answered first.
        let first_report = after(FIRST_REPORT_LIMIT);
        while writer.sent > 0
            && writer.producer.in_flight_count() >= writer.sent
            && writer.clerk().failed.load(Ordering::Acquire) == 0
            && Instant::now() < first_report
        {
            std::thread::sleep(QUEUE_RETRY);
        }
        let deadline = after(limit);
        let aborted = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match writer.producer.abort_transaction(left) {
                Err(KafkaError::Transaction(e)) if e.is_retriable() && Instant::now() < deadline => {}
                other => break other,
            }
        };
        writer.look_back(since, limit);
        aborted.map_err(|e| Fault::Replace(client::error(VERB, &e)))?;
        writer.open = false;
        Ok(())
    }

    fn replace(&mut self, timeout: Duration) -> Result<(), Error> {
        const VERB: &str = "open transactional writer";
        let deadline = after(timeout);
        if let Some(old) = self.writer.take() {
            drop_aside(old.producer, false);
        }
        let producer: ThreadedProducer<Clerk> =
            self.client.create_with_context(Clerk::default()).map_err(|e| client::error(VERB, &e))?;
        let producer = Arc::new(producer);
        let opened = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match producer.init_transactions(left) {
                Err(KafkaError::Transaction(e)) if e.is_retriable() && Instant::now() < deadline => {}
                other => break other.map_err(|e| client::error(VERB, &e)),
            }
        };
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
        match opened.and_then(|()| Shapes::read(producer.client(), &self.names, left)) {
            Ok(shapes) => {
                self.writer =
                    Some(Writer { producer, shapes, open: false, sent: 0, trust: Trust::default() });
                Ok(())
            }
            Err(error) => {
                drop_aside(producer, false);
                Err(error)
            }
        }
    }
}

impl Drop for KafkaLedger {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            drop_aside(writer.producer, true);
        }
    }
}

/// What librdkafka says against a commit.
struct Refusal {
    code: RDKafkaErrorCode,
    detail: String,
    fatal: bool,
    retriable: bool,
    abortable: bool,
}

impl Refusal {
    /// A commit that may be repeated but ran out of time may have been carried out: only a new epoch tells.
    fn fault(self, verb: &'static str) -> Fault {
        let error = Error::new(verb, client::blame(self.code), self.detail);
        if self.abortable && !self.fatal { Fault::Abort(error) } else { Fault::Replace(error) }
    }
}

/// Abort where librdkafka says that this is enough; else nothing is known.
fn judge(verb: &'static str, error: &KafkaError) -> Fault {
    let told = client::error(verb, error);
    match error {
        KafkaError::Transaction(e) if e.txn_requires_abort() && !e.is_fatal() => Fault::Abort(told),
        KafkaError::MessageProduction(code) if *code != RDKafkaErrorCode::Fatal => Fault::Abort(told),
        _ => Fault::Replace(told),
    }
}

/// Commits without rdkafka's own wrapper, which flushes in steps of 100 ms and so holds a producer to ten
/// transactions a second.
#[allow(unsafe_code)] // One of two places: the wrapped call cannot be had without its flush.
fn commit_transaction(producer: &ThreadedProducer<Clerk>, timeout: Duration) -> Result<(), Refusal> {
    let ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the handle is the live client's, borrowed for the whole call, and librdkafka's API is thread-safe.
    // The error, when there is one, is ours: read while it lives, its text copied, destroyed exactly once.
    unsafe {
        let error = bindings::rd_kafka_commit_transaction(producer.client().native_ptr(), ms);
        if error.is_null() {
            return Ok(());
        }
        let refusal = Refusal {
            code: bindings::rd_kafka_error_code(error).into(),
            detail: CStr::from_ptr(bindings::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
            fatal: bindings::rd_kafka_error_is_fatal(error) != 0,
            retriable: bindings::rd_kafka_error_is_retriable(error) != 0,
            abortable: bindings::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        bindings::rd_kafka_error_destroy(error);
        Err(refusal)
    }
}
