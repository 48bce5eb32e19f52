//! An opt-out by link counts for the very next job.

use std::time::Duration;

use tamis_bus::Bus as _;
use tamis_campaign::{Channel, Purpose};
use tamis_intake::{Access, ApiState};
use tamis_telemetry::Metrics;
use tamis_tests::{embedded, links, people, process, suite};

const TIMES: u64 = 200;

/// Guarantees (G1): who has pressed the button of the unsubscribe page, or whose mail client has, is not written to by a job
/// that is written after the answer; who only looked at the page is.
/// Fails when: the answer comes before the record is durable, the record names another person, scope or channel than the link, or
/// a GET changes anything.
#[test]
fn g1_an_opt_out_by_link_counts_for_the_very_next_job() {
    let open = embedded::open();
    let subjects = suite::subjects();
    let (running, _) = suite::start(&open.bus, &subjects, 2);
    let state = ApiState::new(running.filter(), running.recorder(), Metrics::detached(), Access::open());
    let door = links::open(state);
    let scheduler = open.bus.scheduler().expect("jobs can be sent");
    for n in 0..TIMES {
        let who = |n| people::recipient(Channel::Email, n).address;
        let path = |n| links::path(&subjects, Channel::Email, &who(n), "acme", "");
        let looked = process::get(door, &path(900_000 + n)).expect("the door answers");
        assert!(looked.starts_with("HTTP/1.1 200"), "{looked}");
        let body = if n.is_multiple_of(2) { "List-Unsubscribe=One-Click" } else { "scope=all" };
        let stopped = process::post_as(door, &path(n), "application/x-www-form-urlencoded", body);
        let stopped = stopped.expect("the door answers");
        assert!(stopped.starts_with("HTTP/1.1 200"), "{stopped}");
        let both = [n, 900_000 + n];
        suite::send(
            &scheduler,
            &[people::job(&format!("after-{n}"), "acme", Channel::Email, Purpose::Marketing, &both)],
        );
    }
    let jobs = usize::try_from(TIMES).expect("a small number");
    let (arrivals, outcomes) = suite::collect(&*open.bus, jobs);
    assert!(running.drain(Duration::from_secs(15)), "it drains");
    suite::books_close(&outcomes, jobs);
    let expected = (0..TIMES).map(|n| ((format!("after-{n}"), format!("crm-{}", 900_000 + n)), 1)).collect();
    suite::same(&arrivals, &expected);
}
