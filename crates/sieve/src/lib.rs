//! The decision: what becomes of each recipient of a job, and why. Pure: values in, values out.
//!
//! The order of judgement is the contract's (section 9): malformed, missing, invalid, suppressed, duplicate, deferred,
//! forwarded; the first that holds counts. Every recipient has exactly one fate (G6).

mod decision;
mod repeats;

pub use decision::Decision;

use decision::Groups;
use repeats::Repeats;
use std::sync::Arc;
use tamis_campaign::{Channel, RECIPIENTS_MAX, Reason, RefusalCode, RejectReason, UnixMs, Verdict};
use tamis_policy::{Denied, Policy};
use tamis_subject::{Batch, Invalid, Subjects};
use tamis_suppression::{Hit, Index, Selection, of_both};
use tamis_wire::{JobView, RecipientView, RefusalView, Span};

/// A recipient that could be used, before the filter is asked.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    place: u32,
    /// Why it must be dropped, once the filter has been asked.
    reason: Option<Reason>,
}

/// How a job that may be sent is decided.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    channel: Channel,
    needs_consent: bool,
    /// Each recipient gets an unsubscribe token of its own.
    tokens: bool,
}

/// Decides jobs one after the other; its memory is reused.
#[derive(Debug)]
pub struct Sieve {
    subjects: Subjects,
    policy: Arc<Policy>,
    candidates: Vec<Candidate>,
    /// By candidate; apart, since all of a job's are made and looked up at once.
    addresses: Batch,
    contacts: Batch,
    /// Whose each contact is: a number into `candidates`.
    contact_of: Vec<u32>,
    /// Numbers of candidates of which the filter knows something.
    hits: Vec<(u32, Hit)>,
    kept: Vec<bool>,
    groups: Groups,
    repeats: Repeats,
}

impl Sieve {
    /// A sieve that makes subjects with `subjects`, and goes by no policy.
    #[must_use]
    pub fn new(subjects: Subjects) -> Self {
        Self {
            subjects,
            policy: Arc::default(),
            candidates: Vec::new(),
            addresses: Batch::default(),
            contacts: Batch::default(),
            contact_of: Vec::new(),
            hits: Vec::new(),
            kept: Vec::new(),
            groups: Groups::default(),
            repeats: Repeats::default(),
        }
    }

    /// Makes subjects with `subjects` from now on, which is the key in use or a later one of it.
    pub fn use_key(&mut self, subjects: &Subjects) {
        if subjects.scheme() != self.subjects.scheme() {
            self.subjects = subjects.clone();
        }
    }

    /// Goes by `policy` from now on.
    pub fn use_policy(&mut self, policy: &Arc<Policy>) {
        if !Arc::ptr_eq(policy, &self.policy) {
            self.policy = policy.clone();
        }
    }

    /// Decides one job at `now_ms`: `value` is its record, `spans` its recipients, `index` the filter.
    pub fn decide<'a>(
        &'a mut self,
        job: &JobView<'a>,
        value: &[u8],
        spans: &[Span],
        index: &Index,
        now_ms: UnixMs,
    ) -> Decision<'a> {
        let recipients_in = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        self.groups.clear();
        self.kept.clear();
        let Admitted { channel, needs_consent, tokens } = match admit(&self.policy, job, spans.len(), now_ms)
        {
            Ok(admitted) => admitted,
            Err(refusal) => return Decision::refused(job.gateway, recipients_in, refusal),
        };
        let gateway = if job.gateway.is_empty() { default_gateway(channel) } else { job.gateway };
        if job.not_after_ms != 0 && now_ms > job.not_after_ms {
            return Decision::without_counts(Verdict::Expired, gateway, recipients_in);
        }
        let tenant = job.tenant.as_str();
        let selection = index.selection(tenant, job.list, channel, job.purpose, needs_consent);
        self.recognise(job, (channel, tokens), value, spans, &selection);
        let retry_at_ms = (job.not_before_ms > now_ms).then_some(job.not_before_ms);
        self.ask(&selection, now_ms);
        let forwarded = self.judge(spans.len(), retry_at_ms.is_some());
        self.groups.seal();
        let verdict = if forwarded > 0 {
            Verdict::Routed
        } else if self.groups.deferred_count() > 0 {
            Verdict::Deferred
        } else {
            Verdict::Empty
        };
        let decision = Decision {
            verdict,
            gateway,
            recipients_in,
            forwarded,
            kept: &self.kept,
            refusal: None,
            groups: Some(&self.groups),
            retry_at_ms: retry_at_ms.unwrap_or(0),
            policy_version: self.policy.version(),
            tokens,
        };
        debug_assert!(decision.books_close(), "G6: every recipient has one fate");
        decision
    }

    /// Decides a job that was said before (G7): refused like any other that can't be admitted, else a DUPLICATE, even when it
    /// has expired since.
    #[must_use]
    pub fn decide_duplicate<'a>(&'a self, job: &JobView<'a>, spans: &[Span], now_ms: UnixMs) -> Decision<'a> {
        let recipients_in = u32::try_from(spans.len()).unwrap_or(u32::MAX);
        match admit(&self.policy, job, spans.len(), now_ms) {
            Ok(Admitted { channel, .. }) => {
                let gateway = if job.gateway.is_empty() { default_gateway(channel) } else { job.gateway };
                Decision::without_counts(Verdict::Duplicate, gateway, recipients_in)
            }
            Err(refusal) => Decision::refused(job.gateway, recipients_in, refusal),
        }
    }

    /// First pass: what each recipient is, and its subjects.
    fn recognise(
        &mut self,
        job: &JobView<'_>,
        (channel, tokens): (Channel, bool),
        value: &[u8],
        spans: &[Span],
        selection: &Selection<'_>,
    ) {
        self.candidates.clear();
        self.addresses.clear();
        self.contacts.clear();
        self.contact_of.clear();
        let unknown = selection.of_unknown();
        self.candidates.reserve(spans.len());
        for (place, span) in (0u32..).zip(spans) {
            let body = &value[span.body as usize..span.end as usize];
            let Some(recipient) = RecipientView::parse(body).ok().filter(|r| !(tokens && r.brings_token))
            else {
                // One that brings a token of its own would have two: readers would not agree on which is its.
                self.groups.reject(RejectReason::MalformedRecipient, place);
                continue;
            };
            match put_address(&mut self.addresses, &self.subjects, channel, &recipient) {
                Ok(()) => {}
                Err(Invalid::Missing) => {
                    self.groups.reject(RejectReason::MissingAddress, place);
                    continue;
                }
                Err(Invalid::NotAnAddress) => {
                    self.groups.reject(RejectReason::InvalidAddress, place);
                    continue;
                }
            }
            if selection.wants_contacts() && !recipient.contact().is_empty() {
                self.contacts.put_contact(&self.subjects, job.tenant, recipient.contact());
                self.contact_of.push(u32::try_from(self.candidates.len()).unwrap_or(u32::MAX));
            }
            self.candidates.push(Candidate { place, reason: unknown });
        }
        self.addresses.make(&self.subjects);
        self.contacts.make(&self.subjects);
    }

    /// Second pass: asks the filter for all candidates at once, so that the look-ups wait for memory side by side. Of the
    /// reasons by the address and by the contact the lower one counts ([`of_both`]).
    fn ask(&mut self, selection: &Selection<'_>, now_ms: UnixMs) {
        let Self { candidates, addresses, contacts, contact_of, hits, .. } = self;
        hits.clear();
        selection.hits(addresses.subjects(), |number, hit| {
            hits.push((u32::try_from(number).unwrap_or(u32::MAX), hit))
        });
        selection.hits(contacts.subjects(), |number, hit| hits.push((contact_of[number], hit)));
        for (number, hit) in hits {
            let candidate = &mut candidates[*number as usize];
            candidate.reason = of_both(candidate.reason, selection.reason(*hit, now_ms));
        }
    }

    /// Third pass: gives each recipient its fate. Returns how many are forwarded.
    fn judge(&mut self, recipients: usize, deferred: bool) -> u32 {
        self.kept.resize(recipients, false);
        let alone = self.candidates.len() == 1;
        if !alone {
            self.repeats.begin(self.candidates.len());
        }
        let mut forwarded = 0;
        let addresses = self.addresses.subjects();
        for ((number, candidate), &address) in (0u32..).zip(&self.candidates).zip(addresses) {
            let Candidate { place, reason, .. } = *candidate;
            if let Some(reason) = reason {
                self.groups.suppress(reason, place);
            } else if !alone && self.repeats.is_repeat(number, address, |other| addresses[other as usize]) {
                self.groups.reject(RejectReason::DuplicateRecipient, place);
            } else if deferred {
                self.groups.defer(place);
            } else {
                self.kept[place as usize] = true;
                forwarded += 1;
            }
        }
        forwarded
    }
}

#[inline]
fn put_address(
    batch: &mut Batch,
    by: &Subjects,
    channel: Channel,
    recipient: &RecipientView<'_>,
) -> Result<(), Invalid> {
    match channel {
        Channel::Mail => recipient.postal.as_ref().map_or(Err(Invalid::Missing), |p| batch.put_postal(by, p)),
        Channel::Sms | Channel::Email | Channel::Voice | Channel::Fax => {
            batch.put_address(by, channel, recipient.address())
        }
    }
}

/// Whether the job itself can be decided (contract, section 9), and may be sent (section 8).
#[inline]
fn admit(
    policy: &Policy,
    job: &JobView<'_>,
    recipients: usize,
    now_ms: UnixMs,
) -> Result<Admitted, RefusalView> {
    let bad = |field: u32, what: &str| RefusalView {
        code: RefusalCode::BadField,
        rule: "format of a SendJob",
        message: format!("field {field}: {what}"),
    };
    if let Some(field) = job.bad_field {
        return Err(bad(field.field, field.what));
    }
    if recipients > RECIPIENTS_MAX {
        return Err(RefusalView {
            code: RefusalCode::TooManyRecipients,
            rule: "limit of a SendJob",
            message: format!(
                "field 15: {recipients} recipients, at most {RECIPIENTS_MAX} go in a job: send several"
            ),
        });
    }
    let channel = job.channel.ok_or_else(|| bad(4, "no such channel"))?;
    let rules = policy.judge(job.tenant.as_str(), channel, job.sender, now_ms).map_err(denied)?;
    Ok(Admitted {
        channel,
        needs_consent: rules.needs_consent(channel),
        tokens: rules.unsubscribe_tokens() && channel == Channel::Email,
    })
}

fn denied(denied: Denied) -> RefusalView {
    RefusalView { code: denied.code, rule: denied.rule, message: denied.message.to_owned() }
}

/// The gateway of a channel where no policy names one (contract, section 9, Gateway).
#[must_use]
pub fn default_gateway(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "default-sms",
        Channel::Email => "default-email",
        Channel::Voice => "default-voice",
        Channel::Fax => "default-fax",
        Channel::Mail => "default-mail",
    }
}

#[cfg(test)]
mod tests;
