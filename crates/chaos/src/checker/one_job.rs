//! One job: its outcome, what was delivered of it, and to whom.

use std::collections::{BTreeMap, BTreeSet};

use tamis_campaign::{Channel, Verdict};
use tamis_suppression::Places;
use tamis_wire::proto::campaign::v1::{Delivery, JobOutcome};

use super::{Checker, Kind};
use crate::fields::{Field, fields};
use crate::history::Job;

/// Recipients of a job, and the stamp of a delivery.
const RECIPIENTS: u64 = 15;
const STAMP: u64 = 16;

impl Checker<'_> {
    pub(super) fn one_job(
        &mut self,
        id: &str,
        job: &Job,
        outcomes: &[&JobOutcome],
        deliveries: &[(Channel, &[u8], Delivery)],
    ) {
        let at = job.submitted_at;
        let acked = job.acked_at.is_some();
        *(if acked { &mut self.sums.jobs_acked } else { &mut self.sums.jobs_unknown }) += 1;
        let (repeats, decided): (Vec<&JobOutcome>, Vec<&JobOutcome>) =
            outcomes.iter().partition(|outcome| outcome.verdict == Verdict::Duplicate.number());
        self.records(id, job, outcomes);
        if repeats.len() as u64 >= u64::from(job.sends.max(1)) {
            let (sends, said) = (job.sends, verdicts(outcomes));
            let text = format!("job {id}: more duplicates than it was sent (sent: {sends}): {said}");
            self.tell(Kind::BooksOpen, at, text);
        }
        let outcome = match decided.as_slice() {
            [] if acked => {
                return self.tell(Kind::Lost, at, format!("job {id} was acked and has no outcome"));
            }
            [] if deliveries.is_empty() => return,
            [] => return self.tell(Kind::BooksOpen, at, format!("job {id} is delivered without an outcome")),
            [outcome] => *outcome,
            [outcome, ..] => {
                self.tell(Kind::Doubled, at, format!("job {id} has {} outcomes", decided.len()));
                *outcome
            }
        };
        if outcome.verdict != Verdict::Routed.number() && outcome.verdict != Verdict::Empty.number() {
            let verdict = outcome.verdict;
            return self.tell(Kind::Lost, at, format!("job {id} was refused, its verdict is {verdict}"));
        }
        let arrived = self.arrivals(id, job, deliveries);
        self.books(id, job, outcome, arrived.values().sum());
        self.people(id, job, outcome, &arrived);
    }

    /// Each record of the job has one outcome, whatever it is: what was decided and committed is not decided again.
    fn records(&mut self, id: &str, job: &Job, outcomes: &[&JobOutcome]) {
        let records: BTreeSet<(i32, i64)> =
            outcomes.iter().map(|outcome| (outcome.source_partition, outcome.source_offset)).collect();
        if records.len() < outcomes.len() {
            let text = format!("job {id} has two outcomes of one record: {}", verdicts(outcomes));
            self.tell(Kind::Doubled, job.submitted_at, text);
        }
    }

    /// How often each place of the job has arrived. The bytes of a delivery are its job's, but for recipients left out and
    /// the stamp.
    fn arrivals(
        &mut self,
        id: &str,
        job: &Job,
        deliveries: &[(Channel, &[u8], Delivery)],
    ) -> BTreeMap<usize, u32> {
        let at = job.submitted_at;
        let sent = fields(&job.bytes).expect("the load made it");
        let places: BTreeMap<&[u8], usize> =
            of(&sent, RECIPIENTS).enumerate().map(|(place, bytes)| (bytes, place)).collect();
        let mut arrived = BTreeMap::new();
        for (channel, bytes, _) in deliveries {
            if *channel != job.channel {
                let to = channel.as_str();
                self.tell(Kind::WrongBytes, at, format!("job {id} was delivered to the gateways of {to}"));
            }
            let Some(got) = fields(bytes) else {
                self.tell(Kind::WrongBytes, at, format!("job {id}: a delivery is cut short"));
                continue;
            };
            if !rest(&got).eq(rest(&sent)) {
                self.tell(
                    Kind::WrongBytes,
                    at,
                    format!("job {id}: what is not a recipient differs from what was sent"),
                );
            }
            for recipient in of(&got, RECIPIENTS) {
                match places.get(recipient) {
                    Some(place) => *arrived.entry(*place).or_default() += 1,
                    None => self.tell(
                        Kind::WrongBytes,
                        at,
                        format!("job {id}: a recipient differs from what was sent"),
                    ),
                }
            }
        }
        arrived
    }

    /// G6, and that the outcome says what arrived.
    fn books(&mut self, id: &str, job: &Job, outcome: &JobOutcome, arrived: u32) {
        let suppressed: u32 = outcome.suppressed.iter().map(|s| s.count).sum();
        let rejected: u32 = outcome.rejected.iter().map(|r| r.count).sum();
        let deferred: u32 = outcome.deferred.iter().map(|d| d.count).sum();
        let JobOutcome { recipients_in, forwarded, .. } = outcome;
        let out = forwarded + suppressed + rejected + deferred;
        if *recipients_in != out || *recipients_in as usize != job.people.len() {
            let people = job.people.len();
            let text = format!("job {id} for {people}: {recipients_in} in, {out} accounted for");
            self.tell(Kind::BooksOpen, job.submitted_at, text);
        }
        if *forwarded != arrived {
            let text = format!("job {id}: {forwarded} forwarded, {arrived} arrived");
            self.tell(Kind::BooksOpen, job.submitted_at, text);
        }
        if rejected + deferred > 0 {
            let text = format!("job {id}: {rejected} rejected and {deferred} deferred, all were good");
            self.tell(Kind::OverBlocked, job.submitted_at, text);
        }
    }

    /// Everybody who was not to be left out, once; nobody who was.
    fn people(&mut self, id: &str, job: &Job, outcome: &JobOutcome, arrived: &BTreeMap<usize, u32>) {
        let at = job.submitted_at;
        let said: BTreeSet<u32> = outcome
            .suppressed
            .iter()
            .filter_map(|s| Places::from_bytes(&s.positions))
            .flat_map(|places| places.iter().collect::<Vec<_>>())
            .collect();
        for (place, person) in job.people.iter().enumerate() {
            let who = format!("job {id}, recipient {place}");
            let (must, may) = (self.opt_outs.must(job, *person), self.opt_outs.may(job, *person));
            let said = u32::try_from(place).is_ok_and(|place| said.contains(&place));
            let times = arrived.get(&place).copied().unwrap_or(0);
            match times {
                0 if may => {
                    self.sums.withheld += 1;
                    self.sums.withheld_by_promise += u64::from(must);
                }
                0 if said => self.tell(Kind::OverBlocked, at, format!("{who}: nobody had asked for it")),
                0 => self.tell(Kind::Lost, at, format!("{who}: neither delivered nor said to be dropped")),
                _ => self.sums.delivered += 1,
            }
            if times > 1 {
                self.tell(Kind::Doubled, at, format!("{who}: delivered {times} times"));
            }
            if times > 0 && must {
                self.tell(Kind::SuppressedYetDelivered, at, who.clone());
            }
            if said == (times > 0) {
                self.tell(
                    Kind::BooksOpen,
                    at,
                    format!("{who}: delivered {times} times, said to be dropped: {said}"),
                );
            }
        }
    }
}

/// What the outcomes say, each with the record that it is about: `routed 3@17, duplicate 3@18`.
fn verdicts(outcomes: &[&JobOutcome]) -> String {
    let one = |outcome: &&JobOutcome| {
        let verdict = Verdict::from_number(outcome.verdict).map_or("unknown", Verdict::as_str);
        format!("{verdict} {}@{}", outcome.source_partition, outcome.source_offset)
    };
    outcomes.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The bytes of each field with this number.
fn of<'a>(fields: &[Field<'a>], number: u64) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |(n, _)| *n == number).map(|(_, bytes)| *bytes)
}

/// What is passed on as it came, whoever is left out.
fn rest<'a>(fields: &[Field<'a>]) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(|(n, _)| *n != RECIPIENTS && *n != STAMP).map(|(_, bytes)| *bytes)
}
