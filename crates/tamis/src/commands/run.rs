//! `tamis run`: the service.
//!
//! The admin endpoints come first, so that `/readyz` says 503 while the rest is waited for; the API comes last,
//! when opt-outs can be taken.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tamis_bus::kafka::{Kafka, topics};
use tamis_bus::{Bus, topic_name};
use tamis_intake::imports::{self, Follow, Imports, World};
use tamis_intake::inbound::{Inbound, Parts};
use tamis_intake::{Access, ApiState, FileMark, JobTenants, Links, Local, Tls, TlsFiles, file_mark};
use tamis_pipeline::{Options, Running};
use tamis_policy::Current;
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
/// The reader of `inbound`'s share of it: a batch takes milliseconds, and one that takes longer is read again.
const INBOUND_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the reader of whose jobs are may take to let go of the log.
const TENANTS_END_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is looked whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often the key file and the policy are looked at: a new one counts within five seconds, as API keys do.
const LOOK_AT_FILES_EVERY: Duration = Duration::from_secs(1);
/// How long a broker may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to reach a broker: the first and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long the brokers may take to say what topics they have.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(30);

/// A port of this machine's that nobody has.
const ANY_LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

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
        let policy = Current::new(context.policy()?);
        let stop = Stop::watch()?;
        let (metrics, exposition) = Metrics::install();
        let health = Health::new();
        let serving = Serving::start(metrics.clone())?;
        // Before the ports, so that a second process on the same store is told just that.
        let opened = context.open_log(self.workers(&context))?;
        serving.admin(context.settings.http().admin(), health.clone(), exposition)?;
        let house = House { run: self, context, subjects, policy, metrics, health, serving, stop };
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
    policy: Current,
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
        let policy = self.policy.clone();
        let options = Options { policy, ..self.context.options(self.workers()) };
        let running = tamis_pipeline::start(
            bus.clone(),
            self.subjects.clone(),
            options,
            self.metrics.clone(),
            self.health.clone(),
        )?;
        let tenants = self.job_tenants(&bus, &running);
        let served = self.intake(&running, local, &tenants, follow);
        let advertised = match served {
            Ok(advertised) => advertised,
            Err(failure) => {
                let _ = running.drain(DRAIN_TIMEOUT);
                return Err(failure);
            }
        };
        let inbound = self.run.has(Role::Intake).then(|| self.inbound(bus, &running, &tenants));
        let mut ready = false;
        let settings = &self.context.settings;
        let mut key_file = FileWatch::new(settings.identity().key_file());
        let mut policy_file = settings.policy().file().map(FileWatch::new);
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
            if policy_file.as_mut().is_some_and(FileWatch::has_changed) || self.stop.was_hung_up() {
                self.read_policy();
            }
            if !ready && self.health.is_ready() {
                ready = true;
                self.say_ready();
            }
        };
        drop(advertised);
        tracing::info!("draining");
        // First, since it needs what the others give.
        let begun = Instant::now();
        let read = inbound.is_none_or(|inbound| inbound.drain(INBOUND_DRAIN_TIMEOUT));
        tenants.end(TENANTS_END_TIMEOUT);
        let drained = running.drain(DRAIN_TIMEOUT.saturating_sub(begun.elapsed())) && read;
        match stopped {
            Some(stopped) => Err(stopped.into()),
            None if drained => Ok(()),
            None => Err(Failure::say(
                ExitCode::Failed,
                "drain: not finished in time; what was under way is decided again",
            )),
        }
    }

    /// Puts the policy's file in use again; one that does not check is refused whole, and the last good one stays.
    fn read_policy(&self) {
        match self.context.policy() {
            Ok(policy) if policy == *self.policy.load() => {}
            Ok(policy) => {
                tracing::info!(version = policy.version(), "policy in use");
                self.policy.replace(policy);
            }
            Err(error) => tracing::error!(%error, "policy refused; the last good one stays"),
        }
    }

    fn say_ready(&self) {
        let (http, bus) = (self.context.settings.http(), self.context.settings.bus());
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            bus = ?bus.kind(),
            workers = self.workers(),
            public = %http.public(),
            api = %http.api(),
            admin = %http.admin(),
            "tamis is ready"
        );
    }

    /// Whose the jobs are that replies name; nobody is told where no replies come in.
    fn job_tenants<B: Bus>(&self, bus: &Arc<B>, running: &Running) -> JobTenants {
        let window = self.context.settings.router().dedupe_window();
        let window = if self.run.has(Role::Intake) { window } else { Duration::ZERO };
        JobTenants::read(bus.clone(), running.recorder().partitions(), window, self.metrics.clone())
    }

    /// Reads what gateways write to `inbound`, where the log has it.
    fn inbound<B: Bus>(&self, bus: Arc<B>, running: &Running, tenants: &JobTenants) -> Inbound {
        let parts = Parts {
            tenants: tenants.clone(),
            filter: running.filter(),
            recorder: running.recorder(),
            policy: self.policy.clone(),
            topic: topic_name(self.context.settings.bus().prefix(), "inbound"),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
        };
        Inbound::start(bus, parts)
    }

    fn imports(&self, running: &Running, follow: Follow) -> Outcome<Imports> {
        let (filter, recorder, metrics) = (running.filter(), running.recorder(), self.metrics.clone());
        let ack_timeout = imports::ACK_TIMEOUT;
        Imports::open(&self.context.imports_dir(), World { filter, recorder, follow, metrics, ack_timeout })
            .or_exit(ExitCode::Failed, "use the folder of imports, beside suppression.snapshot_dir")
    }

    /// Opens the API and the door of unsubscribe links, and says where it is to commands on this machine if the log is embedded.
    fn intake(
        &self,
        running: &Running,
        local: Option<Arc<dyn Local>>,
        tenants: &JobTenants,
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
        let tls = http.tls().map(|files| {
            let (cert, key) = (files.cert.clone(), files.key.clone());
            Tls::open(TlsFiles { cert, key, client_ca: files.client_ca.clone() })
        });
        let tls = tls.transpose().or_exit(ExitCode::Refused, "open the API")?;
        let state = ApiState::new(running.filter(), running.recorder(), self.metrics.clone(), access)
            .with_rate_per_key(http.rate_per_key())
            .with_snapshots(running.snapshots())
            .with_policy(self.policy.clone())
            .with_public_url(http.public_url())
            .with_job_tenants(tenants.clone())
            .with_imports(self.imports(running, follow)?)
            .with_links(Links { days: http.link_days(), https: http.public_https() });
        if self.run.has(Role::Intake) {
            self.serving.public(http.public(), state.clone())?;
        }
        let Some(local) = local else {
            self.serving.api(http.api(), state, tls)?;
            return Ok(None);
        };
        let token = local::token()?;
        let state = state.with_local(local).with_process_token(&token);
        let speaks_tls = tls.is_some();
        let mut bound = self.serving.api(http.api(), state.clone(), tls)?;
        if speaks_tls {
            // Commands on this machine have a token and no certificate: a door of their own, which no key opens.
            bound = self.serving.api(ANY_LOCAL, state.for_this_machine(), None)?;
        }
        Ok(Some(Advertised::write(self.context.data_dir(), bound, &token)?))
    }
}

/// A file that may be replaced while the service runs.
struct FileWatch {
    path: PathBuf,
    looked: Option<Instant>,
    mark: Option<FileMark>,
}

impl FileWatch {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), looked: None, mark: None }
    }

    /// Whether it is another than at the last look; the first one says yes, since it was read before.
    fn has_changed(&mut self) -> bool {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_AT_FILES_EVERY) {
            return false;
        }
        self.looked = Some(Instant::now());
        let mark = file_mark(&self.path);
        std::mem::replace(&mut self.mark, mark) != mark
    }
}

/// Whether it was asked to stop, or to read its policy again.
struct Stop {
    asked: Arc<AtomicBool>,
    hung_up: Arc<AtomicBool>,
}

impl Stop {
    /// Listens for SIGTERM, SIGINT and SIGHUP on a thread of its own; the second one of the first two ends the process.
    fn watch() -> Outcome<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let asked = Arc::new(AtomicBool::new(false));
        let hung_up = Arc::new(AtomicBool::new(false));
        let (noticed, again) = (asked.clone(), hung_up.clone());
        let runtime = context::runtime()?;
        let (mut term, mut int, mut hup) = {
            let _inside = runtime.enter();
            let term = signal(SignalKind::terminate()).or_exit(ExitCode::Failed, "listen for SIGTERM")?;
            let int = signal(SignalKind::interrupt()).or_exit(ExitCode::Failed, "listen for SIGINT")?;
            (term, int, signal(SignalKind::hangup()).or_exit(ExitCode::Failed, "listen for SIGHUP")?)
        };
        std::thread::spawn(move || {
            runtime.block_on(async move {
                loop {
                    tokio::select! {
                        _ = term.recv() => {}
                        _ = int.recv() => {}
                        _ = hup.recv() => {
                            again.store(true, Ordering::SeqCst);
                            continue;
                        }
                    }
                    if noticed.swap(true, Ordering::SeqCst) {
                        tracing::warn!("asked twice: ending at once");
                        std::process::exit(130);
                    }
                }
            });
        });
        Ok(Self { asked, hung_up })
    }

    /// Waits for up to `most`; whether it was asked to stop.
    fn wait(&self, most: Duration) -> bool {
        let begun = std::time::Instant::now();
        while !self.asked.load(Ordering::SeqCst) && begun.elapsed() < most {
            std::thread::sleep(LOOK_EVERY.min(most));
        }
        self.asked.load(Ordering::SeqCst)
    }

    /// Whether a SIGHUP came since the last look.
    fn was_hung_up(&self) -> bool {
        self.hung_up.swap(false, Ordering::SeqCst)
    }
}
