//! The filter of a log that no service of ours has: loaded here, for one command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tamis_bus::{Bus, Recorder};
use tamis_pipeline::{Filter, Options, Running, Stopped};
use tamis_subject::Subjects;
use tamis_suppression::snapshot::About;
use tamis_telemetry::{Health, Metrics};

use crate::context::Context;
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};

/// How long the suppression log may take to be read.
const LOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the follower may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A filter that is loaded, and the writer beside it.
pub(crate) struct Loaded {
    running: Running,
}

impl Loaded {
    /// Follows the suppression log to its end, from the newest snapshot that fits, without a worker.
    ///
    /// # Errors
    /// Exit code 5 when the log was written under another key: nothing may be added under this one.
    pub(crate) fn from<B: Bus>(bus: Arc<B>, subjects: Subjects, context: &Context) -> Outcome<Self> {
        let options = Options { snapshots: Some(context.snapshots(None)), ..context.options(0) };
        let running = tamis_pipeline::start(bus, subjects, options, Metrics::detached(), Health::new())?;
        let begun = Instant::now();
        while !running.filter().is_loaded() {
            if let Some(stopped) = running.stopped() {
                return Err(stopped.into());
            }
            if begun.elapsed() > LOAD_TIMEOUT {
                return Err(Failure::say(
                    ExitCode::Unreachable,
                    "read suppressions: the log's end was not reached in time",
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Self { running })
    }

    /// The filter.
    pub(crate) fn filter(&self) -> Filter {
        self.running.filter()
    }

    /// The writer.
    pub(crate) fn recorder(&self) -> Arc<dyn Recorder> {
        self.running.recorder()
    }

    /// Writes a snapshot of it: its number, and what it knows of itself.
    pub(crate) fn snapshot(&self) -> Outcome<(u64, About)> {
        let snapshots = self.running.snapshots().expect("it has a folder for them");
        let written = snapshots.write().or_exit(ExitCode::Failed, "write snapshot")?;
        Ok(written.expect("it is loaded"))
    }

    /// Ends it.
    pub(crate) fn end(self) {
        let _ = self.running.drain(END_TIMEOUT);
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::WrongKey => Self::new(ExitCode::Unsafe, stopped),
            Stopped::Snapshot(_) => Self::new(ExitCode::Failed, stopped),
            Stopped::Log(error) => error.into(),
        }
    }
}
