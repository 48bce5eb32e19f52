//! G7 on any log: what is said twice is sent once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tamis_bus::{Bus, Tail, TailTopic};
use tamis_campaign::{Channel, Purpose, Verdict};
use tamis_pipeline::{Options, Running};
use tamis_subject::Subjects;
use tamis_wire::Message;
use tamis_wire::proto::campaign::v1 as proto;

use crate::{people, suite};

/// How long a service may take to end.
pub const DRAIN: Duration = Duration::from_secs(15);

/// The verdicts of each (tenant, job), in the order in which the jobs stand in the log.
pub type Verdicts = BTreeMap<(String, String), Vec<Verdict>>;

/// Reads outcomes as they come.
pub struct Accountant<T> {
    tail: T,
    outcomes: Vec<proto::JobOutcome>,
}

impl<T: Tail> Accountant<T> {
    /// Stands at the first outcome.
    ///
    /// # Panics
    /// When the log can't be read.
    pub fn open<B: Bus<Tail = T>>(bus: &B) -> Self {
        let tail = bus.tail(TailTopic::Outcomes, &suite::group(), true).expect("outcomes can be read");
        Self { tail, outcomes: Vec::new() }
    }

    /// Waits until there are `jobs` outcomes in all, and answers what they say.
    ///
    /// # Panics
    /// When they do not come, or more do.
    pub fn wait_for(&mut self, jobs: usize) -> Verdicts {
        let Self { tail, outcomes } = self;
        suite::wait("the outcomes of all jobs", || {
            tail.poll(Duration::from_millis(100), 1_000, &mut |r| {
                let batch = proto::JobOutcomes::decode(r.value).expect("outcomes are well-formed");
                outcomes.extend(batch.outcomes);
            })
            .expect("outcomes can be read");
            outcomes.len() >= jobs
        });
        assert_eq!(outcomes.len(), jobs, "one outcome for each job");
        outcomes.sort_by_key(|o| (o.source_partition, o.source_offset));
        let mut verdicts = Verdicts::new();
        for o in outcomes.iter() {
            let verdict = Verdict::from_number(o.verdict).expect("a verdict of ours");
            if verdict == Verdict::Duplicate {
                let counts = o.suppressed.len() + o.rejected.len() + o.deferred.len();
                assert_eq!((o.forwarded, counts), (0, 0), "a duplicate has no counts");
            }
            verdicts.entry((o.tenant.clone(), o.job_id.clone())).or_default().push(verdict);
        }
        verdicts
    }
}

/// A job of one recipient.
#[must_use]
pub fn job(id: &str, tenant: &str, who: u64) -> proto::SendJob {
    people::job(id, tenant, Channel::Sms, Purpose::Marketing, &[who])
}

/// `count` jobs of one recipient each.
#[must_use]
pub fn jobs(count: u64) -> Vec<proto::SendJob> {
    (0..count).map(|n| job(&format!("twice-{n}"), "acme", n)).collect()
}

/// Asserts that each of `count` [`jobs`] was ROUTED once and then, `times` times, a DUPLICATE, and that its recipient got it
/// once.
///
/// # Panics
/// When one was not.
pub fn each_was_sent_once<B: Bus>(bus: &B, verdicts: &Verdicts, count: u64, times: usize) {
    for n in 0..count {
        let of = &verdicts[&("acme".to_owned(), format!("twice-{n}"))];
        assert_eq!(of[0], Verdict::Routed, "job {n}: {of:?}");
        assert_eq!(of[1..], vec![Verdict::Duplicate; times][..], "job {n}");
    }
    let all = usize::try_from(count).expect("a small number") * (times + 1);
    let (arrivals, _) = suite::collect(bus, all);
    let expected = (0..count).map(|n| ((format!("twice-{n}"), format!("crm-{n}")), 1)).collect();
    suite::same(&arrivals, &expected);
}

/// Guarantees G7: a job id that a tenant has had ROUTED or EMPTY is a DUPLICATE and sends nothing: in the same batch, in
/// later ones, after a restart; another tenant's same id is sent, and what was refused, deferred or expired may come again.
/// Fails when: the recall is answered without reading (after the restart all is sent again); the tenant is not in the
/// fingerprint; a verdict that does not settle a job is noted, or EMPTY is not.
///
/// # Panics
/// When it does not hold.
pub fn what_is_said_twice_is_sent_once<B: Bus>(bus: &Arc<B>) {
    use Verdict::{Deferred, Duplicate, Empty, Expired, Refused, Routed};
    let subjects = suite::subjects();
    let scheduler = bus.scheduler().expect("jobs can be sent");
    let mut accountant = Accountant::open(&**bus);
    let (running, _) = suite::start(bus, &subjects, 2);

    let (first, other) = (job("a", "acme", 1), job("a", "globex", 2));
    let empty = people::job("empty", "acme", Channel::Sms, Purpose::Marketing, &[]);
    let refused = proto::SendJob { channel: 77, ..job("refused", "acme", 3) };
    let deferred = proto::SendJob { not_before_ms: i64::MAX, ..job("deferred", "acme", 4) };
    let expired = proto::SendJob { not_after_ms: 1, ..job("expired", "acme", 5) };
    suite::send(
        &scheduler,
        &[first.clone(), first.clone(), other.clone(), empty, refused, deferred, expired],
    );
    let verdicts = accountant.wait_for(7);
    let of = |verdicts: &Verdicts, tenant: &str, id: &str| verdicts[&(tenant.into(), id.into())].clone();
    assert_eq!(of(&verdicts, "acme", "a"), [Routed, Duplicate], "in the same batch");
    assert_eq!(of(&verdicts, "globex", "a"), [Routed], "another tenant's");

    // Judged after REFUSED and before EXPIRED.
    let late = proto::SendJob { not_after_ms: 1, ..first.clone() };
    let bad = proto::SendJob { channel: 77, ..first.clone() };
    let again: Vec<_> = ["empty", "refused", "deferred", "expired"]
        .iter()
        .zip(6..)
        .map(|(id, who)| job(id, "acme", who))
        .collect();
    suite::send(&scheduler, &[first.clone(), late, bad, other.clone()]);
    suite::send(&scheduler, &again);
    let verdicts = accountant.wait_for(15);
    assert_eq!(of(&verdicts, "acme", "a"), [Routed, Duplicate, Duplicate, Duplicate, Refused]);
    assert_eq!(of(&verdicts, "globex", "a"), [Routed, Duplicate]);
    assert_eq!(of(&verdicts, "acme", "empty"), [Empty, Duplicate]);
    assert_eq!(of(&verdicts, "acme", "refused"), [Refused, Routed]);
    assert_eq!(of(&verdicts, "acme", "deferred"), [Deferred, Routed]);
    assert_eq!(of(&verdicts, "acme", "expired"), [Expired, Routed]);

    assert!(running.drain(DRAIN), "it drains");
    let (running, _) = suite::start(bus, &subjects, 2);
    suite::send(&scheduler, &[first, other, job("b", "acme", 20)]);
    suite::send(&scheduler, &again);
    let verdicts = accountant.wait_for(22);
    assert_eq!(of(&verdicts, "acme", "a")[4..], [Refused, Duplicate], "after a restart");
    assert_eq!(of(&verdicts, "globex", "a"), [Routed, Duplicate, Duplicate]);
    assert_eq!(of(&verdicts, "acme", "b"), [Routed]);
    for job in &again {
        assert_eq!(of(&verdicts, "acme", &job.job_id).last(), Some(&Duplicate), "{}", job.job_id);
    }
    let (arrivals, _) = suite::collect(&**bus, 22);
    assert!(running.drain(DRAIN), "it drains");
    let expected = [("a", 1), ("a", 2), ("refused", 7), ("deferred", 8), ("expired", 9), ("b", 20)];
    let expected = expected.iter().map(|(id, who)| (((*id).to_owned(), format!("crm-{who}")), 1)).collect();
    suite::same(&arrivals, &expected);
}

/// A service with this window and two workers, as the embedded log was made for. Ready when this returns.
///
/// # Panics
/// When it does not start.
pub fn start_with<B: Bus>(bus: &Arc<B>, subjects: &Subjects, dedupe_window: Duration) -> Running {
    suite::log();
    let options = Options { workers: 2, dedupe_window, ..Options::default() };
    let health = tamis_telemetry::Health::new();
    let metrics = tamis_telemetry::Metrics::detached();
    let running = tamis_pipeline::start(bus.clone(), subjects.clone(), options, metrics, health.clone())
        .expect("the service starts");
    suite::wait("it is ready", || health.is_ready());
    running
}

/// A window of nothing sends again: the switch is off. Fails when: "0s" is taken for the default.
///
/// # Panics
/// When it does not hold.
pub fn without_a_window_nothing_is_a_duplicate<B: Bus>(bus: &Arc<B>, subjects: &Subjects) {
    let running = start_with(bus, subjects, Duration::ZERO);
    let scheduler = bus.scheduler().expect("jobs can be sent");
    suite::send(&scheduler, &[job("a", "acme", 1), job("a", "acme", 1)]);
    let verdicts = Accountant::open(&**bus).wait_for(2);
    assert_eq!(verdicts[&("acme".to_owned(), "a".to_owned())], [Verdict::Routed; 2]);
    assert!(running.drain(DRAIN), "it drains");
}
