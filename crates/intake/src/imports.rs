//! Imports of any size: `POST /v1/suppressions/import`, `GET /v1/imports/{id}`, and what `tamis suppress import` does itself
//! where no service has the log.
//!
//! Rows are read in pieces, made into records of keyed subjects some thousand at a time, and handed to the log with a bounded
//! number on the way: memory is flat whatever the length. An import only ever adds; what it brought into force is kept as the
//! log's own records for a day, so that it can be taken back.

mod columns;
pub(crate) mod doors;
mod folder;
mod layouts;
mod plan;
mod reading;
mod rows;
mod running;
mod text;
mod told;
mod undoing;
mod values;
mod writing;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tamis_bus::{Error, Follower, Positions, Recorder};
use tamis_pipeline::Filter;
use tamis_telemetry::Metrics;

pub use columns::Column;
pub(crate) use doors::{create, tell, undo};
pub use folder::UNDO_WINDOW;
pub use layouts::{Header, Layout, Unfit};
pub use plan::{BadParameter, PARAMETERS, Plan, Visible, id, new_id};
pub use reading::{Broken, COLUMNS_MAX, Format, Hint, Next, NotText, ROW_BYTES_MAX, Reader, Row};
pub use rows::Code;
pub use running::Import;
pub use text::{Decoder, Encoding};
pub use told::{ERRORS_MAX, Failure, Rejected, State, Status, Told, Undo};
pub use writing::ACK_TIMEOUT;

use crate::keys::Owner;
use folder::Folder;

/// Imports, and undos of some, at once: each has a core busy, and records on the way.
pub const IMPORTS_MAX: usize = 2;
/// How often it is looked for what has had its time.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Opens a reader of the suppression log at a position.
pub type Follow = Arc<dyn Fn(&Positions) -> Result<Box<dyn Follower>, Error> + Send + Sync>;

/// What an import works with.
#[derive(Clone)]
pub struct World {
    /// Who is in force already, and the key.
    pub filter: Filter,
    /// The log's writer.
    pub recorder: Arc<dyn Recorder>,
    /// The log's reader, to see what others wrote meanwhile.
    pub follow: Follow,
    /// What is counted.
    pub metrics: Metrics,
    /// How long the log may take to answer: [`ACK_TIMEOUT`].
    pub ack_timeout: Duration,
}

/// The imports of a process. Clones share them.
#[derive(Clone)]
pub struct Imports(Arc<Inner>);

struct Inner {
    folder: Folder,
    world: World,
    running: Mutex<HashMap<String, Told>>,
}

/// Why an import, or an undo, does not begin.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// Too many are under way.
    #[error("{IMPORTS_MAX} imports are under way: try again when one has ended")]
    Busy,
    /// This one is under way.
    #[error("this import is under way")]
    Runs,
    /// The id is another caller's.
    #[error("this id is taken: choose another")]
    Taken,
    /// There is no such import.
    #[error("there is no such import")]
    Unknown,
    /// It can't be undone.
    #[error("{0}")]
    NotUndone(&'static str),
    /// The folder can't be used.
    #[error("use the folder of imports: {0}")]
    Folder(#[from] std::io::Error),
}

impl Imports {
    /// Imports whose files are in `folder`, which is made if there is none.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn open(folder: &Path, world: World) -> std::io::Result<Self> {
        let folder = Folder::open(folder)?;
        let inner = Arc::new(Inner { folder, world, running: Mutex::default() });
        sweep(&inner);
        let swept = Arc::downgrade(&inner);
        // It ends by itself once nobody has the imports any more.
        std::thread::Builder::new().name("imports".to_owned()).spawn(move || sweep_on(&swept))?;
        Ok(Self(inner))
    }

    /// Begins an import. Under the id of one that has failed it goes on with that one.
    ///
    /// # Errors
    /// When it can't begin now, or not under this id.
    pub fn begin(&self, plan: Plan) -> Result<Import, NotBegun> {
        let mut running = self.0.running.lock();
        if running.contains_key(&plan.id) {
            return Err(NotBegun::Runs);
        }
        if running.len() >= IMPORTS_MAX {
            return Err(NotBegun::Busy);
        }
        let lock = self.0.folder.lock(&plan.id)?.ok_or(NotBegun::Runs)?;
        let partitions = usize::try_from(self.0.world.recorder.partitions()).unwrap_or(0);
        let mut status = Status::begun(&plan, crate::now_ms(), partitions);
        // The lock is ours, so that one that looks as if it ran has failed.
        if let Some(before) = self.0.folder.status_as_it_is(&plan.id)? {
            if before.owner != plan.owner {
                return Err(NotBegun::Taken);
            }
            if before.state != State::Done && before.next_line == plan.from_line && !plan.dry_run {
                status = Status { state: State::Running, failure: None, ended_at_ms: None, ..before };
            }
        }
        self.0.folder.tell(&status)?;
        tracing::info!(import = plan.id, dry_run = plan.dry_run, "import begun");
        let told = Told::new(status);
        running.insert(plan.id.clone(), told.clone());
        Ok(Import::new(self.clone(), plan, told, lock))
    }

    /// What is told of an import; `None` when there is none of `owner`. An operator is told of all.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn status(&self, id: &str, owner: &Owner) -> std::io::Result<Option<Status>> {
        let running = self.0.running.lock().get(id).map(Told::status);
        let status = match running {
            Some(status) => Some(status),
            None => self.0.folder.status(id)?,
        };
        Ok(status.filter(|status| *owner == Owner::Operator || status.owner == *owner))
    }
}

fn sweep(inner: &Inner) {
    if let Err(error) = inner.folder.sweep(crate::now_ms()) {
        tracing::warn!(%error, "files of old imports could not be removed");
    }
}

fn sweep_on(inner: &Weak<Inner>) {
    let mut waited = Duration::ZERO;
    loop {
        // In short steps, so that the thread ends soon after the last import.
        std::thread::sleep(Duration::from_secs(1));
        waited += Duration::from_secs(1);
        let Some(inner) = inner.upgrade() else { return };
        if waited >= SWEEP_EVERY {
            waited = Duration::ZERO;
            sweep(&inner);
        }
    }
}
