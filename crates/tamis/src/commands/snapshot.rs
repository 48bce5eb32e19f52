//! `tamis snapshot`: the filter in a file, so that the service is ready seconds after a restart.

use std::time::Duration;

use serde_json::{Value, json};
use tamis_bus::{Bus, EndOffsets as _};
use tamis_campaign::Channel;
use tamis_pipeline::snapshots;
use tamis_subject::Subjects;
use tamis_suppression::Index;
use tamis_suppression::snapshot::{self, About, Folder, Refused};

use crate::cli::Global;
use crate::context::{Context, Log, now_ms};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::loaded::Loaded;
use crate::output;

/// How long the log may take to say which one it is, and where it ends.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Write, list and look into snapshots of the filter.
///
/// A running service writes them by itself: every `suppression.snapshot_every`, and when it drains. It starts from the newest
/// that fits its log and key, and reads on from there.
#[derive(Debug, clap::Args)]
pub(crate) struct Snapshot {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write one now: by the running service that has the embedded log, else from the log.
    #[command(after_help = "Example:\n  tamis snapshot write")]
    Write,
    /// List those that are there, newest first.
    #[command(after_help = "Example:\n  tamis snapshot list --json")]
    List,
    /// Read all of one, compare every checksum, and say whether it would be used: exit code 3 when not.
    #[command(after_help = "Example:\n  tamis snapshot check 12")]
    Check(Which),
    /// Say what is in one, by scope, reason and channel, and whether it would be used.
    #[command(after_help = "Example:\n  tamis snapshot explain")]
    Explain(Which),
}

/// Which snapshot.
#[derive(Debug, clap::Args)]
struct Which {
    /// Its number, as `list` shows it [default: the newest].
    number: Option<u64>,
}

impl Snapshot {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let context = Context::open(global)?;
        let folder = Folder::at(context.settings.suppression().snapshot_dir());
        match self.command {
            Command::Write => write(global, &context),
            Command::List => list(global, &folder),
            Command::Check(which) => {
                let number = which.number(&folder)?;
                let read = snapshot::check(&folder.file(number));
                let (_, about) = read.or_exit(ExitCode::Refused, format!("snapshot {number}"))?;
                let use_of = UseOf::judge(&context, &about);
                let told = json!({ "sound": true, "used": use_of.used(), "why": use_of.text() });
                let text = format!("snapshot {number} is sound; {}", use_of.sentence());
                tell(global, &merged(about_json(number, &about), told), &[text])?;
                match use_of {
                    UseOf::Refused(why) => Err(Failure::say(
                        ExitCode::Refused,
                        format!("snapshot {number} would not be used: {why}"),
                    )),
                    UseOf::Fits | UseOf::Unknown(_) => Ok(()),
                }
            }
            Command::Explain(which) => {
                let number = which.number(&folder)?;
                let read = snapshot::load(&folder.file(number));
                let (index, about) = read.or_exit(ExitCode::Refused, format!("snapshot {number}"))?;
                explain(global, number, &index, &about, &UseOf::judge(&context, &about))
            }
        }
    }
}

impl Which {
    fn number(&self, folder: &Folder) -> Outcome<u64> {
        let numbers = folder.numbers().or_exit(ExitCode::Failed, "look for snapshots")?;
        let found = match self.number {
            Some(number) => numbers.contains(&number).then_some(number),
            None => numbers.first().copied(),
        };
        found.ok_or_else(|| {
            let text = format!("no such snapshot in {}: see `tamis snapshot list`", folder.path().display());
            Failure::say(ExitCode::Refused, text)
        })
    }
}

/// Whether a snapshot would be used now.
enum UseOf {
    Fits,
    Refused(String),
    /// The log did not answer.
    Unknown(String),
}

impl UseOf {
    fn judge(context: &Context, about: &About) -> Self {
        let judged = context.subjects().and_then(|subjects| match context.log()? {
            Log::Kafka(bus) => judge(&*bus, &subjects, about),
            Log::Embedded(bus) => judge(&*bus, &subjects, about),
            Log::Service(_) => Err(Failure::say(ExitCode::Unreachable, "the running service has the log")),
        });
        match judged {
            Ok(Ok(())) => Self::Fits,
            Ok(Err(refused)) => Self::Refused(refused.to_string()),
            Err(failure) => Self::Unknown(failure.to_string()),
        }
    }

    fn used(&self) -> Option<bool> {
        match self {
            Self::Fits => Some(true),
            Self::Refused(_) => Some(false),
            Self::Unknown(_) => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Fits => None,
            Self::Refused(why) | Self::Unknown(why) => Some(why),
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Fits => "it fits the log and the key, and would be used".to_owned(),
            Self::Refused(why) => format!("it would not be used: {why}"),
            Self::Unknown(why) => format!("not compared with the log: {why}"),
        }
    }
}

fn judge<B: Bus>(bus: &B, subjects: &Subjects, about: &About) -> Outcome<Result<(), Refused>> {
    let log = bus.suppression_log(ASK_TIMEOUT)?;
    let end = bus.end_offsets()?.ask(ASK_TIMEOUT)?;
    Ok(snapshots::fits(about, &log, subjects, &end))
}

fn write(global: &Global, context: &Context) -> Outcome {
    let told = match context.log()? {
        Log::Service(service) => service.snapshot()?,
        Log::Kafka(bus) => written(Loaded::from(bus, context.subjects()?, context)?)?,
        Log::Embedded(bus) => written(Loaded::from(bus, context.subjects()?, context)?)?,
    };
    let text = format!(
        "snapshot {} written: {} subjects, {} records",
        told["number"], told["subjects"], told["records"]
    );
    tell(global, &told, &[text])
}

fn written(loaded: Loaded) -> Outcome<Value> {
    let written = loaded.snapshot();
    loaded.end();
    let (number, about) = written?;
    Ok(about_json(number, &about))
}

fn list(global: &Global, folder: &Folder) -> Outcome {
    let numbers = folder.numbers().or_exit(ExitCode::Failed, "look for snapshots")?;
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for number in numbers {
        match snapshot::about(&folder.file(number)) {
            Ok(about) => {
                lines.push(line(number, &about));
                rows.push(about_json(number, &about));
            }
            Err(refused) => {
                lines.push(format!("{number:>6}  {refused}"));
                rows.push(json!({ "number": number, "error": refused.to_string() }));
            }
        }
    }
    if rows.is_empty() && !global.json {
        output::note(format!("no snapshots in {}", folder.path().display()));
    }
    tell(global, &json!(rows), &lines)
}

fn explain(global: &Global, number: u64, index: &Index, about: &About, use_of: &UseOf) -> Outcome {
    let tallies = index.tally();
    let of = |channel: Option<Channel>| channel.map_or("all", Channel::as_str);
    let rows: Vec<Value> = tallies
        .iter()
        .map(|tally| {
            json!({
                "scope": tally.scope, "reason": tally.reason.as_str(), "channel": of(tally.channel),
                "scopes": tally.scopes, "records": tally.records,
            })
        })
        .collect();
    let mut lines = vec![
        line(number, about),
        format!(
            "        log {} of cluster {}, scheme {}",
            about.stamp.topic, about.stamp.cluster, about.stamp.scheme
        ),
        format!("        position {:?}", about.position),
        format!("        {}", use_of.sentence()),
    ];
    for tally in &tallies {
        lines.push(format!(
            "{:>12} records  {:<8} {:<17} {:<6} in {} of them",
            tally.records,
            tally.scope,
            tally.reason.as_str(),
            of(tally.channel),
            tally.scopes,
        ));
    }
    let told = json!({ "used": use_of.used(), "why": use_of.text(), "tallies": rows });
    tell(global, &merged(about_json(number, about), told), &lines)
}

/// What a snapshot says of itself, as JSON.
pub(crate) fn about_json(number: u64, about: &About) -> Value {
    json!({
        "number": number,
        "taken_at_ms": about.taken_at_ms,
        "subjects": about.subjects,
        "records": about.records,
        "cluster": about.stamp.cluster,
        "topic": about.stamp.topic,
        "scheme": about.stamp.scheme,
        "position": about.position,
    })
}

fn line(number: u64, about: &About) -> String {
    let age_s = (now_ms() - about.taken_at_ms).max(0) / 1_000;
    let age = match age_s {
        0..120 => format!("{age_s} s"),
        120..7_200 => format!("{} min", age_s / 60),
        7_200..172_800 => format!("{} h", age_s / 3_600),
        _ => format!("{} days", age_s / 86_400),
    };
    format!("{number:>6}  taken {age} ago  {} subjects  {} records", about.subjects, about.records)
}

fn merged(mut into: Value, more: Value) -> Value {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
    into
}

fn tell(global: &Global, value: &Value, lines: &[String]) -> Outcome {
    if global.json {
        return output::json(value);
    }
    lines.iter().try_for_each(output::line)
}
