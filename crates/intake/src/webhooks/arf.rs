//! Feedback reports (ARF, RFC 5965) as mail gateways attach them to a complaint: whom it is about, and whose mail it was. Pure.
//!
//! Mailbox providers often take the person out of a report (RFC 6590). What stays is the original message's `List-Unsubscribe`, whose
//! link has our token, which names person, tenant and list; so both are looked for, and either is enough.

use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};
use tamis_campaign::{Channel, InboundKind, RecordReason, Source, UnixMs};
use tamis_policy::Policy;
use tamis_subject::Subjects;
use tamis_subject::token::Opened;
use tamis_wire::DeadLetterCode;
use tamis_wire::inbound::{Written, Wrong};
use tamis_wire::record::Scope;
use zeroize::Zeroizing;

use crate::answer::Refusal;
use crate::replies::{self, Effect, Made};

/// Most recipients of a report: one by most reporters, a few where they report mails together.
const RECIPIENTS_MAX: usize = 50;
/// Most links of the original message that may have a token.
const LINKS_MAX: usize = 8;

/// What a report asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feedback {
    /// `abuse`.
    Complaint,
    /// `opt-out` (RFC 6449): no more from this sender.
    OptOut,
    /// `opt-out-list`: no more from this list.
    OptOutList,
    /// `fraud`, `virus`, `not-spam`, `auth-failure`, `other`, and what is registered later: nobody says no.
    Other,
}

/// A report. It holds people: nothing here prints.
struct Report {
    feedback: Feedback,
    recipients: Vec<Zeroizing<String>>,
    /// Senders of the original message, as it was sent and as it says.
    senders: Vec<Zeroizing<String>>,
    links: Zeroizing<String>,
    message_id: String,
}

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
    let report = read(body, content_type).ok_or_else(|| {
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
    let opened = tokens(&report.links).filter_map(|token| subjects.open(token)).next();
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

fn read(body: &[u8], content_type: &str) -> Option<Report> {
    // The body of a multipart/report has its boundary in the call's header.
    let framed = content_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    let head = if framed { format!("content-type: {content_type}\r\n\r\n") } else { String::new() };
    let whole = Zeroizing::new([head.as_bytes(), body].concat());
    let message = MessageParser::default().parse(&*whole)?;
    let is = |at: usize, kind: &str, sub: &str| {
        message.parts[at].content_type().is_some_and(|found| {
            found.ctype().eq_ignore_ascii_case(kind)
                && found.subtype().is_some_and(|found| found.eq_ignore_ascii_case(sub))
        })
    };
    let all = || 0..message.parts.len();
    let fields =
        fields(&lossy(message.parts[all().find(|&at| is(at, "message", "feedback-report"))?].contents()));
    let named = |name: &str| {
        let name = name.to_owned();
        fields.iter().filter(move |(known, _)| *known == name).map(|(_, value)| address(value))
    };
    let mut types = fields.iter().filter(|(name, _)| name == "feedback-type");
    let (Some((_, kind)), None) = (types.next(), types.next()) else { return None };
    let feedback = match kind.to_ascii_lowercase().as_str() {
        "abuse" => Feedback::Complaint,
        "opt-out" => Feedback::OptOut,
        "opt-out-list" => Feedback::OptOutList,
        _ => Feedback::Other,
    };
    let headers = original(&message, is);
    let header =
        |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut senders: Vec<_> = named("original-mail-from").collect();
    senders.extend(header("from").map(address));
    Some(Report {
        feedback,
        recipients: named("original-rcpt-to")
            .filter(|address| !address.is_empty())
            .take(RECIPIENTS_MAX + 1)
            .collect(),
        senders,
        links: Zeroizing::new(header("list-unsubscribe").unwrap_or_default().to_owned()),
        message_id: message.message_id().map_or_else(|| "report".to_owned(), |id| clean(id)),
    })
}

/// The headers of the message that the report is about: whole, or its headers alone.
fn original(message: &Message<'_>, is: impl Fn(usize, &str, &str) -> bool) -> Fields {
    for (at, part) in message.parts.iter().enumerate() {
        if let PartType::Message(original) = &part.body {
            return fields(&lossy(head(original.raw_message())));
        }
        if is(at, "text", "rfc822-headers") {
            return fields(&lossy(head(part.contents())));
        }
    }
    Fields::default()
}

/// What stands before the first empty line.
fn head(message: &[u8]) -> &[u8] {
    let end = message.windows(2).position(|two| two == b"\n\n");
    let end = end.into_iter().chain(message.windows(4).position(|four| four == b"\r\n\r\n")).min();
    &message[..end.unwrap_or(message.len())]
}

fn lossy(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(String::from_utf8_lossy(bytes).into_owned())
}

/// Names in lower case, and values.
type Fields = Vec<(String, Zeroizing<String>)>;

/// Header fields, each folded line joined to the one before.
fn fields(text: &str) -> Fields {
    let mut fields = Fields::new();
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), Zeroizing::new(value.trim().to_owned())));
        }
    }
    fields
}

/// The address in `Name <address>`, `<address>`, `rfc822; address` or `address`.
fn address(value: &str) -> Zeroizing<String> {
    let inside = value.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inside, _)| inside);
    let bare = inside.unwrap_or_else(|| value.rsplit(';').next().unwrap_or_default());
    Zeroizing::new(bare.trim().to_owned())
}

/// What may be tokens in a `List-Unsubscribe`: what stands behind `/u/` of each link.
fn tokens(links: &str) -> impl Iterator<Item = &str> {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    links
        .split("/u/")
        .skip(1)
        .take(LINKS_MAX)
        .map(move |rest| rest.find(|c| !is_of_token(c)).map_or(rest, |end| &rest[..end]))
}

/// A message's id as an event may have it.
fn clean(id: &str) -> String {
    let id: String = id.chars().filter(|c| !c.is_control()).take(256).collect();
    if id.trim().is_empty() { "report".to_owned() } else { id }
}
