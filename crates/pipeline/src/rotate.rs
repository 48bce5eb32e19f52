//! Rotation of the key: what the suppression log holds under earlier schemes is written again under the newest one, without
//! the addresses, while services run.
//!
//! A record's copy comes first, and only once it is durable does a tombstone take the record away; so a filter has one or the
//! other at every moment, and whoever reads both has them in the order of the log. Everything is derived from the key and the
//! log: a rotation that was killed is finished by the next one.
//!
//! A record of another writer may come between a record and its copy, which then wrongly counts as the later one. So the log
//! is read on to behind the copies before anything is taken away, and what is in force there is written again, as strict as
//! both: for the moment between, the earlier one's times count. What was *lifted* there is blocked again and told: nothing
//! here ever lifts (semantics, section 2). A log that can tell ([`KeyedRecord::unless_after`]) does not write such a copy.

mod cells;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tamis_bus::{Bus, Error, Follower, KeyedRecord, LogRecord, Positions, Recorder};
use tamis_subject::Subjects;
use tamis_wire::record::{self, Entry, Unreadable};

use self::cells::{Cells, Slice};
use crate::Stopped;
use crate::clock::{Stopwatch, unix_ms};
use crate::follow::{beats, key_check};

/// Records that are written together, then waited for.
const TOGETHER: usize = 1_000;
/// How long the log may take to make them durable; Kafka's writer gives up after a quarter of it.
const ACK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the log may take to show what is durable.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one poll waits.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Records read together.
const POLL_MOST: usize = 4_096;
/// Cells held at once, about 300 bytes each; past it only a part of the subjects is looked at, and the log is read again for
/// each of the others.
const CELLS_MAX: usize = 2_000_000;
/// How often the log may still hold something of an earlier scheme after it was written again: then somebody goes on writing
/// under the old key.
const ROUNDS_MAX: u32 = 50;

/// How a rotation goes about it.
#[derive(Debug, Clone, Copy)]
struct Options {
    settle: Duration,
    /// See [`CELLS_MAX`].
    cells_max: usize,
}

/// What a rotation has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotated {
    /// The scheme that every record is of now.
    pub scheme: u32,
    /// Records written again.
    pub copied: u64,
    /// Records of earlier schemes that were taken away.
    pub removed: u64,
    /// People and cells that were lifted at the moment they were copied, and are blocked again.
    pub blocked_again: u64,
}

/// Whether the log holds records of earlier schemes than the key's, or has not been told of the key's newest: then a rotation
/// was begun and not finished.
///
/// # Errors
/// [`Stopped::WrongKey`] when the log was written under another key; [`Stopped::Log`] when it can't be read or written.
pub fn is_unfinished<B: Bus>(bus: &B, recorder: &dyn Recorder, subjects: &Subjects) -> Result<bool, Stopped> {
    let stop = AtomicBool::new(false);
    let mut rotation = Rotation::new(bus, recorder, subjects, Duration::ZERO, &stop);
    let (reader, cells) = rotation.read_slice(Slice::default())?;
    let is_behind = reader.told.is_some_and(|told| told < subjects.newest());
    Ok(!cells.is_empty() || !cells.slice().is_all() || is_behind)
}

/// Tells the log of the key's newest scheme, which makes every door write under it, waits `settle` for records that are on
/// their way under an earlier one, then writes what is of earlier ones again. Processes without the new key hold from then
/// on. Returns early, with what was done so far, once `stop` is set.
///
/// # Errors
/// As [`is_unfinished`]. To be called again then; nothing is lost meanwhile.
pub fn finish<B: Bus>(
    bus: &B,
    recorder: &dyn Recorder,
    subjects: &Subjects,
    settle: Duration,
    stop: &AtomicBool,
) -> Result<Rotated, Stopped> {
    Rotation::new(bus, recorder, subjects, settle, stop).run()
}

/// Opens a follower at the log's beginning.
type Open<'a> = Box<dyn Fn() -> Result<Box<dyn Follower>, Error> + 'a>;

struct Rotation<'a> {
    open: Open<'a>,
    recorder: &'a dyn Recorder,
    subjects: &'a Subjects,
    options: Options,
    stop: &'a AtomicBool,
    done: Rotated,
}

/// A follower, and how far it has come.
struct Reader {
    follower: Box<dyn Follower>,
    position: Positions,
    /// The newest scheme that a key check tells of.
    told: Option<u32>,
}

impl<'a> Rotation<'a> {
    fn new<B: Bus>(
        bus: &'a B,
        recorder: &'a dyn Recorder,
        subjects: &'a Subjects,
        settle: Duration,
        stop: &'a AtomicBool,
    ) -> Self {
        let options = Options { settle, cells_max: CELLS_MAX };
        let open: Open<'a> = Box::new(|| {
            let beginning = Positions::zero(usize::try_from(recorder.partitions()).unwrap_or(0));
            Ok(Box::new(bus.follower(&beginning)?) as Box<dyn Follower>)
        });
        Self::over(open, recorder, subjects, options, stop)
    }

    fn over(
        open: Open<'a>,
        recorder: &'a dyn Recorder,
        subjects: &'a Subjects,
        options: Options,
        stop: &'a AtomicBool,
    ) -> Self {
        let done = Rotated { scheme: subjects.newest(), ..Rotated::default() };
        Self { open, recorder, subjects, options, stop, done }
    }

    fn run(mut self) -> Result<Rotated, Stopped> {
        self.write(key_check(self.subjects, self.subjects.newest()).into_iter().collect())?;
        let watch = Stopwatch::start();
        while watch.elapsed() < self.options.settle && !self.is_stopped() {
            std::thread::sleep(POLL_WAIT);
        }
        for _ in 0..ROUNDS_MAX {
            if self.sweep()? == 0 || self.is_stopped() {
                return Ok(self.done);
            }
        }
        Err(endless())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Goes through all subjects once; returns how many cells had something of an earlier scheme.
    fn sweep(&mut self) -> Result<usize, Stopped> {
        let (mut found, mut next) = (0, Some(Slice::default()));
        while let Some(slice) = next
            && !self.is_stopped()
        {
            let (mut reader, mut cells) = self.read_slice(slice)?;
            found += cells.len();
            self.settle(&mut reader, &mut cells)?;
            next = cells.slice().next();
        }
        Ok(found)
    }

    /// Writes what is in force in `cells` again, until nothing came between, then takes the earlier records away.
    fn settle(&mut self, reader: &mut Reader, cells: &mut Cells) -> Result<(), Stopped> {
        let mut rounds = 0;
        loop {
            let copies = cells.copies();
            if self.is_stopped() {
                return Ok(());
            }
            if copies.is_empty() {
                break;
            }
            if rounds == ROUNDS_MAX {
                return Err(endless());
            }
            rounds += 1;
            self.done.copied += self.write(copies)?;
            self.read_on(reader, cells)?;
        }
        self.done.blocked_again += cells.blocked_again();
        self.done.removed += self.write(cells.tombstones())?;
        Ok(())
    }

    /// Reads the log from its beginning to its end; the slice that comes back may be a part of `slice`.
    fn read_slice(&mut self, slice: Slice) -> Result<(Reader, Cells), Stopped> {
        let partitions = usize::try_from(self.recorder.partitions()).unwrap_or(0);
        let follower = (self.open)().map_err(Stopped::Log)?;
        let mut reader = Reader { follower, position: Positions::zero(partitions), told: None };
        let mut cells = Cells::new(self.subjects.clone(), slice, self.options.cells_max, unix_ms());
        self.read_on(&mut reader, &mut cells)?;
        cells.forget_done();
        Ok((reader, cells))
    }

    /// Reads on to where the log ends now. Heartbeats are written for that: the last record of each partition may have been
    /// taken away, and what is not there can't be read.
    fn read_on(&self, reader: &mut Reader, cells: &mut Cells) -> Result<(), Stopped> {
        let end = self.submit(beats(self.recorder.partitions()))?;
        let mut watch = Stopwatch::start();
        while !reader.position.reaches(&end) && !self.is_stopped() {
            let (mut wrong, before) = (None, reader.position.clone());
            let (position, told) = (&mut reader.position, &mut reader.told);
            let polled = reader.follower.poll(POLL_WAIT, POLL_MOST, &mut |log_record| {
                if let Some(next) = usize::try_from(log_record.partition)
                    .ok()
                    .and_then(|p| position.as_mut_slice().get_mut(p))
                {
                    *next = log_record.offset + 1;
                }
                if let Err(stopped) = take(self.subjects, cells, told, &log_record) {
                    wrong.get_or_insert(stopped);
                }
            });
            match (polled, wrong) {
                (_, Some(stopped)) => return Err(stopped),
                (Err(error), _) if !error.retry() => return Err(Stopped::Log(error)),
                (Ok(_) | Err(_), None) => {}
            }
            if reader.position != before {
                watch = Stopwatch::start();
            } else if watch.elapsed() > READ_TIMEOUT {
                let detail = "the suppression log does not show what it has taken";
                return Err(Stopped::Log(Error::new("rotate", tamis_bus::Blame::Unreachable, detail)));
            }
        }
        Ok(())
    }

    /// Writes records, until told to stop; returns how many.
    fn write(&self, records: Vec<KeyedRecord>) -> Result<u64, Stopped> {
        let mut written = 0;
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() && !self.is_stopped() {
            let together: Vec<_> = records.by_ref().take(TOGETHER).collect();
            written += together.len() as u64;
            self.submit(together)?;
        }
        Ok(written)
    }

    /// Writes records and waits until they are durable.
    fn submit(&self, records: Vec<KeyedRecord>) -> Result<Positions, Stopped> {
        let (told, answer) = mpsc::channel();
        // Nobody listens any more only after the time-out below.
        self.recorder.submit(records, Box::new(move |acked| drop(told.send(acked))));
        let silent = |_| Error::new("rotate", tamis_bus::Blame::Unreachable, "the log does not answer");
        answer.recv_timeout(ACK_TIMEOUT).map_err(silent).and_then(|acked| acked).map_err(Stopped::Log)
    }
}

fn endless() -> Stopped {
    let detail = "records are still written under an earlier scheme: give every process the new key file";
    Stopped::Log(Error::new("rotate", tamis_bus::Blame::Configuration, detail))
}

/// Takes one record of the log in.
fn take(
    subjects: &Subjects,
    cells: &mut Cells,
    told: &mut Option<u32>,
    log_record: &LogRecord<'_>,
) -> Result<(), Stopped> {
    let Some(value) = log_record.value else {
        cells.take_tombstone(log_record.partition, log_record.key);
        return Ok(());
    };
    let (record, recorded_at_ms, copy) = match record::decode(log_record.key, value) {
        Ok(Entry::Record(record)) => (record, log_record.timestamp_ms, false),
        Ok(Entry::Copy { record, recorded_at_ms }) => (record, recorded_at_ms, true),
        Ok(Entry::Heartbeat) => return Ok(()),
        Ok(Entry::KeyCheck { scheme, value }) => {
            *told = (*told).max(Some(scheme));
            let ours = subjects.check_value(scheme) == Some(value);
            return if ours { Ok(()) } else { Err(Stopped::WrongKey) };
        }
        Err(Unreadable::UnknownScheme(_)) => return Err(Stopped::WrongKey),
        Err(error) => {
            let detail = format!("a suppression record can't be read: {error}");
            return Err(Stopped::Log(Error::new("rotate", tamis_bus::Blame::Internal, detail)));
        }
    };
    if record.scheme > subjects.newest() {
        return Err(Stopped::WrongKey);
    }
    cells.take(log_record.partition, log_record.offset, record, recorded_at_ms, copy);
    Ok(())
}

#[cfg(test)]
mod tests;
