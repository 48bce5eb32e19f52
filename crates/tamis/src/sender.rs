//! Writes jobs and waits for their acks.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tamis_bus::Scheduler;

use crate::exit_code::{ExitCode, Failure, Outcome};
use crate::service::Service;

/// Jobs given to the log and not yet acked.
const OUTSTANDING_MAX: usize = 256;
/// Jobs sent to a service together, and their bytes: far below the limit of its bodies.
const TOGETHER_MAX: usize = 256;
const TOGETHER_BYTES_MAX: usize = 4 << 20;
/// How long the log may be silent before we give up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Where jobs go.
pub(crate) enum Sender {
    /// The log itself.
    Log {
        /// Its writer.
        scheduler: Box<dyn Scheduler>,
        /// What is under way.
        shared: Arc<Shared>,
    },
    /// The service that has the log.
    Service {
        /// The service.
        service: Service,
        /// What waits to be sent together.
        waiting: Mutex<Vec<(String, Vec<u8>)>>,
    },
}

/// What the acks change.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    outstanding: usize,
    error: Option<tamis_bus::Error>,
}

impl Sender {
    /// To the log itself.
    pub(crate) fn log(scheduler: impl Scheduler + 'static) -> Self {
        Self::Log { scheduler: Box::new(scheduler), shared: Arc::new(Shared::default()) }
    }

    /// To the service.
    pub(crate) fn service(service: Service) -> Self {
        Self::Service { service, waiting: Mutex::default() }
    }

    /// Sends a job; it is durable only after [`Sender::finish`].
    ///
    /// # Errors
    /// When this or an earlier one could not be written.
    pub(crate) fn send(&self, job_id: &str, value: Vec<u8>) -> Outcome {
        match self {
            Self::Service { service, waiting } => {
                let mut waiting = waiting.lock();
                waiting.push((job_id.to_owned(), value));
                let bytes: usize = waiting.iter().map(|(_, value)| value.len()).sum();
                if waiting.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES_MAX {
                    return Ok(());
                }
                service.send_jobs(&std::mem::take(&mut *waiting))
            }
            Self::Log { scheduler, shared } => {
                shared.wait(OUTSTANDING_MAX - 1)?;
                shared.state.lock().outstanding += 1;
                let acked = shared.clone();
                scheduler.submit(
                    job_id,
                    value,
                    Box::new(move |answer| {
                        let mut state = acked.state.lock();
                        state.outstanding -= 1;
                        if let Err(error) = answer {
                            state.error.get_or_insert(error);
                        }
                        acked.changed.notify_all();
                    }),
                );
                Ok(())
            }
        }
    }

    /// Waits until every job is durable.
    ///
    /// # Errors
    /// When one is not.
    pub(crate) fn finish(&self) -> Outcome {
        match self {
            Self::Service { service, waiting } => {
                let waiting = std::mem::take(&mut *waiting.lock());
                if waiting.is_empty() { Ok(()) } else { service.send_jobs(&waiting) }
            }
            Self::Log { shared, .. } => shared.wait(0),
        }
    }
}

impl Shared {
    /// Waits until at most `most` are under way.
    fn wait(&self, most: usize) -> Outcome {
        let mut state = self.state.lock();
        loop {
            if let Some(error) = &state.error {
                return Err(error.clone().into());
            }
            if state.outstanding <= most {
                return Ok(());
            }
            if self.changed.wait_for(&mut state, SILENCE_MAX).timed_out() {
                return Err(Failure::say(ExitCode::Unreachable, "send jobs: the log does not answer"));
            }
        }
    }
}
