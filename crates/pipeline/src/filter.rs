//! The filter as the threads share it: one writer that follows the log, readers that take one view for a few jobs.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLockReadGuard};
use tamis_bus::Positions;
use tamis_subject::Subjects;
use tamis_suppression::snapshot::Shared;
use tamis_suppression::{Index, ViewLock};

use crate::control::Reach;
use crate::worker::Mail;

/// The filter in memory. Clones share it.
#[derive(Clone)]
pub struct Filter(Arc<Inner>);

struct Inner {
    view: ViewLock<View>,
    loaded: AtomicBool,
    /// Whether the log has records that the key is too old for.
    outdated: AtomicBool,
    /// The newest scheme that the log was told of, as far as it has been read.
    told: AtomicU32,
    watchers: Mutex<Vec<Sender<Mail>>>,
}

/// What readers see: the index, and the key that the subjects in it are made with. Nobody may look one up that was made
/// with another.
#[derive(Debug)]
pub struct View {
    index: Index,
    subjects: Subjects,
    /// Gaps of the views before this one.
    gaps: u64,
}

impl View {
    /// Makes the subjects that this view knows.
    #[must_use]
    pub fn key(&self) -> &Subjects {
        &self.subjects
    }
}

impl Deref for View {
    type Target = Index;

    fn deref(&self) -> &Index {
        &self.index
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("loaded", &self.is_loaded()).finish_non_exhaustive()
    }
}

impl Filter {
    /// An empty filter over `partitions` partitions, not loaded, of the subjects that `subjects` makes.
    #[must_use]
    pub fn new(partitions: usize, subjects: Subjects) -> Self {
        Self(Arc::new(Inner {
            view: ViewLock::new(View { index: Index::new(partitions), subjects, gaps: 0 }),
            loaded: AtomicBool::new(false),
            outdated: AtomicBool::new(false),
            told: AtomicU32::new(0),
            watchers: Mutex::new(Vec::new()),
        }))
    }

    /// One consistent view, for as long as the guard is held. The writer waits meanwhile, and whoever comes after the writer: so
    /// hold it for well under a millisecond, or use [`Filter::hold_still`].
    pub fn read(&self) -> RwLockReadGuard<'_, View> {
        self.0.view.read()
    }

    /// A longer look at one consistent view: the writer waits for it, readers do not.
    pub fn hold_still<R>(&self, look: impl FnOnce(&View) -> R) -> R {
        self.0.view.hold_still(look)
    }

    /// Makes the subjects that are to be written: of the newest scheme that the log was told of, so that nobody writes what
    /// others have no key for yet.
    #[must_use]
    pub fn doors(&self) -> Subjects {
        self.read().subjects.at(self.told())
    }

    /// The newest scheme that it can read.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.read().subjects.newest()
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

    /// Whether the key of the log was rotated, and the new one is not here yet: nothing may be written then.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.0.outdated.load(Ordering::Acquire)
    }

    /// The newest scheme that the log was told of, as far as it has been read.
    pub(crate) fn told(&self) -> u32 {
        self.0.told.load(Ordering::Acquire)
    }

    /// Tells what the log was told: its newest scheme, and whether that is past this key.
    pub(crate) fn set_told(&self, scheme: u32, outdated: bool) {
        self.0.told.store(scheme, Ordering::Release);
        self.0.outdated.store(outdated, Ordering::Release);
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
            let mut view = self.0.view.write();
            let changed = change(&mut view.index);
            (changed, reach(&view))
        };
        self.tell(&reach);
        changed
    }

    /// Puts another index and its key in place of those in use. It must have come at least as far, over whatever gaps, to an
    /// end that was asked after the last of them.
    pub(crate) fn swap(&self, index: Index, subjects: Subjects) {
        // Dropped when nobody waits for it any more.
        let (_old, reach) = {
            let mut view = self.0.view.write();
            debug_assert!(index.position().iter().zip(view.position()).all(|(new, old)| new >= old), "G1");
            // Never as many as before: what was asked under the other is asked again.
            let gaps = reach(&view).gaps + 1;
            let old = std::mem::replace(&mut *view, View { index, subjects, gaps });
            (old, reach(&view))
        };
        self.tell(&reach);
    }

    fn tell(&self, reach: &Reach) {
        self.0.watchers.lock().retain(|watcher| watcher.send(Mail::Filter(reach.clone())).is_ok());
    }
}

/// Steps of a snapshot change nothing that a watcher is told.
impl Shared for Filter {
    fn with<R>(&self, step: impl FnOnce(&mut Index) -> R) -> R {
        step(&mut self.0.view.write().index)
    }

    fn see<R>(&self, step: impl FnOnce(&Index) -> R) -> R {
        self.hold_still(|view| step(&view.index))
    }
}

fn reach(view: &View) -> Reach {
    Reach { position: Positions::new(view.position().to_vec()), gaps: view.gaps + view.index.gaps() }
}

#[cfg(test)]
mod tests;
