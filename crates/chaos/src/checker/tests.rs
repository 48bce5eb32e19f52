//! The checker is told of each kind of violation, and says so; and says nothing of a history that is in order.

use tamis_campaign::{Channel, Purpose, RecordReason, Verdict};
use tamis_suppression::Places;
use tamis_tests::people;
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1::{Delivery, JobOutcome, SendJob, Stamp, Suppressed};

use super::{Found, Kind, check};
use crate::history::{Book, Job, OptOut};

const PEOPLE: [u64; 3] = [11, 12, 13];

/// Person 12 opts out at 100, acked at 110; a job to 11, 12 and 13 is handed over at 120, acked at 130, decided at 140.
fn scene() -> (Book, Found) {
    let sent = people::job("one", "acme", Channel::Sms, Purpose::Marketing, &PEOPLE);
    let mut book = Book::default();
    book.opt_outs.push(OptOut {
        address_of: Channel::Sms,
        person: 12,
        tenant: "acme".into(),
        channel: None,
        reason: RecordReason::Unsubscribed,
        begun_at: 100,
        acked_at: Some(110),
    });
    let job = Job {
        bytes: sent.encode_to_vec(),
        tenant: "acme".into(),
        channel: Channel::Sms,
        purpose: Purpose::Marketing,
        people: PEOPLE.to_vec(),
        submitted_at: 120,
        acked_at: Some(130),
        sends: 1,
        decided_at: Some(140),
    };
    book.jobs.insert("one".into(), job);
    let found = Found {
        deliveries: vec![(Channel::Sms, delivery(&sent, &[0, 2]))],
        outcomes: vec![outcome(&[1])],
        ..Found::default()
    };
    (book, found)
}

/// The job's delivery to these places of it.
fn delivery(job: &SendJob, places: &[usize]) -> Vec<u8> {
    let mut kept = job.clone();
    kept.recipients = places.iter().map(|place| job.recipients[*place].clone()).collect();
    let stamp =
        Delivery { stamp: Some(Stamp { part: 1, parts: 1, ..Stamp::default() }), ..Delivery::default() };
    [kept.encode_to_vec(), stamp.encode_to_vec()].concat()
}

fn outcome(dropped: &[u32]) -> JobOutcome {
    let mut positions = Vec::new();
    Places::from_ascending(dropped).write(&mut positions);
    let count = u32::try_from(dropped.len()).unwrap();
    JobOutcome {
        job_id: "one".into(),
        tenant: "acme".into(),
        verdict: Verdict::Routed.number(),
        recipients_in: 3,
        forwarded: 3 - count,
        suppressed: vec![Suppressed { reason: 5, count, positions }],
        ..JobOutcome::default()
    }
}

fn sent(book: &Book) -> SendJob {
    SendJob::decode(book.jobs["one"].bytes.as_slice()).unwrap()
}

/// The kinds told, each once.
fn told(book: &Book, found: &Found) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = check(book, found).0.into_iter().map(|violation| violation.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[test]
fn a_history_in_order_has_no_violation() {
    let (book, found) = scene();
    let (violations, sums) = check(&book, &found);
    assert_eq!(violations, []);
    assert_eq!((sums.jobs_acked, sums.delivered, sums.withheld, sums.withheld_by_promise), (1, 2, 1, 1));
}

/// Fails when: jobs without an outcome are passed over.
#[test]
fn an_acked_job_without_an_outcome_is_lost_and_an_unknown_one_is_not() {
    let (mut book, _) = scene();
    assert_eq!(told(&book, &Found::default()), [Kind::Lost]);
    book.jobs.get_mut("one").unwrap().acked_at = None;
    assert_eq!(told(&book, &Found::default()), []);
}

/// Fails when: the outcome's word is taken for what arrived.
#[test]
fn a_survivor_that_did_not_arrive_is_lost() {
    let (book, mut found) = scene();
    found.deliveries = vec![(Channel::Sms, delivery(&sent(&book), &[0]))];
    assert_eq!(told(&book, &found), [Kind::Lost, Kind::BooksOpen]);
}

/// Fails when: arrivals are a set.
#[test]
fn a_delivery_that_comes_twice_is_doubled() {
    let (book, mut found) = scene();
    found.deliveries.push(found.deliveries[0].clone());
    assert_eq!(told(&book, &found), [Kind::Doubled, Kind::BooksOpen]);
}

#[test]
fn a_second_outcome_is_doubled_and_a_duplicate_verdict_is_not() {
    let (mut book, mut found) = scene();
    found.outcomes.push(JobOutcome { source_offset: 1, ..found.outcomes[0].clone() });
    assert_eq!(told(&book, &found), [Kind::Doubled]);
    found.outcomes[1].verdict = Verdict::Duplicate.number();
    assert_eq!(told(&book, &found), [Kind::BooksOpen], "it was sent once");
    book.jobs.get_mut("one").unwrap().sends = 2;
    assert_eq!(told(&book, &found), []);
}

/// Fails when: outcomes are told apart by their verdicts only, or by one half of where their record is.
#[test]
fn a_record_that_has_two_outcomes_is_doubled_whatever_they_say() {
    let (mut book, mut found) = scene();
    book.jobs.get_mut("one").unwrap().sends = 2;
    let again = JobOutcome { verdict: Verdict::Duplicate.number(), ..found.outcomes[0].clone() };
    found.outcomes.push(JobOutcome { source_partition: 1, ..again.clone() });
    assert_eq!(told(&book, &found), [], "sent twice, and each record has its own");
    found.outcomes[1] = again;
    let (violations, _) = check(&book, &found);
    let [violation] = violations.as_slice() else { panic!("one violation, not {violations:?}") };
    assert_eq!(violation.kind, Kind::Doubled);
    assert_eq!(violation.what, "job one has two outcomes of one record: routed 0@0, duplicate 0@0");
}

/// Fails when: how often it was sent, or a record, is left out of what is told.
#[test]
fn more_duplicates_than_sent_are_told_with_their_records() {
    let (book, mut found) = scene();
    let verdict = Verdict::Duplicate.number();
    found.outcomes.push(JobOutcome {
        verdict,
        source_partition: 3,
        source_offset: 17,
        ..found.outcomes[0].clone()
    });
    let told = check(&book, &found).0.remove(0).what;
    assert_eq!(told, "job one: more duplicates than it was sent (sent: 1): routed 0@0, duplicate 3@17");
}

/// Fails when: an ack is not compared with the moment the job was handed over.
#[test]
fn who_opted_out_before_the_job_and_got_it_is_told() {
    let (mut book, mut found) = scene();
    found.deliveries = vec![(Channel::Sms, delivery(&sent(&book), &[0, 1, 2]))];
    found.outcomes = vec![outcome(&[])];
    assert_eq!(told(&book, &found), [Kind::SuppressedYetDelivered]);
    book.opt_outs[0].acked_at = Some(125);
    assert_eq!(told(&book, &found), [], "acked while the job was under way: both are right");
    book.opt_outs[0].acked_at = None;
    assert_eq!(told(&book, &found), [], "never acked");
}

/// Fails when: a drop is believed because tamis says it.
#[test]
fn who_was_dropped_and_had_not_asked_for_it_is_over_blocked() {
    let (book, mut found) = scene();
    found.deliveries = vec![(Channel::Sms, delivery(&sent(&book), &[0]))];
    found.outcomes = vec![outcome(&[1, 2])];
    assert_eq!(told(&book, &found), [Kind::OverBlocked]);
}

/// Fails when: another tenant's, another channel's or a later opt-out counts.
#[test]
fn an_opt_out_of_something_else_is_no_reason_to_drop() {
    let change = |change: &dyn Fn(&mut OptOut)| {
        let (mut book, found) = scene();
        change(&mut book.opt_outs[0]);
        told(&book, &found)
    };
    assert_eq!(change(&|o| o.tenant = "globex".into()), [Kind::OverBlocked]);
    assert_eq!(change(&|o| o.channel = Some(Channel::Voice)), [Kind::OverBlocked]);
    assert_eq!(change(&|o| o.address_of = Channel::Email), [Kind::OverBlocked]);
    assert_eq!(change(&|o| (o.begun_at, o.acked_at) = (150, Some(160))), [Kind::OverBlocked]);
}

/// Fails when: only what a decoder knows is compared.
#[test]
fn changed_bytes_are_told_wherever_they_are() {
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let (book, mut found) = scene();
        change(&mut found.deliveries[0].1);
        told(&book, &found)
    };
    let (book, mut found) = scene();
    let mut other = sent(&book);
    other.recipients[2].contact = "someone-else".into();
    found.deliveries = vec![(Channel::Sms, delivery(&other, &[0, 2]))];
    assert_eq!(told(&book, &found), [Kind::Lost, Kind::WrongBytes, Kind::BooksOpen]);
    other = sent(&book);
    other.content = b"another message".to_vec();
    found.deliveries = vec![(Channel::Sms, delivery(&other, &[0, 2]))];
    assert_eq!(told(&book, &found), [Kind::WrongBytes]);
    assert_eq!(changed(&|bytes| bytes.extend([0xa2, 0x06, 0x01, b'x'])), [Kind::WrongBytes]);
    let (book, mut found) = scene();
    found.deliveries[0].0 = Channel::Voice;
    assert_eq!(told(&book, &found), [Kind::WrongBytes]);
}

#[test]
fn books_that_do_not_close_are_told() {
    let (book, mut found) = scene();
    found.outcomes[0].recipients_in = 4;
    assert_eq!(told(&book, &found), [Kind::BooksOpen]);
}

#[test]
fn what_nobody_sent_is_told() {
    let (_, mut found) = scene();
    assert_eq!(told(&Book::default(), &found), [Kind::Stranger]);
    found = Found { dead_letters: vec!["chaos.send-jobs.v1/0/7".into()], ..Found::default() };
    assert_eq!(told(&Book::default(), &found), [Kind::Stranger]);
}
