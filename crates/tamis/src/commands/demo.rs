//! `tamis demo`: the first thing anyone sees.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tamis_bus::Bus;
use tamis_pipeline::Running;
use tamis_subject::{Key, Region, Subjects};
use tamis_telemetry::{Health, Metrics};

use crate::cli::Global;
use crate::context;
use crate::demo::cast::{self, Script, Shared};
use crate::demo::people::People;
use crate::demo::picture::{self, Moment, Style};
use crate::demo::stage;
use crate::demo::world::World;
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::output;
use crate::private;
use crate::serving::Serving;

/// How long the last jobs may take to arrive.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the service may take to end: the contract's own limit.
const DRAIN: Duration = Duration::from_secs(15);
const FRAME: Duration = Duration::from_millis(250);
/// People for each recipient a second, so that everybody hears of somebody every few seconds.
const PEOPLE_PER_RATE: u64 = 3;

/// Show the whole system at work in one process, and check it.
///
/// A scheduler sends campaigns on all five channels, and some jobs twice under the same id, people opt out meanwhile,
/// and a gateway for each channel checks every delivery.
///
/// It needs no network, no settings and no key. It ends with exit code 0 only if every recipient is accounted
/// for, nobody was written to whose opt-out had been confirmed before, and no job was sent twice.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tamis demo\n  tamis demo --seconds 60 --recipients-per-second 100000 --console 127.0.0.1:9600\n  \
                        tamis demo --bootstrap-servers 127.0.0.1:9092"
)]
pub(crate) struct Demo {
    /// How long to send.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// How many recipients to schedule a second.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    recipients_per_second: u32,
    /// The same seed makes the same campaigns.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Serve /metrics, /readyz and /livez here.
    #[arg(long, value_name = "ADDR")]
    console: Option<SocketAddr>,
    /// Do the same on Kafka, in topics of its own.
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap_servers: Option<String>,
    /// Loses confirmed opt-outs on purpose: the demonstration must then fail.
    #[arg(long, hide = true)]
    lose_opt_outs: bool,
}

impl Demo {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        // Warnings only: the picture is on the same terminal.
        let _ = tamis_telemetry::init_logs(false, Some(if self.quiet(global) { "warn" } else { "off" }));
        match &self.bootstrap_servers {
            Some(servers) => {
                let name = format!("tamis-demo-{}-{}", context::now_ms(), std::process::id());
                output::note(format!("making topics {name}.* (they stay there afterwards)"));
                let bus = stage::kafka(servers, &name)?;
                self.play(global, bus, &name, format!("Kafka at {servers}"))
            }
            None => {
                let dir = tempfile::tempdir().or_exit(ExitCode::Failed, "make temporary directory")?;
                let bus = stage::embedded(dir.path())?;
                self.play(global, bus, "tamis", "embedded bus".to_owned())
            }
        }
    }

    /// Whether there is no live picture.
    fn quiet(&self, global: &Global) -> bool {
        global.json || !std::io::stdout().is_terminal()
    }

    fn play<B: Bus>(&self, global: &Global, bus: Arc<B>, prefix: &str, on: String) -> Outcome {
        let (metrics, exposition) = Metrics::install();
        let health = Health::new();
        let runtime = context::runtime()?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let noticed = interrupted.clone();
        runtime.spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                noticed.store(true, Ordering::Relaxed);
            }
            // Who asks twice does not want the verdict.
            if tokio::signal::ctrl_c().await.is_ok() {
                let _ = std::io::stdout().write_all(b"\x1b[?25h");
                std::process::exit(130);
            }
        });
        let serving = Serving::start(metrics.clone())?;
        if let Some(at) = self.console {
            let bound = serving.admin(at, health.clone(), exposition)?;
            output::note(format!("metrics at http://{bound}/metrics, health at http://{bound}/readyz"));
        }
        let key = Key::generate().or_exit(ExitCode::Failed, "make key")?;
        let region = Region::parse("FR").expect("France is a region");
        let subjects = Subjects::new(&key, region);
        private::lock_key(&subjects);
        let options = stage::options(prefix);
        let running = tamis_pipeline::start(bus.clone(), subjects.clone(), options, metrics, health.clone())?;
        let people = (u64::from(self.recipients_per_second) * PEOPLE_PER_RATE).clamp(2_000, 2_000_000);
        let people = People::new(self.seed, u32::try_from(people).unwrap_or(u32::MAX));
        let world = World::new(self.seed, people, format!("demo-{}", self.seed));
        let shared = Arc::new(Shared::default());
        let script = Script {
            recipients_per_second: u64::from(self.recipients_per_second),
            lose_opt_outs: self.lose_opt_outs,
        };
        let cast =
            cast::begin(&*bus, running.filter(), running.recorder(), subjects, world, script, &shared)?;
        let mut view = View::new(self, on, health, self.quiet(global), global.json);
        while view.elapsed() < view.planned && !interrupted.load(Ordering::Relaxed) {
            view.show(&shared, &running)?;
            if running.stopped().is_some() || shared.error.lock().is_some() {
                break;
            }
            std::thread::sleep(FRAME);
        }
        shared.curtain();
        let settling = std::thread::spawn(move || cast.end(PATIENCE));
        while !settling.is_finished() {
            view.show(&shared, &running)?;
            std::thread::sleep(FRAME / 5);
        }
        view.end(global, &shared, running, self)
    }
}

/// The one who looks on.
struct View {
    moment: Moment,
    planned: Duration,
    begun: Instant,
    health: Health,
    style: Style,
    quiet: bool,
    json: bool,
    /// When rates were last taken, and the counts then.
    last: Option<(Instant, [u64; 5])>,
    last_line: Option<Instant>,
}

impl View {
    fn new(demo: &Demo, on: String, health: Health, quiet: bool, json: bool) -> Self {
        let planned = Duration::from_secs(u64::from(demo.seconds));
        let moment = Moment { on, seed: demo.seed, planned, ..Moment::default() };
        let style = Style { colour: !quiet };
        Self {
            moment,
            planned,
            begun: Instant::now(),
            health,
            style,
            quiet,
            json,
            last: None,
            last_line: None,
        }
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Looks, and shows what there is to be shown.
    fn show(&mut self, shared: &Shared, running: &Running) -> Outcome {
        self.look(shared, Some(running));
        if self.quiet {
            if self.last_line.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
                self.last_line = Some(Instant::now());
                return self.say(&picture::line(&self.moment));
            }
            return Ok(());
        }
        let mut frame =
            String::from(if self.last_line.is_none() { "\x1b[2J\x1b[H\x1b[?25l" } else { "\x1b[H" });
        self.last_line = Some(Instant::now());
        for line in picture::picture(&self.moment, self.style) {
            frame.push_str(&line);
            frame.push_str("\x1b[K\n");
        }
        let mut out = std::io::stdout().lock();
        out.write_all(frame.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| Failure::new(ExitCode::Failed, error))
    }

    fn look(&mut self, shared: &Shared, running: Option<&Running>) {
        self.moment.totals = shared.books.lock().totals().clone();
        self.moment.elapsed = self.elapsed();
        self.moment.opt_outs = (shared.asked.load(Ordering::Relaxed), shared.acked.load(Ordering::Relaxed));
        self.moment.effect_ms = shared.effect.lock().p50_p99_ms();
        self.moment.delivery_ms = shared.delivery.lock().p50_p99_ms();
        self.moment.holding = !self.health.is_ready();
        if let Some(running) = running {
            self.moment.subjects = running.filter().read().subjects() as u64;
        }
        let counts = self.moment.totals.by_channel.map(|channel| channel.forwarded);
        let Some((since, before)) = self.last else {
            self.last = Some((Instant::now(), counts));
            return;
        };
        let seconds = since.elapsed().as_secs_f64();
        if seconds >= FRAME.as_secs_f64() * 0.9 {
            // A moving average over about a second: a bar that dances tells nothing.
            let weight = (seconds / 1.0).min(1.0);
            for (at, rate) in self.moment.rates.iter_mut().enumerate() {
                let now = (counts[at] - before[at]) as f64 / seconds;
                *rate += (now - *rate) * weight;
            }
            self.last = Some((Instant::now(), counts));
        }
    }

    fn say(&self, line: &str) -> Outcome {
        if self.json {
            output::note(line);
            return Ok(());
        }
        output::line(line)
    }

    /// Closes the books and says how it was.
    fn end(mut self, global: &Global, shared: &Shared, running: Running, demo: &Demo) -> Outcome {
        shared.books.lock().finish();
        let stopped = running.stopped();
        self.look(shared, Some(&running));
        let drained = running.drain(DRAIN);
        let error = shared.error.lock().clone();
        let totals = &self.moment.totals;
        let ok =
            totals.violations() == 0 && drained && stopped.is_none() && error.is_none() && totals.jobs > 0;
        let again = demo.again();
        for line in picture::verdict(&self.moment, self.style, ok, &again) {
            self.say(&line)?;
        }
        if !self.quiet {
            output::line("\x1b[?25h")?;
        }
        if global.json {
            // Written out: the fields in the order of the contract (section 9).
            output::line(format!(
                r#"{{"in":{},"forwarded":{},"suppressed":{},"rejected":{},"deferred":{},"violations":{},"ok":{ok}}}"#,
                totals.recipients_in(),
                totals.sum(|c| c.forwarded),
                totals.sum(|c| c.suppressed),
                totals.sum(|c| c.rejected),
                totals.sum(|c| c.deferred),
                totals.violations(),
            ))?;
        }
        match (stopped, error) {
            (Some(stopped), _) => Err(Failure::say(ExitCode::Failed, stopped)),
            (None, Some(error)) => Err(error.into()),
            (None, None) if ok => Ok(()),
            (None, None) if totals.jobs == 0 => Err(Failure::say(ExitCode::Failed, "no job came through")),
            (None, None) => Err(Failure::say(ExitCode::Failed, "a promise was not kept: see above")),
        }
    }
}

impl Demo {
    /// How to run the same on Kafka.
    fn again(&self) -> Vec<String> {
        if self.bootstrap_servers.is_some() {
            return Vec::new();
        }
        let seed = self.seed;
        [
            format!("tamis demo --seed {seed} --bootstrap-servers 127.0.0.1:9092   # this demonstration"),
            "tamis init                                    # then bus.kind = \"kafka\" in tamis.toml"
                .to_owned(),
            "tamis topics apply && tamis run               # the service".to_owned(),
        ]
        .into()
    }
}
