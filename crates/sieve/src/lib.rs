//! The decision: what becomes of each recipient of a job, and why. Pure: values in, values out.
//!
//! The order of judgement is the contract's (section 9): malformed, missing, invalid, suppressed, duplicate, deferred,
//! forwarded; the first that holds counts. Every recipient has exactly one fate (G6).

mod decision;
mod repeats;

pub use decision::Decision;

use decision::Groups;
use repeats::Repeats;
use tamis_campaign::{Channel, RECIPIENTS_MAX, Reason, RefusalCode, RejectReason, UnixMs, Verdict};
use tamis_subject::{Invalid, Subject, Subjects};
use tamis_suppression::{Index, Selection};
use tamis_wire::{JobView, RecipientView, RefusalView, Span};

/// What is known of a recipient before the filter is asked.
#[derive(Debug, Clone, Copy)]
struct Known {
    rejected: Option<RejectReason>,
    address: Subject,
    contact: Option<Subject>,
}

const NOBODY: Subject = Subject::from_bytes([0; 16]);

/// Decides jobs one after the other; its memory is reused.
#[derive(Debug)]
pub struct Sieve {
    subjects: Subjects,
    known: Vec<Known>,
    kept: Vec<bool>,
    groups: Groups,
    repeats: Repeats,
}

impl Sieve {
    /// A sieve that makes subjects with `subjects`.
    #[must_use]
    pub fn new(subjects: Subjects) -> Self {
        Self {
            subjects,
            known: Vec::new(),
            kept: Vec::new(),
            groups: Groups::default(),
            repeats: Repeats::default(),
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
        let channel = match admit(job, spans.len()) {
            Ok(channel) => channel,
            Err(refusal) => return Decision::refused(job.gateway, recipients_in, refusal),
        };
        let gateway = if job.gateway.is_empty() { default_gateway(channel) } else { job.gateway };
        if job.not_after_ms != 0 && now_ms > job.not_after_ms {
            return Decision::without_counts(Verdict::Expired, gateway, recipients_in);
        }
        let selection = index.select(job.tenant.as_str(), job.list, channel, job.purpose);
        self.know(job, channel, value, spans, &selection);
        let retry_at_ms = (job.not_before_ms > now_ms).then_some(job.not_before_ms);
        let forwarded = self.judge(&selection, now_ms, retry_at_ms.is_some());
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
        };
        debug_assert!(decision.books_close(), "G6: every recipient has one fate");
        decision
    }

    /// First pass: what each recipient is, and its subjects. Apart from the second, so that the look-ups there wait for
    /// memory side by side.
    fn know(
        &mut self,
        job: &JobView<'_>,
        channel: Channel,
        value: &[u8],
        spans: &[Span],
        selection: &Selection<'_>,
    ) {
        self.known.clear();
        self.known.reserve(spans.len());
        for span in spans {
            let body = &value[span.body as usize..span.end as usize];
            let known = match RecipientView::parse(body) {
                Ok(recipient) => self.subjects_of(job, channel, &recipient, selection.wants_contacts()),
                Err(_) => Err(RejectReason::MalformedRecipient),
            };
            self.known.push(known.unwrap_or_else(|reason| Known {
                rejected: Some(reason),
                address: NOBODY,
                contact: None,
            }));
        }
    }

    #[inline]
    fn subjects_of(
        &self,
        job: &JobView<'_>,
        channel: Channel,
        recipient: &RecipientView<'_>,
        with_contact: bool,
    ) -> Result<Known, RejectReason> {
        let address = match (channel, &recipient.postal) {
            (Channel::Mail, Some(postal)) => self.subjects.postal(postal),
            (Channel::Mail, None) => Err(Invalid::Missing),
            (Channel::Sms | Channel::Email | Channel::Voice | Channel::Fax, _) => {
                self.subjects.address(channel, recipient.address())
            }
        };
        let address = address.map_err(|invalid| match invalid {
            Invalid::Missing => RejectReason::MissingAddress,
            Invalid::NotAnAddress => RejectReason::InvalidAddress,
        })?;
        let contact = recipient.contact();
        let contact =
            (with_contact && !contact.is_empty()).then(|| self.subjects.contact(job.tenant, contact));
        Ok(Known { rejected: None, address, contact })
    }

    /// Second pass: asks the filter, and gives each recipient its fate. Returns how many are forwarded.
    fn judge(&mut self, selection: &Selection<'_>, now_ms: UnixMs, deferred: bool) -> u32 {
        self.kept.resize(self.known.len(), false);
        if self.known.len() > 1 {
            self.repeats.begin(self.known.len());
        }
        let mut forwarded = 0;
        for (place, known) in (0u32..).zip(&self.known) {
            if let Some(reason) = known.rejected {
                self.groups.reject(reason, place);
            } else if let Some(reason) = suppressed(selection, known, now_ms) {
                self.groups.suppress(reason, place);
            } else if self.known.len() > 1
                && self.repeats.is_repeat(place, &known.address, |other| &self.known[other as usize].address)
            {
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

/// The lowest reason over the address and the contact.
#[inline]
fn suppressed(selection: &Selection<'_>, known: &Known, now_ms: UnixMs) -> Option<Reason> {
    let by_address = selection.reason(&known.address, now_ms);
    let by_contact = known.contact.as_ref().and_then(|contact| selection.reason(contact, now_ms));
    match (by_address, by_contact) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Whether the job itself can be decided (contract, section 9).
fn admit(job: &JobView<'_>, recipients: usize) -> Result<Channel, RefusalView> {
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
    job.channel.ok_or_else(|| bad(4, "no such channel"))
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
