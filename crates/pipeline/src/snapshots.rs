//! Snapshots of the filter: the newest good one is what the filter starts from; a new one is written now and then, and at
//! the end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tamis_bus::{Bus, EndOffsets as _, LogIdentity, Positions};
use tamis_subject::Subjects;
use tamis_suppression::Index;
use tamis_suppression::snapshot::{self, About, Error, Folder, Refused, Stamp};
use tamis_telemetry::Metrics;

use crate::barrier::ASK_TIMEOUT;
use crate::clock::{Stopwatch, unix_ms};
use crate::filter::Filter;
use crate::follow::RETRY;

/// How often it is looked whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What is left of the time of a drain for the disk to take what was written.
const SYNC: Duration = Duration::from_secs(3);

/// Where snapshots are, and how often one is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder (`suppression.snapshot_dir`): this process's own.
    pub folder: PathBuf,
    /// How often (`suppression.snapshot_every`); `None` writes none.
    pub every: Option<Duration>,
}

/// The stamp of snapshots of `log` under the newest key of `subjects`.
fn stamp(log: &LogIdentity, subjects: &Subjects) -> Stamp {
    Stamp {
        cluster: log.cluster.clone(),
        topic: log.topic.clone(),
        scheme: subjects.newest(),
        key_check: subjects.check_value(subjects.newest()).unwrap_or_default(),
    }
}

/// Whether a snapshot may be used for a log that is `log` and ends at `end`.
///
/// # Errors
/// Why not.
pub fn fits(about: &About, log: &LogIdentity, subjects: &Subjects, end: &Positions) -> Result<(), Refused> {
    let kept = log.tombstones_kept.map(|kept| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    about.fits(&stamp(log, subjects), log.partitions as usize, unix_ms(), kept)?;
    let ahead = about.position.iter().zip(end.as_slice()).position(|(ours, end)| ours > end);
    ahead.map_or(Ok(()), |partition| Err(Refused::Ahead { partition }))
}

/// The newest snapshot that may be used. Why others may not is logged.
fn newest(
    folder: &Folder,
    log: &LogIdentity,
    subjects: &Subjects,
    end: &Positions,
) -> Option<(u64, Index, About)> {
    let numbers = folder.numbers().unwrap_or_else(|error| {
        tracing::warn!(%error, "no snapshot can be looked for");
        Vec::new()
    });
    for number in numbers {
        let path = folder.file(number);
        // The table first: what does not fit need not be read.
        let good = snapshot::about(&path).and_then(|about| fits(&about, log, subjects, end));
        match good.and_then(|()| snapshot::load(&path)) {
            Ok((index, about)) => return Some((number, index, about)),
            Err(refused) => tracing::warn!(number, %refused, "snapshot is not used"),
        }
    }
    None
}

/// Writes snapshots of a filter.
pub struct Snapshots {
    folder: Folder,
    every: Option<Duration>,
    filter: Filter,
    metrics: Metrics,
    stop: Arc<AtomicBool>,
    /// Which log the filter follows, once that is known.
    log: OnceLock<LogIdentity>,
    /// Number of the one that the filter rests on; 0 is none.
    in_use: AtomicU64,
    /// When the one at the end must be over.
    end: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Snapshots {
    pub(crate) fn new(options: Options, filter: Filter, metrics: Metrics, stop: Arc<AtomicBool>) -> Self {
        let folder = Folder::at(&options.folder);
        let (log, in_use, end) = Default::default();
        Self { folder, every: options.every, filter, metrics, stop, log, in_use, end }
    }

    /// Puts the newest snapshot that may be used in place, and says what it knows of itself. Waits until the log says which
    /// one it is, and where it ends.
    pub(crate) fn restore<B: Bus>(&self, bus: &B, asker: &mut B::EndOffsets) -> Option<About> {
        while !self.stop.load(Ordering::Relaxed) {
            let log = bus.suppression_log(ASK_TIMEOUT);
            match log.and_then(|log| Ok((log, asker.ask(ASK_TIMEOUT)?))) {
                Ok((log, end)) => {
                    let subjects = self.filter.read().key().clone();
                    let found = newest(&self.folder, &log, &subjects, &end);
                    let _ = self.log.set(log);
                    let Some((number, index, about)) = found else {
                        tracing::info!("no snapshot: reading the suppression log from its beginning");
                        return None;
                    };
                    self.filter.change(|filter| *filter = index);
                    self.in_use.store(number, Ordering::Relaxed);
                    tracing::info!(number, records = about.records, "snapshot loaded; reading on from there");
                    return Some(about);
                }
                Err(error) => {
                    tracing::warn!(%error, "suppression log cannot be asked: not loading yet");
                    std::thread::sleep(RETRY);
                }
            }
        }
        None
    }

    /// Takes the snapshot in use, which can't be read, out of use for good, so that the next start takes another one.
    pub(crate) fn condemn(&self) {
        if let Err(error) = self.folder.condemn(self.in_use.load(Ordering::Relaxed)) {
            tracing::warn!(%error, "the damaged snapshot is still there: remove it");
        }
    }

    /// The filter rests on no snapshot any more: another index has taken its place.
    pub(crate) fn let_go(&self) {
        self.in_use.store(0, Ordering::Relaxed);
    }

    /// Writes one now; `None` while the filter is not loaded.
    ///
    /// # Errors
    /// When it can't be written. Those that are there stay, and so does the filter.
    pub fn write(&self) -> Result<Option<(u64, About)>, Error> {
        let Some(log) = self.log.get().filter(|_| self.filter.is_loaded()) else { return Ok(None) };
        let watch = Stopwatch::start();
        let (of, stamp, told_scheme) = {
            let view = self.filter.read();
            (view.life(), stamp(log, view.key()), self.filter.told())
        };
        let go_on = || self.end.lock().is_none_or(|end| Instant::now() < end);
        let order = snapshot::Order { stamp, told_scheme, taken_at_ms: unix_ms(), of, go_on: &go_on };
        let (number, about) = snapshot::write(&self.folder, order, &self.filter)?;
        self.in_use.store(number, Ordering::Relaxed);
        let seconds = watch.seconds();
        tracing::info!(
            number,
            subjects = about.subjects,
            records = about.records,
            seconds,
            "snapshot written"
        );
        Ok(Some((number, about)))
    }

    fn write_or_tell(&self) {
        if let Err(error) = self.write() {
            self.metrics.error("snapshot", "not_written");
            tracing::warn!(%error, "no snapshot written");
        }
    }

    /// Writes them until told to stop, and one more then.
    pub(crate) fn run(&self) {
        let Some(every) = self.every else { return };
        let mut since = Stopwatch::start();
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK_EVERY);
            if !self.filter.is_loaded() {
                since = Stopwatch::start();
            } else if since.elapsed() >= every {
                self.write_or_tell();
                since = Stopwatch::start();
            }
        }
        self.write_or_tell();
    }

    /// Leaves the one at the end this much time.
    pub(crate) fn hurry(&self, left: Duration) {
        *self.end.lock() = Some(Instant::now() + left.saturating_sub(SYNC));
    }
}
