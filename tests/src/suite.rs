//! What every bus must do with the whole line on it: the same promises on Kafka and on the embedded bus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tamis_bus::{Bus, KeyedRecord, Recorder, Scheduler, Tail, TailTopic};
use tamis_campaign::{Channel, Purpose, Reason, RecordReason, Verdict};
use tamis_pipeline::{Options, Running};
use tamis_subject::{Key, Region, Subjects};
use tamis_telemetry::{Health, Metrics};
use tamis_wire::Message;
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::record;

use crate::people::{self, Dice, OptOuts};

/// How long anything may take before the test says that it never came.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key that the tests' subjects are made with.
#[must_use]
pub fn subjects() -> Subjects {
    Subjects::new(
        &Key::generate().expect("the system has random bytes"),
        Region::parse("FR").expect("FR is a region"),
    )
}

/// What services of this process log goes to their test, which prints it when it fails.
pub(crate) fn log() {
    let logs = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer();
    // An error means that another test of this process did it.
    let _ = logs.try_init();
}

/// A running service on `bus`, ready.
///
/// # Panics
/// When it is not ready in time.
pub fn start<B: Bus>(bus: &Arc<B>, subjects: &Subjects, workers: u16) -> (Running, Health) {
    log();
    let health = Health::new();
    let options = Options { workers, ..Options::default() };
    let running =
        tamis_pipeline::start(bus.clone(), subjects.clone(), options, Metrics::detached(), health.clone())
            .expect("the service starts");
    let since = Instant::now();
    while !health.is_ready() {
        assert!(since.elapsed() < PATIENCE, "never ready:\n{}", health.json_lines());
        std::thread::sleep(Duration::from_millis(10));
    }
    (running, health)
}

/// Waits until `done`.
///
/// # Panics
/// When it takes too long.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE, "never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Records `records` and waits for the ack.
///
/// # Panics
/// When the log refuses them.
pub fn opt_out(recorder: &dyn Recorder, records: &[record::Record]) {
    let keyed = records
        .iter()
        .map(|r| {
            let partition = record::partition_of(&r.subject, recorder.partitions());
            KeyedRecord::new(partition, record::key(r), record::encode(r))
        })
        .collect();
    let (done, acked) = mpsc::channel();
    recorder.submit(keyed, Box::new(move |result| drop(done.send(result.map(drop)))));
    acked.recv_timeout(PATIENCE).expect("the log answers").expect("the log takes opt-outs");
}

/// Sends jobs and waits until all are acked.
///
/// # Panics
/// When the log refuses one.
pub fn send(scheduler: &dyn Scheduler, jobs: &[proto::SendJob]) {
    let (done, acked) = mpsc::channel();
    for job in jobs {
        let done = done.clone();
        scheduler.submit(
            &job.job_id,
            job.encode_to_vec(),
            Box::new(move |result| drop(done.send(result.map(drop)))),
        );
    }
    for _ in jobs {
        acked.recv_timeout(PATIENCE).expect("the log answers").expect("the log takes jobs");
    }
}

/// Sends a record as it is and waits until it is acked.
///
/// # Panics
/// When the log refuses it.
pub fn send_bytes(scheduler: &dyn Scheduler, job_id: &str, value: Vec<u8>) {
    let (done, acked) = mpsc::channel();
    scheduler.submit(job_id, value, Box::new(move |result| drop(done.send(result.map(drop)))));
    acked.recv_timeout(PATIENCE).expect("the log answers").expect("the log takes anything");
}

/// A reader's group of its own: tests share a broker, and members of one group that read different topics, or come one by one, make it
/// deal its partitions anew, so that what was read and not committed is read again.
#[must_use]
pub fn group() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("reader-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What arrived: each (job, recipient) with how often.
pub type Arrivals = BTreeMap<(String, String), u32>;

/// Reads every channel's deliveries and the outcomes until each of `jobs` has its outcome and nothing more comes.
///
/// # Panics
/// When an outcome never comes.
pub fn collect<B: Bus>(bus: &B, jobs: usize) -> (Arrivals, Vec<proto::JobOutcome>) {
    let mut tails: Vec<B::Tail> = Channel::ALL
        .iter()
        .map(|&c| bus.tail(TailTopic::Deliveries(c), &group(), true).expect("deliveries can be read"))
        .collect();
    let mut accountant = bus.tail(TailTopic::Outcomes, &group(), true).expect("outcomes can be read");
    let mut arrivals = Arrivals::new();
    let mut outcomes = Vec::new();
    let since = Instant::now();
    let mut quiet = 0;
    while quiet < 4 {
        assert!(since.elapsed() < PATIENCE * 2, "{} of {jobs} jobs have an outcome", outcomes.len());
        let mut came = accountant
            .poll(Duration::from_millis(100), 1_000, &mut |r| {
                let batch = proto::JobOutcomes::decode(r.value).expect("outcomes are well-formed");
                outcomes.extend(batch.outcomes);
            })
            .expect("outcomes can be read");
        for tail in &mut tails {
            came += tail
                .poll(Duration::from_millis(20), 10_000, &mut |r| {
                    let delivery = proto::Delivery::decode(r.value).expect("deliveries are well-formed");
                    for recipient in &delivery.recipients {
                        let who = (delivery.job_id.clone(), recipient.contact.clone());
                        *arrivals.entry(who).or_default() += 1;
                    }
                })
                .expect("deliveries can be read");
        }
        quiet = if came == 0 && outcomes.len() >= jobs { quiet + 1 } else { 0 };
    }
    (arrivals, outcomes)
}

/// Asserts G6 for each outcome, and that every job has exactly one.
///
/// # Panics
/// When the books do not close.
pub fn books_close(outcomes: &[proto::JobOutcome], jobs: usize) {
    let ids: BTreeSet<&str> = outcomes.iter().map(|o| o.job_id.as_str()).collect();
    assert_eq!((ids.len(), outcomes.len()), (jobs, jobs), "one outcome for each job");
    for o in outcomes {
        let suppressed: u32 = o.suppressed.iter().map(|s| s.count).sum();
        let rejected: u32 = o.rejected.iter().map(|r| r.count).sum();
        let deferred: u32 = o.deferred.iter().map(|d| d.count).sum();
        assert_eq!(
            o.recipients_in,
            o.forwarded + suppressed + rejected + deferred,
            "the books of {} close",
            o.job_id
        );
    }
}

/// A campaign over all channels, its opt-outs, and what must arrive.
pub struct Campaign {
    /// To record before anything is sent.
    pub records: Vec<record::Record>,
    /// To send.
    pub jobs: Vec<proto::SendJob>,
    /// What must arrive, and nothing else.
    pub expected: Arrivals,
}

/// Makes `count` jobs to people of whom every fourth or so has opted out of something.
#[must_use]
pub fn campaign(subjects: &Subjects, seed: u64, count: usize) -> Campaign {
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let mut opt_outs = OptOuts::default();
    let mut records = Vec::new();
    let reasons =
        [RecordReason::Unsubscribed, RecordReason::Erased, RecordReason::HardBounce, RecordReason::StopReply];
    for _ in 0..600 {
        let address_of = Channel::ALL[dice.roll(5) as usize];
        let reason = reasons[dice.roll(4) as usize];
        let channel = (dice.roll(2) == 0).then_some(address_of);
        let (n, tenant) = (dice.roll(1_000), if dice.roll(4) == 0 { "globex" } else { "acme" });
        records.push(people::record(subjects, address_of, n, tenant, channel, reason));
        opt_outs.add(address_of, n, tenant, channel, reason.drops().unwrap_or(Reason::Erased));
    }
    let mut expected = Arrivals::new();
    let jobs = (0..count)
        .map(|i| {
            let channel = Channel::ALL[dice.roll(5) as usize];
            let purpose = if dice.roll(5) == 0 { Purpose::Service } else { Purpose::Marketing };
            let tenant = if dice.roll(3) == 0 { "globex" } else { "acme" };
            let who: BTreeSet<u64> = (0..=dice.roll(30)).map(|_| dice.roll(1_000)).collect();
            let who: Vec<u64> = who.into_iter().collect();
            let id = format!("job-{i}");
            for &n in &who {
                if opt_outs.reason(channel, n, tenant, purpose).is_none() {
                    expected.insert((id.clone(), format!("crm-{n}")), 1);
                }
            }
            people::job(&id, tenant, channel, purpose, &who)
        })
        .collect();
    Campaign { records, jobs, expected }
}

/// Guarantees G1, G3, G4 and G6 in calm weather: over all channels exactly the people who did not opt out arrive, each once.
/// Fails when: the sieve passes everybody; the offsets are not in the transaction (after a restart all arrives twice).
///
/// # Panics
/// When it does not hold.
pub fn exactly_the_right_people_arrive<B: Bus>(bus: &Arc<B>, seed: u64) {
    let subjects = subjects();
    let campaign = campaign(&subjects, seed, 400);
    let (running, _) = start(bus, &subjects, 2);
    opt_out(&*running.recorder(), &campaign.records);
    let scheduler = bus.scheduler().expect("jobs can be sent");
    let (first, second) = campaign.jobs.split_at(200);
    send(&scheduler, first);
    wait_for_outcomes(&**bus, first.len());
    assert!(running.drain(Duration::from_secs(15)), "it drains");
    let (running, _) = start(bus, &subjects, 2);
    send(&scheduler, second);
    let (arrivals, outcomes) = collect(&**bus, campaign.jobs.len());
    assert!(running.drain(Duration::from_secs(15)), "it drains");
    books_close(&outcomes, campaign.jobs.len());
    assert!(
        outcomes
            .iter()
            .all(|o| o.verdict == Verdict::Routed.number() || o.verdict == Verdict::Empty.number())
    );
    same(&arrivals, &campaign.expected);
}

fn wait_for_outcomes<B: Bus>(bus: &B, jobs: usize) {
    let mut tail = bus.tail(TailTopic::Outcomes, &group(), true).expect("outcomes can be read");
    let mut seen = 0;
    wait("the outcomes of the first half", || {
        tail.poll(Duration::from_millis(100), 1_000, &mut |r| {
            seen += proto::JobOutcomes::decode(r.value).expect("outcomes are well-formed").outcomes.len();
        })
        .expect("outcomes can be read");
        seen >= jobs
    });
}

/// Compares what arrived with what had to, without printing thousands of lines.
///
/// # Panics
/// When they differ.
pub fn same(arrivals: &Arrivals, expected: &Arrivals) {
    let missing: Vec<_> = expected.keys().filter(|k| !arrivals.contains_key(*k)).take(5).collect();
    let forbidden: Vec<_> = arrivals.keys().filter(|k| !expected.contains_key(*k)).take(5).collect();
    let doubled: Vec<_> = arrivals.iter().filter(|(_, n)| **n != 1).take(5).collect();
    assert!(
        missing.is_empty() && forbidden.is_empty() && doubled.is_empty(),
        "lost {missing:?}\nsuppressed yet delivered {forbidden:?}\ndoubled {doubled:?}"
    );
}

/// Guarantees G1: an opt-out that was acked is honoured by a job that is written right after, `times` times.
/// Fails when: the barrier is left out, or is asked before the read.
///
/// # Panics
/// When one slips.
pub fn an_acked_opt_out_counts_for_the_very_next_job<B: Bus>(bus: &Arc<B>, times: u64) {
    let subjects = subjects();
    let (running, _) = start(bus, &subjects, 2);
    let recorder = running.recorder();
    let scheduler = bus.scheduler().expect("jobs can be sent");
    let lanes = 8;
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (recorder, scheduler, subjects) = (&recorder, &scheduler, &subjects);
            scope.spawn(move || {
                for n in (lane..times).step_by(lanes as usize) {
                    let record =
                        people::record(subjects, Channel::Sms, n, "acme", None, RecordReason::Unsubscribed);
                    opt_out(&**recorder, &[record]);
                    let job = people::job(
                        &format!("after-{n}"),
                        "acme",
                        Channel::Sms,
                        Purpose::Marketing,
                        &[n, 900_000 + n],
                    );
                    send(scheduler, &[job]);
                }
            });
        }
    });
    let (arrivals, outcomes) = collect(&**bus, usize::try_from(times).expect("a small number"));
    assert!(running.drain(Duration::from_secs(15)), "it drains");
    books_close(&outcomes, usize::try_from(times).expect("a small number"));
    let expected = (0..times).map(|n| ((format!("after-{n}"), format!("crm-{}", 900_000 + n)), 1)).collect();
    same(&arrivals, &expected);
}

/// Guarantees G4 and G6: what is no job goes to the dead letters with where and why, and nothing else is lost.
///
/// # Panics
/// When it does not hold.
pub fn what_is_no_job_becomes_a_dead_letter_and_stops_nothing<B: Bus>(bus: &Arc<B>) {
    let subjects = subjects();
    let (running, _) = start(bus, &subjects, 2);
    let scheduler = bus.scheduler().expect("jobs can be sent");
    let good = people::job("good", "acme", Channel::Email, Purpose::Marketing, &[1]);
    let (done, acked) = mpsc::channel();
    for bad in [b"\xff\xff\xff not protobuf".to_vec(), Vec::new(), good.encode_to_vec()[..19].to_vec()] {
        let done = done.clone();
        scheduler.submit("bad", bad, Box::new(move |result| drop(done.send(result.map(drop)))));
        acked.recv_timeout(PATIENCE).expect("the log answers").expect("the log takes anything");
    }
    send(&scheduler, &[good]);
    let (arrivals, outcomes) = collect(&**bus, 1);
    books_close(&outcomes, 1);
    assert_eq!(arrivals.len(), 1);
    let mut letters = Vec::new();
    let mut tail = bus.tail(TailTopic::DeadLetters, &group(), true).expect("dead letters can be read");
    wait("three dead letters", || {
        tail.poll(Duration::from_millis(100), 100, &mut |r| {
            letters.push((
                r.key.to_vec(),
                proto::DeadLetter::decode(r.value).expect("dead letters are well-formed"),
            ));
        })
        .expect("dead letters can be read");
        letters.len() >= 3
    });
    assert!(running.drain(Duration::from_secs(15)), "it drains");
    for (key, letter) in &letters {
        let at = format!("{}/{}/{}", letter.topic, letter.partition, letter.offset);
        assert_eq!(key, at.as_bytes());
        assert!(!letter.code.is_empty() && !letter.message.is_empty());
    }
}
