//! `tamis run` as a process of its own, to kill, pause and stop.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::suite::wait;

/// A service process, killed when dropped.
pub struct Service {
    child: Child,
    /// Where `/readyz` and `/metrics` are.
    pub admin: SocketAddr,
    /// Where the API is.
    pub api: SocketAddr,
    log: PathBuf,
}

/// A free loopback port, as free as one can tell.
#[must_use]
pub fn free_address() -> SocketAddr {
    let [port] = kafka_harness::free_ports().expect("loopback has a free port");
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Writes `<dir>/<instance>.toml` for `bus` (the lines of `[bus]`) with more lines after it.
#[must_use]
pub fn config(dir: &Path, instance: &str, bus: &str, more: &str) -> (PathBuf, SocketAddr, SocketAddr) {
    let (admin, api, public) = (free_address(), free_address(), free_address());
    let mut text = format!("[bus]\n{bus}\ninstance = \"{instance}\"\n\n");
    let _ = writeln!(text, "[identity]\nkey_file = \"{}\"", dir.join("tamis.key").display());
    let _ = writeln!(
        text,
        "[http]\npublic = \"{public}\"\nadmin = \"{admin}\"\napi = \"{api}\"\nauth = \"off\"\n{more}"
    );
    let path = dir.join(format!("{instance}.toml"));
    std::fs::write(&path, text).expect("the test's folder can be written");
    (path, admin, api)
}

/// Where `config`, written by [`config()`], opens the door of unsubscribe links.
#[must_use]
pub fn public_of(config: &Path) -> SocketAddr {
    let text = std::fs::read_to_string(config).expect("it was written");
    let at = text.lines().find_map(|line| line.strip_prefix("public = \"")?.strip_suffix('"'));
    at.and_then(|at| at.parse().ok()).expect("every configuration has one")
}

impl Service {
    /// Starts `tamis run` with this configuration; not yet ready.
    #[must_use]
    pub fn start(config: &Path, admin: SocketAddr, api: SocketAddr) -> Self {
        Self::start_with(config, admin, api, &[])
    }

    /// As [`Service::start`], with these variables.
    #[must_use]
    pub fn start_with(config: &Path, admin: SocketAddr, api: SocketAddr, variables: &[(&str, &str)]) -> Self {
        let log_path = config.with_extension("log");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .expect("the test's folder can be written");
        let child = Command::new(crate::tamis_bin())
            .arg("run")
            .arg("--config")
            .arg(config)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Self { child, admin, api, log: log_path }
    }

    /// Waits until `/readyz` is 200.
    pub fn wait_ready(&self) {
        wait("/readyz is 200", || self.ready());
    }

    /// Whether `/readyz` is 200 now.
    #[must_use]
    pub fn ready(&self) -> bool {
        get(self.admin, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The value of a metric without labels.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = get(self.admin, "/metrics")?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it runs, or stands still: it has not ended.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|s| s.success()), "the process takes {name}");
    }

    /// SIGTERM, and how it ended.
    #[must_use]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().expect("the process can be waited for")
    }

    /// SIGTERM, and how it ended; killed, and `None`, when it has not ended by then.
    #[must_use]
    pub fn stop_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.signal("TERM");
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        None
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", get(self.admin, "/readyz").unwrap_or_default());
            let metrics = get(self.admin, "/metrics").unwrap_or_default();
            metrics
                .lines()
                .filter(|line| line.contains("_errors_") || line.contains("filter_lag"))
                .for_each(|line| println!("{line}"));
            println!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
        self.kill();
    }
}

/// A plain HTTP GET; `None` when nobody answers.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Option<String> {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

/// A plain HTTP POST of JSON; `None` when nobody answers.
#[must_use]
pub fn post(address: SocketAddr, path: &str, json: &str) -> Option<String> {
    post_as(address, path, "application/json", json)
}

/// A plain HTTP POST of a body of this type; `None` when nobody answers.
#[must_use]
pub fn post_as(address: SocketAddr, path: &str, content_type: &str, body: &str) -> Option<String> {
    let length = body.len();
    ask(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn ask(address: SocketAddr, question: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    stream.write_all(question.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
