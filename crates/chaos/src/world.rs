//! The world: three brokers, a proxy before each, three `tamis run` processes behind the proxies.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kafka_harness::{Cluster, ClusterOptions};
use tamis_bus::kafka::{Config, Kafka, topics};
use tamis_subject::{Key, Region, Subjects};
use tamis_tests::process::{self, Service};

use crate::proxy::{Faults, Proxy};

/// Topics begin with it, and the group's name is the same.
pub(crate) const PREFIX: &str = "chaos";
/// Processes, each with one worker.
pub(crate) const PROCESSES: usize = 3;
/// Two partitions a worker.
const PARTITIONS: u32 = 6;
/// Room for some minutes of logs, and soon full.
const SMALL_DISK_BYTES: u64 = 384 << 20;
/// How long making topics may take on a busy machine.
const TOPICS_LIMIT: Duration = Duration::from_secs(60);

/// Dead members are noticed in six seconds, so that a fault's end is seen within the run.
const MORE: &str = "[bus.client]\n\"session.timeout.ms\" = \"6000\"\n\"heartbeat.interval.ms\" = \"1000\"\n\
                    [router]\nworkers = 1\n[topics]\npartitions = 6\n";

/// Kills what is listed when its standard input ends, which it does when we are gone, however we went. A number that was
/// given to another process since has another command line.
const WARDEN: &str = r#"
    trap '' INT TERM HUP
    cat >/dev/null
    while read -r pid; do
        if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q ' run --config '; then kill -KILL "$pid"; fi
    done <"$1" 2>/dev/null
"#;

/// Ends processes that outlive us.
struct Warden {
    shell: Child,
    list: PathBuf,
}

impl Warden {
    fn start(list: PathBuf) -> Result<Self> {
        fs::File::create(&list).context("make the list of processes")?;
        let mut command = Command::new("sh");
        command.args(["-c", WARDEN, "warden"]).arg(&list);
        let shell = command.stdin(Stdio::piped()).spawn().context("start the warden")?;
        Ok(Self { shell, list })
    }

    fn note(&self, pid: u32) -> Result<()> {
        let mut list = fs::OpenOptions::new().append(true).open(&self.list).context("list a process")?;
        writeln!(list, "{pid}").context("list a process")
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// One process: how it is started, and itself.
pub(crate) struct Process {
    config: PathBuf,
    pub(crate) admin: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) service: Service,
}

/// All of it. Dropping it ends everything, the processes first.
pub(crate) struct World {
    pub(crate) processes: Vec<Process>,
    warden: Warden,
    pub(crate) cluster: Cluster,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) faults: Arc<Faults>,
    /// For the load and the checker: past no proxy.
    pub(crate) bus: Arc<Kafka>,
    pub(crate) subjects: Subjects,
}

impl World {
    /// Starts it in `dir`; the processes may not be ready yet.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let faults = Arc::new(Faults::default());
        let mut proxies = Vec::new();
        let mut failed = None;
        let options =
            ClusterOptions { dir: dir.to_owned(), heap_mb: 384, small_disk: Some(SMALL_DISK_BYTES) };
        let cluster = Cluster::start(&options, &mut |inner| match Proxy::start(inner, &faults) {
            Ok(proxy) => {
                let port = proxy.address().port();
                proxies.push(proxy);
                port
            }
            Err(error) => {
                failed = Some(error);
                inner.port()
            }
        });
        if let Some(error) = failed {
            return Err(error).context("start a proxy");
        }
        let cluster = cluster.context("start the cluster")?;
        let mut config = Config::new(cluster.bootstrap());
        PREFIX.clone_into(&mut config.prefix);
        PREFIX.clone_into(&mut config.group);
        "checker".clone_into(&mut config.instance);
        config.topics.partitions = PARTITIONS;
        topics::apply(&config, TOPICS_LIMIT).context("make the topics")?;
        let key_file = dir.join("tamis.key");
        let key = Key::create_file(&key_file).context("make a key")?;
        let region = Region::parse("FR").context("FR is a region")?;
        let mut world = Self {
            processes: Vec::new(),
            warden: Warden::start(dir.join("processes"))?,
            cluster,
            proxies,
            faults,
            bus: Arc::new(Kafka::new(config).context("open the log")?),
            subjects: Subjects::new(&key, region),
        };
        for number in 1..=PROCESSES {
            world.add_process(dir, &key_file, number)?;
        }
        Ok(world)
    }

    fn add_process(&mut self, dir: &Path, key_file: &Path, number: usize) -> Result<()> {
        let name = instance(number - 1);
        // A folder for each, as each has files of its own.
        let place = dir.join(&name);
        fs::create_dir_all(&place).context("make a process's folder")?;
        fs::copy(key_file, place.join("tamis.key")).context("copy the key")?;
        let mut servers = String::new();
        for proxy in &self.proxies {
            let comma = if servers.is_empty() { "" } else { "," };
            let _ = write!(servers, "{comma}{}", proxy.address());
        }
        let lines = format!(
            "kind = \"kafka\"\nbootstrap_servers = \"{servers}\"\nprefix = \"{PREFIX}\"\ngroup = \"{PREFIX}\""
        );
        let (config, admin, api) = process::config(&place, &name, &lines, MORE);
        let service = Service::start(&config, admin, api);
        self.warden.note(service.pid())?;
        self.processes.push(Process { config, admin, api, service });
        Ok(())
    }

    /// Starts a process that has ended.
    pub(crate) fn start_again(&mut self, place: usize) -> Result<()> {
        let process = &mut self.processes[place];
        process.service.kill();
        process.service = Service::start(&process.config, process.admin, process.api);
        self.warden.note(process.service.pid())
    }

    /// The brokers' own addresses.
    pub(crate) fn brokers(&self) -> Vec<SocketAddr> {
        self.cluster.bootstrap().split(',').filter_map(|address| address.parse().ok()).collect()
    }

    /// Writes down what each process says of itself now, beside its log.
    pub(crate) fn describe(&self, name: &str) -> Result<()> {
        for process in &self.processes {
            let text: Vec<String> = ["/readyz", "/metrics"]
                .iter()
                .map(|path| {
                    process::get(process.admin, path).unwrap_or_else(|| format!("{path}: no answer\n"))
                })
                .collect();
            let file = process.config.with_file_name(format!("{name}.txt"));
            fs::write(file, text.concat()).context("write what a process says of itself")?;
        }
        Ok(())
    }

    /// Nothing is in the way any more.
    pub(crate) fn heal_network(&self) {
        for proxy in &self.proxies {
            proxy.set_blackhole(false);
            proxy.set_delay(Duration::ZERO);
        }
    }
}

/// The instance name of the process with this place.
pub(crate) fn instance(place: usize) -> String {
    format!("tamis-{}", place + 1)
}
