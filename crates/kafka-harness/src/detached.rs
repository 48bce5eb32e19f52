//! `cargo xtask kafka up` and `down`: a broker that outlives the command that started it, for some hours.

use crate::Error;
use crate::broker::Options;
use crate::jars::target_dir;
use crate::node::Node;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How `up` starts a broker.
#[derive(Debug, Clone)]
pub struct Up {
    /// Java's largest heap, MiB.
    pub heap_mb: u32,
    /// Whether the data is kept in memory (`/dev/shm`).
    pub tmpfs: bool,
    /// The broker's port; a free one when `None`.
    pub port: Option<u16>,
    /// After how many hours it ends by itself.
    pub hours: u32,
}

impl Default for Up {
    fn default() -> Self {
        Self { heap_mb: 1024, tmpfs: false, port: None, hours: 8 }
    }
}

fn dir() -> PathBuf {
    target_dir().join("kafka")
}

fn data_dir_in_memory() -> PathBuf {
    PathBuf::from("/dev/shm/tamis-kafka-up")
}

/// Starts a broker that stays, and returns its `host:port`, which is also in `target/kafka/bootstrap`. One that is
/// already up is ended first; its data is removed.
///
/// # Errors
/// As [`crate::Broker::start`].
pub fn up(options: &Up) -> Result<String, Error> {
    const STEP: &str = "start Kafka";
    down()?;
    let place = dir();
    fs::create_dir_all(&place).map_err(|e| Error::new(STEP, e))?;
    let data = if options.tmpfs { data_dir_in_memory() } else { place.join("node") };
    let own = Options { heap_mb: options.heap_mb, port: options.port, ..Options::default() };
    let node = Node::prepare(data, &own)?;
    let log = fs::File::create(node.log()).map_err(|e| Error::new(STEP, e))?;
    let errors = log.try_clone().map_err(|e| Error::new(STEP, e))?;
    // A session of its own: the terminal's end does not end it; `timeout` does, after the hours given.
    let mut child = Command::new("setsid")
        .args(["timeout", "--kill-after=10", &format!("{}h", options.hours)])
        .args(node.java())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|e| Error::new(STEP, e))?;
    fs::write(place.join("pid"), child.id().to_string()).map_err(|e| Error::new(STEP, e))?;
    fs::write(place.join("bootstrap"), node.bootstrap()).map_err(|e| Error::new(STEP, e))?;
    node.wait_until_ready(|| matches!(child.try_wait(), Ok(None)))?;
    Ok(node.bootstrap())
}

/// Ends the broker that [`up`] started and removes its data. Says whether there was one.
///
/// # Errors
/// When its files can't be removed.
pub fn down() -> Result<bool, Error> {
    let place = dir();
    let pid = fs::read_to_string(place.join("pid")).ok();
    let ours = pid.as_deref().map(str::trim).filter(|pid| is_ours(pid));
    if let Some(pid) = ours {
        // `setsid` became `timeout`, the leader of its group: java is in that group.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{pid}")]).status();
        while is_ours(pid) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    for leftover in [place, data_dir_in_memory()] {
        if leftover.exists() {
            fs::remove_dir_all(&leftover).map_err(|e| Error::new("remove Kafka's data", e))?;
        }
    }
    Ok(ours.is_some())
}

/// Whether the process is still the one that was started: a pid may have been given to another since. One that has
/// ended and was not waited for has an empty command line.
fn is_ours(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("kafka.Kafka"))
}
