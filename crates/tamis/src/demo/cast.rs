//! The people behind the counters: a scheduler, those who opt out, a gateway for each channel, an accountant.
//!
//! Each is a thread with its own reader or writer of the bus, as in a real house; they meet in the books.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tamis_bus::{Bus, KeyedRecord, Positions, Recorder, Scheduler, Tail, TailTopic};
use tamis_campaign::{Channel, Identity, RecordReason, Source, Tenant};
use tamis_pipeline::Filter;
use tamis_subject::{Postal, Subject, Subjects};
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1::{Delivery, JobOutcomes, SendJob};
use tamis_wire::record::{self, Record, Scope, State};

use crate::context;

use super::books::{Books, Due, Handle, Reach};
use super::latency::Latencies;
use super::people::People;
use super::world::{Wish, World};

/// Jobs given to the log and not yet acked; beyond it the scheduler waits, as a real one would.
const OUTSTANDING_MAX: usize = 256;
/// Opt-outs made before the first job, for each thousand people.
const OLD_PER_MILLE: u32 = 20;
/// One opt-out for so many recipients scheduled.
const RECIPIENTS_PER_WISH: u64 = 1000;
/// One unreadable record for so many jobs.
const JOBS_PER_SPOILED: u64 = 400;

/// One job of so many is given to the log twice under its id, as a scheduler does that has had no answer.
const JOBS_PER_RETRY: u64 = 25;
/// How long after the first time: by turns not at all, and up to three times as long.
const RETRY_STEP: Duration = Duration::from_millis(400);

/// What the cast shares.
#[derive(Default)]
pub(crate) struct Shared {
    /// The books.
    pub(crate) books: Mutex<Books>,
    /// From the wish to the filter.
    pub(crate) effect: Mutex<Latencies>,
    /// From the scheduler to the gateway.
    pub(crate) delivery: Mutex<Latencies>,
    /// Opt-outs asked for.
    pub(crate) asked: AtomicU64,
    /// Opt-outs acked.
    pub(crate) acked: AtomicU64,
    /// The first thing that went wrong on the bus.
    pub(crate) error: Mutex<Option<tamis_bus::Error>>,
    tick: AtomicU64,
    outstanding: AtomicUsize,
    curtain: AtomicBool,
    end: AtomicBool,
}

impl Shared {
    /// A moment later than every one before it.
    fn tick(&self) -> u64 {
        self.tick.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// No more jobs and no more opt-outs.
    pub(crate) fn curtain(&self) {
        self.curtain.store(true, Ordering::Relaxed);
    }

    fn went_wrong(&self, error: tamis_bus::Error) {
        self.error.lock().get_or_insert(error);
        self.curtain();
    }
}

/// How much is to happen.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Recipients to schedule a second.
    pub(crate) recipients_per_second: u64,
    /// Loses an opt-out on purpose now and then: to show that the gateways notice.
    pub(crate) lose_opt_outs: bool,
}

/// What the scheduler plays on.
struct Desk<S> {
    world: World,
    script: Script,
    shared: Arc<Shared>,
    scheduler: S,
    recorder: Arc<dyn Recorder>,
    subjects: Subjects,
    acks: Sender<(Positions, Instant)>,
    /// Jobs to give to the log once more, and when.
    retries: Vec<(Instant, u64, SendJob)>,
}

/// Who plays, until they are asked to stop.
pub(crate) struct Cast {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Begins the play: gateways and accountant first, then old opt-outs, then jobs.
///
/// # Errors
/// When a reader or writer cannot be opened.
pub(crate) fn begin<B: Bus>(
    bus: &B,
    filter: Filter,
    recorder: Arc<dyn Recorder>,
    subjects: Subjects,
    world: World,
    script: Script,
    shared: &Arc<Shared>,
) -> Result<Cast, tamis_bus::Error> {
    let mut threads = Vec::new();
    for &channel in Channel::ALL {
        let tail = bus.tail(TailTopic::Deliveries(channel), &format!("gateway-{channel}"), true)?;
        let shared = shared.clone();
        threads.push(std::thread::spawn(move || gateway(tail, channel, &shared)));
    }
    let outcomes = bus.tail(TailTopic::Outcomes, "accountant", true)?;
    let letters = bus.tail(TailTopic::DeadLetters, "accountant", true)?;
    for (tail, read) in [(outcomes, Read::Outcomes), (letters, Read::DeadLetters)] {
        let shared = shared.clone();
        threads.push(std::thread::spawn(move || accountant(tail, read, &shared)));
    }
    let (acks, acked) = mpsc::channel();
    let watching = shared.clone();
    threads.push(std::thread::spawn(move || watch(&filter, &acked, &watching)));
    let desk = Desk {
        world,
        script,
        shared: shared.clone(),
        scheduler: bus.scheduler()?,
        recorder,
        subjects,
        acks,
        retries: Vec::new(),
    };
    threads.push(std::thread::spawn(move || desk.play()));
    Ok(Cast { shared: shared.clone(), threads })
}

impl Cast {
    /// Waits up to `patience` until every job is judged, then ends every thread.
    pub(crate) fn end(self, patience: Duration) {
        self.shared.curtain();
        let since = Instant::now();
        let settled = |shared: &Shared| shared.books.lock().settled();
        // A moment of quiet at the end, so that something delivered twice has the time to arrive.
        let mut quiet_since = None;
        while since.elapsed() < patience {
            match (settled(&self.shared), quiet_since) {
                (true, None) => quiet_since = Some(Instant::now()),
                (true, Some(since)) if Instant::elapsed(&since) > Duration::from_millis(300) => break,
                (true, Some(_)) => {}
                (false, _) => quiet_since = None,
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.shared.end.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A thread that panicked has told why on stderr; its jobs are missing from the books.
            let _ = thread.join();
        }
    }
}

impl<S: Scheduler> Desk<S> {
    fn play(mut self) {
        self.old_opt_outs();
        let begun = Instant::now();
        let (mut scheduled, mut jobs, mut wished) = (0_u64, 0_u64, 0_u64);
        while !self.shared.curtain.load(Ordering::Relaxed) {
            let due = (begun.elapsed().as_secs_f64() * self.script.recipients_per_second as f64) as u64;
            if scheduled >= due || self.shared.outstanding.load(Ordering::Relaxed) >= OUTSTANDING_MAX {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            scheduled += self.job();
            jobs += 1;
            self.retry();
            if jobs.is_multiple_of(JOBS_PER_SPOILED) {
                self.shared.books.lock().spoiled();
                let (id, bytes) = self.world.spoiled();
                self.submit(&id, bytes);
            }
            while wished < scheduled / RECIPIENTS_PER_WISH {
                wished += 1;
                if let Some(wish) = self.world.wish() {
                    self.opt_out(&wish, self.script.lose_opt_outs && wished.is_multiple_of(5));
                }
            }
        }
        while self.shared.outstanding.load(Ordering::Relaxed) > 0 && !self.shared.end.load(Ordering::Relaxed)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Those who opted out before today, waited for: the filter is not empty when the first job comes.
    fn old_opt_outs(&mut self) {
        let count = u64::from(self.world.people().count() * OLD_PER_MILLE / 1000);
        for _ in 0..count {
            let wish = self.world.old_wish();
            self.opt_out(&wish, false);
        }
        while self.shared.acked.load(Ordering::Relaxed) < count
            && !self.shared.curtain.load(Ordering::Relaxed)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        *self.shared.effect.lock() = Latencies::default();
    }

    /// Schedules one job; answers how many recipients it has.
    fn job(&mut self) -> u64 {
        let (number, job, mut plan) = self.world.job(context::now_ms());
        // What is deferred or has expired may come again under its id; what is to go out now may not.
        let retry = number.is_multiple_of(JOBS_PER_RETRY) && plan.due == Due::Now;
        let size = job.recipients.len() as u64;
        let bytes = job.encode_to_vec();
        {
            let mut books = self.shared.books.lock();
            plan.since = Instant::now();
            plan.submitted = self.shared.tick();
            books.scheduled(number, plan);
        }
        self.submit(&job.job_id, bytes);
        if retry {
            let wait = u32::try_from(number / JOBS_PER_RETRY % 4).unwrap_or(0);
            self.retries.push((Instant::now() + RETRY_STEP * wait, number, job));
        }
        size
    }

    /// Gives the jobs that are due for it to the log once more.
    fn retry(&mut self) {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.retries).into_iter().partition(|(at, ..)| *at <= now);
        self.retries = later;
        for (_, number, job) in due {
            self.shared.books.lock().retried(number);
            self.submit(&job.job_id, job.encode_to_vec());
        }
    }

    fn submit(&self, job_id: &str, bytes: Vec<u8>) {
        self.shared.outstanding.fetch_add(1, Ordering::Relaxed);
        let shared = self.shared.clone();
        let acked = move |answer: Result<Positions, tamis_bus::Error>| {
            shared.outstanding.fetch_sub(1, Ordering::Relaxed);
            if let Err(error) = answer {
                shared.went_wrong(error);
            }
        };
        self.scheduler.submit(job_id, bytes, Box::new(acked));
    }

    /// Records an opt-out as the service's own doors do.
    fn opt_out(&self, wish: &Wish, lose: bool) {
        self.shared.books.lock().asked(wish.handle, wish.opt_out.clone());
        self.shared.asked.fetch_add(1, Ordering::Relaxed);
        let asked = Instant::now();
        let (shared, acks, tick) = (self.shared.clone(), self.acks.clone(), wish.opt_out.acked.clone());
        let acked = move |answer: Result<Positions, tamis_bus::Error>| match answer {
            Ok(positions) => {
                tick.store(shared.tick(), Ordering::SeqCst);
                shared.acked.fetch_add(1, Ordering::Relaxed);
                // Nobody listens any more only at the very end.
                let _ = acks.send((positions, asked));
            }
            Err(error) => shared.went_wrong(error),
        };
        if lose {
            return acked(Ok(Positions::default()));
        }
        let record = record_of(&self.subjects, self.world.people(), wish);
        let partition = record::partition_of(&record.subject, self.recorder.partitions());
        let keyed = KeyedRecord::new(partition, record::key(&record), record::encode(&record));
        self.recorder.submit(vec![keyed], Box::new(acked));
    }
}

/// The record that an opt-out makes, from one of the spellings of the person's address.
fn record_of(subjects: &Subjects, people: &People, wish: &Wish) -> Record {
    let scope = match wish.opt_out.reach {
        Reach::Platform => Scope::Platform,
        Reach::Tenant(tenant) => Scope::Tenant(tenant.into()),
        Reach::List(tenant, list) => Scope::List { tenant: tenant.into(), list: list.into() },
    };
    let (subject, identity) = subject_of(subjects, people, wish.handle, wish.spelling);
    Record {
        subject,
        identity,
        scope,
        channel: wish.opt_out.channel,
        reason: RecordReason::from_number(wish.opt_out.reason.number())
            .expect("every reason used has its record"),
        state: State::InForce,
        effective_at_ms: 0,
        expires_at_ms: 0,
        source: Source::Reply,
        evidence: "demo".into(),
        scheme: tamis_subject::SCHEME,
    }
}

/// The keyed subject of a handle, by way of one spelling of the address.
pub(crate) fn subject_of(
    subjects: &Subjects,
    people: &People,
    handle: Handle,
    spelling: u32,
) -> (Subject, Identity) {
    const WHY: &str = "the town's addresses are addresses: a test holds them to it";
    match handle {
        Handle::Phone(person) => {
            (subjects.phone(&people.phone(person, spelling)).expect(WHY), Identity::Phone)
        }
        Handle::Email(person) => {
            (subjects.email(&people.email(person, spelling)).expect(WHY), Identity::Email)
        }
        Handle::Postal(person) => {
            let p = people.postal(person, spelling);
            let postal = Postal {
                name: &p.name,
                street: &p.street,
                extra: &p.extra,
                postal_code: &p.postal_code,
                city: &p.city,
                country: &p.country,
            };
            (subjects.postal(&postal).expect(WHY), Identity::Postal)
        }
        Handle::Contact(tenant, person) => {
            let tenant = Tenant::parse(tenant).expect(WHY);
            (subjects.contact(tenant, People::contact(person).as_bytes()), Identity::Contact)
        }
    }
}

/// Reads its channel's deliveries and checks each one.
fn gateway<T: Tail>(mut tail: T, channel: Channel, shared: &Shared) {
    follow(&mut tail, shared, |value| match Delivery::decode(value) {
        Ok(delivery) => {
            let took = shared.books.lock().delivered(channel, &delivery);
            if let Some(took) = took {
                shared.delivery.lock().push(took);
            }
        }
        Err(_) => shared.books.lock().unreadable(),
    });
}

/// Which topic an accountant reads.
#[derive(Debug, Clone, Copy)]
enum Read {
    Outcomes,
    DeadLetters,
}

/// Reads what tamis says it did.
fn accountant<T: Tail>(mut tail: T, read: Read, shared: &Shared) {
    follow(&mut tail, shared, |value| match read {
        Read::DeadLetters => shared.books.lock().dead_letter(),
        Read::Outcomes => match JobOutcomes::decode(value) {
            Ok(all) => {
                let mut books = shared.books.lock();
                all.outcomes.into_iter().for_each(|outcome| books.decided(outcome));
            }
            Err(_) => shared.books.lock().unreadable(),
        },
    });
}

fn follow<T: Tail>(tail: &mut T, shared: &Shared, mut each: impl FnMut(&[u8])) {
    while !shared.end.load(Ordering::Relaxed) {
        let read = tail.poll(Duration::from_millis(50), 500, &mut |record| each(record.value));
        let done = match read {
            Ok(0) => Ok(()),
            Ok(_) => tail.commit(),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {}
            Err(error) if error.retry() => std::thread::sleep(Duration::from_millis(100)),
            Err(error) => return shared.went_wrong(error),
        }
    }
}

/// Measures how long an opt-out takes from the wish to the filter, durable write included.
fn watch(filter: &Filter, acked: &Receiver<(Positions, Instant)>, shared: &Shared) {
    let mut waiting: VecDeque<(Positions, Instant)> = VecDeque::new();
    while !shared.end.load(Ordering::Relaxed) {
        let quiet = if waiting.is_empty() { Duration::from_millis(50) } else { Duration::from_micros(500) };
        waiting.extend(acked.recv_timeout(quiet).ok());
        waiting.extend(acked.try_iter());
        if waiting.is_empty() {
            continue;
        }
        let reached = filter.position();
        waiting.retain(|(position, asked)| {
            let there = position.as_slice().iter().zip(reached.as_slice()).all(|(want, have)| have >= want);
            if there {
                shared.effect.lock().push(asked.elapsed());
            }
            !there
        });
    }
}
