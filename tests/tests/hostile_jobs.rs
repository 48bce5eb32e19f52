//! Hostile records: each has the verdict or the dead letter of the contract, section 9, nothing else is lost for it, and
//! nothing of it is told anywhere.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{Bus, Tail, TailTopic};
use tamis_campaign::{Channel, RejectReason, Verdict};
use tamis_sieve::Sieve;
use tamis_suppression::Index;
use tamis_tests::hostile::{CANARIES, Case, Fate, cases};
use tamis_tests::process::{Service, config, get};
use tamis_tests::suite::{books_close, subjects, wait};
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::{Added, JobView, Message, Packed, Parts, Span, Spans, Stamp, splice};

/// Guarantees: view, sieve and splice give every hostile record its fate, in seconds at most, and what is forwarded can be
/// read by every protobuf reader and holds exactly who was kept.
/// Fails when: a wire type is not checked, a field twice passes, an address is taken whose length nobody looked at.
#[test]
fn every_hostile_record_has_its_fate_in_the_pure_line() {
    let index = Index::new(2);
    let mut sieve = Sieve::new(subjects());
    let mut spans = Spans::new();
    let mut wrong = Vec::new();
    for Case { name, job_id, value, fate } in cases() {
        let begun = Instant::now();
        let found = match JobView::parse(&value, &mut spans) {
            Err(why) => {
                nothing_of_it(&name, why.to_string().as_bytes());
                Fate::Dead(why.code.as_str())
            }
            Ok(view) => {
                assert_eq!(view.job_id.as_str(), job_id, "{name}");
                decided(&mut sieve, &index, &view, &value, &spans, &name)
            }
        };
        if found != fate {
            wrong.push(format!("{name}: {found:?}, not {fate:?}"));
        }
        if begun.elapsed() > Duration::from_secs(5) {
            wrong.push(format!("{name}: took {:?}", begun.elapsed()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Decides a job and, where somebody is kept, splices its delivery and has it read.
fn decided(
    sieve: &mut Sieve,
    index: &Index,
    view: &JobView<'_>,
    value: &[u8],
    spans: &[Span],
    name: &str,
) -> Fate {
    let decision = sieve.decide(view, value, spans, index, tamis_now());
    assert!(decision.books_close(), "{name}");
    if decision.forwarded > 0 {
        let position = Packed::new(index.position());
        let stamp = Stamp {
            decided_at_ms: 1,
            filter_position: &position,
            policy_version: "",
            gateway: decision.gateway,
            recipients_in: decision.recipients_in,
        };
        let mut parts = Parts::default();
        let ranges =
            parts.plan(value, spans, decision.kept, &Added::default(), &stamp, 16 << 20).expect("it fits");
        let mut out = Vec::new();
        splice(value, spans, decision.kept, &ranges[0], &stamp, (1, 1), &mut out);
        // Unknown fields may be nested as deeply as they like: no reader reads into them.
        let delivery = proto::Delivery::decode(&out[..]).expect("every reader reads a delivery");
        assert_eq!(delivery.recipients.len(), decision.forwarded as usize, "{name}");
    }
    match (&decision.refusal, decision.verdict) {
        (Some(refusal), _) => {
            nothing_of_it(name, refusal.message.as_bytes());
            Fate::Refused(refusal.code.code())
        }
        (None, Verdict::Deferred | Verdict::Expired) => Fate::Timed(decision.verdict),
        (None, verdict) => {
            let rejected = decision.rejected().map(|(reason, count, _)| (reason, count)).collect();
            Fate::Decided(verdict, decision.forwarded, rejected)
        }
    }
}

/// Guarantees G4 and G6 under attack: a service that is sent every hostile record decides each as it must, with good jobs
/// between them delivered, counts them right, ends in order, and writes nothing of them to its log at its chattiest level,
/// its metrics, outcomes or dead letters.
/// Fails when: one of them stops a worker; a dead letter or a log line quotes its record.
#[test]
fn g4_g6_a_service_survives_every_hostile_record_and_tells_nothing_of_it() {
    let dir = tempfile::tempdir().expect("a folder");
    tamis_subject::Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let data = dir.path().join("data");
    let bus = format!("kind = \"embedded\"\ndata_dir = \"{}\"", data.display());
    let (path, admin, api) = config(dir.path(), "hostile", &bus, "");
    let mut service = Service::start_with(&path, admin, api, &[("TAMIS_LOG", "trace")]);
    service.wait_ready();
    let cases = cases();
    let mut expected = BTreeMap::new();
    let mut dead = BTreeMap::<String, u64>::new();
    for case in &cases {
        match &case.fate {
            Fate::Dead(code) => *dead.entry((*code).to_owned()).or_default() += 1,
            fate @ (Fate::Refused(_) | Fate::Decided(..) | Fate::Timed(_)) => {
                expected.insert(case.job_id.clone(), fate.clone());
            }
        }
    }
    for (number, some) in cases.chunks(50).enumerate() {
        let good = format!("between-{number}");
        let job = tamis_tests::people::job(
            &good,
            "acme",
            Channel::Email,
            tamis_campaign::Purpose::Marketing,
            &[number as u64],
        );
        submit(api, some.iter().map(|case| &case.value[..]).chain([&job.encode_to_vec()[..]]));
        expected.insert(good, Fate::Decided(Verdict::Routed, 1, Vec::new()));
    }
    let letters: u64 = dead.values().sum();
    // A job without a channel has an outcome, and no row among the counters, whose labels are channels.
    let without_channel = |case: &&Case| {
        JobView::parse(&case.value, &mut Spans::new()).is_ok_and(|view| view.channel.is_none())
    };
    let jobs = (expected.len() - cases.iter().filter(without_channel).count()) as u64;
    wait("every record is decided or buried", || {
        sum(admin, "tamis_jobs_total") + sum(admin, "tamis_dead_letters_total") >= jobs + letters
    });
    let counted = (sum(admin, "tamis_jobs_total"), sum(admin, "tamis_dead_letters_total"));
    assert_eq!(counted, (jobs, letters), "jobs decided, and records buried");
    let metrics = get(admin, "/metrics").expect("metrics");
    nothing_of_it("metrics", metrics.as_bytes());
    assert!(metrics.contains("tamis_recipients_lost_total"), "{metrics}");
    assert_eq!(sum(admin, "tamis_recipients_lost_total"), 0);
    assert!(service.stop().success(), "it ends in order");
    let log = service.log();
    assert!(log.len() > 100, "it logs at its chattiest level");
    nothing_of_it("log", log.as_bytes());
    assert!(!log.contains("panicked"), "{log}");

    let bus = Embedded::open(&data, Config::default()).expect("the service has let it go");
    let outcomes = read(&bus, TailTopic::Outcomes, |value| {
        nothing_of_it("outcomes", value);
        proto::JobOutcomes::decode(value).expect("outcomes are well-formed").outcomes
    });
    books(&outcomes, &expected);
    let letters = read(&bus, TailTopic::DeadLetters, |value| {
        nothing_of_it("dead letters", value);
        vec![proto::DeadLetter::decode(value).expect("dead letters are well-formed")]
    });
    let mut found = BTreeMap::<String, u64>::new();
    letters.into_iter().for_each(|letter| *found.entry(letter.code).or_default() += 1);
    assert_eq!(found, dead);
    let mut arrived = BTreeMap::<String, u32>::new();
    for channel in [Channel::Sms, Channel::Email] {
        for delivery in read(&bus, TailTopic::Deliveries(channel), |value| {
            vec![proto::Delivery::decode(value).expect("deliveries are well-formed")]
        }) {
            *arrived.entry(delivery.job_id).or_default() += u32::try_from(delivery.recipients.len()).unwrap();
        }
    }
    let forwarded = outcomes.iter().filter(|one| one.forwarded > 0);
    assert_eq!(arrived, forwarded.map(|one| (one.job_id.clone(), one.forwarded)).collect());
}

/// Each expected job has its one outcome, as it must be.
fn books(outcomes: &[proto::JobOutcome], expected: &BTreeMap<String, Fate>) {
    let decided: Vec<_> =
        outcomes.iter().filter(|one| one.refusal.is_none() && one.verdict != 6).cloned().collect();
    books_close(&decided, decided.len());
    assert_eq!(outcomes.len(), expected.len(), "one outcome for each job");
    for one in outcomes {
        let fate = expected.get(&one.job_id).expect("an outcome is of a job that was sent");
        let rejected = one.rejected.iter().map(|group| {
            let reason = RejectReason::from_number(group.reason).expect("a reason of the contract");
            (reason, group.count)
        });
        match fate {
            Fate::Dead(_) => panic!("{} is no job", one.job_id),
            Fate::Refused(code) => {
                assert_eq!(one.refusal.as_ref().expect("refused").code, *code, "{}", one.job_id)
            }
            Fate::Timed(verdict) => assert_eq!(one.verdict, verdict.number(), "{}", one.job_id),
            Fate::Decided(verdict, forwarded, reasons) => {
                assert_eq!((one.verdict, one.forwarded), (verdict.number(), *forwarded), "{}", one.job_id);
                assert_eq!(rejected.collect::<Vec<_>>(), *reasons, "{}", one.job_id);
            }
        }
    }
}

fn nothing_of_it(what: &str, text: &[u8]) {
    for canary in CANARIES {
        let found = text.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!found, "{what} holds {canary}");
    }
}

/// Everything in a topic.
fn read<T>(bus: &Embedded, topic: TailTopic, mut take: impl FnMut(&[u8]) -> Vec<T>) -> Vec<T> {
    let mut tail = bus.tail(topic, "auditor", true).expect("it can be read");
    let mut all = Vec::new();
    while tail
        .poll(Duration::from_millis(10), 1_000, &mut |record| all.extend(take(record.value)))
        .expect("read")
        > 0
    {}
    all
}

/// Writes records through the API, in one call.
fn submit<'a>(api: SocketAddr, values: impl Iterator<Item = &'a [u8]>) {
    let jobs: Vec<String> = values
        .map(|value| format!(r#"{{"job_id":"any","value":"{}"}}"#, BASE64_STANDARD.encode(value)))
        .collect();
    let body = format!(r#"{{"jobs":[{}]}}"#, jobs.join(","));
    let mut stream = TcpStream::connect(api).expect("the API listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    let head = format!(
        "POST /v1/local/jobs HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The sum of a counter over its labels.
fn sum(admin: SocketAddr, name: &str) -> u64 {
    let text = get(admin, "/metrics").unwrap_or_default();
    let of = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter of records")]
    let sum = text.lines().filter(|line| line.starts_with(name)).filter_map(of).sum::<f64>() as u64;
    sum
}

fn tamis_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292278994")
}
