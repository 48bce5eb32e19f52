//! A rotation of the key from its file to the log, the same for a command and for the service.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tamis_bus::{Blame, Bus, Error, Recorder};
use tamis_pipeline::Stopped;
use tamis_pipeline::rotate::{self, Rotated};
use tamis_subject::{Key, KeyError, KeyFile, Region, Subjects};

use crate::exit_code::{ExitCode, Failure};

/// What is rotated.
pub(crate) struct Rotation<'a, B: Bus> {
    pub(crate) bus: &'a B,
    pub(crate) recorder: &'a dyn Recorder,
    pub(crate) key_file: &'a Path,
    pub(crate) region: Region,
    /// How long records of the earlier scheme may be on their way to the log once it knows of the new one.
    pub(crate) settle: Duration,
}

/// Why a rotation did not end. It may be begun again: the next one goes on where this one was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRotated {
    /// The key file can't be changed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The log says no.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The log can't be used.
    #[error(transparent)]
    Log(#[from] Error),
}

impl<B: Bus> Rotation<'_, B> {
    /// Adds a step to the key file, unless the last rotation was not finished; tells `begun` of it, whether it is a new one,
    /// and waits in `wait` until whoever needs the new key has it; then has the log written again.
    pub(crate) fn run(
        &self,
        begun: impl FnOnce(u32, bool),
        wait: impl FnOnce(&Subjects) -> Result<(), Error>,
    ) -> Result<Rotated, NotRotated> {
        let file = KeyFile::lock(self.key_file)?;
        let mut subjects = Subjects::new(&Key::read(self.key_file)?, self.region);
        let anew = !rotate::is_unfinished(self.bus, self.recorder, &subjects)?;
        if anew {
            subjects = Subjects::new(&file.add_step()?, self.region);
        }
        begun(subjects.newest(), anew);
        wait(&subjects)?;
        Ok(rotate::finish(self.bus, self.recorder, &subjects, self.settle, &AtomicBool::new(false))?)
    }
}

impl From<NotRotated> for Failure {
    fn from(error: NotRotated) -> Self {
        match error {
            NotRotated::Stopped(stopped) => stopped.into(),
            NotRotated::Log(error) => error.into(),
            NotRotated::Key(error) => Self::new(code(&error), error),
        }
    }
}

impl From<NotRotated> for Error {
    /// As the running service tells it.
    fn from(error: NotRotated) -> Self {
        match error {
            NotRotated::Stopped(Stopped::Log(error)) | NotRotated::Log(error) => error,
            other => Self::new("rotate", Blame::Configuration, other.to_string()),
        }
    }
}

fn code(error: &KeyError) -> ExitCode {
    match error {
        KeyError::Missing(_) | KeyError::OpenToOthers { .. } | KeyError::Malformed(_) => ExitCode::Unsafe,
        KeyError::Full(_) => ExitCode::Refused,
        KeyError::Busy(_) | KeyError::Exists(_) | KeyError::Io { .. } | KeyError::Random(_) => {
            ExitCode::Failed
        }
    }
}
