//! The check must bite: each fault it is there for is shown to be caught.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tamis_campaign::{Channel, Purpose, Reason, RejectReason, Verdict};
use tamis_suppression::Places;
use tamis_wire::proto::campaign::v1::{Delivery, JobOutcome, Recipient, Rejected, Suppressed};

use super::*;

fn recipient(place: usize) -> Recipient {
    Recipient {
        address: format!("+3363998000{place}"),
        fields: format!("place={place};x").into(),
        ..Recipient::default()
    }
}

/// A job of the first `people`, submitted at tick 10.
fn job(people: &[u32]) -> Job {
    let planned = |(place, &person): (usize, &u32)| Planned {
        person,
        bad: None,
        contact: false,
        print: print_of(&recipient(place)),
    };
    Job {
        submitted: 10,
        since: Instant::now(),
        tenant: "acme",
        list: "",
        channel: Channel::Sms,
        purpose: Purpose::Marketing,
        due: Due::Now,
        recipients: people.iter().enumerate().map(planned).collect(),
    }
}

fn stop(acked: u64) -> OptOut {
    OptOut {
        reach: Reach::Tenant("acme"),
        channel: Some(Channel::Sms),
        reason: Reason::StopReply,
        acked: Arc::new(AtomicU64::new(acked)),
    }
}

fn delivery(places: &[usize]) -> Delivery {
    Delivery {
        job_id: "demo-1-0000001".into(),
        recipients: places.iter().map(|&place| recipient(place)).collect(),
        ..Delivery::default()
    }
}

fn bitmap(places: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Places::from_ascending(places).write(&mut bytes);
    bytes
}

fn outcome(all: u32, forwarded: u32, suppressed: &[u32], duplicates: &[u32]) -> JobOutcome {
    let mut outcome = JobOutcome {
        job_id: "demo-1-0000001".into(),
        verdict: Verdict::Routed.number(),
        recipients_in: all,
        forwarded,
        ..JobOutcome::default()
    };
    if !suppressed.is_empty() {
        outcome.suppressed.push(Suppressed {
            reason: Reason::StopReply.number(),
            count: suppressed.len() as u32,
            positions: bitmap(suppressed),
        });
    }
    if !duplicates.is_empty() {
        outcome.rejected.push(Rejected {
            reason: RejectReason::DuplicateRecipient.number(),
            count: duplicates.len() as u32,
            positions: bitmap(duplicates),
        });
    }
    outcome
}

/// Books with one job of these people and an opt-out of person 7, acked at the tick given (0: not yet).
fn books(people: &[u32], acked: Option<u64>) -> Books {
    let mut books = Books::default();
    if let Some(acked) = acked {
        books.asked(Handle::Phone(7), stop(acked));
    }
    books.scheduled(1, job(people));
    books
}

#[test]
fn an_opt_out_that_is_honoured_closes_the_books() {
    let mut books = books(&[1, 7, 3, 1], Some(9));
    books.delivered(Channel::Sms, &delivery(&[0, 2]));
    books.decided(outcome(4, 2, &[1], &[3]));
    let totals = books.finish();
    assert_eq!(totals.violations(), 0);
    assert_eq!(
        (totals.recipients_in(), totals.by_channel[0].suppressed, totals.by_channel[0].rejected),
        (4, 1, 1)
    );
}

#[test]
fn g1_a_delivery_after_a_confirmed_opt_out_is_a_violation() {
    let mut books = books(&[1, 7], Some(9));
    books.delivered(Channel::Sms, &delivery(&[0, 1]));
    books.decided(outcome(2, 2, &[], &[]));
    assert_eq!(books.finish().faults(Fault::SuppressedDelivered), 1);
}

#[test]
fn an_opt_out_confirmed_after_the_job_binds_nobody_yet() {
    let open = stop(0);
    let late = open.acked.clone();
    let mut books = books(&[1, 7], None);
    books.asked(Handle::Phone(7), open);
    late.store(11, Ordering::SeqCst);
    books.delivered(Channel::Sms, &delivery(&[0, 1]));
    books.decided(outcome(2, 2, &[], &[]));
    assert_eq!(books.finish().violations(), 0);
}

#[test]
fn g3_dropping_somebody_who_never_opted_out_is_a_violation() {
    let mut books = books(&[1, 2], None);
    books.delivered(Channel::Sms, &delivery(&[0]));
    books.decided(outcome(2, 1, &[1], &[]));
    assert_eq!(books.finish().faults(Fault::NoRecord), 1);
}

#[test]
fn g4_a_second_delivery_is_a_violation_even_after_the_job_was_judged() {
    let mut books = books(&[1], None);
    books.delivered(Channel::Sms, &delivery(&[0]));
    books.decided(outcome(1, 1, &[], &[]));
    books.delivered(Channel::Sms, &delivery(&[0]));
    assert_eq!(books.finish().faults(Fault::Twice), 1);
}

/// A DUPLICATE of the job.
fn repeat() -> JobOutcome {
    JobOutcome {
        job_id: "demo-1-0000001".into(),
        verdict: Verdict::Duplicate.number(),
        recipients_in: 2,
        ..JobOutcome::default()
    }
}

#[test]
fn g7_a_repeat_that_is_not_sent_closes_the_books_and_its_recipients_came_in_once() {
    let mut books = books(&[1, 2], None);
    books.retried(1);
    books.delivered(Channel::Sms, &delivery(&[0, 1]));
    books.decided(outcome(2, 2, &[], &[]));
    assert!(!books.settled());
    books.decided(repeat());
    assert!(books.settled());
    let totals = books.finish();
    assert_eq!((totals.violations(), totals.recipients_in(), totals.duplicates), (0, 2, 1));
}

#[test]
fn g7_a_repeat_that_is_sent_or_vanishes_is_a_violation() {
    let mut books = books(&[1], None);
    books.retried(1);
    for _ in 0..2 {
        books.delivered(Channel::Sms, &delivery(&[0]));
        books.decided(outcome(1, 1, &[], &[]));
    }
    let totals = books.finish();
    assert_eq!((totals.faults(Fault::Twice), totals.faults(Fault::Lost)), (2, 1));
}

#[test]
fn g7_a_job_said_once_is_no_duplicate() {
    let mut books = books(&[1, 2], None);
    books.decided(repeat());
    assert_eq!(books.finish().faults(Fault::Verdict), 1);
}

#[test]
fn g4_a_delivery_that_never_arrives_is_a_violation() {
    let mut books = books(&[1, 2], None);
    books.delivered(Channel::Sms, &delivery(&[0]));
    books.decided(outcome(2, 2, &[], &[]));
    assert_eq!(books.finish().faults(Fault::Lost), 1);
}

#[test]
fn g6_counts_that_do_not_agree_with_their_places_are_a_violation() {
    let mut books = books(&[1, 7], Some(9));
    let mut wrong = outcome(2, 1, &[1], &[]);
    wrong.suppressed[0].count = 2;
    books.delivered(Channel::Sms, &delivery(&[0]));
    books.decided(wrong);
    assert!(books.finish().faults(Fault::Books) >= 1);
}

#[test]
fn a_recipient_whose_bytes_were_changed_is_a_violation() {
    let mut books = books(&[1], None);
    let mut changed = delivery(&[0]);
    changed.recipients[0].address.push('1');
    books.delivered(Channel::Sms, &changed);
    books.decided(outcome(1, 1, &[], &[]));
    assert_eq!(books.finish().faults(Fault::Altered), 1);
}

#[test]
fn what_only_stops_marketing_lets_a_service_message_pass() {
    let mut service = job(&[7]);
    service.purpose = Purpose::Service;
    let mut books = Books::default();
    books.asked(Handle::Phone(7), stop(9));
    books.scheduled(1, service);
    books.delivered(Channel::Sms, &delivery(&[0]));
    books.decided(outcome(1, 1, &[], &[]));
    assert_eq!(books.finish().violations(), 0);
}
