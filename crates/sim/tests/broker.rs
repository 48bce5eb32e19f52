//! The model is held against a real broker: the same scripts are played to both, and every answer must be the same.

#![allow(clippy::unwrap_used)] // Helpers of a test: a panic is the report.

use kafka_harness::{Broker, wait};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use tamis_sim::script::{Model, SCRIPTS, Step};

const PATIENCE: Duration = Duration::from_secs(30);
/// `transaction.timeout.ms` of the clients.
const TRANSACTION: Duration = Duration::from_secs(6);
/// How long an answer may take that must wait for a transaction, until it counts as `waits`.
const WAITS: Duration = Duration::from_secs(2);

type Writer = ThreadedProducer<DefaultProducerContext>;

/// Clients of a real broker, for one script.
struct Real {
    broker: &'static Broker,
    name: String,
    admin: AdminClient<DefaultClientContext>,
    plain: Writer,
    clients: [Vec<Writer>; 2],
    member: BaseConsumer,
    stale: Option<ConsumerGroupMetadata>,
}

impl Real {
    fn new(broker: &'static Broker, name: String) -> Self {
        let admin: AdminClient<_> = base(broker).create().unwrap();
        let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        wait(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        let member: BaseConsumer = group(broker, &name, true)
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500")
            .create()
            .unwrap();
        let plain = base(broker).set("enable.idempotence", "true").create().unwrap();
        let real =
            Self { broker, name, admin, plain, clients: [Vec::new(), Vec::new()], member, stale: None };
        real.join();
        real
    }

    /// Until the member has its partition, as one of a new generation.
    fn join(&self) {
        self.member.subscribe(&[&self.name]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.member.assignment().unwrap().count() == 0 {
            assert!(Instant::now() < deadline, "the member does not join");
            let _ = self.member.poll(Duration::from_millis(100));
        }
    }

    fn client(&self, id: usize) -> &Writer {
        self.clients[id].last().unwrap()
    }

    fn play(&mut self, step: Step) -> String {
        match step {
            Step::Open(id) => {
                let writer: Writer = base(self.broker)
                    .set("transactional.id", format!("{}-{id}", self.name))
                    .set("transaction.timeout.ms", TRANSACTION.as_millis().to_string())
                    .create()
                    .unwrap();
                writer.init_transactions(PATIENCE).unwrap();
                self.clients[id].push(writer);
                "opened".to_owned()
            }
            Step::Begin(id) => {
                self.client(id).begin_transaction().unwrap();
                "begun".to_owned()
            }
            Step::Produce(id, value) => {
                self.send(self.client(id), value);
                "sent".to_owned()
            }
            Step::Plain(value) => {
                self.send(&self.plain, value);
                "sent".to_owned()
            }
            Step::Offsets(id, next) => self.send_offsets(id, &self.member.group_metadata().unwrap(), next),
            Step::StaleOffsets(id, next) => self.send_offsets(id, self.stale.as_ref().unwrap(), next),
            Step::NamelessOffsets(id, next) => {
                let nobody: BaseConsumer = group(self.broker, &self.name, true).create().unwrap();
                self.send_offsets(id, &nobody.group_metadata().unwrap(), next)
            }
            Step::Commit(id) => answer(self.client(id).commit_transaction(PATIENCE).is_ok(), "done"),
            Step::Abort(id) => answer(self.client(id).abort_transaction(PATIENCE).is_ok(), "done"),
            Step::CommitOfTheFenced(id) => {
                let before = &self.clients[id][self.clients[id].len() - 2];
                answer(before.commit_transaction(PATIENCE).is_ok(), "done")
            }
            Step::Read { committed } => self.read(committed),
            Step::End { committed } => {
                let reader: BaseConsumer = group(self.broker, "reader", committed).create().unwrap();
                reader.fetch_watermarks(&self.name, 0, PATIENCE).unwrap().1.to_string()
            }
            Step::Committed { stable } => {
                let reader: BaseConsumer = group(self.broker, &self.name, stable).create().unwrap();
                let mut list = TopicPartitionList::new();
                list.add_partition(&self.name, 0);
                let Ok(list) = reader.committed_offsets(list, WAITS) else { return "waits".to_owned() };
                match list.elements()[0].offset() {
                    Offset::Offset(next) => next.to_string(),
                    _ => "0".to_owned(),
                }
            }
            Step::Rejoin => {
                self.stale = self.member.group_metadata();
                self.member.unsubscribe();
                while self.member.assignment().unwrap().count() > 0 {
                    let _ = self.member.poll(Duration::from_millis(100));
                }
                self.join();
                "joined".to_owned()
            }
            Step::DeleteBefore(offset) => {
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&self.name, 0, Offset::Offset(offset)).unwrap();
                wait(self.admin.delete_records(&list, &AdminOptions::new())).unwrap();
                "deleted".to_owned()
            }
            Step::Start => {
                let reader: BaseConsumer = group(self.broker, "reader", true).create().unwrap();
                reader.fetch_watermarks(&self.name, 0, PATIENCE).unwrap().0.to_string()
            }
            Step::TimeGoesBy => {
                std::thread::sleep(TRANSACTION + Duration::from_secs(2));
                "later".to_owned()
            }
        }
    }

    fn send(&self, writer: &Writer, value: i64) {
        let payload = value.to_string();
        writer.send(BaseRecord::<(), _>::to(&self.name).partition(0).payload(&payload)).unwrap();
        writer.flush(PATIENCE).unwrap();
    }

    fn send_offsets(&self, id: usize, group: &ConsumerGroupMetadata, next: i64) -> String {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, 0, Offset::Offset(next)).unwrap();
        answer(self.client(id).send_offsets_to_transaction(&list, group, PATIENCE).is_ok(), "taken")
    }

    /// Everything from the first offset to the end that this isolation shows.
    fn read(&self, committed: bool) -> String {
        let reader: BaseConsumer =
            group(self.broker, "reader", committed).set("enable.partition.eof", "true").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, 0, Offset::Beginning).unwrap();
        reader.assign(&list).unwrap();
        drop(list);
        let mut read = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no end of the partition");
            match reader.poll(Duration::from_millis(200)) {
                Some(Ok(record)) => {
                    let value = std::str::from_utf8(record.payload().unwrap()).unwrap();
                    read.push(format!("{}:{value}", record.offset()));
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return read.join(" "),
                Some(Err(_)) | None => {}
            }
        }
    }
}

fn answer(well: bool, text: &str) -> String {
    if well { text.to_owned() } else { "refused".to_owned() }
}

fn base(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    config
}

fn group(broker: &Broker, name: &str, committed: bool) -> ClientConfig {
    let mut config = base(broker);
    config
        .set("group.id", name)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", if committed { "read_committed" } else { "read_uncommitted" });
    config
}

/// Guarantees: what the model says of transactions, offsets, fencing, time-outs and deletion is what a real broker
/// says, step by step. An end that is decided may take the broker a moment to show, so an answer that differs is asked
/// for again before it counts.
/// Fails when: a marker takes no offset in the model (`Log::mark`), an abort shows its records, a pending offset does
/// not hold the fetch back, a wrong generation is taken, or an old epoch is not fenced.
#[test]
fn the_model_and_a_real_broker_give_the_same_answers() {
    let broker = kafka_harness::shared();
    let mut differ = Vec::new();
    for (number, (name, steps)) in SCRIPTS.iter().enumerate() {
        let (mut model, mut real) = (Model::new(), Real::new(broker, format!("script-{number}")));
        for (place, step) in steps.iter().copied().enumerate() {
            let expected = model.play(step);
            let mut told = real.play(step);
            let asks =
                matches!(step, Step::Read { .. } | Step::End { .. } | Step::Committed { .. } | Step::Start);
            for _ in 0..20 {
                if told == expected || !asks {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
                told = real.play(step);
            }
            println!("{name}, step {place}, {step:?}: {told}");
            if told != expected {
                differ.push(format!("{name}, step {place}, {step:?}: model {expected:?}, broker {told:?}"));
            }
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}
