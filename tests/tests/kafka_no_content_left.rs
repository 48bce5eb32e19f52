//! What is left of content on a real Apache Kafka, and in tamis, once it was read: nothing.
//!
//! One node with quick settings, so this proves nothing about replicas that were down while something was deleted, and
//! nothing about how long a broker with its own defaults takes (docs/content.md).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_harness::{Broker, Options, wait};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tamis_bus::kafka::{Config, Kafka, topics};
use tamis_bus::{Bus, ContentTopic, Purger, Tail, TailTopic};
use tamis_campaign::Channel;
use tamis_tests::aviary::Aviary;
use tamis_tests::canary::{Found, Searcher, told};
use tamis_tests::inbound::{self, Gateway};
use tamis_tests::process::{self, Service};
use tamis_tests::suite;
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1 as proto;

const PREFIX: &str = "canary";
const TIMEOUT: Duration = Duration::from_secs(30);

/// A broker whose folder we know, with the topics of the contract, whose segments are closed every second.
fn kafka(dir: &Path) -> (Broker, Arc<Kafka>) {
    let broker = Broker::start(&Options { data_dir: Some(dir.to_owned()), ..Options::default() });
    let broker = broker.expect("a broker starts: Java 17 and Maven are needed");
    let mut config = Config {
        prefix: PREFIX.to_owned(),
        group: PREFIX.to_owned(),
        instance: "checker".to_owned(),
        ..Config::new(broker.bootstrap())
    };
    config.topics.partitions = 2;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create().expect("a client");
    for topic in topics::wanted(&config) {
        let mut configs: BTreeMap<_, _> = topic.configs.clone();
        for (key, value) in
            [("segment.ms", "1000"), ("segment.index.bytes", "4096"), ("file.delete.delay.ms", "0")]
        {
            configs.insert(key.to_owned(), value.to_owned());
        }
        let mut new = NewTopic::new(&topic.name, 2, TopicReplication::Fixed(1));
        for (key, value) in &configs {
            new = new.set(key, value);
        }
        let made = wait(admin.create_topics([&new], &AdminOptions::new()));
        assert!(made.expect("the broker answers").iter().all(Result::is_ok), "{} is made", topic.name);
    }
    (broker, Arc::new(Kafka::new(config).expect("the settings are good")))
}

/// Everything that anybody can read through Kafka, aborted transactions and Kafka's own topics included.
fn search_readable(bootstrap: &str, searcher: &Searcher) -> Vec<Found> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "canary-searcher")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_uncommitted")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(None, TIMEOUT).expect("the broker answers");
    let mut found = Vec::new();
    for topic in metadata.topics() {
        let mut list = TopicPartitionList::new();
        for partition in topic.partitions() {
            list.add_partition_offset(topic.name(), partition.id(), Offset::Beginning).expect("a partition");
        }
        let mut left = topic.partitions().len();
        consumer.assign(&list).expect("it can be assigned");
        let begun = Instant::now();
        while left > 0 {
            assert!(begun.elapsed() < TIMEOUT, "{} has no end", topic.name());
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(record)) => {
                    let place = format!("{}/{}/{}", topic.name(), record.partition(), record.offset());
                    found.extend(searcher.search(&place, record.payload().unwrap_or_default()));
                    found.extend(searcher.search(&place, record.key().unwrap_or_default()));
                    for header in record.headers().iter().flat_map(|headers| headers.iter()) {
                        found.extend(searcher.search(&place, header.value.unwrap_or_default()));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Err(other)) => panic!("{}: {other}", topic.name()),
                None => {}
            }
        }
    }
    found
}

/// Reads every channel as its gateway does, until `jobs` jobs have an outcome, and commits.
fn gateways_read_and_commit(bus: &Kafka, accountant: &mut impl Tail, outcomes: &mut usize, jobs: usize) {
    let open = |&channel: &Channel| {
        bus.tail(TailTopic::Deliveries(channel), &format!("gateway-{channel}"), true).expect("a gateway")
    };
    let mut gateways: Vec<_> = Channel::ALL.iter().map(open).collect();
    let (begun, mut quiet) = (Instant::now(), 0);
    while quiet < 3 {
        assert!(begun.elapsed() < Duration::from_secs(90), "{outcomes} of {jobs} outcomes");
        let count = |r: tamis_bus::TailRecord<'_>| {
            proto::JobOutcomes::decode(r.value).expect("outcomes are well-formed").outcomes.len()
        };
        let mut came = 0;
        accountant
            .poll(Duration::from_millis(200), 1_000, &mut |record| {
                came += 1;
                *outcomes += count(record);
            })
            .expect("outcomes can be read");
        for gateway in &mut gateways {
            came += gateway.poll(Duration::from_millis(100), 10_000, &mut |_| {}).expect("deliveries");
        }
        quiet = if came == 0 && *outcomes >= jobs { quiet + 1 } else { 0 };
    }
    for gateway in &mut gateways {
        gateway.commit().expect("it can be committed");
    }
}

fn is_empty(purger: &mut impl Purger) -> bool {
    ContentTopic::ALL.into_iter().all(|topic| {
        let spans = purger.spans(topic, TIMEOUT).expect("the broker answers");
        let from: Vec<_> = (0..).zip(&spans).map(|(partition, span)| (partition, span.start)).collect();
        let first = purger.first(topic, &from, TIMEOUT).expect("the broker answers");
        first.iter().all(|(_, first)| first.is_none())
    })
}

fn names(found: &[Found]) -> Vec<&str> {
    let mut names: Vec<&str> = found.iter().map(|found| found.canary.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Guarantees: after opt-outs, jobs, damaged records, a kill -9 in the middle, and gateways that read and committed, no
/// canary can be read through Kafka, of replies and damaged events in `inbound` neither; and a few records later none is in any file of the broker (deleted ones that are
/// open included) nor in anything of tamis: settings, logs at TRACE, metrics, health, temporary files.
/// Fails when: the purge is off; deliveries are not purged; a record's bytes are logged; a dead letter quotes its record.
#[test]
fn nothing_that_was_read_is_left_anywhere() {
    let home = tempfile::tempdir().expect("a folder");
    let (kafka_dir, tamis_dir) = (home.path().join("kafka"), home.path().join("tamis"));
    std::fs::create_dir_all(tamis_dir.join("tmp")).expect("a folder");
    let (broker, bus) = kafka(&kafka_dir);
    let aviary = Aviary::new(20_261_125);
    let searcher = aviary.searcher();
    let scheduler = bus.scheduler().expect("jobs can be sent");

    // Written and not yet read: the search finds every canary, in the files and through Kafka.
    let canaries = aviary.jobs("canary", 200);
    let (first, second) = canaries.split_at(100);
    suite::send(&scheduler, first);
    for damaged in aviary.damaged() {
        suite::send_bytes(&scheduler, "damaged", damaged);
    }
    let gateway = Gateway::open(&bus);
    gateway.send(None, &aviary.replies());
    let on_disk = searcher.search_folder(&kafka_dir);
    assert_eq!(names(&on_disk).len(), 11, "the search works: {}", told(&on_disk));
    let readable = search_readable(&broker.bootstrap(), &searcher);
    assert_eq!(names(&readable).len(), 11, "the search works: {}", told(&readable));

    tamis_subject::Key::create_file(&tamis_dir.join("tamis.key")).expect("a key");
    let lines = format!(
        "kind = \"kafka\"\nbootstrap_servers = \"{}\"\nprefix = \"{PREFIX}\"\ngroup = \"{PREFIX}\"",
        broker.bootstrap()
    );
    let readers: Vec<_> = Channel::ALL.iter().map(|c| format!("{c} = [\"gateway-{c}\"]")).collect();
    let more = format!(
        "[bus.client]\n\"session.timeout.ms\" = \"3000\"\n\"heartbeat.interval.ms\" = \"500\"\n[router]\nworkers = 1\n\
         [topics]\npartitions = 2\n[purge]\nreaders = {{ {} }}\n",
        readers.join(", ")
    );
    let (path, admin, api) = process::config(&tamis_dir, "one", &lines, &more);
    let tmp = tamis_dir.join("tmp");
    let environment = [("TAMIS_LOG", "trace"), ("TMPDIR", tmp.to_str().expect("a plain path"))];
    let start = || Service::start_with(&path, admin, api, &environment);
    let mut service = start();
    service.wait_ready();
    let body = format!(
        r#"{{"tenant":"acme","channel":"all","reason":"unsubscribed","addresses":{:?}}}"#,
        aviary.opting_out()
    );
    let answer = process::post(api, "/v1/suppressions", &body).expect("the API answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // A call that is not understood is answered and perhaps logged, too.
    let answer = process::post(api, "/v1/suppressions", &body.replace("\"all\"", "7")).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    suite::send(&scheduler, second);
    std::thread::sleep(Duration::from_millis(60));
    gateway.send(None, &aviary.replies());
    service.kill();
    let mut service = start();
    service.wait_ready();

    let mut accountant = bus.tail(TailTopic::Outcomes, "accountant", true).expect("outcomes can be read");
    let mut outcomes = 0;
    // One of the damaged ones is refused, which is an outcome.
    gateways_read_and_commit(&bus, &mut accountant, &mut outcomes, canaries.len() + 1);
    let committed = Instant::now();
    let mut purger = bus.purger().expect("a purger");
    suite::wait("content topics are empty", || is_empty(&mut purger));
    let asked = Instant::now();
    assert!(is_empty(&mut purger), "and stay so");
    println!("unreadable {:?} after the commit; asking takes {:?}", committed.elapsed(), asked.elapsed());
    let readable = search_readable(&broker.bootstrap(), &searcher);
    assert!(readable.is_empty(), "readable through Kafka:{}", told(&readable));
    let waiting = searcher.search_folder(&kafka_dir.join("data"));
    println!("{} canaries still in the broker's files, in segments that are open", waiting.len());

    // A segment is closed by the next record; then it goes, since it lies below the log's start.
    let rolled = Instant::now();
    std::thread::sleep(Duration::from_millis(1_100));
    let plain = aviary.plain_jobs("plain", 100);
    suite::send(&scheduler, &plain);
    for partition in 0..2 {
        gateway.say(Some(partition), &[inbound::reply(1, "thanks", "m-plain")]);
    }
    gateways_read_and_commit(&bus, &mut accountant, &mut outcomes, canaries.len() + 1 + plain.len());
    let pid = broker.pid().expect("the broker runs");
    let mut left = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        left = searcher.search_folder(&kafka_dir);
        left.extend(searcher.search_deleted_files(pid));
        if left.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(left.is_empty(), "in the broker's files:{}", told(&left));
    println!("off the broker's disk {:?} after the purge, of which 1.1 s segment.ms", rolled.elapsed());

    let mut left = searcher.search_deleted_files(service.pid());
    for path in ["/metrics", "/readyz", "/livez"] {
        let text = process::get(admin, path).expect("the service answers");
        left.extend(searcher.search(path, text.as_bytes()));
    }
    assert!(service.stop().success(), "it drains");
    left.extend(searcher.search_folder(&tamis_dir));
    left.extend(search_readable(&broker.bootstrap(), &searcher));
    assert!(left.is_empty(), "{}", told(&left));
    let log = std::fs::read_to_string(path.with_extension("log")).expect("it logs");
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is at its most talkative");
}
