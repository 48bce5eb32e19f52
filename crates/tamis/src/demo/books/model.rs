//! What was planned: jobs, opt-outs, and which opt-out counts for whom.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tamis_campaign::{Channel, Purpose, Reason};

use crate::demo::people::Person;

/// When a job is to go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// At once.
    Now,
    /// Not yet: all of it is deferred.
    Later,
    /// Too late: nothing of it may leave.
    Expired,
}

/// What is wrong with an address, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Not an address of the channel.
    Invalid,
    /// None.
    Missing,
}

/// One place of a job.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// Whom it is for.
    pub(crate) person: Person,
    /// What is wrong with it.
    pub(crate) bad: Option<Bad>,
    /// Whether the contact id is given.
    pub(crate) contact: bool,
    /// Of its bytes, as written.
    pub(crate) print: u64,
}

/// A job as it was scheduled.
#[derive(Debug)]
pub(crate) struct Job {
    /// The tick at which it was given to the log.
    pub(crate) submitted: u64,
    /// The same, for the clock on the wall.
    pub(crate) since: Instant,
    /// Its tenant.
    pub(crate) tenant: &'static str,
    /// Its list; may be empty.
    pub(crate) list: &'static str,
    /// Its channel.
    pub(crate) channel: Channel,
    /// Its purpose.
    pub(crate) purpose: Purpose,
    /// When it is to go.
    pub(crate) due: Due,
    /// Its recipients, in order.
    pub(crate) recipients: Vec<Planned>,
}

/// What an opt-out is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Handle {
    /// A person's phone: SMS, voice and fax.
    Phone(Person),
    /// A person's e-mail address.
    Email(Person),
    /// A person's postal address.
    Postal(Person),
    /// A tenant's contact id of a person.
    Contact(&'static str, Person),
}

impl Handle {
    /// What a channel reaches a person by.
    pub(crate) fn of(channel: Channel, person: Person) -> Self {
        match channel {
            Channel::Sms | Channel::Voice | Channel::Fax => Self::Phone(person),
            Channel::Email => Self::Email(person),
            Channel::Mail => Self::Postal(person),
        }
    }
}

/// How far an opt-out reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everybody's messages.
    Platform,
    /// A tenant's.
    Tenant(&'static str),
    /// Those of one list of a tenant.
    List(&'static str, &'static str),
}

/// An opt-out that somebody asked for.
#[derive(Debug, Clone)]
pub(crate) struct OptOut {
    /// How far it reaches.
    pub(crate) reach: Reach,
    /// The channel, `None` for all.
    pub(crate) channel: Option<Channel>,
    /// Why.
    pub(crate) reason: Reason,
    /// The tick of its ack, 0 before it. Written where the ack arrives, so that no ack is known too late.
    pub(crate) acked: Arc<AtomicU64>,
}

impl OptOut {
    /// Whether it was acked before `tick`.
    pub(crate) fn acked_before(&self, tick: u64) -> bool {
        let acked = self.acked.load(Ordering::SeqCst);
        acked != 0 && acked < tick
    }

    /// Whether it stops this job (contract, section 2): written out again here, on purpose.
    fn stops(&self, job: &Job) -> bool {
        let reaches = match self.reach {
            Reach::Platform => true,
            Reach::Tenant(tenant) => tenant == job.tenant,
            Reach::List(tenant, list) => tenant == job.tenant && list == job.list,
        };
        let whatever = matches!(self.reason, Reason::Erased | Reason::Blocked | Reason::HardBounce);
        reaches
            && self.channel.is_none_or(|channel| channel == job.channel)
            && (whatever || job.purpose == Purpose::Marketing)
    }
}

/// The opt-outs that stop this recipient of this job, acked or not.
pub(super) fn applying<'a>(
    opt_outs: &'a HashMap<Handle, Vec<OptOut>>,
    job: &'a Job,
    planned: &Planned,
) -> impl Iterator<Item = &'a OptOut> {
    let by_address = opt_outs.get(&Handle::of(job.channel, planned.person));
    let by_contact =
        planned.contact.then(|| opt_outs.get(&Handle::Contact(job.tenant, planned.person))).flatten();
    by_address.into_iter().chain(by_contact).flatten().filter(|opt_out| opt_out.stops(job))
}
