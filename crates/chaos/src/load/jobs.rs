//! A campaign scheduler's desk: makes jobs from dice, hands them to the log, writes down what the log says.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tamis_campaign::{Channel, Purpose};
use tamis_tests::people::{self, Dice};
use tamis_wire::Message as _;

use super::{POPULATION, Recent, Shared, place};
use crate::history::Job;

/// Jobs a second, about: both cores are shared by three brokers and three processes.
const PAUSE: Duration = Duration::from_millis(40);
/// More unanswered jobs than these are not sent: the log is away.
const UNANSWERED_MOST: u64 = 400;
/// Fewer than this are sent again, of a hundred (with `retries`).
const TWICE_OF_100: u64 = 5;
/// A field that no version of the message has: what is unknown must be passed on.
const UNKNOWN: [u8; 8] = [0xa2, 0x06, 0x05, b'c', b'h', b'a', b'o', b's'];

/// Where jobs are handed over.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    seed: u64,
    retries: bool,
    next: AtomicU64,
    unanswered: Arc<AtomicU64>,
    /// To be sent once more.
    again: Arc<Mutex<Vec<String>>>,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>, seed: u64, retries: bool) -> Self {
        Self {
            shared,
            seed,
            retries,
            next: AtomicU64::new(0),
            unanswered: Arc::default(),
            again: Arc::default(),
        }
    }

    /// Jobs that the log has not answered yet.
    pub(super) fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Acquire)
    }

    pub(super) fn send_until_stopped(&self) {
        let mut dice = Dice::new(self.seed);
        while self.shared.goes_on() {
            std::thread::sleep(PAUSE);
            if self.unanswered() < UNANSWERED_MOST {
                let recent = if dice.roll(2) == 0 { self.shared.some_recent(&mut dice) } else { None };
                self.send(&mut dice, recent);
            }
            let again = self.again.lock().unwrap_or_else(PoisonError::into_inner).pop();
            if let Some(id) = again {
                self.hand_over(&id);
            }
        }
    }

    /// Sends a job, to somebody who has just opted out among others if there is one.
    pub(super) fn send(&self, dice: &mut Dice, recent: Option<Recent>) {
        let id = format!("{:x}-{}", self.seed, self.next.fetch_add(1, Ordering::Relaxed));
        let mut people: BTreeSet<u64> = (0..=dice.roll(12)).map(|_| dice.roll(POPULATION)).collect();
        let (channel, tenant) = match recent {
            Some((channel, person, tenant)) => {
                people.insert(person);
                (channel, tenant)
            }
            None => (Channel::ALL[place(dice, Channel::ALL.len())], tenant(dice).to_owned()),
        };
        let purpose = if dice.roll(5) == 0 { Purpose::Service } else { Purpose::Marketing };
        let people: Vec<u64> = people.into_iter().collect();
        let bytes = bytes(dice, &id, &tenant, channel, purpose, &people);
        let job = Job {
            bytes,
            tenant,
            channel,
            purpose,
            people,
            submitted_at: self.shared.now(),
            acked_at: None,
            sends: 0,
            decided_at: None,
        };
        self.shared.history.book().jobs.insert(id.clone(), job);
        self.hand_over(&id);
        if self.retries && dice.roll(100) < TWICE_OF_100 {
            self.again.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
    }

    /// Hands a job's bytes to the log, and writes down its answer.
    fn hand_over(&self, id: &str) {
        let bytes = {
            let mut book = self.shared.history.book();
            let Some(job) = book.jobs.get_mut(id) else { return };
            job.sends += 1;
            job.bytes.clone()
        };
        self.unanswered.fetch_add(1, Ordering::AcqRel);
        let (history, unanswered) = (Arc::clone(&self.shared.history), Arc::clone(&self.unanswered));
        let again = self.retries.then(|| Arc::clone(&self.again));
        let its = id.to_owned();
        let answered = move |answer: Result<_, tamis_bus::Error>| {
            match (answer, again) {
                (Ok(_), _) => {
                    let now = history.now();
                    history.book().acked(&its, now);
                }
                // Nobody knows whether the log has it: a scheduler that may send twice does.
                (Err(_), Some(again)) => again.lock().unwrap_or_else(PoisonError::into_inner).push(its),
                (Err(_), None) => {}
            }
            unanswered.fetch_sub(1, Ordering::AcqRel);
        };
        self.shared.scheduler.submit(id, bytes, Box::new(answered));
    }
}

pub(super) fn tenant(dice: &mut Dice) -> &'static str {
    if dice.roll(3) == 0 { "globex" } else { "acme" }
}

/// A job as it stands in the log, with something in every field that is passed on.
fn bytes(
    dice: &mut Dice,
    id: &str,
    tenant: &str,
    channel: Channel,
    purpose: Purpose,
    people: &[u64],
) -> Vec<u8> {
    let mut job = people::job(id, tenant, channel, purpose, people);
    "36200".clone_into(&mut job.sender);
    job.content = (0..dice.roll(1_500)).map(|_| (dice.roll(256) & 0xff) as u8).collect();
    for recipient in &mut job.recipients {
        recipient.fields = (0..dice.roll(40)).map(|_| (dice.roll(256) & 0xff) as u8).collect();
        "Europe/Paris".clone_into(&mut recipient.time_zone);
    }
    let mut bytes = job.encode_to_vec();
    bytes.extend(UNKNOWN);
    bytes
}
