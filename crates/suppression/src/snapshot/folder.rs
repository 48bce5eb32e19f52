//! The folder that snapshots are in: numbered, a few of them kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Error;

/// Snapshots that are kept, with the newest: an older one is used when a newer one is refused.
const KEPT: usize = 3;
const BEFORE: &str = "filter-";
const AFTER: &str = ".snapshot";
const UNFINISHED: &str = ".unfinished";

/// Where snapshots are.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, which need not exist yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Numbers of the snapshots, newest first.
    ///
    /// # Errors
    /// When the folder is there and can't be read.
    pub fn numbers(&self) -> Result<Vec<u64>, Error> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &self.0)(error)),
        };
        let mut numbers: Vec<u64> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.strip_prefix(BEFORE)?.strip_suffix(AFTER)?.parse().ok()
            })
            .collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    /// The file of a number.
    #[must_use]
    pub fn file(&self, number: u64) -> PathBuf {
        self.0.join(format!("{BEFORE}{number:012}{AFTER}"))
    }

    /// Puts one aside that turned out to be damaged, under another name.
    ///
    /// # Errors
    /// When it can't be renamed.
    pub fn condemn(&self, number: u64) -> Result<(), Error> {
        let path = self.file(number);
        fs::rename(&path, path.with_extension("damaged")).map_err(Error::io("rename", &path))
    }

    /// Begins a new one. One process writes at a time; what a crash left unfinished is removed.
    pub(super) fn begin(&self) -> Result<Unfinished, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(Error::io("make", &self.0))?;
        let lock = self.0.join("lock");
        let guard = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let guard = guard.map_err(Error::io("open", &lock))?;
        guard.try_lock().map_err(|error| Error::io("lock", &lock)(error.into()))?;
        let number = self.numbers()?.first().map_or(1, |newest| newest + 1);
        let path = self.0.join(format!("{BEFORE}{number:012}{UNFINISHED}"));
        self.remove_unfinished()?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(Error::io("make", &path))?;
        Ok(Unfinished { folder: self.clone(), number, path, file, _lock: guard })
    }

    fn remove_unfinished(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.0).map_err(Error::io("read", &self.0))?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == &UNFINISHED[1..]) {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// A snapshot that is being written. Dropped without [`Unfinished::finish`] it goes away.
pub(super) struct Unfinished {
    folder: Folder,
    number: u64,
    path: PathBuf,
    file: File,
    _lock: File,
}

impl Unfinished {
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn failed(&self, verb: &'static str) -> impl FnOnce(io::Error) -> Error {
        Error::io(verb, &self.path)
    }

    /// Makes it durable, then gives it its name: after a crash it is there whole, or not at all. Removes the oldest ones.
    pub(super) fn finish(self) -> Result<(u64, File), Error> {
        let path = self.folder.file(self.number);
        let file = self.file.try_clone().map_err(self.failed("open"))?;
        file.sync_all().map_err(self.failed("sync"))?;
        fs::rename(&self.path, &path).map_err(self.failed("rename"))?;
        let folder = &self.folder.0;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder))?;
        for old in self.folder.numbers()?.into_iter().skip(KEPT) {
            let path = self.folder.file(old);
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok((self.number, file))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After it was renamed there is nothing under this name.
        let _ = fs::remove_file(&self.path);
    }
}
