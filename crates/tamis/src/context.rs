//! What commands share: the settings and what is made of them, parsers of arguments, the runtime.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tamis_bus::embedded::{self, Embedded};
use tamis_bus::kafka::{self, Kafka};
use tamis_bus::{Bus, Tail, TailTopic, topic_name};
use tamis_campaign::{Channel, UnixMs};
use tamis_pipeline::{Options, purge, snapshots};
use tamis_policy::Policy;
use tamis_settings::{BusKind, Settings};
use tamis_subject::{Key, Subjects};

use crate::cli::Global;
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::job_json::names;
use crate::policy_file;
use crate::private;
use crate::sender::Sender;
use crate::service::Service;

/// How long a broker may take to answer a command.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a tail waits before it looks whether to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Deliveries read together.
const TAIL_MOST: usize = 100;

/// The settings, and what is made of them.
pub(crate) struct Context {
    pub(crate) settings: Settings,
}

/// The log, or who has it.
pub(crate) enum Log {
    /// Kafka, and a broker answers.
    Kafka(Arc<Kafka>),
    /// The embedded log, opened by us.
    Embedded(Arc<Embedded>),
    /// The embedded log is a running service's.
    Service(Service),
}

/// The log, for the service itself.
pub(crate) enum Opened {
    /// Kafka; nobody was asked yet.
    Kafka(Arc<Kafka>),
    /// The embedded log.
    Embedded(Arc<Embedded>),
}

/// What a tail is to read.
pub(crate) struct TailAsk {
    /// The channel.
    pub(crate) channel: Channel,
    /// The reader's name.
    pub(crate) group: String,
    /// Begin at the oldest.
    pub(crate) from_beginning: bool,
    /// End after so many.
    pub(crate) max: Option<u64>,
    /// End when nothing came for so long.
    pub(crate) idle_exit: Option<Duration>,
}

impl Context {
    /// Reads the settings; what is worth a word is said on stderr by those that run or validate.
    pub(crate) fn open(global: &Global) -> Outcome<Self> {
        let settings = Settings::read(global.config.as_deref()).map_err(|problems| {
            Failure::say(ExitCode::Refused, format!("settings are refused:\n{problems}"))
        })?;
        Ok(Self { settings })
    }

    /// Kafka's settings; `None` where the log is embedded.
    pub(crate) fn kafka_config(&self) -> Option<kafka::Config> {
        let (bus, topics) = (self.settings.bus(), self.settings.topics());
        match bus.kind() {
            BusKind::Embedded => None,
            BusKind::Kafka => Some(kafka::Config {
                prefix: bus.prefix().to_owned(),
                group: bus.group().to_owned(),
                instance: bus.instance().to_owned(),
                client: bus.client().clone(),
                topics: kafka::topics::Settings {
                    partitions: topics.partitions(),
                    replication: topics.replication(),
                    max_message_bytes: topics.max_message_bytes(),
                    retention: topics.retention(),
                },
                ..kafka::Config::new(bus.bootstrap_servers())
            }),
        }
    }

    fn embedded_config(&self, workers: u16) -> embedded::Config {
        let (bus, topics, purge) = (self.settings.bus(), self.settings.topics(), self.settings.purge());
        embedded::Config {
            partitions: topics.partitions(),
            workers: workers.max(1),
            deliveries_retention_ms: u64::try_from(topics.retention().as_millis()).unwrap_or(u64::MAX),
            prefix: bus.prefix().to_owned(),
            group: bus.group().to_owned(),
            readers: purge.readers().clone(),
            purge: purge.enabled(),
        }
    }

    /// Where the embedded log is.
    pub(crate) fn data_dir(&self) -> &Path {
        self.settings.bus().data_dir()
    }

    /// Who makes subjects, from the key file.
    ///
    /// # Errors
    /// Exit code 5 for a key that is missing, malformed, or open to others.
    pub(crate) fn subjects(&self) -> Outcome<Subjects> {
        let identity = self.settings.identity();
        let key = Key::read(identity.key_file()).map_err(|error| Failure::new(ExitCode::Unsafe, error))?;
        let subjects = Subjects::new(&key, identity.default_region());
        private::lock_key(&subjects);
        Ok(subjects)
    }

    /// The policy, from its file.
    ///
    /// # Errors
    /// Exit code 3 for one that does not check.
    pub(crate) fn policy(&self) -> Outcome<Policy> {
        policy_file::read(self.settings.policy().file())
    }

    /// How the line works, with `workers` workers.
    pub(crate) fn options(&self, workers: u16) -> Options {
        let router = self.settings.router();
        Options {
            workers,
            batch_ms_max: router.batch_ms_max(),
            batch_bytes_max: router.batch_bytes_max(),
            freshness_max_ms: router.freshness_max_ms(),
            max_message_bytes: self.settings.topics().max_message_bytes(),
            dedupe_window: router.dedupe_window(),
            skip_unreadable: self.settings.suppression().skip_unreadable(),
            jobs_topic: topic_name(self.settings.bus().prefix(), "send-jobs"),
            purge: purge::Options {
                enabled: self.settings.purge().enabled(),
                readers: self.settings.purge().readers().clone(),
                content_max_age: router.content_max_age(),
            },
            // Whoever runs the line puts its own in.
            policy: tamis_policy::Current::default(),
            snapshots: Some(self.snapshots(Some(self.settings.suppression().snapshot_every()))),
        }
    }

    /// Where snapshots are; `every` as the settings say, or `None` to write none by itself.
    pub(crate) fn snapshots(&self, every: Option<Duration>) -> snapshots::Options {
        let folder = self.settings.suppression().snapshot_dir().to_owned();
        snapshots::Options { folder, every }
    }

    /// Where imports keep what is told of them, and what they brought: beside the snapshots.
    pub(crate) fn imports_dir(&self) -> PathBuf {
        self.settings.suppression().snapshot_dir().with_file_name("imports")
    }

    /// What is worth knowing of the settings although nothing is refused for it.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.settings.notes().iter().map(ToString::to_string).collect()
    }

    /// The log for one command: through the running service where it has the embedded store.
    pub(crate) fn log(&self) -> Outcome<Log> {
        if self.kafka_config().is_none()
            && let Some(service) = Service::find(self.data_dir())
        {
            return Ok(Log::Service(service));
        }
        Ok(match self.open_log(0)? {
            Opened::Kafka(bus) => {
                bus.probe(REACH_TIMEOUT)?;
                Log::Kafka(bus)
            }
            Opened::Embedded(bus) => Log::Embedded(bus),
        })
    }

    /// Opens the log for `workers` workers.
    pub(crate) fn open_log(&self, workers: u16) -> Outcome<Opened> {
        if let Some(config) = self.kafka_config() {
            return Ok(Opened::Kafka(Arc::new(Kafka::new(config)?)));
        }
        Ok(Opened::Embedded(Embedded::open(self.data_dir(), self.embedded_config(workers))?))
    }

    /// A writer of jobs.
    pub(crate) fn sender(&self) -> Outcome<Sender> {
        Ok(match self.log()? {
            Log::Kafka(bus) => Sender::log(bus.scheduler()?),
            Log::Embedded(bus) => Sender::log(bus.scheduler()?),
            Log::Service(service) => Sender::service(service),
        })
    }

    /// Reads deliveries and hands each one's bytes on, until the ask's end.
    pub(crate) fn tail(&self, ask: &TailAsk, each: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        match self.log()? {
            Log::Kafka(bus) => follow(&*bus, ask, each),
            Log::Embedded(bus) => follow(&*bus, ask, each),
            Log::Service(service) => service.tail(ask, each),
        }
    }
}

/// When a tail is to end.
pub(crate) struct End<'a> {
    ask: &'a TailAsk,
    seen: u64,
    last: Instant,
}

impl<'a> End<'a> {
    /// Nothing seen yet.
    pub(crate) fn new(ask: &'a TailAsk) -> Self {
        Self { ask, seen: 0, last: Instant::now() }
    }

    /// How many may still be read together.
    pub(crate) fn most(&self) -> usize {
        let left = self.ask.max.map_or(u64::MAX, |max| max.saturating_sub(self.seen));
        usize::try_from(left).unwrap_or(usize::MAX).min(TAIL_MOST)
    }

    /// So many came.
    pub(crate) fn came(&mut self, count: usize) {
        if count > 0 {
            self.seen += count as u64;
            self.last = Instant::now();
        }
    }

    /// Whether it is the end.
    pub(crate) fn is_reached(&self) -> bool {
        self.most() == 0 || self.ask.idle_exit.is_some_and(|idle| self.last.elapsed() >= idle)
    }
}

fn follow<B: Bus>(bus: &B, ask: &TailAsk, each: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
    let mut tail = bus.tail(TailTopic::Deliveries(ask.channel), &ask.group, ask.from_beginning)?;
    let mut end = End::new(ask);
    while !end.is_reached() {
        let mut told = Ok(());
        let came = tail.poll(LOOK_EVERY, end.most(), &mut |record| {
            if told.is_ok() {
                told = each(record.value);
            }
        })?;
        // What could not be printed was not read.
        told?;
        if came > 0 {
            tail.commit()?;
        }
        end.came(came);
    }
    Ok(())
}

/// The wall clock, Unix ms.
pub(crate) fn now_ms() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs::try_from(since.as_millis()).unwrap_or(UnixMs::MAX)
}

/// Parses a channel's name.
pub(crate) fn channel(text: &str) -> Result<Channel, String> {
    Channel::from_name(text).ok_or_else(|| format!("must be one of {}", names(Channel::ALL)))
}

/// Parses `500ms`, `5s`, `2m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 =
        digits.parse().map_err(|_| "must be a number with ms, s, m, h or d, as in 5s".to_owned())?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("must end in ms, s, m, h or d, as in 5s".to_owned()),
    };
    Ok(Duration::from_millis(count.saturating_mul(unit_ms)))
}

/// The runtime of what speaks HTTP or waits for signals.
pub(crate) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .or_exit(ExitCode::Failed, "start runtime")
}

/// How many workers for a setting of 0: one for each core, within the limits of the line.
pub(crate) fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores.clamp(1, 64)).unwrap_or(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("5").is_err());
        assert!(duration("5 s").is_err());
        assert!(duration("fünf").is_err());
    }
}
