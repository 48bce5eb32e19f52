//! People, campaigns and opt-outs made from a seed, and a plain model of who must receive what.

use std::collections::{BTreeMap, BTreeSet};

use tamis_campaign::{Channel, Purpose, Reason, RecordReason};
use tamis_subject::{Postal, Subjects};
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::record::{Record, Scope};

/// A small generator with a printed seed (SplitMix64), so that a failure can be played again.
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `below`.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// The address of person `n`, as a scheduler would write it.
#[must_use]
pub fn recipient(channel: Channel, n: u64) -> proto::Recipient {
    let mut recipient = proto::Recipient { contact: format!("crm-{n}"), ..Default::default() };
    match channel {
        Channel::Sms | Channel::Voice | Channel::Fax => {
            recipient.address = if n.is_multiple_of(3) {
                format!("06 12 {:02} {:02} {:02}", n / 10_000 % 100, n / 100 % 100, n % 100)
            } else {
                format!("+33612{n:06}")
            };
        }
        Channel::Email => recipient.address = format!("Person.{n}@Example.ORG"),
        Channel::Mail => {
            recipient.postal = Some(proto::PostalAddress {
                name: format!("Camille Martin {n}"),
                street: format!("{n} avenue de la République"),
                postal_code: format!("{:05}", 10_000 + n % 80_000),
                city: "Lyon".into(),
                country: "FR".into(),
                ..Default::default()
            });
        }
    }
    recipient
}

/// Who opted out of what, as plainly as it can be said.
#[derive(Debug, Default)]
pub struct OptOuts(BTreeMap<Who, BTreeSet<(Option<u8>, Reason)>>);

/// Kind of address, person, tenant.
type Who = (u8, u64, String);

/// What an address is, for the model: phones serve three channels.
fn kind(channel: Channel) -> u8 {
    match channel {
        Channel::Sms | Channel::Voice | Channel::Fax => 1,
        Channel::Email => 2,
        Channel::Mail => 3,
    }
}

impl OptOuts {
    /// Person `n` opts out with `tenant`, of the channel or of every one.
    pub fn add(
        &mut self,
        address_of: Channel,
        n: u64,
        tenant: &str,
        channel: Option<Channel>,
        reason: Reason,
    ) {
        let key = (kind(address_of), n, tenant.to_owned());
        self.0.entry(key).or_default().insert((channel.map(|c| c as u8), reason));
    }

    /// Why person `n` must not receive it.
    #[must_use]
    pub fn reason(&self, channel: Channel, n: u64, tenant: &str, purpose: Purpose) -> Option<Reason> {
        self.0.get(&(kind(channel), n, tenant.to_owned())).and_then(|records| {
            records
                .iter()
                .filter(|(c, reason)| c.is_none_or(|c| c == channel as u8) && reason.drops(purpose))
                .map(|(_, reason)| *reason)
                .min()
        })
    }
}

/// The record for such an opt-out.
#[must_use]
pub fn record(
    subjects: &Subjects,
    address_of: Channel,
    n: u64,
    tenant: &str,
    channel: Option<Channel>,
    reason: RecordReason,
) -> Record {
    let who = recipient(address_of, n);
    let (subject, identity) = match (&who.postal, address_of) {
        (Some(p), _) => (
            subjects.postal(&Postal {
                name: &p.name,
                street: &p.street,
                extra: &p.extra,
                postal_code: &p.postal_code,
                city: &p.city,
                country: &p.country,
            }),
            tamis_campaign::Identity::Postal,
        ),
        (None, Channel::Email) => (subjects.email(&who.address), tamis_campaign::Identity::Email),
        (None, Channel::Sms | Channel::Voice | Channel::Fax | Channel::Mail) => {
            (subjects.phone(&who.address), tamis_campaign::Identity::Phone)
        }
    };
    Record {
        identity,
        channel,
        reason,
        evidence: "test".into(),
        ..Record::plain(subject.expect("the model's addresses are well-formed"), Scope::Tenant(tenant.into()))
    }
}

/// A job to the people `who`.
#[must_use]
pub fn job(job_id: &str, tenant: &str, channel: Channel, purpose: Purpose, who: &[u64]) -> proto::SendJob {
    proto::SendJob {
        job_id: job_id.into(),
        tenant: tenant.into(),
        campaign: "autumn".into(),
        channel: channel.number(),
        purpose: purpose.number(),
        content_type: "text/plain".into(),
        content: b"a message that is nobody's business".to_vec(),
        recipients: who.iter().map(|&n| recipient(channel, n)).collect(),
        ..Default::default()
    }
}
