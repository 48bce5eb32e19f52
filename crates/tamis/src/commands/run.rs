//! `tamis run`: the service.
//!
//! The admin endpoints come first, so that `/readyz` says 503 while the rest is waited for; the API comes last,
//! when opt-outs can be taken.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tamis_bus::Bus;
use tamis_bus::kafka::{Kafka, topics};
use tamis_intake::imports::{self, Follow, Imports, World};
use tamis_intake::{Access, ApiState, Local};
use tamis_pipeline::Running;
use tamis_settings::Auth;
use tamis_subject::Subjects;
use tamis_telemetry::{Health, Metrics};

use crate::cli::Global;
use crate::context::{self, Context, Opened};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::importing;
use crate::local::{self, KeyOf, LocalLog};
use crate::service::Advertised;
use crate::serving::Serving;

/// From SIGTERM to the end (contract, section 9).
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often the key file is looked at: a new one counts within five seconds, as API keys do.
const LOOK_AT_KEY_EVERY: Duration = Duration::from_secs(1);
/// How long a broker may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to reach a broker: the first and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long the brokers may take to say what topics they have.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(30);

/// Run the service until SIGTERM or Ctrl-C, which drains; a second one ends at once.
///
/// Logs go to stderr, as JSON with --json; TAMIS_LOG sets their level, as in `TAMIS_LOG=debug`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tamis run\n  tamis --config /etc/tamis/tamis.toml run --roles intake")]
pub(crate) struct Run {
    /// What this process does: route, intake, or both.
    #[arg(long, value_delimiter = ',', default_value = "route,intake")]
    roles: Vec<Role>,
    /// End with exit code 4 when no broker answers, instead of waiting for one.
    #[arg(long)]
    fail_fast: bool,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Reads jobs, writes deliveries.
    Route,
    /// Takes opt-outs in.
    Intake,
}

impl Run {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let context = Context::open(global)?;
        // Read here and not in the settings: it is wanted before anything else can fail.
        let filter = std::env::var_os("TAMIS_LOG").and_then(|text| text.into_string().ok());
        tamis_telemetry::init_logs(global.json, filter.as_deref()).or_exit(ExitCode::Refused, "TAMIS_LOG")?;
        for note in context.notes() {
            tracing::info!(note, "settings");
        }
        let subjects = context.subjects()?;
        let stop = Stop::watch()?;
        let (metrics, exposition) = Metrics::install();
        let health = Health::new();
        let serving = Serving::start(metrics.clone())?;
        // Before the ports, so that a second process on the same store is told just that.
        let opened = context.open_log(self.workers(&context))?;
        serving.admin(context.settings.http().admin(), health.clone(), exposition)?;
        let house = House { run: self, context, subjects, metrics, health, serving, stop };
        match opened {
            Opened::Kafka(bus) => {
                if !house.reach(&bus)? {
                    return Ok(());
                }
                house.live(bus, None)
            }
            Opened::Embedded(bus) => {
                let settings = &house.context.settings;
                let identity = settings.identity();
                let key = KeyOf { file: identity.key_file().to_owned(), region: identity.default_region() };
                let local: Arc<dyn Local> =
                    Arc::new(LocalLog::new(bus.clone(), settings.topics().max_message_bytes(), key)?);
                house.live(bus, Some(local))
            }
        }
    }
}

impl Run {
    fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Workers of this process; none without the role.
    fn workers(&self, context: &Context) -> u16 {
        if self.has(Role::Route) { context.settings.router().workers() } else { 0 }
    }
}

/// Everything that is there before the log is.
struct House {
    run: Run,
    context: Context,
    subjects: Subjects,
    metrics: Metrics,
    health: Health,
    serving: Serving,
    stop: Stop,
}

impl House {
    fn workers(&self) -> u16 {
        self.run.workers(&self.context)
    }

    /// Waits until a broker answers and the topics are fit; `false` when it was asked to stop meanwhile.
    fn reach(&self, bus: &Kafka) -> Outcome<bool> {
        let mut wait = BACK_OFF.0;
        while let Err(error) = bus.probe(PROBE_TIMEOUT) {
            if self.run.fail_fast || !error.retry() {
                return Err(error.into());
            }
            tracing::warn!(%error, again_in_ms = wait.as_millis() as u64, "no broker answers");
            if self.stop.wait(wait) {
                return Ok(false);
            }
            wait = (wait * 2).min(BACK_OFF.1);
        }
        let findings = topics::check_needed(bus.config(), TOPICS_TIMEOUT)?;
        let refused: Vec<_> = findings
            .iter()
            .filter(|finding| finding.severity == topics::Severity::Refuse)
            .map(|finding| format!("{}: {}", finding.topic, finding.text))
            .collect();
        if refused.is_empty() {
            return Ok(true);
        }
        Err(Failure::say(ExitCode::Refused, format!("topics are not fit:\n  {}", refused.join("\n  "))))
    }

    fn live<B: Bus>(self, bus: Arc<B>, local: Option<Arc<dyn Local>>) -> Outcome
    where
        B::Follower: 'static,
    {
        let follow = importing::follow(bus.clone());
        let options = self.context.options(self.workers());
        let running = tamis_pipeline::start(
            bus,
            self.subjects.clone(),
            options,
            self.metrics.clone(),
            self.health.clone(),
        )?;
        let served = self.intake(&running, local, follow);
        let advertised = match served {
            Ok(advertised) => advertised,
            Err(failure) => {
                let _ = running.drain(DRAIN_TIMEOUT);
                return Err(failure);
            }
        };
        let mut ready = false;
        let mut key_file = KeyWatch::new(self.context.settings.identity().key_file());
        let stopped = loop {
            if self.stop.wait(LOOK_EVERY) {
                break None;
            }
            if let Some(stopped) = running.stopped() {
                break Some(stopped);
            }
            if key_file.has_changed() {
                match self.context.subjects() {
                    Ok(subjects) => running.take_key(subjects),
                    Err(error) => tracing::error!(%error, "key file refused; the key in use stays"),
                }
            }
            if !ready && self.health.is_ready() {
                ready = true;
                self.say_ready();
            }
        };
        drop(advertised);
        tracing::info!("draining");
        let drained = running.drain(DRAIN_TIMEOUT);
        match stopped {
            Some(stopped) => Err(stopped.into()),
            None if drained => Ok(()),
            None => Err(Failure::say(
                ExitCode::Failed,
                "drain: not finished in time; what was under way is decided again",
            )),
        }
    }

    fn say_ready(&self) {
        let (http, bus) = (self.context.settings.http(), self.context.settings.bus());
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            bus = ?bus.kind(),
            workers = self.workers(),
            api = %http.api(),
            admin = %http.admin(),
            "tamis is ready"
        );
    }

    fn imports(&self, running: &Running, follow: Follow) -> Outcome<Imports> {
        let (filter, recorder, metrics) = (running.filter(), running.recorder(), self.metrics.clone());
        let ack_timeout = imports::ACK_TIMEOUT;
        Imports::open(&self.context.imports_dir(), World { filter, recorder, follow, metrics, ack_timeout })
            .or_exit(ExitCode::Failed, "use the folder of imports, beside suppression.snapshot_dir")
    }

    /// Opens the API, and says where it is to commands on this machine if the log is embedded.
    fn intake(
        &self,
        running: &Running,
        local: Option<Arc<dyn Local>>,
        follow: Follow,
    ) -> Outcome<Option<Advertised>> {
        if !self.run.has(Role::Intake) && local.is_none() {
            return Ok(None);
        }
        let http = self.context.settings.http();
        let access = match http.auth() {
            Auth::On => Access::keys(http.keys_file())?,
            Auth::Off => Access::open(),
        };
        let state = ApiState::new(running.filter(), running.recorder(), self.metrics.clone(), access)
            .with_snapshots(running.snapshots())
            .with_imports(self.imports(running, follow)?);
        let Some(local) = local else {
            self.serving.api(http.api(), state)?;
            return Ok(None);
        };
        let token = local::token()?;
        let bound = self.serving.api(http.api(), state.with_local(local).with_process_token(&token))?;
        Ok(Some(Advertised::write(self.context.data_dir(), bound, &token)?))
    }
}

/// The identity key's file, which a rotation replaces.
struct KeyWatch {
    path: PathBuf,
    looked: Option<Instant>,
    mark: Option<Mark>,
}

/// What changes when a file is replaced or written: inode, size, time of change in seconds and nanoseconds.
type Mark = (u64, u64, i64, i64);

impl KeyWatch {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), looked: None, mark: None }
    }

    /// Whether it is another than at the last look; the first one says yes, since it was read before.
    fn has_changed(&mut self) -> bool {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_AT_KEY_EVERY) {
            return false;
        }
        self.looked = Some(Instant::now());
        let Ok(file) = std::fs::metadata(&self.path) else { return false };
        let mark = Some((file.ino(), file.size(), file.ctime(), file.ctime_nsec()));
        std::mem::replace(&mut self.mark, mark) != mark
    }
}

/// Whether it was asked to stop.
struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for SIGTERM and SIGINT on a thread of its own; the second one ends the process.
    fn watch() -> Outcome<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let asked = Arc::new(AtomicBool::new(false));
        let noticed = asked.clone();
        let runtime = context::runtime()?;
        let (mut term, mut int) = {
            let _inside = runtime.enter();
            let term = signal(SignalKind::terminate()).or_exit(ExitCode::Failed, "listen for SIGTERM")?;
            (term, signal(SignalKind::interrupt()).or_exit(ExitCode::Failed, "listen for SIGINT")?)
        };
        std::thread::spawn(move || {
            runtime.block_on(async move {
                loop {
                    tokio::select! {
                        _ = term.recv() => {}
                        _ = int.recv() => {}
                    }
                    if noticed.swap(true, Ordering::SeqCst) {
                        tracing::warn!("asked twice: ending at once");
                        std::process::exit(130);
                    }
                }
            });
        });
        Ok(Self(asked))
    }

    /// Waits for up to `most`; whether it was asked to stop.
    fn wait(&self, most: Duration) -> bool {
        let begun = std::time::Instant::now();
        while !self.0.load(Ordering::SeqCst) && begun.elapsed() < most {
            std::thread::sleep(LOOK_EVERY.min(most));
        }
        self.0.load(Ordering::SeqCst)
    }
}
