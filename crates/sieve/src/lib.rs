//! The decision: what becomes of each recipient of a job, and why. Pure: values in, values out.
//!
//! The order of judgement is the contract's (section 9): malformed, missing, invalid, suppressed, duplicate, deferred,
//! forwarded; the first that holds counts. Every recipient has exactly one fate (G6).

mod decision;
mod repeats;

pub use decision::Decision;

use decision::Groups;
use repeats::Repeats;
use std::iter;
use std::ops::Range;
use std::sync::Arc;
use tamis_campaign::{Channel, RECIPIENTS_MAX, Reason, RefusalCode, RejectReason, UnixMs, Verdict};
use tamis_policy::{Denied, Policy};
use tamis_subject::{Batch, Invalid, Subjects};
use tamis_suppression::{Hit, Index, Selection, of_both};
use tamis_wire::{JobView, RecipientView, RefusalView, Span};

/// How a job that may be sent is decided.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    channel: Channel,
    needs_consent: bool,
    /// Each recipient gets an unsubscribe token of its own.
    tokens: bool,
}

/// How many recipients are read, and their subjects made, before the filter is asked for them: enough for the keyed function and the
/// filter to work side by side, and for what is written to have reached the cache before the keyed function reads it.
const BLOCK: usize = if cfg!(test) { 4 } else { 64 };

/// Decides jobs one after the other; its memory is reused.
#[derive(Debug)]
pub struct Sieve {
    subjects: Subjects,
    policy: Arc<Policy>,
    /// By recipient, as are the next two.
    addresses: Batch,
    /// Why each must be dropped, by what the filter says; taken when it is.
    reasons: Vec<Option<Reason>>,
    kept: Vec<bool>,
    contacts: Batch,
    /// Whose each contact is.
    contact_of: Vec<u32>,
    /// Of whom the filter knows something.
    hits: Vec<(u32, Hit)>,
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
            addresses: Batch::default(),
            reasons: Vec::new(),
            kept: Vec::new(),
            contacts: Batch::default(),
            contact_of: Vec::new(),
            hits: Vec::new(),
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

    /// Asks memory for what [`Sieve::decide`] will need of the filter for a job of one telephone number in its usual writing; others take
    /// longer to be made twice than to be waited for.
    pub fn foresee(&mut self, job: &JobView<'_>, value: &[u8], spans: &[Span], index: &Index) {
        let ([span], Some(Channel::Sms | Channel::Voice | Channel::Fax)) = (spans, job.channel) else {
            return;
        };
        let recipient = RecipientView::parse(&value[span.body as usize..span.end as usize]);
        self.addresses.clear();
        self.addresses.put_usual_phones(iter::once(recipient.ok().map(|r| r.address())));
        self.addresses.make(&self.subjects);
        index.ask_for(self.addresses.subjects());
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
        self.look_up(job, (channel, tokens), value, spans, &selection);
        self.suppress(&selection, now_ms);
        let retry_at_ms = (job.not_before_ms > now_ms).then_some(job.not_before_ms);
        let forwarded = self.judge(retry_at_ms.is_some());
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

    /// First pass: what each recipient is, its subjects, and whether the filter knows anything of them. Some at a time, so that
    /// look-ups wait for memory while those after them are made.
    fn look_up(
        &mut self,
        job: &JobView<'_>,
        on: (Channel, bool),
        value: &[u8],
        spans: &[Span],
        selection: &Selection<'_>,
    ) {
        self.kept.resize(spans.len(), true);
        self.addresses.clear();
        self.contacts.clear();
        self.contact_of.clear();
        self.hits.clear();
        let (mut by_address, mut by_contact) = (selection.look_ups(), selection.look_ups());
        for first in (0..spans.len()).step_by(BLOCK) {
            self.recognise(
                job,
                on,
                value,
                spans,
                first..(first + BLOCK).min(spans.len()),
                selection.wants_contacts(),
            );
            let Self { subjects, addresses, contacts, contact_of, hits, .. } = self;
            addresses.make(subjects);
            by_address.ask(addresses.subjects(), |place, hit| hits.push((place as u32, hit)));
            contacts.make(subjects);
            by_contact.ask(contacts.subjects(), |number, hit| hits.push((contact_of[number], hit)));
        }
        let Self { addresses, contacts, contact_of, hits, .. } = self;
        by_address.settle(addresses.subjects(), |place, hit| hits.push((place as u32, hit)));
        by_contact.settle(contacts.subjects(), |number, hit| hits.push((contact_of[number], hit)));
    }

    /// What the recipients at `places` are, and what their subjects are made of.
    fn recognise(
        &mut self,
        job: &JobView<'_>,
        (channel, tokens): (Channel, bool),
        value: &[u8],
        spans: &[Span],
        places: Range<usize>,
        wants_contacts: bool,
    ) {
        let body = |span: &Span| &value[span.body as usize..span.end as usize];
        let mut places = places;
        if matches!(channel, Channel::Sms | Channel::Voice | Channel::Fax) {
            // Most of most jobs, in a few steps; digits are text, and a recipient that is nothing else brings no token.
            let only = spans[places.clone()].iter().map(|span| RecipientView::only_address(body(span)));
            places.start += self.addresses.put_usual_phones(only);
        }
        for (place, span) in (places.start as u32..).zip(&spans[places]) {
            let body = body(span);
            let Some(recipient) = RecipientView::parse(body).ok().filter(|r| !(tokens && r.brings_token))
            else {
                // One that brings a token of its own would have two: readers would not agree on which is its.
                self.reject(RejectReason::MalformedRecipient, place);
                continue;
            };
            match put_address(&mut self.addresses, &self.subjects, channel, &recipient) {
                Ok(()) => {}
                Err(Invalid::Missing) => {
                    self.reject(RejectReason::MissingAddress, place);
                    continue;
                }
                Err(Invalid::NotAnAddress) => {
                    self.reject(RejectReason::InvalidAddress, place);
                    continue;
                }
            }
            if wants_contacts && !recipient.contact().is_empty() {
                self.contacts.put_contact(&self.subjects, job.tenant, recipient.contact());
                self.contact_of.push(place);
            }
        }
    }

    /// A recipient that can't be used.
    fn reject(&mut self, reason: RejectReason, place: u32) {
        self.groups.reject(reason, place);
        self.kept[place as usize] = false;
        self.addresses.put_nobody();
    }

    /// Second pass: those that the filter has a reason to drop.
    fn suppress(&mut self, selection: &Selection<'_>, now_ms: UnixMs) {
        let Self { hits, reasons, kept, groups, .. } = self;
        let of_unknown = selection.of_unknown();
        reasons.clear();
        reasons.resize(kept.len(), of_unknown);
        for (place, hit) in &*hits {
            let reason = &mut reasons[*place as usize];
            *reason = of_both(*reason, selection.reason(*hit, now_ms));
        }
        let all = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        // Once, though address and contact may both be known.
        let fate = |place: u32| {
            let at = place as usize;
            if let Some(reason) = reasons[at].take()
                && std::mem::take(&mut kept[at])
            {
                groups.suppress(reason, place);
            }
        };
        if of_unknown.is_some() {
            (0..all).for_each(fate);
        } else {
            hits.iter().map(|(place, _)| *place).for_each(fate);
        }
    }

    /// Third pass: gives each of the others its fate. Returns how many are forwarded.
    fn judge(&mut self, deferred: bool) -> u32 {
        let Self { addresses, kept, groups, repeats, .. } = self;
        if kept.len() > 1 {
            for place in repeats.of(addresses.subjects(), kept) {
                groups.reject(RejectReason::DuplicateRecipient, *place);
                kept[*place as usize] = false;
            }
        }
        if deferred {
            for (place, kept) in (0u32..).zip(kept.iter_mut()).filter(|(_, kept)| **kept) {
                groups.defer(place);
                *kept = false;
            }
        }
        kept.iter().map(|kept| u32::from(*kept)).sum()
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
        Channel::Mail => recipient.postal().map_or(Err(Invalid::Missing), |p| batch.put_postal(by, &p)),
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
