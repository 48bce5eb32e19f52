//! The filter as the threads share it: one writer that follows the log, readers that take one view a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tamis_bus::Positions;
use tamis_suppression::Index;
use tamis_suppression::snapshot::Shared;

use crate::control::Reach;
use crate::worker::Mail;

/// The filter in memory. Clones share it.
#[derive(Clone)]
pub struct Filter(Arc<Inner>);

struct Inner {
    index: RwLock<Index>,
    loaded: AtomicBool,
    watchers: Mutex<Vec<Sender<Mail>>>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("loaded", &self.is_loaded()).finish_non_exhaustive()
    }
}

impl Filter {
    /// An empty filter over `partitions` partitions, not loaded.
    #[must_use]
    pub fn new(partitions: usize) -> Self {
        Self(Arc::new(Inner {
            index: RwLock::new(Index::new(partitions)),
            loaded: AtomicBool::new(false),
            watchers: Mutex::new(Vec::new()),
        }))
    }

    /// One consistent view, for as long as the guard is held; the writer waits meanwhile, so hold it for a
    /// batch at most.
    pub fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.index.read()
    }

    /// The next offset to apply of each partition.
    #[must_use]
    pub fn position(&self) -> Positions {
        self.reach().position
    }

    /// The same, and how it came there.
    pub(crate) fn reach(&self) -> Reach {
        reach(&self.read())
    }

    /// Whether it has been read to where the log ended at start.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.0.loaded.load(Ordering::Acquire)
    }

    pub(crate) fn set_loaded(&self) {
        self.0.loaded.store(true, Ordering::Release);
    }

    /// Tells `watcher` of every later change of reach.
    pub(crate) fn watch(&self, watcher: Sender<Mail>) {
        self.0.watchers.lock().push(watcher);
    }

    /// Changes the index in one step that no reader sees half of, then tells the watchers.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Index) -> R) -> R {
        let (changed, reach) = {
            let mut index = self.0.index.write();
            let changed = change(&mut index);
            (changed, reach(&index))
        };
        self.0.watchers.lock().retain(|watcher| watcher.send(Mail::Filter(reach.clone())).is_ok());
        changed
    }
}

/// Steps of a snapshot change nothing that a watcher is told.
impl Shared for Filter {
    fn with<R>(&self, step: impl FnOnce(&mut Index) -> R) -> R {
        step(&mut self.0.index.write())
    }
}

fn reach(index: &Index) -> Reach {
    Reach { position: Positions::new(index.position().to_vec()), gaps: index.gaps() }
}
