//! An embedded log in a folder of its own.

use std::sync::Arc;

use tamis_bus::embedded::{Config, Embedded};
use tempfile::TempDir;

/// A log and its folder, which goes with it.
pub struct Open {
    /// The log.
    pub bus: Arc<Embedded>,
    /// Its folder.
    pub dir: TempDir,
}

/// An empty log for two workers.
#[must_use]
pub fn open() -> Open {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let config = Config { workers: 2, ..Config::default() };
    let bus = Embedded::open(dir.path(), config).expect("an empty folder can be opened");
    Open { bus, dir }
}
