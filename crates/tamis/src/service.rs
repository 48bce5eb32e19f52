//! The running service that has the embedded log, asked over HTTP on this machine.
//!
//! Where it listens, and a token that opens its doors, are in a file beside the log that only its owner can read.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tamis_campaign::{Channel, Reason, RecordReason, Source};
use tamis_intake::ExportPage;
use tamis_pipeline::rotate::Rotated;
use tamis_subject::{Subject, Subjects};
use tamis_suppression::Index;
use tamis_wire::proto::campaign::v1::SendJob;
use tamis_wire::record::{Record, Scope, State};

use crate::commands::explain::subjects_of;
use crate::context::{End, TailAsk};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::suppressing::{Ask, Reach, Rows};

const FILE: &str = "endpoint.json";
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long one answer may wait for deliveries.
const TAIL_WAIT: Duration = Duration::from_millis(500);
/// The limit of an answer's body: a batch of deliveries.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// What the file beside the log says.
#[derive(Serialize, Deserialize)]
struct Endpoint {
    api: SocketAddr,
    token: String,
}

/// The file, for as long as the service runs.
pub(crate) struct Advertised(PathBuf);

impl Advertised {
    /// Writes it, readable by its owner only.
    pub(crate) fn write(data_dir: &Path, api: SocketAddr, token: &str) -> Outcome<Self> {
        let path = data_dir.join(FILE);
        // What is there is a killed process's: we hold the log's lock.
        let _ = std::fs::remove_file(&path);
        let text = json!(Endpoint { api, token: token.to_owned() }).to_string();
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .or_exit(ExitCode::Failed, format!("write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Advertised {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A service that answers.
pub(crate) struct Service {
    agent: ureq::Agent,
    base: String,
    token: String,
}

impl Service {
    /// The service that has the log in `data_dir`, if there is one that answers.
    pub(crate) fn find(data_dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data_dir.join(FILE)).ok()?;
        let endpoint: Endpoint = serde_json::from_str(&text).ok()?;
        std::net::TcpStream::connect_timeout(&endpoint.api, Duration::from_secs(2)).ok()?;
        let config =
            ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        Some(Self { agent: config.into(), base: format!("http://{}", endpoint.api), token: endpoint.token })
    }

    fn json(&self, path: &str, body: &Value) -> Outcome<(u16, Value)> {
        let (status, body) = self.post(path, body)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    fn post(&self, path: &str, body: &Value) -> Outcome<(u16, Vec<u8>)> {
        let answer = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .send(body.to_string().as_bytes());
        read(answer)
    }

    /// Writes jobs, each an id and a value; they are durable when it answers.
    pub(crate) fn send_jobs(&self, jobs: &[(String, Vec<u8>)]) -> Outcome {
        let jobs: Vec<_> = jobs
            .iter()
            .map(|(job_id, value)| json!({ "job_id": job_id, "value": BASE64_STANDARD.encode(value) }))
            .collect();
        self.done("/v1/local/jobs", &json!({ "jobs": jobs })).map(drop)
    }

    /// Reads deliveries and hands each one's bytes on, until the ask's end.
    pub(crate) fn tail(&self, ask: &TailAsk, each: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        let (channel, group) = (ask.channel.as_str(), ask.group.as_str());
        let mut end = End::new(ask);
        while !end.is_reached() {
            let path = format!(
                "/v1/local/deliveries?channel={channel}&group={group}&from_beginning={}&max={}&wait_ms={}",
                ask.from_beginning,
                end.most(),
                TAIL_WAIT.as_millis(),
            );
            let answer = self
                .agent
                .get(format!("{}{path}", self.base))
                .header("authorization", format!("Bearer {}", self.token))
                .call();
            let (status, body) = read(answer)?;
            let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
            if status != 200 {
                return Err(refusal(status, &answer));
            }
            let records = answer["records"].as_array().map_or(&[][..], Vec::as_slice);
            for record in records {
                let value = BASE64_STANDARD.decode(record["value"].as_str().unwrap_or_default());
                each(&value.or_exit(ExitCode::Failed, "read the running service's answer")?)?;
            }
            if !records.is_empty() {
                self.done("/v1/local/deliveries/commit", &json!({ "channel": channel, "group": group }))?;
            }
            end.came(records.len());
        }
        Ok(())
    }

    /// Has a snapshot of the filter written; answers what it knows of itself.
    pub(crate) fn snapshot(&self) -> Outcome<Value> {
        self.done("/v1/local/snapshot", &json!({}))
    }

    /// Asks for what can be told; anything but a 200 is a failure.
    pub(crate) fn get(&self, path: &str) -> Outcome<Value> {
        let asked = self.agent.get(format!("{}{path}", self.base));
        let (status, body) = read(asked.header("authorization", format!("Bearer {}", self.token)).call())?;
        let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status == 200 { Ok(answer) } else { Err(refusal(status, &answer)) }
    }

    /// Posts rows as long as there are any; anything but a 202 is a failure.
    pub(crate) fn stream(&self, path: &str, rows: &mut dyn std::io::Read) -> Outcome<Value> {
        let patient: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let answer = patient
            .post(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/octet-stream")
            .send(ureq::SendBody::from_reader(&mut { rows }));
        let (status, body) = read(answer)?;
        let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status == 202 { Ok(answer) } else { Err(refusal(status, &answer)) }
    }

    /// Posts JSON; anything but a 200 is a failure.
    fn done(&self, path: &str, body: &Value) -> Outcome<Value> {
        match self.json(path, body)? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(refusal(status, &answer)),
        }
    }

    /// Some of its records, by what `/v1/local/export` takes.
    pub(crate) fn export(&self, ask: &Value) -> Outcome<ExportPage> {
        const WHAT: &str = "read the running service's answer";
        let (status, mut rows) = self.post("/v1/local/export", ask)?;
        if status != 200 {
            return Err(refusal(status, &serde_json::from_slice(&rows).unwrap_or(Value::Null)));
        }
        let head = rows.iter().position(|byte| *byte == b'\n').unwrap_or(rows.len());
        let mut page: ExportPage = serde_json::from_slice(&rows[..head]).or_exit(ExitCode::Failed, WHAT)?;
        rows.drain(..rows.len().min(head + 1));
        page.rows = rows;
        Ok(page)
    }

    /// Why each of some subjects must not be written to, by what `/v1/local/judge` takes; and its position and time.
    pub(crate) fn judge(&self, ask: &Value) -> Outcome<(Vec<Option<Reason>>, Vec<i64>, i64)> {
        let answer = self.done("/v1/local/judge", ask)?;
        let reasons = BASE64_STANDARD.decode(answer["reasons"].as_str().unwrap_or_default());
        let reasons = reasons.or_exit(ExitCode::Failed, "read the running service's answer")?;
        let reason = |number: &u8| match number {
            0 => Ok(None),
            number => Reason::from_number(i32::from(*number)).map(Some).ok_or_else(|| {
                Failure::say(ExitCode::Failed, "the running service tells a reason that is not known here")
            }),
        };
        let reasons = reasons.iter().map(reason).collect::<Outcome<_>>()?;
        let position = answer["position"].as_array().into_iter().flatten().filter_map(Value::as_i64);
        Ok((reasons, position.collect(), answer["decided_at_ms"].as_i64().unwrap_or_default()))
    }

    /// Subjects as these two take them.
    pub(crate) fn subjects(subjects: &[Subject], scheme: u32) -> Value {
        let bytes: Vec<u8> = subjects.iter().flat_map(|subject| subject.to_bytes()).collect();
        json!({ "scheme": scheme, "subjects": BASE64_STANDARD.encode(bytes) })
    }

    /// Rotates the identity key, which takes as long as it takes.
    pub(crate) fn rotate(&self) -> Outcome<Rotated> {
        let patient = ureq::Agent::config_builder().http_status_as_error(false).build();
        let service = Self { agent: patient.into(), base: self.base.clone(), token: self.token.clone() };
        let answer = service.done("/v1/local/keys/rotate", &json!({}))?;
        let number = |name: &str| answer[name].as_u64().unwrap_or(0);
        Ok(Rotated {
            scheme: u32::try_from(number("scheme")).unwrap_or(0),
            copied: number("copied"),
            removed: number("removed"),
            blocked_again: number("blocked_again"),
        })
    }

    /// Adds or lifts opt-outs; answers the lines rejected, each with a code.
    pub(crate) fn suppress(&self, ask: &Ask, rows: &Rows) -> Outcome<Vec<(usize, String)>> {
        let mut body = json!({
            "tenant": ask.tenant,
            "channel": ask.channel.map_or("all", Channel::as_str),
            "reason": ask.reason.as_str(),
        });
        match &ask.reach {
            Reach::Platform => {
                body["scope"] = json!("platform");
                if ask.tenant.is_empty() {
                    // The call wants a name; a record of the platform holds none.
                    body["tenant"] = json!("platform");
                }
            }
            Reach::Tenant => {}
            Reach::List(list) => body["list"] = json!(list),
        }
        if !ask.evidence.is_empty() {
            body["evidence"] = json!(ask.evidence);
        }
        if ask.expires_at_ms != 0 {
            body["expires_at_ms"] = json!(ask.expires_at_ms);
        }
        if let Some(text) = &ask.reason_text {
            body["reason_text"] = json!(text);
        }
        let mut lines: [(&str, Vec<usize>, Vec<Value>); 3] =
            [("addresses", vec![], vec![]), ("contacts", vec![], vec![]), ("postal", vec![], vec![])];
        let mut rejected = Vec::new();
        for (number, text) in rows.iter() {
            let (at, value) = if ask.contacts {
                (1, json!(text))
            } else if text.starts_with('{') {
                match serde_json::from_str(text) {
                    Ok(value) => (2, value),
                    Err(_) => {
                        rejected.push((number, "INVALID_ADDRESS".to_owned()));
                        continue;
                    }
                }
            } else {
                (0, json!(text))
            };
            lines[at].1.push(number);
            lines[at].2.push(value);
        }
        for (name, _, values) in &mut lines {
            if !values.is_empty() {
                body[*name] = Value::Array(std::mem::take(values));
            }
        }
        let path = if ask.lift { "/v1/suppressions/lift" } else { "/v1/suppressions" };
        let (status, answer) = self.json(path, &body)?;
        if status != 200 && status != 422 {
            return Err(refusal(status, &answer));
        }
        let told =
            if answer["rejected"].is_array() { &answer["rejected"] } else { &answer["details"]["rejected"] };
        for one in told.as_array().into_iter().flatten() {
            let index = one["index"].as_u64().and_then(|index| usize::try_from(index).ok());
            let line = lines
                .iter()
                .find(|(name, _, _)| one["field"] == *name)
                .and_then(|(_, numbers, _)| numbers.get(index?).copied());
            rejected.push((line.unwrap_or(0), one["code"].as_str().unwrap_or("REJECTED").to_owned()));
        }
        if status == 422 && rejected.is_empty() {
            return Err(refusal(status, &answer));
        }
        Ok(rejected)
    }

    /// An index of the records in force for the job's one recipient, as the service tells them.
    pub(crate) fn index_of(&self, subjects: &Subjects, job: &SendJob) -> Outcome<Index> {
        let mut index = Index::new(1);
        let Some(one) = job.recipients.first() else { return Ok(index) };
        for (offset, (subject, by_contact)) in (0..).zip(subjects_of(subjects, job)) {
            let mut body = json!({ "tenant": job.tenant });
            match (&one.postal, by_contact) {
                (_, true) => body["contacts"] = json!([one.contact]),
                (Some(p), false) => {
                    body["postal"] = json!([{
                        "name": p.name, "street": p.street, "extra": p.extra,
                        "postal_code": p.postal_code, "city": p.city, "country": p.country,
                    }]);
                }
                (None, false) => body["addresses"] = json!([one.address]),
            }
            let answer = self.done("/v1/suppressions/lookup", &body)?;
            for told in answer["results"][0]["records"].as_array().into_iter().flatten() {
                if let Some((record, recorded_at_ms)) = record_of(told, subject, subjects.scheme(), job) {
                    index
                        .apply(0, offset, recorded_at_ms, &record)
                        .or_exit(ExitCode::Failed, "note what the running service tells")?;
                }
            }
        }
        Ok(index)
    }
}

/// A record as the look-up tells it.
fn record_of(
    told: &Value,
    subject: tamis_subject::Subject,
    scheme: u32,
    job: &SendJob,
) -> Option<(Record, i64)> {
    let text = |name: &str| told[name].as_str().unwrap_or_default();
    let number = |name: &str| told[name].as_i64().unwrap_or(0);
    let tenant = job.tenant.as_str();
    let scope = match text("scope") {
        "platform" => Scope::Platform,
        "list" => Scope::List { tenant: tenant.into(), list: text("list").into() },
        _ => Scope::Tenant(tenant.into()),
    };
    let record = Record {
        subject,
        // Only the answer is made of it, and that does not tell the identity.
        identity: tamis_campaign::Identity::Phone,
        scope,
        channel: Channel::from_name(text("channel")),
        reason: RecordReason::from_name(text("reason"))?,
        state: State::InForce,
        effective_at_ms: number("effective_at_ms"),
        expires_at_ms: number("expires_at_ms"),
        source: Source::from_name(text("source"))?,
        evidence: text("evidence").into(),
        scheme,
    };
    Some((record, number("recorded_at_ms")))
}

/// Status and body of an answer.
fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Outcome<(u16, Vec<u8>)> {
    let mut answer = answer.or_exit(ExitCode::Unreachable, "ask the running service")?;
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    Ok((answer.status().as_u16(), body.or_exit(ExitCode::Unreachable, "read the running service's answer")?))
}

/// A status that is not success, in the service's words.
fn refusal(status: u16, answer: &Value) -> Failure {
    let code = match status {
        401 | 403 => ExitCode::Unsafe,
        400..500 => ExitCode::Refused,
        _ => ExitCode::Unreachable,
    };
    let text = |name: &str| answer[name].as_str().unwrap_or_default();
    Failure::say(code, format!("the running service answers {status} {}: {}", text("code"), text("message")))
}
