//! Who is written to, and what: made by arithmetic, so that every contestant can tell who is in the filter.

use tamis_campaign::Source;
use tamis_subject::Subject;
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::record::{Record, Scope};

/// Whose jobs they are.
pub const TENANT: &str = "acme";
/// How many people are in the filter: all that [`suppressed`] has.
pub const SUPPRESSED: u64 = NUMBERS / SUPPRESSED_EVERY;

/// Telephone numbers there are.
const NUMBERS: u64 = 20_000_000;
/// One of so many is in the filter: 5 %, a million.
const SUPPRESSED_EVERY: u64 = 20;
/// Coprime to [`NUMBERS`], so that a job has nobody twice, and to [`SUPPRESSED_EVERY`], so that each has its 5 %.
const STRIDE: u64 = 9_999_991;

/// Jobs of one size, and how many of them make a measurement.
pub struct Kind {
    /// Its name.
    pub what: &'static str,
    /// How many jobs.
    pub jobs: u64,
    /// Recipients of each.
    pub recipients: u64,
}

/// What the whole line is measured with.
pub const KINDS: [Kind; 2] = [
    Kind { what: "1,000 recipients", jobs: 60_000, recipients: 1_000 },
    Kind { what: "1 recipient", jobs: 4_000_000, recipients: 1 },
];

/// The number of one person.
#[must_use]
pub fn number(person: u64) -> String {
    format!("+336{:08}", person % NUMBERS)
}

/// The first `count` people of the filter; a million is all of them.
pub fn suppressed(count: u64) -> impl Iterator<Item = String> {
    (0..count).map(|at| number(at * SUPPRESSED_EVERY))
}

/// The record of `subject`, who has opted out of all that `tenant` sends.
#[must_use]
pub fn opted_out(subject: Subject, tenant: &str) -> Record {
    Record { source: Source::Import, ..Record::plain(subject, Scope::Tenant(tenant.into())) }
}

/// A job, encoded: `recipients` people at some 40 bytes each, and a content of 300 bytes.
#[must_use]
pub fn job(at: u64, recipients: u64) -> (String, Vec<u8>) {
    let job_id = format!("job-{at:08}");
    let first = at.wrapping_mul(7_919);
    let people = (0..recipients).map(|place| {
        let person = (first + place * STRIDE) % NUMBERS;
        proto::Recipient {
            address: number(person),
            contact: format!("c{person:07}"),
            fields: format!("first-{person:06}").into_bytes(),
            ..Default::default()
        }
    });
    let job = proto::SendJob {
        job_id: job_id.clone(),
        tenant: TENANT.to_owned(),
        campaign: "autumn".to_owned(),
        channel: proto::Channel::Sms.into(),
        purpose: proto::Purpose::Marketing.into(),
        sender: "36179".to_owned(),
        content_type: "text/plain".to_owned(),
        content: content(at),
        recipients: people.collect(),
        ..Default::default()
    };
    (job_id, job.encode_to_vec())
}

/// Text that differs from job to job as little as a campaign's does.
fn content(at: u64) -> Vec<u8> {
    let mut text = format!("{at:016x} ").into_bytes();
    text.extend(
        b"Hello! Our autumn range is in the shops. Show this message and get ten per cent off. "
            .iter()
            .cycle()
            .take(283),
    );
    text
}
