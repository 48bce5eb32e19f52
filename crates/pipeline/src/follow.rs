//! The other line: follow → apply → index. One thread reads the suppression log and is the filter's only writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tamis_bus::{Bus, EndOffsets, Follower, LogRecord, Positions, Recorder};
use tamis_subject::{SCHEME, Subject, Subjects};
use tamis_suppression::Unreadable;
use tamis_telemetry::{Check, Health, Metrics};
use tamis_wire::record::{self, Entry, Record};

use crate::Stopped;
use crate::barrier::ASK_TIMEOUT;
use crate::clock::{Stopwatch, unix_ms};
use crate::filter::Filter;
use crate::snapshots::Snapshots;

/// How long one poll waits; also how soon a stop is noticed.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Records applied in one step: what a reader may wait for.
const APPLY_MAX: usize = 4_096;
/// Records whose subjects the index is told of at once before they are applied: what the processor fetches side by side.
const FORESEEN: usize = 64;
/// Between two tries when the log can't be reached.
pub(crate) const RETRY: Duration = Duration::from_millis(500);
/// How long to wait for the key check to come back before it is written again.
const KEY_CHECK_AGAIN: Duration = Duration::from_secs(5);

/// What one record of the log asks for.
enum Step {
    Apply(Record, i64),
    Advance,
}

impl Step {
    fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Apply(record, _) => Some(&record.subject),
            Self::Advance => None,
        }
    }
}

/// Follows the log into the filter.
pub(crate) struct Follow<B: Bus> {
    pub(crate) bus: Arc<B>,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) subjects: Subjects,
    pub(crate) filter: Filter,
    pub(crate) snapshots: Option<Arc<Snapshots>>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) stop: Arc<AtomicBool>,
}

impl<B: Bus> Follow<B> {
    /// Loads, calls `loaded`, and follows until told to stop.
    ///
    /// # Errors
    /// [`Stopped::WrongKey`] when the log was written under another key; [`Stopped::Log`] when it can't be read.
    pub(crate) fn run(self, loaded: impl FnOnce()) -> Result<(), Stopped> {
        let watch = Stopwatch::start();
        self.health.set(Check::Filter, false, "loading");
        let partitions = usize::try_from(self.recorder.partitions()).unwrap_or(0);
        let mut asker = self.bus.end_offsets().map_err(Stopped::Log)?;
        let restored = self.snapshots.as_ref().and_then(|snapshots| snapshots.restore(&*self.bus, &mut asker));
        let mut follower = self.bus.follower(&self.filter.position()).map_err(Stopped::Log)?;
        let mut reader = Reader::new(partitions);
        // A snapshot is of this key, or it would not have been taken.
        reader.key_checked = restored.is_some();
        let mut loaded = Some(loaded);
        let mut target: Option<Positions> = None;
        let mut key_check_sent: Option<Stopwatch> = None;
        while !self.stop.load(Ordering::Relaxed) {
            if loaded.is_some() && target.is_none() {
                target = asker.ask(ASK_TIMEOUT).ok();
                if target.is_none() {
                    tracing::warn!("suppression log cannot be asked: not loading yet");
                    std::thread::sleep(RETRY);
                }
            }
            self.poll(&mut follower, &mut reader)?;
            if let (Some(target), true) = (&target, loaded.is_some())
                && self.filter.position().reaches(target)
            {
                if reader.key_checked {
                    self.finish_loading(&watch);
                    if let Some(loaded) = loaded.take() {
                        loaded();
                    }
                } else if key_check_sent.as_ref().is_none_or(|sent| sent.elapsed() > KEY_CHECK_AGAIN) {
                    // An empty log, or one without the check: this key becomes the log's key. Written twice it
                    // means the same, so it is written again when it does not come back.
                    key_check_sent = Some(Stopwatch::start());
                    self.send_key_check();
                }
            }
        }
        Ok(())
    }

    fn finish_loading(&self, watch: &Stopwatch) {
        self.filter.set_loaded();
        let (subjects, records, bytes) = {
            let index = self.filter.read();
            (index.subjects(), index.records(), index.bytes())
        };
        self.metrics.filter_load_seconds(watch.seconds());
        self.metrics.filter_size(subjects as u64, bytes as u64);
        self.health.set(Check::Filter, true, "loaded");
        tracing::info!(subjects, records, seconds = watch.seconds(), "filter loaded");
    }

    fn send_key_check(&self) {
        let (key, value) = record::key_check(SCHEME, self.subjects.check_value());
        let keyed = tamis_bus::KeyedRecord { partition: 0, key, value };
        self.recorder.submit(
            vec![keyed],
            Box::new(|acked| {
                if let Err(error) = acked {
                    tracing::warn!(%error, "key check could not be written");
                }
            }),
        );
    }

    fn poll(&self, follower: &mut B::Follower, reader: &mut Reader) -> Result<(), Stopped> {
        let mut steps: Vec<(i32, i64, Step)> = Vec::new();
        let polled = follower.poll(POLL_WAIT, APPLY_MAX, &mut |log_record| {
            if let Some(step) = reader.read(&self.subjects, &self.metrics, &log_record) {
                steps.push((log_record.partition, log_record.offset, step));
            }
        });
        if let Err(error) = polled {
            if !error.retry() {
                return Err(Stopped::Log(error));
            }
            self.metrics.error("follow", "unreachable");
            std::thread::sleep(RETRY);
        }
        if reader.wrong_key {
            return Err(Stopped::WrongKey);
        }
        if steps.is_empty() {
            return Ok(());
        }
        self.apply(&steps).map_err(|error| {
            if let Some(snapshots) = &self.snapshots {
                snapshots.condemn();
            }
            Stopped::Snapshot(error)
        })
    }

    fn apply(&self, steps: &[(i32, i64, Step)]) -> Result<(), Unreadable> {
        // What takes long is made beside the index, while the workers go on reading it.
        let prepared = self.filter.read().prepare(steps.iter().filter_map(|(_, _, step)| step.subject()))?;
        self.filter.change(|index| {
            index.accept(prepared);
            for steps in steps.chunks(FORESEEN) {
                index.foresee(steps.iter().filter_map(|(_, _, step)| step.subject()));
                for (partition, offset, step) in steps {
                    match step {
                        Step::Apply(record, recorded_at_ms) => {
                            index.apply(*partition, *offset, *recorded_at_ms, record)?;
                        }
                        Step::Advance => index.advance(*partition, *offset),
                    }
                }
            }
            Ok::<(), Unreadable>(())
        })?;
        if self.filter.is_loaded() {
            let now = unix_ms();
            for (_, _, step) in steps {
                if let Step::Apply(record, recorded_at_ms) = step {
                    #[expect(clippy::cast_precision_loss, reason = "a latency in seconds")]
                    self.metrics
                        .optout_effective_seconds(record.source, (now - recorded_at_ms).max(0) as f64 / 1e3);
                }
            }
            let index = self.filter.read();
            self.metrics.filter_size(index.subjects() as u64, index.bytes() as u64);
        }
        Ok(())
    }
}

/// Reads the log's records one by one, and knows which partitions can no longer be trusted.
struct Reader {
    stuck: Vec<bool>,
    key_checked: bool,
    wrong_key: bool,
}

impl Reader {
    fn new(partitions: usize) -> Self {
        Self { stuck: vec![false; partitions], key_checked: false, wrong_key: false }
    }

    /// `None` when the filter must not move on in this partition: a record there could not be read, and to go on
    /// would claim more than is known (G5).
    fn read(&mut self, subjects: &Subjects, metrics: &Metrics, record: &LogRecord<'_>) -> Option<Step> {
        let stuck = usize::try_from(record.partition).ok().and_then(|p| self.stuck.get_mut(p))?;
        if *stuck {
            return None;
        }
        // A tombstone only cleans up what was lifted before it (semantics, section 2).
        let Some(value) = record.value else { return Some(Step::Advance) };
        match record::decode(record.key, value) {
            Ok(Entry::Record(decoded)) => Some(Step::Apply(decoded, record.timestamp_ms)),
            Ok(Entry::Heartbeat) => Some(Step::Advance),
            Ok(Entry::KeyCheck { scheme, value }) => {
                let ours = scheme == SCHEME && value == subjects.check_value();
                self.wrong_key |= !ours;
                self.key_checked |= ours;
                Some(Step::Advance)
            }
            Err(error) => {
                *stuck = true;
                metrics.error("follow", "unreadable_record");
                tracing::error!(
                    partition = record.partition,
                    offset = record.offset,
                    %error,
                    "suppression record cannot be read: holding"
                );
                None
            }
        }
    }
}

/// Writes a heartbeat to every partition now and then, so that the log's last record can always be read, whatever
/// was compacted away before it.
pub(crate) fn heartbeat(recorder: &dyn Recorder, every: Duration, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let beats = (0..recorder.partitions())
            .map(|partition| {
                let (key, value) = record::heartbeat();
                tamis_bus::KeyedRecord { partition: i32::try_from(partition).unwrap_or(0), key, value }
            })
            .collect();
        // A heartbeat that fails is followed by the next.
        recorder.submit(beats, Box::new(|_| {}));
        let until = Stopwatch::start();
        while until.elapsed() < every && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
