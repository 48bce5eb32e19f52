//! `tamis explain`: what would become of one recipient of one job, and why.

use std::io::Read as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tamis_campaign::{Channel, UnixMs};
use tamis_policy::Policy;
use tamis_sieve::{Decision, Sieve};
use tamis_subject::{Postal, Subject, Subjects};
use tamis_suppression::{Found, Index};
use tamis_wire::proto::campaign::v1::SendJob;
use tamis_wire::{JobView, Message as _, Spans};

use crate::cli::Global;
use crate::context::{self, Context, Log};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::loaded::Loaded;
use crate::{job_json, output};

/// More than a job's header and one recipient ever are.
const INPUT_BYTES_MAX: u64 = 1 << 20;

/// Say what would become of one recipient of one job, and why.
///
/// Reads from stdin `{"job":{…},"recipient":{…}}`: a job's header and a recipient, with the field names of the
/// reference. `job_id` may be left out. Nothing of the recipient is printed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  echo '{\"job\":{\"tenant\":\"acme\",\"channel\":\"sms\"},\"recipient\":{\"address\":\"06 39 98 12 34\"}}' | tamis explain"
)]
pub(crate) struct Explain {}

/// A record that is in force for the recipient.
pub(crate) struct Cause {
    /// The record.
    pub(crate) found: Found,
    /// Whether by the contact; by the address otherwise.
    pub(crate) by_contact: bool,
}

impl Explain {
    #[expect(clippy::unused_self, reason = "as every command")]
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let context = Context::open(global)?;
        let job = read()?;
        let subjects = context.subjects()?;
        let policy = Arc::new(context.policy()?);
        let now_ms = context::now_ms();
        let told = match context.log()? {
            Log::Kafka(bus) => with_loaded(
                &Loaded::from(bus, subjects.clone(), &context)?,
                (&subjects, &policy),
                &job,
                now_ms,
            )?,
            Log::Embedded(bus) => with_loaded(
                &Loaded::from(bus, subjects.clone(), &context)?,
                (&subjects, &policy),
                &job,
                now_ms,
            )?,
            Log::Service(service) => {
                let index = service.index_of(&subjects, &job)?;
                explain(&index, (&subjects, &policy), &job, now_ms)?
            }
        };
        if global.json { output::json(&told) } else { output::line(in_words(&told)) }
    }
}

fn with_loaded(
    loaded: &Loaded,
    by: (&Subjects, &Arc<Policy>),
    job: &SendJob,
    now_ms: UnixMs,
) -> Outcome<Value> {
    loaded.filter().hold_still(|view| explain(view, by, job, now_ms))
}

/// The job with its one recipient, from stdin.
fn read() -> Outcome<SendJob> {
    let refuse = |text: String| Failure::say(ExitCode::Refused, text);
    let mut text = String::new();
    std::io::stdin()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .or_exit(ExitCode::Refused, "read stdin")?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(refuse(format!(
            "stdin: more than {INPUT_BYTES_MAX} bytes: one job's header and one recipient"
        )));
    }
    let mut value: Value = serde_json::from_str(&text)
        .map_err(|error| refuse(format!("stdin: not JSON at line {}", error.line())))?;
    let recipient = value["recipient"].take();
    let mut job = value["job"].take();
    let Some(fields) = job.as_object_mut() else {
        return Err(refuse("job: must be an object, beside recipient".to_owned()));
    };
    if !recipient.is_object() {
        return Err(refuse("recipient: must be an object, beside job".to_owned()));
    }
    fields.entry("job_id").or_insert_with(|| json!("explain"));
    fields.insert("recipients".to_owned(), json!([recipient]));
    job_json::parse(&job.to_string()).map_err(|bad| refuse(bad.to_string()))
}

/// Decides the job as the line does, and looks up what is in force for its recipient.
fn explain(
    index: &Index,
    (subjects, policy): (&Subjects, &Arc<Policy>),
    job: &SendJob,
    now_ms: UnixMs,
) -> Outcome<Value> {
    let bytes = job.encode_to_vec();
    let mut spans = Spans::default();
    let view = JobView::parse(&bytes, &mut spans)
        .map_err(|bad| Failure::say(ExitCode::Refused, format!("job: {bad:?} would be a dead letter")))?;
    let mut sieve = Sieve::new(subjects.clone());
    sieve.use_policy(policy);
    let decision = sieve.decide(&view, &bytes, &spans, index, now_ms);
    let (fate, reason) = fate(&decision);
    let mut told = json!({
        "decision": fate,
        "reason": reason,
        "verdict": decision.verdict.as_str(),
        "gateway": decision.gateway,
    });
    if let Some((retry_at_ms, _, _)) = decision.deferred() {
        told["retry_at_ms"] = json!(retry_at_ms);
    }
    if let Some(refusal) = &decision.refusal {
        told["refusal"] =
            json!({ "code": refusal.code.code(), "rule": refusal.rule, "message": refusal.message });
    }
    let mut records = Vec::new();
    for (subject, by_contact) in subjects_of(subjects, job) {
        let found = index.in_force(&job.tenant, &subject, now_ms);
        for found in found.or_exit(ExitCode::Unreachable, "look up records")? {
            records.push(record_json(&Cause { found, by_contact }, job, reason, now_ms));
        }
    }
    told["records"] = json!(records);
    Ok(told)
}

/// What became of the only recipient, and for which reason.
fn fate(decision: &Decision<'_>) -> (&'static str, Option<&'static str>) {
    if let Some((reason, _, _)) = decision.suppressed().next() {
        return ("suppressed", Some(reason.as_str()));
    }
    if let Some((reason, _, _)) = decision.rejected().next() {
        return ("rejected", Some(reason.as_str()));
    }
    if decision.deferred().is_some() {
        return ("deferred", None);
    }
    if decision.forwarded > 0 { ("forwarded", None) } else { (decision.verdict.as_str(), None) }
}

/// The recipient's subjects that can be made, and whether each is the contact's.
pub(crate) fn subjects_of(subjects: &Subjects, job: &SendJob) -> Vec<(Subject, bool)> {
    let Some(one) = job.recipients.first() else { return Vec::new() };
    let by_address = match (Channel::from_number(job.channel), &one.postal) {
        (Some(Channel::Mail), Some(p)) => subjects
            .postal(&Postal {
                name: &p.name,
                street: &p.street,
                extra: &p.extra,
                postal_code: &p.postal_code,
                city: &p.city,
                country: &p.country,
            })
            .ok(),
        (Some(Channel::Mail), None) | (None, _) => None,
        (Some(channel @ (Channel::Sms | Channel::Email | Channel::Voice | Channel::Fax)), _) => {
            subjects.address(channel, one.address.as_bytes()).ok()
        }
    };
    let tenant = tamis_campaign::Tenant::parse(&job.tenant).ok();
    let by_contact = tenant
        .filter(|_| !one.contact.is_empty())
        .map(|tenant| subjects.contact(tenant, one.contact.as_bytes()));
    by_address
        .map(|subject| (subject, false))
        .into_iter()
        .chain(by_contact.map(|subject| (subject, true)))
        .collect()
}

/// A record, and whether it is the one that caused the decision.
fn record_json(cause: &Cause, job: &SendJob, reason: Option<&str>, now_ms: UnixMs) -> Value {
    let found = &cause.found;
    let (_, list) = found.scope.names();
    let here = found.channel.is_none_or(|channel| channel.number() == job.channel)
        && (list.is_empty() || list == job.list);
    json!({
        "by": if cause.by_contact { "contact" } else { "address" },
        "reason": found.reason.as_str(),
        "scope": found.scope.as_str(),
        "list": list,
        "channel": found.channel.map_or("all", Channel::as_str),
        "effective_at_ms": found.effective_at_ms,
        "expires_at_ms": found.expires_at_ms,
        "source": found.source.as_str(),
        "evidence": found.evidence,
        "recorded_at_ms": found.recorded_at_ms,
        "age_ms": now_ms.saturating_sub(found.recorded_at_ms).max(0),
        "cause": here && reason == Some(found.reason.as_str()),
    })
}

fn in_words(told: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = text(&told["decision"]);
    if let Some(reason) = told["reason"].as_str() {
        lines.push_str(&format!(": {reason}"));
    }
    if let Some(retry) = told["retry_at_ms"].as_i64() {
        lines.push_str(&format!(" until {retry} (Unix ms)"));
    }
    if let Some(message) = told["refusal"]["message"].as_str() {
        lines.push_str(&format!(": {} ({message})", text(&told["refusal"]["code"])));
    }
    for record in told["records"].as_array().into_iter().flatten() {
        lines.push_str(&format!(
            "\n  {} {}  scope {}{}  channel {}  by {}  source {}  {} old{}",
            if record["cause"] == json!(true) { "because of" } else { "in force  " },
            text(&record["reason"]),
            text(&record["scope"]),
            record["list"]
                .as_str()
                .filter(|list| !list.is_empty())
                .map_or_else(String::new, |list| format!(" {list}")),
            text(&record["channel"]),
            text(&record["by"]),
            text(&record["source"]),
            age(record["age_ms"].as_i64().unwrap_or(0)),
            record["evidence"]
                .as_str()
                .filter(|e| !e.is_empty())
                .map_or_else(String::new, |e| format!("  evidence {e}")),
        ));
    }
    lines
}

/// An age in its largest unit.
fn age(ms: i64) -> String {
    match ms / 1000 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
