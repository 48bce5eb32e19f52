//! One node: its settings, how it is formatted and started, and when it answers.

use crate::Error;
use crate::broker::Options;
use crate::ports::free_ports;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Any 16 bytes in base64 will do: every cluster here is alone.
const CLUSTER_ID: &str = "dGFtaXMta2Fma2EtMDAwMQ";

/// Small and quick: one replica of everything, short delays, so that tests of retention, compaction and dead
/// members take seconds.
const PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
log.initial.task.delay.ms=200
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=0
log.cleaner.backoff.ms=200
log.cleaner.dedupe.buffer.size=4194304
log.flush.start.offset.checkpoint.interval.ms=500
";

/// How long a start may take on a busy machine.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(90);

/// Between two looks at whether it answers.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where a node lives.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) heap_mb: u32,
    /// What runs java, before its own command line: nothing, or the way into a name space of its own.
    pub(crate) within: Vec<String>,
    /// More options for java.
    pub(crate) jvm: Vec<String>,
    libs: PathBuf,
}

impl Node {
    /// Writes the settings and formats the data directory, unless that is done already.
    pub(crate) fn prepare(dir: PathBuf, options: &Options) -> Result<Self, Error> {
        let [free, controller] = free_ports().map_err(|e| Error::new("find ports for Kafka", e))?;
        let port = options.port.unwrap_or(free);
        let node = Self::new(dir, port, options.heap_mb)?;
        let properties = format!(
            "{PROPERTIES}controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n{}\n",
            options.properties
        );
        node.settle(&properties)?;
        Ok(node)
    }

    /// A node that will live in `dir`.
    pub(crate) fn new(dir: PathBuf, port: u16, heap_mb: u32) -> Result<Self, Error> {
        let libs = crate::jars::folder()?;
        let node = Self { dir, port, heap_mb, within: Vec::new(), jvm: Vec::new(), libs };
        fs::create_dir_all(node.data()).map_err(|e| Error::new("make Kafka's directory", e))?;
        Ok(node)
    }

    /// Writes the settings, to which the place of the data is added, and formats the data directory once.
    pub(crate) fn settle(&self, properties: &str) -> Result<(), Error> {
        let properties = format!("{properties}log.dirs={}\n", self.data().display());
        fs::write(self.properties(), properties).map_err(|e| Error::new("write Kafka's settings", e))?;
        if self.data().join("meta.properties").exists() { Ok(()) } else { self.format() }
    }

    /// Where the data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn classpath(&self) -> String {
        format!("{}/*", self.libs.join("jars").display())
    }

    fn format(&self) -> Result<(), Error> {
        let mut words = self.within.clone();
        words.push("java".to_owned());
        let formatted = Command::new(&words[0])
            .args(&words[1..])
            .args(["-cp", &self.classpath(), "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(self.properties())
            .output()
            .map_err(|e| Error::new("format Kafka's storage", format!("`java` can't be started: {e}")))?;
        if formatted.status.success() {
            return Ok(());
        }
        Err(Error::new("format Kafka's storage", String::from_utf8_lossy(&formatted.stderr)))
    }

    /// Java under a shell that kills it as soon as the shell's own standard input ends, which the kernel sees to
    /// when whoever holds the other end is gone, however it went.
    pub(crate) fn command(&self) -> Result<Command, Error> {
        const WATCHDOG: &str = r#"
            "$@" </dev/null & java=$!
            echo $java > "$PIDFILE"
            ( cat >/dev/null <&3; kill -CONT $java; kill -KILL $java ) 2>/dev/null 3<&3 &
            wait $java
        "#;
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec 3<&0; {WATCHDOG}"), "kafka"]).args(self.java());
        command.env("PIDFILE", self.pid_file()).stdin(Stdio::piped());
        let log = fs::File::create(self.log()).map_err(|e| Error::new("write Kafka's log", e))?;
        let errors = log.try_clone().map_err(|e| Error::new("write Kafka's log", e))?;
        command.stdout(log).stderr(errors);
        Ok(command)
    }

    /// The broker's command line.
    pub(crate) fn java(&self) -> Vec<String> {
        let heap = self.heap_mb;
        let mut words = self.within.clone();
        words.extend(["java".to_owned(), format!("-Xms{}m", heap.min(256)), format!("-Xmx{heap}m")]);
        words.extend(self.jvm.iter().cloned());
        words.extend(["-cp".to_owned(), self.classpath(), "kafka.Kafka".to_owned()]);
        words.push(self.properties().display().to_string());
        words
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.dir.join("pid")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("kafka.log")
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Waits until the broker answers and has registered; `alive` tells whether to go on.
    pub(crate) fn wait_until_ready(&self, mut alive: impl FnMut() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline && alive() {
            if self.knows(1) {
                return Ok(());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(Error::new("start Kafka", format!("no answer {}", self.last_words())))
    }

    /// Whether it answers, and so many brokers have registered.
    pub(crate) fn knows(&self, brokers: u32) -> bool {
        registered(self.port).is_ok_and(|known| known >= brokers)
    }

    /// Its port and the end of its log, for an error's text.
    pub(crate) fn last_words(&self) -> String {
        format!("on port {}; {}", self.port, tail(&self.log()))
    }
}

/// Asks Metadata (api 3, version 1, no topics) and looks how many brokers are in the answer: ApiVersions alone is
/// answered before the broker has registered.
fn registered(port: u16) -> std::io::Result<u32> {
    const LIMIT: Duration = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    // Length 17; api key 3; api version 1; correlation 7; client id "tamis-"; zero topics asked for.
    let mut request = vec![0, 0, 0, 20, 0, 3, 0, 1, 0, 0, 0, 7, 0, 6];
    request.extend_from_slice(b"tamis-");
    request.extend_from_slice(&[0, 0, 0, 0]);
    stream.write_all(&request)?;
    // Length, correlation id, number of brokers.
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let ours = head[4..8] == [0, 0, 0, 7];
    Ok(if ours { u32::from_be_bytes([head[8], head[9], head[10], head[11]]) } else { 0 })
}

/// The last lines of a log, for an error's text.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}
