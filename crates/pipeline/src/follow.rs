//! The other line: follow → apply → index. One thread reads the suppression log and is the filter's only writer.

mod loading;
mod progress;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tamis_bus::{Bus, EndOffsets, Follower, KeyedRecord, LogRecord, Positions, Recorder};
use tamis_campaign::RecordReason;
use tamis_subject::{SCHEME, Subject, Subjects};
use tamis_suppression::{Index, Unreadable};
use tamis_telemetry::{Check, Health, Metrics};
use tamis_wire::record::{self, Entry, Record, State};

use crate::Stopped;
use crate::barrier::ASK_TIMEOUT;
use crate::clock::{Stopwatch, unix_ms};
use crate::filter::Filter;
use crate::snapshots::Snapshots;

use self::progress::Progress;

/// How long one poll waits; also how soon a stop is noticed.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Records read, and prepared for, at once.
const READ_MAX: usize = 4_096;
/// Records applied in one step: what a reader may wait for.
const APPLY_MAX: usize = 512;
/// Segments of the filter that are built anew ahead of need after each poll, once it is loaded.
const AHEAD: usize = 1;
/// Records whose subjects the index is told of at once before they are applied: what the processor fetches side by side.
const FORESEEN: usize = 64;
/// Between two tries when the log can't be reached.
pub(crate) const RETRY: Duration = Duration::from_millis(500);
/// How long one poll waits while a filter is built beside: the other has records at once.
const POLL_WAIT_BRIEF: Duration = Duration::from_millis(1);
/// How long to wait for the key check to come back before it is written again.
const KEY_CHECK_AGAIN: Duration = Duration::from_secs(5);

/// What one record of the log asks for.
enum Step {
    /// To apply a record; `copy` is one that a rotation of the key has written again.
    Apply {
        record: Record,
        recorded_at_ms: i64,
        copy: bool,
    },
    Advance,
}

impl Step {
    fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Apply { record, .. } => Some(&record.subject),
            Self::Advance => None,
        }
    }
}

/// Follows the log into the filter.
pub(crate) struct Follow<B: Bus> {
    pub(crate) bus: Arc<B>,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) subjects: Subjects,
    /// Whether a record that can't be read is passed over: an operator's written choice.
    pub(crate) skip_unreadable: bool,
    pub(crate) filter: Filter,
    pub(crate) snapshots: Option<Arc<Snapshots>>,
    pub(crate) offered: Offered,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) stop: Arc<AtomicBool>,
}

/// Where a later key of the log is left, to be taken.
pub(crate) type Offered = Arc<Mutex<Option<Subjects>>>;

/// An index under a later key, on its way to where the one in use is.
struct Next<F> {
    follower: F,
    reader: Reader,
    index: Index,
    /// The log's end, and the gaps before it was asked.
    target: Option<(Positions, u64)>,
}

impl<B: Bus> Follow<B> {
    /// Loads, calls `loaded`, and follows until told to stop.
    ///
    /// # Errors
    /// [`Stopped::WrongKey`] when the log was written under another key; [`Stopped::Log`] when it can't be read.
    pub(crate) fn run(self, loaded: impl FnOnce()) -> Result<(), Stopped> {
        let watch = Stopwatch::start();
        self.health.set(Check::Filter, false, "loading");
        let mut asker = self.bus.end_offsets().map_err(Stopped::Log)?;
        let restored =
            self.snapshots.as_ref().and_then(|snapshots| snapshots.restore(&*self.bus, &mut asker));
        let from = self.filter.position();
        let mut follower = self.bus.follower(&from).map_err(Stopped::Log)?;
        let mut progress = Progress::new(from);
        let mut reader = Reader::new(self.partitions(), self.subjects.clone(), self.skip_unreadable);
        if let Some(about) = restored {
            // A snapshot is of this key, or it would not have been taken.
            (reader.key_checked, reader.told) = (true, about.told_scheme);
        }
        let mut next = None;
        let mut loaded = Some(loaded);
        let mut key_check_sent: Option<Stopwatch> = None;
        let Some(target) = self.target(&mut asker) else { return Ok(()) };
        self.load(&mut follower, &mut reader, &target, |records, position| {
            progress.note(records, position, &target, watch.elapsed());
            self.health.set(Check::Filter, false, progress.text());
        })?;
        while !self.stop.load(Ordering::Relaxed) {
            let wait = if next.is_some() { POLL_WAIT_BRIEF } else { POLL_WAIT };
            let steps = self.poll(&mut follower, &mut reader, wait)?;
            self.apply(&steps)?;
            self.filter.set_told(reader.told, reader.outdated);
            if reader.loaded
                && self.renew(&reader.subjects, &mut next, &mut asker)
                && let Some(mut next) = next.take()
            {
                next.index.settle();
                self.filter.swap(next.index, next.reader.subjects.clone());
                if let Some(snapshots) = &self.snapshots {
                    snapshots.let_go();
                }
                (follower, reader) = (next.follower, Reader { loaded: true, ..next.reader });
                self.filter.set_told(reader.told, reader.outdated);
                tracing::info!(scheme = reader.subjects.newest(), "filter rebuilt under the new key");
            }
            if loaded.is_some() {
                progress.note(steps.len() as u64, &self.filter.position(), &target, watch.elapsed());
            }
            if loaded.is_some() && self.filter.position().reaches(&target) {
                if reader.key_checked {
                    reader.loaded = true;
                    self.finish_loading(&watch);
                    self.tell(&reader, &progress);
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
            self.tell(&reader, &progress);
        }
        Ok(())
    }

    fn partitions(&self) -> usize {
        usize::try_from(self.recorder.partitions()).unwrap_or(0)
    }

    /// Takes a key that was offered and builds an index under it, from the log's beginning, beside the one in use; `true` when
    /// that one may be replaced by it: it has come to an end that was asked after its last gap, and as far.
    fn renew(
        &self,
        subjects: &Subjects,
        next: &mut Option<Next<B::Follower>>,
        asker: &mut B::EndOffsets,
    ) -> bool {
        if let Some(offered) = self.offered.lock().take() {
            if !offered.continues(subjects) {
                tracing::error!("the new key file does not continue the key in use, which stays");
            } else if offered.newest() > subjects.newest() {
                tracing::info!(scheme = offered.newest(), "new key: building a filter under it");
                match self.bus.follower(&Positions::zero(self.partitions())) {
                    Ok(follower) => {
                        let reader = Reader::new(self.partitions(), offered, self.skip_unreadable);
                        let index = Index::new(self.partitions());
                        *next = Some(Next { follower, reader, index, target: None });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "suppression log cannot be read anew: trying again");
                        self.offered.lock().get_or_insert(offered);
                    }
                }
            }
        }
        let Some(building) = next else { return false };
        let polled = self.poll(&mut building.follower, &mut building.reader, Duration::ZERO);
        let applied =
            polled.and_then(|steps| apply_to(&mut building.index, &steps).map_err(Stopped::Snapshot));
        if let Err(error) = applied {
            tracing::error!(%error, "no filter under the new key file; the key in use stays");
            *next = None;
            return false;
        }
        let position = Positions::new(building.index.position().to_vec());
        let gaps = building.index.gaps();
        if !building.reader.key_checked || !position.reaches(&self.filter.position()) {
            return false;
        }
        match &building.target {
            Some((end, _)) if !position.reaches(end) => false,
            Some((_, before)) if *before == gaps => true,
            // What was in the gap may be past the end that was asked (G1).
            Some(_) | None => {
                building.target = asker.ask(ASK_TIMEOUT).ok().map(|end| (end, gaps));
                false
            }
        }
    }

    fn finish_loading(&self, watch: &Stopwatch) {
        self.filter.change(Index::settle);
        self.filter.set_loaded();
        let (subjects, records, bytes) = {
            let index = self.filter.read();
            (index.subjects(), index.records(), index.bytes())
        };
        self.metrics.filter_load_seconds(watch.seconds());
        self.metrics.filter_size(subjects as u64, bytes as u64);
        tracing::info!(subjects, records, seconds = watch.seconds(), "filter loaded");
    }

    /// What `/readyz` says of the filter. A filter that was loaded is not ready either while it does not follow (G5).
    fn tell(&self, reader: &Reader, loading: &Progress) {
        match reader.stuck_at() {
            Some(at) => self.health.set(Check::Filter, false, at),
            None if self.filter.is_loaded() => self.health.set(Check::Filter, true, "loaded"),
            None => self.health.set(Check::Filter, false, loading.text()),
        }
    }

    fn send_key_check(&self) {
        let checks = (SCHEME..=self.subjects.newest()).filter_map(|scheme| key_check(&self.subjects, scheme));
        self.recorder.submit(
            checks.collect(),
            Box::new(|acked| {
                if let Err(error) = acked {
                    tracing::warn!(%error, "key check could not be written");
                }
            }),
        );
    }

    /// What the log's next records ask for.
    fn poll(
        &self,
        follower: &mut B::Follower,
        reader: &mut Reader,
        wait: Duration,
    ) -> Result<Vec<(i32, i64, Step)>, Stopped> {
        let mut steps: Vec<(i32, i64, Step)> = Vec::new();
        let polled = follower.poll(wait, READ_MAX, &mut |log_record| {
            if let Some(step) = reader.read(&self.metrics, &log_record) {
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
        Ok(steps)
    }

    /// Applies what was read. What of it can't be read of the snapshot in use condemns that.
    fn apply(&self, steps: &[(i32, i64, Step)]) -> Result<(), Stopped> {
        self.apply_all(steps).map_err(|error| {
            if let Some(snapshots) = &self.snapshots {
                snapshots.condemn();
            }
            Stopped::Snapshot(error)
        })
    }

    fn apply_all(&self, steps: &[(i32, i64, Step)]) -> Result<(), Unreadable> {
        // What takes long is made beside the index, while the workers go on reading it.
        let subjects = steps.iter().filter_map(|(_, _, step)| step.subject());
        let ahead = if self.filter.is_loaded() { AHEAD } else { 0 };
        let mut prepared = self.filter.hold_still(|view| view.prepare(subjects, ahead))?;
        if steps.is_empty() && prepared.is_empty() {
            return Ok(());
        }
        while !prepared.is_empty() {
            // Dropped when nobody waits for it any more.
            let _replaced = self.filter.change(|index| index.accept_some(&mut prepared));
        }
        for steps in steps.chunks(APPLY_MAX) {
            self.filter.change(|index| apply_to(index, steps))?;
        }
        if self.filter.is_loaded() {
            let now = unix_ms();
            for (_, _, step) in steps {
                if let Step::Apply { record, recorded_at_ms, copy: false } = step
                    && let Some(seconds) = effective_after(record, *recorded_at_ms, now)
                {
                    self.metrics.optout_effective_seconds(record.source, seconds);
                }
            }
            let index = self.filter.read();
            self.metrics.filter_size(index.subjects() as u64, index.bytes() as u64);
        }
        Ok(())
    }
}

/// Seconds from when the log took an opt-out to `now_ms`, when every worker goes by it; of one that is to count from a later moment,
/// from then. `None` for what stops nobody: a lift, a consent.
fn effective_after(record: &Record, recorded_at_ms: i64, now_ms: i64) -> Option<f64> {
    let stops = record.state == State::InForce && record.reason != RecordReason::Consent;
    #[expect(clippy::cast_precision_loss, reason = "a latency in seconds")]
    let seconds = (now_ms - recorded_at_ms.max(record.effective_at_ms)).max(0) as f64 / 1e3;
    stops.then_some(seconds)
}

fn apply_to(index: &mut Index, steps: &[(i32, i64, Step)]) -> Result<(), Unreadable> {
    for steps in steps.chunks(FORESEEN) {
        index.foresee(steps.iter().filter_map(|(_, _, step)| step.subject()));
        for (partition, offset, step) in steps {
            match step {
                Step::Apply { record, recorded_at_ms, .. } => {
                    index.apply(*partition, *offset, *recorded_at_ms, record)?;
                }
                Step::Advance => index.advance(*partition, *offset),
            }
        }
    }
    Ok(())
}

/// Reads the log's records one by one, and knows which partitions can no longer be trusted.
struct Reader {
    subjects: Subjects,
    /// The offset that could not be read, of each partition that has one.
    stuck: Vec<Option<i64>>,
    skip_unreadable: bool,
    /// Whether everything from before the start is read.
    loaded: bool,
    key_checked: bool,
    wrong_key: bool,
    /// The newest scheme of a key check.
    told: u32,
    /// Whether a partition is stuck for want of a newer key.
    outdated: bool,
}

impl Reader {
    fn new(partitions: usize, subjects: Subjects, skip_unreadable: bool) -> Self {
        let stuck = vec![None; partitions];
        Self {
            subjects,
            stuck,
            skip_unreadable,
            loaded: false,
            key_checked: false,
            wrong_key: false,
            told: 0,
            outdated: false,
        }
    }

    /// `None` when the filter must not move on in this partition: a record there could not be read, and to go on
    /// would claim more than is known (G5), unless an operator wrote that it is to be passed over.
    fn read(&mut self, metrics: &Metrics, record: &LogRecord<'_>) -> Option<Step> {
        let subjects = &self.subjects;
        let stuck = usize::try_from(record.partition).ok().and_then(|p| self.stuck.get_mut(p))?;
        if stuck.is_some() {
            return None;
        }
        // A tombstone only cleans up what was lifted before it (semantics, section 2), or what a rotation has copied before it.
        let Some(value) = record.value else { return Some(Step::Advance) };
        let apply = |record: Record, recorded_at_ms, copy| {
            let subject = subjects.advance(record.subject, record.scheme);
            Some(Step::Apply { record: Record { subject, ..record }, recorded_at_ms, copy })
        };
        let known = |scheme| scheme <= subjects.newest();
        match record::decode(record.key, value) {
            Ok(Entry::Record(decoded)) if known(decoded.scheme) => apply(decoded, record.timestamp_ms, false),
            Ok(Entry::Copy { record: decoded, recorded_at_ms }) if known(decoded.scheme) => {
                apply(decoded, recorded_at_ms, true)
            }
            Ok(Entry::Heartbeat) => Some(Step::Advance),
            Ok(Entry::KeyCheck { scheme, value }) if known(scheme) || !self.loaded => {
                let ours = subjects.check_value(scheme) == Some(value);
                self.wrong_key |= !ours;
                self.key_checked |= ours;
                self.told = self.told.max(scheme);
                Some(Step::Advance)
            }
            Ok(Entry::Record(_) | Entry::Copy { .. }) | Err(record::Unreadable::UnknownScheme(_))
                if self.skip_unreadable =>
            {
                Some(skip(metrics, record, "a later scheme than the key's"))
            }
            Err(error) if self.skip_unreadable => Some(skip(metrics, record, error)),
            // The key check of a later scheme is never passed over: it says that opt-outs under the new key follow.
            Ok(Entry::Record(_) | Entry::Copy { .. } | Entry::KeyCheck { .. })
            | Err(record::Unreadable::UnknownScheme(_)) => {
                *stuck = Some(record.offset);
                self.outdated = true;
                metrics.error("follow", "key_rotated");
                tracing::error!(
                    partition = record.partition,
                    offset = record.offset,
                    "the key of the suppression log was rotated, and this process needs the new key file: holding"
                );
                None
            }
            Err(error) => {
                *stuck = Some(record.offset);
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

    /// Where it holds, in words; `None` when it follows.
    fn stuck_at(&self) -> Option<String> {
        let places = self.stuck.iter().enumerate();
        let places =
            places.filter_map(|(partition, at)| Some(format!("partition {partition} offset {}", (*at)?)));
        let places: Vec<String> = places.collect();
        let why = if self.outdated {
            "is under a newer key: this process needs the new key file"
        } else {
            "cannot be read"
        };
        (!places.is_empty()).then(|| format!("record at {} {why}: holding", places.join(", ")))
    }
}

/// Passes over a record, as an operator has written.
fn skip(metrics: &Metrics, record: &LogRecord<'_>, why: impl std::fmt::Display) -> Step {
    metrics.error("follow", "skipped_record");
    tracing::warn!(
        partition = record.partition,
        offset = record.offset,
        %why,
        "suppression record cannot be read: passed over"
    );
    Step::Advance
}

/// The key check of `scheme`, if the key has that step.
pub(crate) fn key_check(subjects: &Subjects, scheme: u32) -> Option<KeyedRecord> {
    let (key, value) = record::key_check(scheme, subjects.check_value(scheme)?);
    Some(KeyedRecord::new(0, key, value))
}

/// A heartbeat for each partition.
pub(crate) fn beats(partitions: u32) -> Vec<KeyedRecord> {
    let beat = |partition| {
        let (key, value) = record::heartbeat();
        KeyedRecord::new(i32::try_from(partition).unwrap_or(0), key, value)
    };
    (0..partitions).map(beat).collect()
}

/// Writes a heartbeat to every partition now and then, so that the log's last record can always be read, whatever
/// was compacted away before it.
pub(crate) fn heartbeat(recorder: &dyn Recorder, every: Duration, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        // A heartbeat that fails is followed by the next.
        recorder.submit(beats(recorder.partitions()), Box::new(|_| {}));
        let until = Stopwatch::start();
        while until.elapsed() < every && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests;
