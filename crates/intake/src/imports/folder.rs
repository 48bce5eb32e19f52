//! The folder of imports: what is told of each, and the opt-outs that it brought, so that they can be taken back.
//!
//! Mode 0600 in a folder of mode 0700. No address is in it: opt-outs are the log's own records, keyed subjects and all.
//!
//! - `<id>.json`: the status.
//! - `<id>.brought`: opt-outs that were not in force before, in the system's hands before the log has them; deleted when the
//!   import can't be undone any more. It is not synced: after a loss of power an undo may leave the last of them in force.
//! - `<id>.spool`: opt-outs that are not written yet, of an import that is visible at once; deleted when it ends.
//! - `<id>.lock`: held by whoever works on it, in whatever process, so that a status of a process that died is told apart.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tamis_campaign::UnixMs;
use tamis_wire::record::{self, Record};

use super::told::{Failure, State, Status};

/// For how long an import can be undone after it has ended.
pub const UNDO_WINDOW: Duration = Duration::from_secs(24 * 3_600);
/// For how long it is told what became of an import.
const TOLD_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The largest status file, bytes: a thousand rejected rows and room for more.
const STATUS_BYTES_MAX: u64 = 1 << 20;
/// The largest record of ours, bytes.
const RECORD_BYTES_MAX: usize = 4 << 10;
/// Before each record: its partition, and its length, two bytes each.
const HEAD_BYTES: usize = 4;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(path.to_owned()))
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.0.join(format!("{id}.{ending}"))
    }

    /// Takes an import's lock; `None` while another has it.
    pub(super) fn lock(&self, id: &str) -> io::Result<Option<File>> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.path(id, "lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// What is told of an import; `None` when there is none. One that nobody works on any more has failed.
    pub(super) fn status(&self, id: &str) -> io::Result<Option<Status>> {
        let Some(mut status) = self.status_as_it_is(id)? else { return Ok(None) };
        let undoing = status.undo.as_ref().is_some_and(|undo| undo.state == State::Running);
        if (status.state == State::Running || undoing) && self.lock(id)?.is_some() {
            if status.state == State::Running {
                status.state = State::Failed;
                let words = "the process that worked on it ended: send the rows again from next_line on";
                status.failure = Some(Failure::new("INTERRUPTED", words));
            }
            if let Some(undo) = status.undo.as_mut().filter(|undo| undo.state == State::Running) {
                undo.state = State::Failed;
            }
        }
        Ok(Some(status))
    }

    /// What an import's file says, whoever has its lock.
    pub(super) fn status_as_it_is(&self, id: &str) -> io::Result<Option<Status>> {
        let file = match File::open(self.path(id, "json")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut text = Vec::new();
        file.take(STATUS_BYTES_MAX).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// Writes the status in one step that no reader sees half of.
    pub(super) fn tell(&self, status: &Status) -> io::Result<()> {
        let (path, new) = (self.path(&status.import_id, "json"), self.path(&status.import_id, "new"));
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(status)?)?;
        std::fs::rename(new, path)
    }

    /// A file of opt-outs to add to. What a crash has cut off at its end goes: nobody could read what comes after it.
    pub(super) fn writer(&self, id: &str, ending: &'static str, anew: bool) -> io::Result<Cells> {
        let path = self.path(id, ending);
        if anew {
            self.remove(id, ending)?;
        }
        let whole = self.reader(id, ending)?.map(CellsRead::whole_bytes).transpose()?;
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        if let Some(whole) = whole {
            file.set_len(whole)?;
        }
        Ok(Cells(BufWriter::with_capacity(256 << 10, file)))
    }

    /// Reads a file of opt-outs; `None` when there is none.
    pub(super) fn reader(&self, id: &str, ending: &'static str) -> io::Result<Option<CellsRead>> {
        match File::open(self.path(id, ending)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => {
                Ok(Some(CellsRead { from: BufReader::with_capacity(256 << 10, opened?), value: Vec::new() }))
            }
        }
    }

    pub(super) fn remove(&self, id: &str, ending: &'static str) -> io::Result<()> {
        match std::fs::remove_file(self.path(id, ending)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Removes what has had its time. Whatever somebody works on stays.
    pub(super) fn sweep(&self, now_ms: UnixMs) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.0)? {
            let path = entry?.path();
            let (Some(id), Some(ending)) = (
                path.file_stem().and_then(|stem| stem.to_str()),
                path.extension().and_then(|end| end.to_str()),
            ) else {
                continue;
            };
            if ending != "json" {
                continue;
            }
            let Some(_lock) = self.lock(id)? else { continue };
            let Some(status) = self.status_as_it_is(id)? else { continue };
            let ended = status.ended_at_ms.unwrap_or(status.began_at_ms);
            // What a process that died has left is of no use to anybody.
            self.remove(id, "spool")?;
            if is_over(ended, UNDO_WINDOW, now_ms) {
                self.remove(id, "brought")?;
            }
            if is_over(ended, TOLD_FOR, now_ms) {
                self.remove(id, "json")?;
                self.remove(id, "lock")?;
            }
        }
        Ok(())
    }
}

/// Whether `window` has passed since `ended_ms`.
pub(super) fn is_over(ended_ms: UnixMs, window: Duration, now_ms: UnixMs) -> bool {
    now_ms.saturating_sub(ended_ms) > i64::try_from(window.as_millis()).unwrap_or(i64::MAX)
}

/// Opt-outs on their way into a file: partition (2 bytes), length (2 bytes), the record's value.
pub(super) struct Cells(BufWriter<File>);

impl Cells {
    pub(super) fn put(&mut self, partition: i32, value: &[u8]) -> io::Result<()> {
        let too_many = |_| io::Error::from(ErrorKind::InvalidInput);
        self.0.write_all(&u16::try_from(partition).map_err(too_many)?.to_le_bytes())?;
        self.0.write_all(&u16::try_from(value.len()).map_err(too_many)?.to_le_bytes())?;
        self.0.write_all(value)
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Opt-outs read from a file.
pub(super) struct CellsRead {
    from: BufReader<File>,
    value: Vec<u8>,
}

impl CellsRead {
    /// The next ones, `most` at a time; none at the end. An entry that is cut off by a crash is the end.
    pub(super) fn next(&mut self, most: usize) -> io::Result<Vec<(i32, Record)>> {
        let mut cells = Vec::with_capacity(most);
        while cells.len() < most
            && let Some(partition) = self.entry()?
        {
            let record =
                record::decode_value(&self.value).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
            cells.push((partition, record));
        }
        Ok(cells)
    }

    /// Bytes of all entries but one that is cut off.
    fn whole_bytes(mut self) -> io::Result<u64> {
        let mut bytes = 0;
        while self.entry()?.is_some() {
            bytes += (HEAD_BYTES + self.value.len()) as u64;
        }
        Ok(bytes)
    }

    /// The partition of the next entry, whose value is in `value` then.
    fn entry(&mut self) -> io::Result<Option<i32>> {
        let mut head = [0; HEAD_BYTES];
        if !self.whole(&mut head)? {
            return Ok(None);
        }
        let [p0, p1, l0, l1] = head;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        if length > RECORD_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut value = std::mem::take(&mut self.value);
        value.resize(length, 0);
        let whole = self.whole(&mut value)?;
        self.value = value;
        Ok(whole.then_some(i32::from(u16::from_le_bytes([p0, p1]))))
    }

    fn whole(&mut self, into: &mut [u8]) -> io::Result<bool> {
        match self.from.read_exact(into) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use tamis_campaign::{RecordReason, Source};
    use tamis_subject::Subject;
    use tamis_wire::record::Scope;

    use super::*;

    fn opt_out(who: u8) -> Record {
        Record {
            reason: RecordReason::Objected,
            source: Source::Import,
            evidence: "import:one".into(),
            ..Record::plain(Subject::from_bytes([who; 16]), Scope::Platform)
        }
    }

    fn add(folder: &Folder, who: &[u8]) {
        let mut cells = folder.writer("one", "brought", false).unwrap();
        for &who in who {
            cells.put(i32::from(who), &record::encode(&opt_out(who))).unwrap();
        }
        cells.flush().unwrap();
    }

    /// Guarantees: wherever a kill cuts what is written, all whole entries before it and all that are added afterwards can be read.
    /// Fails when: what is added stands behind half an entry.
    #[test]
    fn what_is_added_after_a_kill_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        add(&folder, &[1, 2, 3]);
        let path = folder.path("one", "brought");
        let written = std::fs::read(&path).unwrap();
        let each = written.len() / 3;
        for cut in 0..=written.len() {
            std::fs::write(&path, &written[..cut]).unwrap();
            add(&folder, &[4, 5]);
            let mut read = folder.reader("one", "brought").unwrap().unwrap();
            let whole = (1..4).take(cut / each).chain(4..6).map(|who| (i32::from(who), opt_out(who)));
            assert_eq!(read.next(10).unwrap(), whole.collect::<Vec<_>>(), "cut at {cut}");
        }
    }
}
