//! `tamis suppress import`: opt-outs of a file of any length, through the running service where it has the log, else
//! written from here, by the same code.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use tamis_bus::Bus;
use tamis_campaign::Source;
use tamis_intake::imports::{self, Header, Imports, NotText, Plan, Reader, World};
use tamis_intake::keys::Owner;
use tamis_telemetry::Metrics;

use crate::cli::Global;
use crate::context::{self, Context, Log};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::importing::{Asking, Progress};
use crate::input;
use crate::loaded::Loaded;
use crate::output;
use crate::service::Service;

/// How often an import of a file goes on by itself after the log or the service was out of reach.
const TRIES: u32 = 10;
/// Between two tries.
const BACK_OFF: Duration = Duration::from_secs(2);
/// Rejected rows that are shown one by one.
const SHOWN: usize = 20;

/// Record the opt-outs of a file: CSV with a header, or NDJSON; exports of SendGrid, Mailgun, Brevo, Mailchimp and Amazon SES as
/// they are. A row can only add.
///
/// Columns, or fields: address (a phone number or an e-mail address), contact, or name, street, postal_code, city, country; channel, reason,
/// and, if wanted, tenant, list, evidence. French names are known, too. What a row does not say is said by options. Sending a file
/// twice is safe.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tamis suppress import bounces.csv --tenant acme --dry-run\n  \
                        tamis suppress import stop.csv --tenant acme --channel sms --reason stop_reply --column address=Portable\n  \
                        tamis suppress import --undo imp-19a3f2-5d1e")]
pub(super) struct Import {
    /// The file, or - for stdin.
    #[arg(default_value = "-", conflicts_with = "undo")]
    file: String,
    /// The tenant of rows that name none.
    #[arg(long, value_parser = super::tenant)]
    tenant: Option<String>,
    /// The channel of rows that name none, or all.
    #[arg(long)]
    channel: Option<String>,
    /// The reason of rows that name none.
    #[arg(long)]
    reason: Option<String>,
    /// The list of rows that name none.
    #[arg(long)]
    list: Option<String>,
    /// Which header is which column, as in address=Téléphone; an empty one leaves the column out.
    #[arg(long = "column", value_name = "COLUMN=HEADER")]
    columns: Vec<String>,
    /// What stands between columns: , ; | or tab [default: found from the header].
    #[arg(long)]
    delimiter: Option<String>,
    /// csv or ndjson [default: found from the first line].
    #[arg(long)]
    format: Option<String>,
    /// utf-8 or windows-1252 [default: found from the first row that tells].
    #[arg(long)]
    encoding: Option<String>,
    /// Go on from this line, as an import that broke off has told.
    #[arg(long, value_name = "N")]
    from_line: Option<u64>,
    /// as_it_goes: each row counts once it is durable; at_once: all of them from one moment on, or none.
    #[arg(long, default_value = "as_it_goes")]
    visible: String,
    /// With at_once: how many rows may be rejected before nothing is written.
    #[arg(long, value_name = "N", default_value_t = 0)]
    reject_most: u64,
    /// Tell what would change, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// The import's id: a letter and more of A-Z a-z 0-9 . _ - [default: a new one].
    #[arg(long, value_name = "ID")]
    import_id: Option<String>,
    /// Lift what this import brought into force, within 24 hours. What is in force for another reason by now stays.
    #[arg(long, value_name = "ID")]
    undo: Option<String>,
}

impl Import {
    pub(super) fn run(self, global: &Global) -> Outcome {
        let parameters = self.parameters()?;
        let plan = self.plan(&parameters)?;
        let context = Context::open(global)?;
        if let Some(id) = &self.undo {
            return undo(&context, global, id);
        }
        self.look_first(&plan)?;
        let status = match context.log()? {
            Log::Service(service) => self.ask(&context, service, parameters, &plan)?,
            Log::Kafka(bus) => self.write(&context, bus, plan)?,
            Log::Embedded(bus) => self.write(&context, bus, plan)?,
        };
        tell(global, &status)
    }

    /// The parameters of the API's call, in which both ways are told what to do.
    fn parameters(&self) -> Outcome<Vec<(String, String)>> {
        let named = [
            ("tenant", &self.tenant),
            ("channel", &self.channel),
            ("reason", &self.reason),
            ("list", &self.list),
            ("delimiter", &self.delimiter),
            ("format", &self.format),
            ("encoding", &self.encoding),
            ("import_id", &self.import_id),
        ];
        let mut all: Vec<(String, String)> =
            named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect();
        all.push(("visible".to_owned(), self.visible.clone()));
        all.push(("reject_most".to_owned(), self.reject_most.to_string()));
        all.push(("dry_run".to_owned(), self.dry_run.to_string()));
        all.extend(self.from_line.map(|line| ("from_line".to_owned(), line.to_string())));
        for column in &self.columns {
            let Some((name, header)) = column.split_once('=') else {
                return Err(Failure::say(
                    ExitCode::Usage,
                    "--column must be COLUMN=HEADER, as in address=Portable",
                ));
            };
            all.push((format!("column.{name}"), header.to_owned()));
        }
        Ok(all)
    }

    fn plan(&self, parameters: &[(String, String)]) -> Outcome<Plan> {
        let random = u64::from(std::process::id());
        let mut plan = Plan::new(imports::new_id(context::now_ms(), random), Owner::Operator);
        for (name, value) in parameters {
            plan.set(name, value).map_err(|bad| Failure::say(ExitCode::Usage, format!("--{bad}")))?;
        }
        plan.check().map_err(|bad| Failure::say(ExitCode::Usage, format!("--{bad}")))?;
        Ok(plan)
    }

    fn is_file(&self) -> bool {
        self.file != "-"
    }

    /// The rows, and how many bytes of them there are.
    fn open(&self) -> Outcome<(Box<dyn Read + Send>, Option<u64>)> {
        if !self.is_file() {
            return Ok((Box::new(std::io::stdin()), None));
        }
        let file = File::open(&self.file)
            .or_exit(ExitCode::Refused, format!("open {}", input::named(&self.file)))?;
        let bytes = file.metadata().ok().map(|about| about.len());
        Ok((Box::new(file), bytes))
    }

    /// Says what is wrong with a file's header before anything is begun.
    fn look_first(&self, plan: &Plan) -> Outcome {
        if !self.is_file() {
            return Ok(());
        }
        let refuse = |text: String| Err(Failure::say(ExitCode::Refused, text));
        let opened = Reader::open(self.open()?.0, plan.hint).or_exit(ExitCode::Refused, "read the file")?;
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(NotText::Utf16) => {
                return refuse(
                    "NOT_TEXT: line 1: expected UTF-8 or Windows-1252, not UTF-16: save it as CSV UTF-8"
                        .into(),
                );
            }
            Err(NotText::Binary) => {
                return refuse(
                    "NOT_TEXT: line 1: expected CSV or NDJSON, not a spreadsheet or an archive".into(),
                );
            }
        };
        let mut row = imports::Row::default();
        let is_csv = matches!(reader.format(), imports::Format::Csv { .. });
        if is_csv
            && matches!(reader.next(&mut row), Ok(imports::Next::Row))
            && imports::Decoder::new(plan.hint.encoding).decode(&mut row).is_ok()
            && let Err(unfit) = Header::read(&row, plan)
        {
            return refuse(format!("{}: line {}: expected {}", unfit.code, unfit.line, unfit.expected));
        }
        Ok(())
    }

    /// Has the running service import the rows; goes on by itself where it can. A service that was started again is another one.
    fn ask(
        &self,
        context: &Context,
        mut service: Service,
        mut parameters: Vec<(String, String)>,
        plan: &Plan,
    ) -> Outcome<Value> {
        parameters.retain(|(name, _)| name != "import_id");
        parameters.push(("import_id".to_owned(), plan.id.clone()));
        let mut tries = TRIES;
        loop {
            let asking = Asking::of(&service);
            let (rows, bytes) = self.open()?;
            let asked = asking.import(&parameters, Progress::new(rows, bytes, "sent"));
            let failure = match asked.and_then(|()| asking.ended(&plan.id)) {
                Ok(status) => return Ok(status),
                Err(failure) => failure,
            };
            tries -= 1;
            let may_go_on = tries > 0 && self.is_file() && failure.code() == ExitCode::Unreachable as u8;
            if may_go_on {
                std::thread::sleep(BACK_OFF);
                if let Some(again) = Service::find(context.data_dir()) {
                    service = again;
                }
            }
            let status = Asking::of(&service).status(&plan.id).ok();
            if let Some(line) = status.and_then(|status| status["next_line"].as_u64()) {
                go_on_with(&plan.id, line);
                parameters.retain(|(name, _)| name != "from_line");
                parameters.push(("from_line".to_owned(), line.to_string()));
            }
            if !may_go_on {
                return Err(failure);
            }
            output::note("trying again");
        }
    }

    /// Imports the rows here, where no service has the log.
    fn write<B: Bus>(&self, context: &Context, bus: std::sync::Arc<B>, mut plan: Plan) -> Outcome<Value>
    where
        B::Follower: 'static,
    {
        let loaded = Loaded::from(bus.clone(), context.subjects()?, context)?;
        let imports = imports_of(context, &loaded, bus)?;
        let mut tries = TRIES;
        let status = loop {
            let (rows, bytes) = self.open()?;
            let import = imports.begin(plan.clone()).or_exit(ExitCode::Refused, "import")?;
            let told = import.told();
            let done = import.run(Progress::new(rows, bytes, "read"), || ());
            let status = told.status();
            let Err(failure) = done else { break status };
            go_on_with(&plan.id, status.next_line);
            tries -= 1;
            if tries == 0 || !self.is_file() || failure.code != "NOT_DURABLE" {
                break status;
            }
            output::note("trying again");
            std::thread::sleep(BACK_OFF);
            plan.from_line = status.next_line;
        };
        drop(imports);
        loaded.end();
        serde_json::to_value(status).or_exit(ExitCode::Failed, "tell what became of it")
    }
}

fn imports_of<B: Bus>(context: &Context, loaded: &Loaded, bus: std::sync::Arc<B>) -> Outcome<Imports>
where
    B::Follower: 'static,
{
    let world = World {
        filter: loaded.filter(),
        recorder: loaded.recorder(),
        follow: crate::importing::follow(bus),
        metrics: Metrics::detached(),
        ack_timeout: imports::ACK_TIMEOUT,
    };
    Imports::open(&context.imports_dir(), world).or_exit(ExitCode::Failed, "use the folder of imports")
}

fn undo(context: &Context, global: &Global, id: &str) -> Outcome {
    let id =
        imports::id(id).map_err(|bad| Failure::say(ExitCode::Usage, format!("--undo: {}", bad.expected)))?;
    let status = match context.log()? {
        Log::Service(service) => Asking::of(&service).undo(&id)?,
        Log::Kafka(bus) => undo_here(context, bus, &id)?,
        Log::Embedded(bus) => undo_here(context, bus, &id)?,
    };
    let undo = &status["undo"];
    if global.json {
        output::json(undo)?;
    } else {
        output::line(format!("lifted {}, kept {}", undo["lifted"], undo["kept"]))?;
    }
    match undo["state"].as_str() {
        Some("done") => Ok(()),
        _ => Err(Failure::say(ExitCode::Unreachable, "the undo ended before its end: run it again")),
    }
}

fn undo_here<B: Bus>(context: &Context, bus: std::sync::Arc<B>, id: &str) -> Outcome<Value>
where
    B::Follower: 'static,
{
    let loaded = Loaded::from(bus.clone(), context.subjects()?, context)?;
    let imports = imports_of(context, &loaded, bus)?;
    let undoing = imports.undo(id, &Owner::Operator, Source::Operator).or_exit(ExitCode::Refused, "undo")?;
    // What it failed with is in the status.
    let _ = undoing.run();
    let status = imports.status(id, &Owner::Operator).or_exit(ExitCode::Failed, "read what became of it")?;
    drop(imports);
    loaded.end();
    serde_json::to_value(status).or_exit(ExitCode::Failed, "tell what became of it")
}

fn go_on_with(id: &str, line: u64) {
    output::note(format!("it can go on with: --import-id {id} --from-line {line}"));
}

/// Tells what became of it, and ends with the exit code of it.
fn tell(global: &Global, status: &Value) -> Outcome {
    let number = |name: &str| status[name].as_u64().unwrap_or(0);
    let rejected = number("rejected");
    if global.json {
        let mut shown = status.clone();
        if let Some(fields) = shown.as_object_mut() {
            fields.remove("owner");
        }
        output::json(&shown)?;
    } else {
        let verb = if status["dry_run"] == true { "would record" } else { "recorded" };
        output::line(format!(
            "{verb} {} ({} new, {} in force already), rejected {rejected}",
            number("accepted"),
            number("new"),
            number("already")
        ))?;
        if let Some(at) = status["visible_at_ms"].as_u64() {
            output::line(format!("in force from {at} (Unix ms) on"))?;
        }
        output::note(format!("import {}", status["import_id"].as_str().unwrap_or_default()));
        let errors = status["errors"].as_array().map_or(&[][..], Vec::as_slice);
        for error in errors.iter().take(SHOWN) {
            output::note(format!("line {}: {}", error["line"], error["code"].as_str().unwrap_or_default()));
        }
        if rejected > SHOWN as u64 {
            for (code, count) in status["rejected_by"].as_object().into_iter().flatten() {
                output::note(format!("{code}: {count} in all"));
            }
        }
    }
    if status["visible_late"] == true {
        output::note("the last rows were durable only after the moment for all: some came into force later");
    }
    if status["state"] != "done" {
        let failure = &status["failure"];
        let text = |name: &str| failure[name].as_str().unwrap_or_default();
        let code = match text("code") {
            "NOT_DURABLE" | "NOT_READY" | "INTERRUPTED" => ExitCode::Unreachable,
            "NOT_KEPT" => ExitCode::Failed,
            _ => ExitCode::Refused,
        };
        return Err(Failure::say(code, format!("{}: {}", text("code"), text("message"))));
    }
    if rejected > 0 {
        return Err(Failure::say(
            ExitCode::Refused,
            format!("{rejected} rows were rejected; the others are taken"),
        ));
    }
    Ok(())
}
