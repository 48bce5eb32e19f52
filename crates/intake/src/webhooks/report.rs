//! Feedback reports (ARF, RFC 5965) as mail gateways attach them to a complaint, read. Pure.

use mail_parser::{Message, MessageParser, MimeHeaders as _, PartType};
use zeroize::Zeroizing;

/// Most recipients of a report: one by most reporters, a few where they report mails together.
pub(crate) const RECIPIENTS_MAX: usize = 50;
/// Most links of the original message that may have a token.
const LINKS_MAX: usize = 8;

/// What a report asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feedback {
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
pub(crate) struct Report {
    pub(crate) feedback: Feedback,
    pub(crate) recipients: Vec<Zeroizing<String>>,
    /// Senders of the original message, as it was sent and as it says.
    pub(crate) senders: Vec<Zeroizing<String>>,
    links: Zeroizing<String>,
    pub(crate) message_id: String,
}

impl Report {
    /// Reads a report: a message, or the body of a `content_type` with its boundary; `None` for what is none. Of recipients one more than
    /// there may be is kept.
    pub(crate) fn read(body: &[u8], content_type: &str) -> Option<Self> {
        read(body, content_type)
    }

    /// What may be tokens in the original's `List-Unsubscribe`.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        tokens(&self.links)
    }
}

fn read(body: &[u8], content_type: &str) -> Option<Report> {
    // The body of a multipart/report has its boundary in the call's header.
    let framed = content_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    let head = if framed { format!("content-type: {content_type}\r\n\r\n") } else { String::new() };
    let whole = Zeroizing::new([head.as_bytes(), body].concat());
    // Where it is built with debug assertions, the library panics at some messages that it else reads on with.
    let message = std::panic::catch_unwind(|| MessageParser::default().parse(&*whole)).ok()??;
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
        message_id: message.message_id().map_or_else(|| "report".to_owned(), clean),
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
