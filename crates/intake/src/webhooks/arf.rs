//! What a feedback report does: records of the person whom it is about, for whoever's mail it was. Pure.
//!
//! Mailbox providers often take the person out of a report (RFC 6590). What stays is the original message's `List-Unsubscribe`, whose
//! link has our token, which names person, tenant and list; so both are looked for, and either is enough.

use tamis_campaign::{Channel, InboundKind, RecordReason, Source, UnixMs};
use tamis_policy::Policy;
use tamis_subject::Subjects;
use tamis_subject::token::Opened;
use tamis_wire::DeadLetterCode;
use tamis_wire::inbound::{Written, Wrong};
use tamis_wire::record::Scope;

use super::report::{Feedback, RECIPIENTS_MAX, Report};
use crate::answer::Refusal;
use crate::replies::{self, Effect, Made};

/// What the report in `body`, a message or the body of a `content_type`, does.
///
/// # Errors
/// A 400 for what is no report, a 422 for one that names nobody.
pub(crate) fn effect(
    body: &[u8],
    content_type: &str,
    gateway: &str,
    policy: &Policy,
    subjects: &Subjects,
    now_ms: UnixMs,
) -> Result<(Effect, String), Refusal> {
    let report = Report::read(body, content_type).ok_or_else(|| {
        Refusal::field(
            "body",
            "must be a feedback report (RFC 5965): multipart/report with message/feedback-report",
        )
    })?;
    if report.recipients.len() > RECIPIENTS_MAX {
        let text = format!("a report may have {RECIPIENTS_MAX} recipients at most");
        return Err(Refusal::field("Original-Rcpt-To", text));
    }
    let reason = match report.feedback {
        Feedback::Complaint => RecordReason::Complaint,
        Feedback::OptOut | Feedback::OptOutList => RecordReason::Unsubscribed,
        Feedback::Other => return Ok((Effect { says: "nothing", records: Vec::new() }, report.message_id)),
    };
    let says = if reason == RecordReason::Complaint { "complaint" } else { "unsubscribed" };
    let opened = report.tokens().filter_map(|token| subjects.open(token)).next();
    let mut records = Vec::new();
    let mut wrong = Wrong { code: DeadLetterCode::MissingAddress, field: 5 };
    let owner = report.senders.iter().find(|sender| !policy.owners(sender).is_empty());
    for address in &report.recipients {
        let written = Written {
            gateway,
            message_id: &report.message_id,
            kind: InboundKind::Complaint.number(),
            channel: Channel::Email.number(),
            address,
            to: owner.map_or("", |sender| sender),
            tenant: opened.as_ref().map_or("", |opened| &opened.tenant),
            received_at_ms: now_ms,
            ..Written::default()
        };
        let event = written.check().map_err(Refusal::from)?;
        match replies::records(&event, policy, None, subjects, now_ms) {
            Ok(effect) => records.extend(effect.records),
            // Taken out, or in a form that is none: the others and the token may do.
            Err(nobody) => wrong = nobody,
        }
    }
    let evidence = replies::evidence(&report.message_id, "", now_ms);
    if let Some(Opened { first, identity, channel, tenant, .. }) = &opened {
        records.push(Made::adding(
            *first,
            *identity,
            Scope::Tenant(tenant.clone()),
            *channel,
            reason,
            Source::Gateway,
            evidence,
            subjects,
        ));
    }
    let list = opened.as_ref().map(|opened| &opened.list).filter(|list| !list.is_empty());
    for made in &mut records {
        made.record.reason = reason;
        if let (Feedback::OptOutList, Some(list), Scope::Tenant(tenant)) =
            (report.feedback, list, &made.record.scope)
        {
            made.record.scope = Scope::List { tenant: tenant.clone(), list: list.clone() };
        }
    }
    // The token's person is one of the recipients, mostly.
    let mut once = Vec::<Made>::new();
    for made in records {
        if !once.iter().any(|known| {
            known.record.subject == made.record.subject && known.record.scope == made.record.scope
        }) {
            once.push(made);
        }
    }
    if once.is_empty() {
        return Err(wrong.into());
    }
    Ok((Effect { says, records: once }, report.message_id))
}
