//! A broker owned by the process that started it.

use crate::Error;
use crate::node::Node;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How to start a broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// Java's largest heap, MiB.
    pub heap_mb: u32,
    /// Where the data is kept, and stays; a fresh directory that is removed in the end when `None`.
    pub data_dir: Option<PathBuf>,
    /// Whether a fresh directory is made in memory (`/dev/shm`).
    pub tmpfs: bool,
    /// The broker's port; a free one when `None`.
    pub port: Option<u16>,
    /// More of the broker's settings, a line each, which win over the harness's own.
    pub properties: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { heap_mb: 512, data_dir: None, tmpfs: false, port: None, properties: String::new() }
    }
}

/// A running broker. Dropping it kills it.
#[derive(Debug)]
pub struct Broker {
    node: Node,
    /// The watchdog shell; java's own pid is in the pid file.
    shell: Option<Child>,
    /// Removes a fresh directory at the end.
    _fresh: Option<tempfile::TempDir>,
}

impl Broker {
    /// Fetches the jars if need be, formats a directory, starts a broker and waits until it answers.
    ///
    /// # Errors
    /// When Maven or Java is missing, or the broker does not answer; the text has the end of its log.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let fail = |e| Error::new("make Kafka's directory", e);
        let (dir, fresh) = match &options.data_dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let mut builder = tempfile::Builder::new();
                builder.prefix("tamis-kafka-");
                let fresh = if options.tmpfs { builder.tempdir_in("/dev/shm") } else { builder.tempdir() };
                let fresh = fresh.map_err(fail)?;
                (fresh.path().to_owned(), Some(fresh))
            }
        };
        let node = Node::prepare(dir, options)?;
        let mut broker = Self::of(node);
        broker._fresh = fresh;
        broker.launch()?;
        Ok(broker)
    }

    /// Not started yet.
    pub(crate) fn of(node: Node) -> Self {
        Self { node, shell: None, _fresh: None }
    }

    fn launch(&mut self) -> Result<(), Error> {
        self.spawn()?;
        let Self { node, shell, .. } = self;
        node.wait_until_ready(|| shell.as_mut().is_some_and(|s| matches!(s.try_wait(), Ok(None))))
    }

    /// Starts java, and does not wait.
    pub(crate) fn spawn(&mut self) -> Result<(), Error> {
        // A pid of an earlier start must not be taken for this one's.
        let _ = std::fs::remove_file(self.node.pid_file());
        let child = self.node.command()?.spawn().map_err(|e| Error::new("start Kafka", e))?;
        self.shell = Some(child);
        Ok(())
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Whether its process runs, or stands still.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.shell.as_mut().is_some_and(|shell| matches!(shell.try_wait(), Ok(None)))
    }

    /// `host:port` for clients.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.node.bootstrap()
    }

    /// Java's process id.
    ///
    /// # Errors
    /// When the broker is not running.
    pub fn pid(&self) -> Result<u32, Error> {
        let text =
            std::fs::read_to_string(self.node.pid_file()).map_err(|e| Error::new("read Kafka's pid", e))?;
        text.trim().parse().map_err(|e| Error::new("read Kafka's pid", e))
    }

    /// Stops it in its tracks (SIGSTOP): connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When the broker is not running.
    pub fn pause(&self) -> Result<(), Error> {
        self.signal("STOP")
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When the broker is not running.
    pub fn resume(&self) -> Result<(), Error> {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<(), Error> {
        let pid = self.pid()?.to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Error::new("signal Kafka", status)),
            Err(e) => Err(Error::new("signal Kafka", e)),
        }
    }

    /// Kills it (SIGKILL). The data stays until the broker is dropped.
    pub fn kill(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            if matches!(shell.try_wait(), Ok(Some(_))) {
                // It has ended by itself; its number may be another's by now.
                return;
            }
            // Ends the watchdog's input, upon which it kills java; the shell ends with java.
            drop(shell.stdin.take());
            let _ = self.signal("KILL");
            let _ = shell.wait();
        }
    }

    /// Asks it to end (SIGTERM), as an operator would, and kills it if it has not after `limit`. Says whether it went
    /// by itself.
    ///
    /// # Errors
    /// When the broker is not running.
    pub fn stop(&mut self, limit: Duration) -> Result<bool, Error> {
        self.signal("TERM")?;
        let deadline = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() >= deadline {
                self.kill();
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.shell = None;
        Ok(true)
    }

    /// Kills it if it runs, and starts it again on the same port and data.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        self.launch()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One broker for a whole test binary; it ends with the process. Tests keep apart by topic prefix.
///
/// # Panics
/// When there is no broker to be had: the tests that call this cannot run.
pub fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    // Never dropped, being static: the watchdog ends the broker, and the directory is on the machine's /dev/shm
    // or temporary directory, which is emptied by `sweep` at the next start.
    SHARED.get_or_init(|| {
        sweep();
        let kept = std::env::temp_dir().join(format!("tamis-kafka-shared-{}", std::process::id()));
        let options = Options { data_dir: Some(kept), ..Options::default() };
        Broker::start(&options).unwrap_or_else(|e| panic!("{e}"))
    })
}

/// Removes shared directories whose process is gone.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("tamis-kafka-shared-"));
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
