//! The log on a real Apache Kafka keeps what every log promises, and what only a group of workers shows.
//!
//! One node, so this proves nothing about leaders that move or replicas that lag.

#![allow(clippy::unwrap_used)]

mod suite;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use suite::{PATIENCE, acked, copies, group, join, read_jobs, read_tail, send_jobs};
use tamis_bus::kafka::{Config, Kafka, topics};
use tamis_bus::{
    Batch, Bus, EndOffsets, Fault, Follower, History, Jobs, KeyedRecord, Ledger, Polled, Positions,
    ReadLimits, Recorder, TailTopic,
};
use tamis_campaign::Channel;

const SMS: TailTopic = TailTopic::Deliveries(Channel::Sms);
const LIMITS: ReadLimits = ReadLimits {
    wait: Duration::from_millis(100),
    fill: Duration::from_millis(5),
    bytes_max: 1 << 20,
    records_max: 25,
};

/// A log of its own on the shared broker: its own prefix and group.
fn config() -> Config {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut config = Config::new(kafka_harness::shared().bootstrap());
    config.prefix = format!("t{number}");
    config.group = format!("router-{number}");
    config.topics.partitions = 4;
    // The shortest the harness's broker takes, so that a member that vanishes is missed soon.
    config.client.insert("session.timeout.ms".to_owned(), "6000".to_owned());
    config.client.insert("heartbeat.interval.ms".to_owned(), "500".to_owned());
    config
}

fn fresh() -> Arc<Kafka> {
    let config = config();
    topics::apply(&config, PATIENCE).unwrap();
    Arc::new(Kafka::new(config).unwrap())
}

/// Writes what the bus itself does not.
fn producer(bus: &Kafka) -> ThreadedProducer<DefaultProducerContext> {
    ClientConfig::new().set("bootstrap.servers", &bus.config().bootstrap_servers).create().unwrap()
}

#[test]
fn jobs_are_read_in_order() {
    suite::jobs_are_read_in_order(&*fresh());
}

#[test]
fn a_batch_is_no_larger_than_it_may_be() {
    suite::a_batch_is_no_larger_than_it_may_be(&*fresh());
}

#[test]
fn offsets_and_deliveries_are_committed_together() {
    suite::offsets_and_deliveries_are_committed_together(&*fresh());
}

#[test]
fn an_aborted_transaction_shows_nothing_and_its_jobs_come_again() {
    suite::an_aborted_transaction_shows_nothing_and_its_jobs_come_again(&*fresh());
}

#[test]
fn jobs_not_committed_come_again_to_the_next_process() {
    let bus = fresh();
    suite::jobs_not_committed_come_again_to_the_next_process(|| Arc::clone(&bus));
}

#[test]
fn a_replaced_ledger_is_fenced() {
    suite::a_replaced_ledger_is_fenced(&*fresh());
}

#[test]
fn end_offsets_never_lag_an_ack() {
    suite::end_offsets_never_lag_an_ack(&*fresh());
}

#[test]
fn a_follower_reaches_the_end_over_gaps() {
    suite::a_follower_reaches_the_end_over_gaps(&*fresh());
}

#[test]
fn a_follower_goes_on_from_where_it_is_put() {
    suite::following::a_follower_goes_on_from_where_it_is_put(&*fresh());
}

#[test]
fn a_follower_needs_a_position_for_each_partition() {
    suite::following::a_follower_needs_a_position_for_each_partition(&*fresh());
}

#[test]
fn a_position_beyond_the_end_is_told() {
    suite::following::a_position_beyond_the_end_is_told(&*fresh());
}

#[test]
fn a_log_is_told_from_every_other() {
    let bus = fresh();
    let again = || Arc::new(Kafka::new(bus.config().clone()).unwrap());
    suite::following::a_log_is_told_from_every_other(again, &*fresh());
}

/// Guarantees: a suppression topic that was deleted and made again under its name is another log, told with the settings it
/// has now; while there is none, nothing is told (G5). Fails when: its name or an answer of before stands for the topic.
#[test]
fn a_topic_that_is_made_again_is_another_log_g5() {
    let bus = fresh();
    let topic = format!("{}.suppressions.v1", bus.config().prefix);
    let first = bus.suppression_log(PATIENCE).unwrap();
    let day = Duration::from_secs(86_400);
    assert_eq!(first.tombstones_kept, Some(day), "Kafka's default");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &bus.config().bootstrap_servers).create().unwrap();
    let mut seen = vec![first.topic];
    for partitions in 1..=4 {
        kafka_harness::wait(admin.delete_topics(&[&topic], &AdminOptions::new())).unwrap()[0]
            .as_ref()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while let Ok(still) = bus.suppression_log(PATIENCE) {
            assert_eq!(Some(&still.topic), seen.last());
            assert!(Instant::now() < deadline, "the topic is still there");
        }
        let kept = Duration::from_millis(500 + u64::try_from(partitions).unwrap());
        let kept_ms = kept.as_millis().to_string();
        let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1))
            .set("delete.retention.ms", &kept_ms);
        kafka_harness::wait(admin.create_topics([&new], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
        let now = loop {
            match bus.suppression_log(PATIENCE) {
                Ok(now) => break now,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        assert_eq!(now.cluster, first.cluster);
        assert_eq!((now.partitions, now.tombstones_kept), (u32::try_from(partitions).unwrap(), Some(kept)));
        seen.push(now.topic);
    }
    // As Kafka prints them: 16 bytes in base64 for URLs, without padding.
    let printed =
        |id: &String| id.len() == 22 && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    assert!(seen.iter().all(printed), "{seen:?}");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 5, "two of them have one id");
}

#[test]
fn a_tombstone_leaves_nothing_under_its_key() {
    suite::a_tombstone_leaves_nothing_under_its_key(&*fresh());
}

#[test]
fn a_tail_goes_on_where_its_group_committed() {
    suite::a_tail_goes_on_where_its_group_committed(&*fresh());
}

#[test]
fn results_carry_their_source_as_id() {
    suite::results_carry_their_source_as_id(&*fresh());
}

#[test]
fn going_back_shows_what_was_committed_in_its_order() {
    suite::history::going_back_shows_what_was_committed_in_its_order(&*fresh());
}

#[test]
fn going_back_goes_on_with_what_is_committed_later() {
    suite::history::going_back_goes_on_with_what_is_committed_later(&*fresh());
}

#[test]
fn going_back_begins_before_the_end() {
    suite::history::going_back_begins_before_the_end(&*fresh());
}

#[test]
fn going_back_begins_at_a_time() {
    suite::history::going_back_begins_at_a_time(&*fresh());
}

/// Guarantees (G7): a transaction that is open where the log ends now is waited for; what it wrote is shown if it is
/// committed, and not if it is aborted. Fails when: the end is asked `read_committed`, which is the beginning of that
/// transaction, or the reader does not wait for the last stable offset to come to it.
#[test]
fn going_back_waits_for_a_transaction_that_is_open_at_the_end_g7() {
    for committed in [true, false] {
        let bus = fresh();
        send_jobs(&*bus, 0..1);
        let (jobs, mut ledger) = join(&*bus);
        read_jobs(&jobs, 1);
        ledger.append(&suite::history::outcomes(0, &["before"])).unwrap();
        ledger.commit(PATIENCE).unwrap();
        ledger.append(&suite::history::outcomes(0, &["open"])).unwrap();
        // `append` hands over; the record must be in the log.
        std::thread::sleep(Duration::from_millis(500));
        let mut history = bus.history().unwrap();
        history.begin(&[0], suite::history::ALL, PATIENCE).unwrap();
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            let mut came = 0;
            let done = history.poll(Duration::from_millis(100), &mut |_, _| came += 1).unwrap();
            assert!(!done && came == 0, "it is whole although a transaction is open");
        }
        if committed {
            ledger.commit(PATIENCE).unwrap();
        } else {
            ledger.abort().unwrap();
        }
        let texts: Vec<String> =
            suite::history::rest(&mut history).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, if committed { &["before", "open"][..] } else { &["before"] });
    }
}

#[test]
fn jobs_can_be_deleted_up_to_what_the_router_has_committed() {
    suite::purging::jobs_can_be_deleted_up_to_what_the_router_has_committed(&*fresh());
}

#[test]
fn deliveries_can_be_deleted_up_to_what_a_group_has_committed() {
    suite::purging::deliveries_can_be_deleted_up_to_what_a_group_has_committed(&*fresh());
}

#[test]
fn a_look_at_an_empty_topic_takes_no_time() {
    suite::purging::a_look_at_an_empty_topic_takes_no_time(&*fresh());
}

#[test]
fn topics_that_were_applied_have_no_findings_and_weakened_ones_are_mended() {
    let config = config();
    let missing = topics::check_needed(&config, PATIENCE).unwrap();
    assert!(missing.iter().all(|f| f.severity == topics::Severity::Refuse) && missing.len() == 10);
    assert_eq!(topics::apply(&config, PATIENCE).unwrap().len(), 10);
    let cluster = topics::read(&config, PATIENCE).unwrap();
    let after = topics::plan(&topics::wanted(&config), &cluster);
    assert!(after.is_empty(), "{after:?}");
    assert!(topics::apply(&config, PATIENCE).unwrap().is_empty());
    // What another value asks for is set, and what was set before stays.
    let mut larger = config;
    larger.topics.max_message_bytes += 1_000;
    assert_eq!(topics::apply(&larger, PATIENCE).unwrap().len(), 8 + 1);
    let cluster = topics::read(&larger, PATIENCE).unwrap();
    assert!(topics::plan(&topics::wanted(&larger), &cluster).is_empty());
}

/// Guarantees: a new writer of the same name settles what its dead predecessor left open, so that readers are not
/// held back until the transaction times out.
#[test]
fn replacing_a_ledger_settles_what_it_left_open() {
    let bus = fresh();
    send_jobs(&*bus, 0..10);
    let (jobs, mut ledger) = join(&*bus);
    let read = read_jobs(&jobs, 10);
    ledger.append(&copies(&read)).unwrap();
    let began = Instant::now();
    ledger.replace(PATIENCE).unwrap();
    jobs.rewind(PATIENCE).unwrap();
    let again = read_jobs(&jobs, 10);
    assert_eq!(again.len(), 10);
    ledger.append(&copies(&again)).unwrap();
    ledger.commit(PATIENCE).unwrap();
    let took = began.elapsed();
    assert!(took < bus.config().transaction_timeout, "only the time-out settled it: {took:?}");
    assert_eq!(read_tail(&mut bus.tail(SMS, &group(), true).unwrap(), 10).len(), 10);
}

/// Copies jobs to deliveries as a worker does, answering rebalances late, until told to stop.
fn work(bus: &Kafka, worker: u16, stop: &AtomicU32) -> usize {
    let (jobs, mut ledger) = bus.join(worker).unwrap();
    ledger.replace(PATIENCE).unwrap();
    let mut assignments = 0;
    while stop.load(Ordering::Relaxed) == 0 {
        match jobs.poll(&LIMITS).unwrap() {
            Polled::Idle => {}
            Polled::Assigned(partitions) => {
                std::thread::sleep(Duration::from_millis(300));
                jobs.assign(&partitions).unwrap();
                assignments += 1;
            }
            Polled::Revoked => {
                // A batch under way would be aborted here; nothing may move meanwhile.
                std::thread::sleep(Duration::from_millis(500));
                jobs.unassign().unwrap();
            }
            Polled::Batch(batch) => {
                let read: Vec<suite::Job> = batch
                    .records()
                    .map(|record| suite::Job {
                        partition: record.partition,
                        offset: record.offset,
                        value: record.value.unwrap().to_vec(),
                    })
                    .collect();
                drop(batch);
                let done = ledger.append(&copies(&read)).and_then(|()| ledger.commit(PATIENCE));
                match done {
                    Ok(()) => continue,
                    Err(Fault::Abort(_)) if ledger.abort().is_ok() => {}
                    Err(Fault::Abort(_) | Fault::Replace(_)) => ledger.replace(PATIENCE).unwrap(),
                }
                jobs.rewind(PATIENCE).unwrap();
            }
        }
    }
    assignments
}

/// Guarantees (G4): members that come and go, and answer rebalances late, lose and double nothing.
#[test]
fn rebalances_answered_late_lose_and_double_nothing() {
    let bus = fresh();
    let stop = [AtomicU32::new(0), AtomicU32::new(0)];
    let total = 3_000;
    std::thread::scope(|scope| {
        let first = scope.spawn(|| work(&bus, 0, &stop[0]));
        let send = |step: u32| send_jobs(&*bus, step * total / 6..(step + 1) * total / 6);
        (0..3).for_each(send);
        let second = scope.spawn(|| work(&bus, 1, &stop[1]));
        for step in 3..5 {
            std::thread::sleep(Duration::from_secs(2));
            send(step);
        }
        stop[1].store(1, Ordering::Relaxed);
        send(5);
        assert!(second.join().unwrap() >= 1, "the second member had its share");
        std::thread::sleep(Duration::from_secs(3));
        let mut seen: BTreeMap<u32, u32> = BTreeMap::new();
        let mut tail = bus.tail(SMS, &group(), true).unwrap();
        for (_, _, value) in read_tail(&mut tail, total as usize) {
            *seen.entry(String::from_utf8(value).unwrap().parse().unwrap()).or_default() += 1;
        }
        stop[0].store(1, Ordering::Relaxed);
        let doubled: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).take(5).collect();
        assert!(doubled.is_empty(), "doubled: {doubled:?}");
        assert_eq!(seen.len(), total as usize);
        assert!(first.join().unwrap() >= 3, "the second member came and went");
    });
}

/// Guarantees: a pause holds records back, and resuming brings each of them once.
#[test]
fn a_pause_loses_and_doubles_nothing() {
    let bus = fresh();
    send_jobs(&*bus, 0..200);
    let (jobs, _ledger) = join(&*bus);
    let mut read = Vec::new();
    while read.is_empty() {
        if let Polled::Batch(batch) = jobs.poll(&LIMITS).unwrap() {
            read.extend(batch.records().map(|record| (record.partition, record.offset)));
        }
    }
    jobs.pause().unwrap();
    for _ in 0..10 {
        assert!(matches!(jobs.poll(&LIMITS).unwrap(), Polled::Idle), "a record while paused");
    }
    jobs.resume().unwrap();
    read.extend(read_jobs(&jobs, 200 - read.len()).into_iter().map(|job| (job.partition, job.offset)));
    read.sort_unstable();
    read.dedup();
    assert_eq!(read.len(), 200);
}

/// Guarantees (G1): the barrier is the end of the log itself. An open transaction of somebody who should not write
/// there would hold the last stable offset back for as long as it is open.
#[test]
fn the_barrier_sees_acked_records_behind_an_open_transaction_g1() {
    let bus = fresh();
    let (recorder, mut ends) = (bus.recorder().unwrap(), bus.end_offsets().unwrap());
    let stranger: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", &bus.config().bootstrap_servers)
        .set("transactional.id", format!("stranger-{}", bus.config().prefix))
        .create()
        .unwrap();
    stranger.init_transactions(PATIENCE).unwrap();
    stranger.begin_transaction().unwrap();
    let topic = format!("{}.suppressions.v1", bus.config().prefix);
    stranger.send(BaseRecord::to(&topic).partition(0).key("stranger").payload("open")).unwrap();
    stranger.flush(PATIENCE).unwrap();
    let record = KeyedRecord::new(0, b"key".to_vec(), b"value".to_vec());
    let reached = acked(|acked| recorder.submit(vec![record], acked)).unwrap();
    assert_eq!(reached.as_slice(), [2, -1, -1, -1]);
    assert!(ends.ask(PATIENCE).unwrap().reaches(&reached));
    let mut followed = false;
    let mut follower = bus.follower(&Positions::zero(4)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !followed && Instant::now() < deadline {
        follower
            .poll(Duration::from_millis(100), 10, &mut |record| followed |= record.key == b"key")
            .unwrap();
    }
    assert!(followed, "the follower waits for somebody's transaction");
}

#[test]
fn what_the_promises_rest_on_is_not_the_operators_to_set() {
    for name in ["isolation.level", "acks", "enable.idempotence", "transactional.id"] {
        let mut config = Config::new("127.0.0.1:1");
        config.client.insert(name.to_owned(), "0".to_owned());
        let refused = Kafka::new(config).unwrap_err().to_string();
        assert!(refused.contains(name), "{refused}");
    }
    let mut config = Config::new("127.0.0.1:1");
    config.client.insert("sasl.password".to_owned(), "hunter2".to_owned());
    assert!(!format!("{config:?}").contains("hunter2"));
    config.client.insert("no.such.property".to_owned(), "hunter3".to_owned());
    let refused = Kafka::new(config).unwrap_err().to_string();
    assert!(refused.contains("no.such.property") && !refused.contains("hunter"), "{refused}");
}

#[test]
fn a_broker_that_is_not_there_is_told_in_time() {
    let bus = Kafka::new(Config::new("127.0.0.1:1")).unwrap();
    let began = Instant::now();
    let error = bus.probe(Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.blame(), tamis_bus::Blame::Unreachable);
    assert!(bus.end_offsets().unwrap().ask(Duration::from_millis(500)).is_err());
    let error = bus.suppression_log(Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.blame(), tamis_bus::Blame::Unreachable, "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// Guarantees: a header's name that is no text, which any client can write, stops nobody: its job is read, with what else its
/// headers say. Fails when: names are taken for UTF-8, which rdkafka's own reader panics over.
#[test]
fn a_header_whose_name_is_no_text_stops_nobody() {
    let bus = fresh();
    let topic = CString::new(format!("{}.send-jobs.v1", bus.config().prefix)).unwrap();
    let producer = producer(&bus);
    let (value, trace) = (b"a job", b"00-1-2-01");
    let header = |name: &CStr| (name.as_ptr(), trace.as_ptr().cast::<c_void>(), trace.len());
    let ((bad, bad_value, bad_length), (name, of_name, length)) =
        (header(c"\xff\xfe"), header(c"traceparent"));
    #[allow(unsafe_code)] // rdkafka itself writes no such name.
    // SAFETY: librdkafka's list of pairs, each of its type; it copies what they point to, which outlives the call.
    let code = unsafe {
        use rdkafka::bindings::{rd_kafka_producev, rd_kafka_vtype_t as of};
        rd_kafka_producev(
            producer.client().native_ptr(),
            of::RD_KAFKA_VTYPE_TOPIC,
            topic.as_ptr(),
            of::RD_KAFKA_VTYPE_MSGFLAGS,
            rdkafka::bindings::RD_KAFKA_MSG_F_COPY,
            of::RD_KAFKA_VTYPE_VALUE,
            value.as_ptr().cast::<c_void>(),
            value.len(),
            of::RD_KAFKA_VTYPE_HEADER,
            bad,
            bad_value,
            bad_length,
            of::RD_KAFKA_VTYPE_HEADER,
            name,
            of_name,
            length,
            of::RD_KAFKA_VTYPE_END,
        )
    };
    assert_eq!(code, rdkafka::bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    producer.flush(PATIENCE).unwrap();
    let (jobs, _ledger) = join(&*bus);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the job does not come");
        if let Polled::Batch(batch) = jobs.poll(&LIMITS).unwrap() {
            let read: Vec<_> = batch.records().map(|job| (job.value, job.traceparent)).collect();
            assert_eq!(read, [(Some(&value[..]), Some(&trace[..]))]);
            return;
        }
    }
}

/// Guarantees: every job of a batch has its own trace context for as long as the batch is there, the last where there are two, however
/// often it is asked. Fails when: what is kept of a job's headers is another's, or goes before the batch does.
#[test]
fn every_job_of_a_batch_has_its_own_trace_context() {
    const JOBS: usize = 200;
    let bus = fresh();
    let topic = format!("{}.send-jobs.v1", bus.config().prefix);
    let producer = producer(&bus);
    let context = |at: usize| {
        let parent =
            (!at.is_multiple_of(3)).then(|| format!("00-{at:032x}-00000000000000b7-01").into_bytes());
        (parent, (at % 3 == 2).then(|| format!("vendor={}", "x".repeat(at)).into_bytes()))
    };
    for at in 0..JOBS {
        let (parent, state) = context(at);
        let mut headers = OwnedHeaders::new().insert(Header { key: "ce_type", value: Some("a job") });
        if let Some(parent) = &parent {
            headers = headers.insert(Header { key: "traceparent", value: Some("an earlier one") });
            headers = headers.insert(Header { key: "traceparent", value: Some(parent) });
        }
        if let Some(state) = &state {
            headers = headers.insert(Header { key: "tracestate", value: Some(state) });
        }
        let value = at.to_string();
        let record = BaseRecord::<[u8], str>::to(&topic).partition(0).payload(&value).headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let (jobs, _ledger) = join(&*bus);
    let deadline = Instant::now() + PATIENCE;
    let mut seen = 0;
    while seen < JOBS {
        assert!(Instant::now() < deadline, "the jobs do not come");
        let Polled::Batch(batch) = jobs.poll(&LIMITS).unwrap() else { continue };
        let first: Vec<_> = batch.records().collect();
        for (at, (job, again)) in (seen..).zip(first.iter().zip(batch.records())) {
            let (parent, state) = context(at);
            assert_eq!(job.value, Some(at.to_string().as_bytes()));
            assert_eq!((job.traceparent, job.tracestate), (parent.as_deref(), state.as_deref()));
            assert_eq!((again.traceparent, again.tracestate), (parent.as_deref(), state.as_deref()));
        }
        seen += batch.len();
    }
}

/// Guarantees: what the client reports among records, here that a partition's end is reached, is no record, and a pause after it
/// loses and doubles nothing. Fails when: reports are not told from records, or the client goes on behind one, as after a record.
#[test]
fn what_is_reported_among_records_is_none() {
    let mut config = config();
    config.client.insert("enable.partition.eof".to_owned(), "true".to_owned());
    topics::apply(&config, PATIENCE).unwrap();
    let bus = Arc::new(Kafka::new(config).unwrap());
    send_jobs(&*bus, 0..100);
    let (jobs, _ledger) = join(&*bus);
    let mut read = read_jobs(&jobs, 100);
    let idle = |seconds| {
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            assert!(matches!(jobs.poll(&LIMITS).unwrap(), Polled::Idle), "there is no other job");
        }
    };
    // The end is reported when a fetch brings nothing, which waits half a second.
    idle(2);
    jobs.pause().unwrap();
    send_jobs(&*bus, 100..200);
    idle(1);
    jobs.resume().unwrap();
    read.extend(read_jobs(&jobs, 100));
    idle(1);
    let mut places: Vec<_> = read.iter().map(|job| (job.partition, job.offset)).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 200);
}
