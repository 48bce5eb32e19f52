//! Jobs as JSON, with the field names of the contract (section 2): from a line of NDJSON, and back for `tail`.
//!
//! An error names the field and what it must be, never what stood there: that may be an address.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use tamis_campaign::{Channel, Purpose};
use tamis_wire::proto::campaign::v1::{Delivery, PostalAddress, Recipient, SendJob};

use crate::mask;

/// What is wrong with a line, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadField {
    /// The path of the field, `recipients[3].address`; empty for the line itself.
    pub(crate) field: String,
    /// What it must be.
    pub(crate) must: String,
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.must)
        } else {
            write!(f, "{}: {}", self.field, self.must)
        }
    }
}

impl std::error::Error for BadField {}

fn bad<T>(field: impl Into<String>, must: impl Into<String>) -> Result<T, BadField> {
    Err(BadField { field: field.into(), must: must.into() })
}

const JOB_FIELDS: &[&str] = &[
    "job_id",
    "tenant",
    "campaign",
    "channel",
    "purpose",
    "list",
    "sender",
    "not_before_ms",
    "not_after_ms",
    "gateway",
    "content_type",
    "content",
    "content_text",
    "recipients",
];
const RECIPIENT_FIELDS: &[&str] = &["address", "contact", "fields", "time_zone", "postal"];
const POSTAL_FIELDS: &[&str] = &["name", "street", "extra", "postal_code", "city", "country"];

/// Reads one line as a job.
///
/// The channel and the purpose are names in lower case (`purpose` may be left out: marketing), `content` and
/// `fields` are base64, `content_text` is the content as it stands. Identifiers are not judged here: that is
/// the router's, whose answer is in the outcomes.
///
/// # Errors
/// [`BadField`] for the first field that is not as it must be.
pub(crate) fn parse(line: &str) -> Result<SendJob, BadField> {
    let value: Value = serde_json::from_str(line)
        .or_else(|error| bad("", format!("not JSON at column {} of the line", error.column())))?;
    let job = Object::new("", &value, JOB_FIELDS)?;
    let content = match (job.bytes("content")?, job.text("content_text")?) {
        (content, text) if text.is_empty() => content,
        (content, text) if content.is_empty() => text.into_bytes(),
        _ => return bad("content_text", "give content or content_text, not both"),
    };
    let recipients = match job.fields.get("recipients") {
        None => Vec::new(),
        Some(Value::Array(all)) => all
            .iter()
            .enumerate()
            .map(|(place, one)| recipient(&format!("recipients[{place}]"), one))
            .collect::<Result<_, _>>()?,
        Some(_) => return bad("recipients", "must be an array of objects"),
    };
    Ok(SendJob {
        job_id: job.required("job_id")?,
        tenant: job.required("tenant")?,
        campaign: job.text("campaign")?,
        channel: channel(&job)?.number(),
        purpose: purpose(&job)?.number(),
        list: job.text("list")?,
        sender: job.text("sender")?,
        not_before_ms: job.moment("not_before_ms")?,
        not_after_ms: job.moment("not_after_ms")?,
        gateway: job.text("gateway")?,
        content_type: job.text("content_type")?,
        content,
        recipients,
    })
}

fn channel(job: &Object<'_>) -> Result<Channel, BadField> {
    let name = job.required("channel")?;
    Channel::from_name(&name)
        .map_or_else(|| bad("channel", format!("must be one of {}", names(Channel::ALL))), Ok)
}

fn purpose(job: &Object<'_>) -> Result<Purpose, BadField> {
    let name = job.text("purpose")?;
    if name.is_empty() {
        return Ok(Purpose::Marketing);
    }
    Purpose::from_name(&name)
        .map_or_else(|| bad("purpose", format!("must be one of {}", names(Purpose::ALL))), Ok)
}

/// The names of a closed set, for an error.
pub(crate) fn names<T: fmt::Display>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn recipient(path: &str, value: &Value) -> Result<Recipient, BadField> {
    let one = Object::new(path, value, RECIPIENT_FIELDS)?;
    let postal = match one.fields.get("postal") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let postal = Object::new(&one.path("postal"), value, POSTAL_FIELDS)?;
            Some(PostalAddress {
                name: postal.text("name")?,
                street: postal.text("street")?,
                extra: postal.text("extra")?,
                postal_code: postal.text("postal_code")?,
                city: postal.text("city")?,
                country: postal.text("country")?,
            })
        }
    };
    Ok(Recipient {
        address: one.text("address")?,
        contact: one.text("contact")?,
        fields: one.bytes("fields")?,
        time_zone: one.text("time_zone")?,
        postal,
        // A delivery's, which tamis writes.
        unsubscribe_token: String::new(),
    })
}

/// An object of the line, and where it stands.
struct Object<'a> {
    at: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn new(at: &str, value: &'a Value, known: &[&str]) -> Result<Self, BadField> {
        let Value::Object(fields) = value else { return bad(at, "must be an object") };
        // The unknown name is not repeated: on a shifted line it may be somebody's address.
        if fields.keys().any(|name| !known.contains(&name.as_str())) {
            return bad(at, format!("a field that is not known here; known are {}", known.join(", ")));
        }
        Ok(Self { at: at.to_owned(), fields })
    }

    fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    fn text(&self, name: &str) -> Result<String, BadField> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => bad(self.path(name), "must be a string"),
        }
    }

    fn required(&self, name: &str) -> Result<String, BadField> {
        let text = self.text(name)?;
        if text.is_empty() { bad(self.path(name), "is missing") } else { Ok(text) }
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, BadField> {
        BASE64.decode(self.text(name)?).or_else(|_| bad(self.path(name), "must be base64"))
    }

    fn moment(&self, name: &str) -> Result<i64, BadField> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(0),
            Some(value) => value
                .as_i64()
                .map_or_else(|| bad(self.path(name), "must be a whole number: Unix milliseconds"), Ok),
        }
    }
}

/// A delivery as one JSON object; unless `reveal`, people are masked and content is only measured.
pub(crate) fn delivery(delivery: &Delivery, reveal: bool) -> Value {
    let channel = Channel::from_number(delivery.channel).map_or("", Channel::as_str);
    let purpose = Purpose::from_number(delivery.purpose.max(1)).map_or("", Purpose::as_str);
    let mut object = json!({
        "job_id": delivery.job_id,
        "tenant": delivery.tenant,
        "campaign": delivery.campaign,
        "channel": channel,
        "purpose": purpose,
        "list": delivery.list,
        "sender": delivery.sender,
        "not_before_ms": delivery.not_before_ms,
        "not_after_ms": delivery.not_after_ms,
        "gateway": delivery.gateway,
        "content_type": delivery.content_type,
        "recipients": delivery.recipients.iter().map(|one| recipient_json(one, reveal)).collect::<Vec<_>>(),
    });
    if reveal {
        object["content"] = json!(BASE64.encode(&delivery.content));
    } else {
        object["content_bytes"] = json!(delivery.content.len());
    }
    if let Some(stamp) = &delivery.stamp {
        object["stamp"] = json!({
            "decided_at_ms": stamp.decided_at_ms,
            "filter_position": stamp.filter_position,
            "policy_version": stamp.policy_version,
            "gateway": stamp.gateway,
            "recipients_in": stamp.recipients_in,
            "part": stamp.part,
            "parts": stamp.parts,
        });
    }
    object
}

fn recipient_json(one: &Recipient, reveal: bool) -> Value {
    let address: fn(&str) -> String = if reveal { str::to_owned } else { mask::address };
    let text: fn(&str) -> String = if reveal { str::to_owned } else { mask::text };
    let mut object = json!({ "address": address(&one.address), "contact": text(&one.contact) });
    if reveal {
        object["fields"] = json!(BASE64.encode(&one.fields));
        object["time_zone"] = json!(one.time_zone);
    }
    if !one.unsubscribe_token.is_empty() {
        // Whoever has it can opt this person out.
        object["unsubscribe_token"] = json!(text(&one.unsubscribe_token));
    }
    if let Some(postal) = &one.postal {
        object["postal"] = json!({
            "name": text(&postal.name),
            "street": text(&postal.street),
            "extra": text(&postal.extra),
            "postal_code": text(&postal.postal_code),
            "city": text(&postal.city),
            "country": postal.country,
        });
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn a_line_with_every_field_is_the_job_it_says() {
        let job = parse(
            r#"{"job_id":"j1","tenant":"acme","campaign":"c","channel":"mail","purpose":"service","list":"l",
                "sender":"s","not_before_ms":1,"not_after_ms":2,"gateway":"g","content_type":"text/plain",
                "content":"aGk=","recipients":[{"contact":"42","fields":"AQI=","time_zone":"Europe/Paris",
                "postal":{"name":"N","street":"S","postal_code":"P","city":"C","country":"FR"}}]}"#,
        )
        .unwrap();
        assert_eq!((job.channel, job.purpose, job.not_after_ms), (5, 2, 2));
        assert_eq!(job.content, b"hi");
        assert_eq!(job.recipients[0].fields, [1, 2]);
        assert_eq!(job.recipients[0].postal.as_ref().unwrap().country, "FR");
    }

    #[test]
    fn an_error_names_the_field_and_never_what_stood_there() {
        let secret = "+33612345678";
        for (line, field) in [
            (
                format!(
                    r#"{{"job_id":"j","tenant":"t","channel":"sms","recipients":[{{"address":{{"a":"{secret}"}}}}]}}"#
                ),
                "recipients[0].address",
            ),
            (format!(r#"{{"job_id":"j","tenant":"t","channel":"{secret}"}}"#), "channel"),
            (
                format!(r#"{{"job_id":"j","tenant":"t","channel":"sms","recipients":[{{"{secret}":1}}]}}"#),
                "recipients[0]",
            ),
            (
                format!(r#"{{"job_id":"j","tenant":"t","channel":"sms","recipients":"{secret}"}}"#),
                "recipients",
            ),
            (format!(r#"{{"job_id":"j","tenant":"t","channel":"sms","content":"{secret}!"}}"#), "content"),
            (
                format!(r#"{{"job_id":"j","tenant":"t","channel":"sms","not_before_ms":"{secret}"}}"#),
                "not_before_ms",
            ),
            (format!(r#"{{"job_id":"{secret}"#), "not JSON"),
        ] {
            let text = refused(&line);
            assert!(text.starts_with(field), "{text}");
            assert!(!text.contains("612345678"), "{text}");
        }
    }

    #[test]
    fn what_must_be_there_is_asked_for() {
        assert_eq!(refused(r#"{"tenant":"t","channel":"sms"}"#), "job_id: is missing");
        assert_eq!(refused("[]"), "must be an object");
        assert!(
            refused(r#"{"job_id":"j","tenant":"t","channel":"pigeon"}"#)
                .contains("sms, email, voice, fax, mail")
        );
    }

    #[test]
    fn a_masked_delivery_shows_nobody() {
        let line = r#"{"job_id":"j1","tenant":"acme","channel":"mail","content_text":"Bonjour Martin",
            "recipients":[{"address":"+33612345678","contact":"client-42","fields":"TWFydGlu","time_zone":"Indian/Reunion",
            "postal":{"name":"Martin","street":"Rue","postal_code":"97400","city":"Saint-Denis","country":"RE"}}]}"#;
        let job = parse(line).unwrap();
        let one = Delivery {
            job_id: job.job_id,
            content: job.content,
            recipients: job.recipients,
            ..Delivery::default()
        };
        let shown = delivery(&one, false).to_string();
        for secret in
            ["612345", "client", "Martin", "TWFydGlu", "Rue", "97400", "Saint", "Reunion", "Bonjour"]
        {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        let shown = delivery(&one, true);
        assert_eq!(shown["recipients"][0]["address"], "+33612345678");
        assert_eq!(shown["content"], BASE64.encode("Bonjour Martin"));
    }
}
