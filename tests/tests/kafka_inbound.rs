//! What gateways write to `inbound`, on a real Apache Kafka.
//!
//! One node, so this proves nothing about leaders that move. A process is killed as soon as it is seen to have recorded something,
//! which is most often between ack and commit; the test says how often it was.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tamis_bus::{Bus, Positions, Tail, TailTopic};
use tamis_campaign::{Channel, Purpose, RecordReason};
use tamis_tests::inbound::{self, Gateway, reply};
use tamis_tests::process::{self, Service};
use tamis_tests::{kafka, people, suite};
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1 as proto;

/// Whether an SMS job to `who` that is sent now arrives at each of them.
fn arrive(bus: &impl Bus, job_id: &str, who: &[u64], jobs: usize) -> BTreeSet<u64> {
    let job = people::job(job_id, "acme", Channel::Sms, Purpose::Marketing, who);
    suite::send(&bus.scheduler().expect("jobs can be sent"), &[job]);
    let (arrivals, _) = suite::collect(bus, jobs);
    let mine = arrivals.into_keys().filter(|(id, _)| id == job_id);
    mine.map(|(_, contact)| contact[4..].parse().expect("crm-<n>")).collect()
}

/// Guarantees G1 for replies: a stop that is committed in `inbound` is honoured by the next job, a start lifts it, and no more than it; what
/// can't be read becomes a dead letter with where, why and xxh3, and loses nothing that was read with it.
/// Fails when: offsets are committed before the ack; a batch with a damaged event is dropped; starts are not written.
#[test]
fn a_stop_counts_for_the_next_job_and_what_cannot_be_read_is_buried() {
    let bus = kafka::bus("replied");
    let subjects = suite::subjects();
    let (running, health) = suite::start(&bus, &subjects, 2);
    let reader = inbound::read(&bus, &running, &health);
    let gateway = Gateway::open(&bus);
    assert_eq!(arrive(&*bus, "before", &[1, 2, 3], 1), BTreeSet::from([1, 2, 3]));

    let nobody = proto::InboundEvent { address: "no number".into(), ..reply(9, "STOP", "m-nobody") };
    let values = [
        reply(1, "Stop, merci", "m-1").encode_to_vec(),
        b"\xff\xff no event".to_vec(),
        nobody.encode_to_vec(),
        Vec::new(),
        reply(2, "merci", "m-2").encode_to_vec(),
        reply(3, "STOP", "m-3").encode_to_vec(),
    ];
    gateway.send(Some(0), &values);
    inbound::wait_read(&bus);
    assert_eq!(arrive(&*bus, "stopped", &[1, 2, 3], 2), BTreeSet::from([2]));
    gateway.say(Some(1), &[reply(3, "start", "m-4")]);
    inbound::wait_read(&bus);
    assert_eq!(arrive(&*bus, "started", &[1, 2, 3], 3), BTreeSet::from([2, 3]));

    // Without a tenant it is the job's; without either it would be everybody's. What was decided a second ago is known.
    std::thread::sleep(Duration::from_secs(1));
    let anybodys = proto::InboundEvent { tenant: String::new(), ..reply(2, "stop", "m-5") };
    gateway.say(None, &[proto::InboundEvent { job_id: "started".into(), ..anybodys }]);
    inbound::wait_read(&bus);
    let job = people::job("globex", "globex", Channel::Sms, Purpose::Marketing, &[2]);
    suite::send(&bus.scheduler().expect("jobs can be sent"), &[job]);
    assert_eq!(arrive(&*bus, "of-acme", &[2, 3], 5), BTreeSet::from([3]));
    assert_eq!(suite::collect(&*bus, 5).0.get(&("globex".into(), "crm-2".into())), Some(&1));

    let mut letters = Vec::new();
    let mut tail = bus.tail(TailTopic::DeadLetters, &suite::group(), true).expect("dead letters can be read");
    suite::wait("three dead letters", || {
        let took = tail.poll(Duration::from_millis(100), 100, &mut |r| {
            letters.push(proto::DeadLetter::decode(r.value).expect("dead letters are well-formed"));
        });
        took.expect("dead letters can be read");
        letters.len() >= 3
    });
    for (letter, (offset, code)) in
        letters.iter().zip([(1, "BAD_TAG"), (2, "INVALID_ADDRESS"), (3, "EMPTY_VALUE")])
    {
        let value = &values[usize::try_from(offset).expect("an offset")];
        assert_eq!(
            (letter.topic.as_str(), letter.partition, letter.offset),
            ("replied.inbound.v1", 0, offset)
        );
        assert_eq!((letter.size, letter.xxh3), (value.len() as u64, tamis_wire::xxh3(value)));
        assert_eq!(letter.code, code);
    }
    assert!(
        health.json_lines().contains(r#""inbound","ok":true,"detail":"reads""#),
        "{}",
        health.json_lines()
    );
    assert!(reader.drain(Duration::from_secs(10)) && running.drain(Duration::from_secs(15)), "both drain");
}

fn end(bus: &impl Bus) -> Positions {
    let mut ends = bus.end_offsets().expect("a connection");
    tamis_bus::EndOffsets::ask(&mut ends, Duration::from_secs(10)).expect("the broker answers")
}

/// Guarantees: with two processes, of which one is killed with -9 again and again as soon as it has recorded something and the other is
/// stopped past its session, every stop and every start is honoured: nobody's last word is lost, and none that is read again takes
/// away a later one.
/// Fails when: offsets are committed before the ack (a stop is lost); starts that are read again are written again (a stop is lifted).
#[test]
fn nobodys_last_word_is_lost_while_readers_are_killed_and_paused() {
    let prefix = "inkilled";
    let bus = kafka::bus(prefix);
    let dir = tempfile::tempdir().expect("a folder");
    tamis_subject::Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let lines = format!(
        "kind = \"kafka\"\nbootstrap_servers = \"{}\"\nprefix = \"{prefix}\"\ngroup = \"{prefix}\"",
        kafka::broker().bootstrap()
    );
    let more = "[bus.client]\n\"session.timeout.ms\" = \"3000\"\n\"heartbeat.interval.ms\" = \"500\"\n[router]\nworkers = 1\n";
    let start = |name: &str| {
        let (path, admin, api) = process::config(dir.path(), name, &lines, more);
        Service::start(&path, admin, api)
    };
    let (mut victim, sleeper) = (start("victim"), start("sleeper"));
    sleeper.wait_ready();
    victim.wait_ready();
    let gateway = Gateway::open(&bus);
    let mut purger = bus.purger().expect("a purger");
    let everybody: Vec<u64> = (0..120).collect();
    let (mut between, mut kills) = (0, 0);
    // All stop, those of an even number start, every fourth stops again.
    let rounds: [(&str, u64); 3] = [("stop", 1), ("start", 2), ("stop", 4)];
    for (round, (text, every)) in rounds.into_iter().enumerate() {
        let says = everybody.iter().filter(|n| **n % every == 0);
        let events: Vec<_> = says.map(|n| reply(*n, text, &format!("m-{round}-{n}"))).collect();
        let before = end(&*bus);
        gateway.say(None, &events);
        // Heartbeats move the end, too, so that it must be some way.
        suite::wait("something is recorded", || before.behind(&end(&*bus)) > 8);
        victim.kill();
        kills += 1;
        between += i64::from(inbound::unread(&mut purger).is_some_and(|unread| unread > 0));
        sleeper.signal("STOP");
        victim = start("victim");
        std::thread::sleep(Duration::from_millis(3_500));
        sleeper.signal("CONT");
        inbound::wait_read(&bus);
    }
    println!("{between} of {kills} times with something recorded and not committed");
    sleeper.wait_ready();
    let expected: BTreeSet<u64> = everybody.iter().copied().filter(|n| n % 2 == 0 && n % 4 != 0).collect();
    assert_eq!(arrive(&*bus, "after", &everybody, 1), expected);
    let counted = "tamis_optout_effective_seconds_count{source=\"reply\"}";
    assert!(sleeper.metric(counted) > Some(0.0), "opt-outs of the topic are timed");
}

/// Guarantees: a start lifts nothing that was recorded after the person said it: neither one that waited in the topic while a stop came in
/// by another door, nor one that its gateway writes a second time after the next stop, however new that copy is in the log.
/// Fails when: what a start is newer than is not looked at, or looked at by the log's time alone.
#[test]
fn a_start_that_comes_late_or_again_lifts_nothing_that_came_after_it() {
    let bus = kafka::bus("inlate");
    let subjects = suite::subjects();
    let (running, health) = suite::start(&bus, &subjects, 1);
    let gateway = Gateway::open(&bus);
    let pause = || std::thread::sleep(Duration::from_millis(50));
    // Nobody reads yet: the start of 1 waits while 1 stops by another door.
    gateway.say(Some(0), &[reply(1, "start", "m-1")]);
    pause();
    let stop =
        people::record(&subjects, Channel::Sms, 1, "acme", Some(Channel::Sms), RecordReason::StopReply);
    suite::opt_out(&*running.recorder(), &[stop]);
    let reader = inbound::read(&bus, &running, &health);
    let say = |partition, event: &proto::InboundEvent| {
        gateway.say(Some(partition), std::slice::from_ref(event));
        inbound::wait_read(&bus);
        pause();
    };
    say(0, &reply(2, "stop", "m-2"));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let received_at_ms = i64::try_from(since).expect("a moment");
    let start = proto::InboundEvent { received_at_ms, ..reply(2, "start", "m-3") };
    say(1, &start);
    assert_eq!(arrive(&*bus, "started", &[1, 2, 3], 1), BTreeSet::from([2, 3]));
    say(2, &reply(2, "stop", "m-4"));
    say(3, &start);
    assert_eq!(arrive(&*bus, "after", &[1, 2, 3], 2), BTreeSet::from([3]));
    assert!(reader.drain(Duration::from_secs(10)) && running.drain(Duration::from_secs(15)), "both drain");
}

/// Guarantees: while the broker stands still nothing is lost and nothing is committed unread, `/readyz` says so in its line and stays as it
/// is otherwise; then it goes on by itself. A broker that stood so long is fenced for a moment, and says then that there is none: every
/// client comes back from that.
/// Fails when: an ack that does not come in time is taken for one; a client that knows no broker any more is left so.
#[test]
fn a_broker_that_stands_still_loses_no_stop() {
    let broker = kafka::own_broker();
    // By itself librdkafka comes back nine times of ten.
    let client = [("metadata.recovery.strategy".to_owned(), "none".to_owned())];
    let bus = kafka::bus_with(&broker, "instill", client.into());
    let subjects = suite::subjects();
    let (running, health) = suite::start(&bus, &subjects, 1);
    let reader = inbound::read(&bus, &running, &health);
    let gateway = Gateway::open(&bus);
    gateway.say(None, &[reply(1, "stop", "m-1")]);
    inbound::wait_read(&bus);
    for id in 0..3 {
        gateway.say(None, &(0..200).map(|n| reply(n, "stop", &format!("m-{id}-{n}"))).collect::<Vec<_>>());
        broker.pause().expect("the broker can be paused");
        std::thread::sleep(Duration::from_secs(if id == 2 { 12 } else { 1 }));
        broker.resume().expect("the broker can be resumed");
    }
    inbound::wait_read(&bus);
    suite::wait("it reads", || health.json_lines().contains(r#""inbound","ok":true,"detail":"reads""#));
    let who: Vec<u64> = (0..210).collect();
    assert_eq!(arrive(&*bus, "after", &who, 1), (200..210).collect());
    assert!(reader.drain(Duration::from_secs(10)) && running.drain(Duration::from_secs(15)), "both drain");
}
