//! The secret key: 32 random bytes for each step, in a file that only its owner can read.
//!
//! The file is text: lines that begin with `#` are comments, each other line holds the 64 hexadecimal digits of a step, in
//! their order. A new file has one; each rotation adds one, since the steps before it are needed for ever to come from an
//! address to where it begins ([`KeyFile::add_step`]).

use std::{
    fmt,
    fs::{File, OpenOptions, Permissions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::redacted::REDACTED;

/// Length of a step in bytes.
const LEN: usize = 32;
/// Most steps: a file has room for them, and one cache line for the derived keys of four.
pub(crate) const STEPS_MAX: usize = 16;
/// No key file is longer, in bytes; a larger file is another file.
const FILE_MAX: u64 = 4096;
/// Permission bits of group and others; none may be set.
const OTHERS: u32 = 0o077;

const HEADER: &str = "\
# The secret key of tamis. Keep it, keep it secret, and keep a copy in a safe place:
# without it no recorded opt-out can be matched, and with it subjects can be traced to people.
# Each rotation (`tamis keys rotate`) adds a line; take none away, and leave their order.
";

/// The secret key, step by step. Wiped from memory when dropped; `Debug` prints `<redacted>`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key(Vec<[u8; LEN]>);

/// A key file that nobody else changes as long as this is held.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    _lock: File,
}

/// Why there is no key. No text of these holds any part of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No such file.
    #[error("there is no key file {}: make one with `tamis init`, or put your copy there", .0.display())]
    Missing(PathBuf),
    /// Group or others have a permission on the file.
    #[error("the key file {} is open to others (mode {mode:04o}): run `chmod 600` on it", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not lines of 64 hexadecimal digits, each another.
    #[error("{} is not a key file (lines of 64 hexadecimal digits): put your copy back", .0.display())]
    Malformed(PathBuf),
    /// There is no room for another step.
    #[error("the key in {} has {STEPS_MAX} steps, which is the most: it cannot be rotated again", .0.display())]
    Full(PathBuf),
    /// Somebody else is changing the file.
    #[error("the key file {} is being rotated by another process", .0.display())]
    Busy(PathBuf),
    /// There is one already, and another key would lose every opt-out recorded under it.
    #[error("there is a key file {} already; it is left as it is", .0.display())]
    Exists(PathBuf),
    /// The system refused.
    #[error("{verb} key file {}: {error}", path.display())]
    Io {
        /// What was being done.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system has no random bytes to give.
    #[error("get random bytes for a key: {0}")]
    Random(getrandom::Error),
}

impl Key {
    /// A new random key, in memory only.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut key = Self(Vec::with_capacity(STEPS_MAX));
        key.grow().map_err(KeyError::Random)?;
        Ok(key)
    }

    /// This key with one more, random step: what its file holds after [`KeyFile::add_step`], in memory only.
    ///
    /// # Errors
    /// [`KeyError::Random`]; [`KeyError::Full`] without a path.
    pub fn with_another_step(&self) -> Result<Self, KeyError> {
        let mut key = self.copy();
        if key.0.len() == STEPS_MAX {
            return Err(KeyError::Full(PathBuf::new()));
        }
        key.grow().map_err(KeyError::Random)?;
        Ok(key)
    }

    /// How many steps it has, 1 to 16: the newest scheme it is good for.
    #[must_use]
    pub fn scheme(&self) -> u32 {
        self.0.len() as u32
    }

    fn grow(&mut self) -> Result<(), getrandom::Error> {
        let mut step = Zeroizing::new([0; LEN]);
        getrandom::fill(&mut step[..])?;
        self.0.push(*step);
        Ok(())
    }

    /// With room for every step, so that nothing is moved and left behind when one is added.
    fn copy(&self) -> Self {
        let mut steps = Vec::with_capacity(STEPS_MAX);
        steps.extend_from_slice(&self.0);
        Self(steps)
    }

    /// Reads the key file.
    ///
    /// # Errors
    /// [`KeyError`] when it is missing, open to group or others, malformed, or can't be read.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let io = |verb| move |error| KeyError::Io { verb, path: path.to_owned(), error };
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
            _ => io("open")(error),
        })?;
        // Of the open file, not of the path: nobody can swap it in between.
        let metadata = file.metadata().map_err(io("inspect"))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(KeyError::OpenToOthers { path: path.to_owned(), mode });
        }
        if !metadata.is_file() {
            return Err(KeyError::Malformed(path.to_owned()));
        }
        // Room for the whole file, so that the text never moves and leaves a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAX as usize + 2));
        file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(io("read"))?;
        parse(&bytes).ok_or_else(|| KeyError::Malformed(path.to_owned()))
    }

    /// Makes a new random key and its file, mode 0600, on disk when this returns.
    ///
    /// # Errors
    /// [`KeyError::Exists`] rather than replace a file; otherwise as the system says.
    pub fn create_file(path: &Path) -> Result<Self, KeyError> {
        let io = |verb| move |error| KeyError::Io { verb, path: path.to_owned(), error };
        let key = Self::generate()?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_owned()),
                    _ => io("create")(error),
                }
            })?;
        let text = key.text();
        file.write_all(HEADER.as_bytes())
            .and_then(|()| file.write_all(&text))
            .and_then(|()| file.sync_all())
            .map_err(io("write"))?;
        sync_folder(path).map_err(io("sync the directory of"))?;
        Ok(key)
    }

    /// The steps' bytes, for deriving others.
    pub(crate) fn steps(&self) -> &[[u8; LEN]] {
        &self.0
    }

    /// The lines of its file.
    fn text(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.0.len() * (2 * LEN + 1)));
        for step in &self.0 {
            text.extend(
                step.iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
            );
            text.push(b'\n');
        }
        text
    }
}

impl KeyFile {
    /// Takes the file at `path` for a change. The lock is the system's, on `<path>.lock`, and ends with the process.
    ///
    /// # Errors
    /// [`KeyError::Busy`] when somebody has it; [`KeyError::Missing`]; otherwise as the system says.
    pub fn lock(path: &Path) -> Result<Self, KeyError> {
        // A link stays one: what it leads to is replaced.
        let path = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
            _ => KeyError::Io { verb: "find", path: path.to_owned(), error },
        })?;
        let io = |error| KeyError::Io { verb: "lock", path: path.clone(), error };
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(beside(&path, ".lock"));
        let lock = lock.map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(KeyError::Busy(path)),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// Adds a random step. The new file is whole on the disk before it takes the old one's name, so that a crash leaves
    /// one or the other; then the old one's bytes are overwritten. What the disk itself keeps of them, and copies that were
    /// made, are beyond any program.
    ///
    /// # Errors
    /// [`KeyError::Full`]; otherwise as [`Key::read`] and as the system says.
    pub fn add_step(&self) -> Result<Key, KeyError> {
        let path = &self.path;
        let io = |verb| move |error| KeyError::Io { verb, path: path.clone(), error };
        let key = Key::read(path)?.with_another_step().map_err(|error| match error {
            KeyError::Full(_) => KeyError::Full(path.clone()),
            other => other,
        })?;
        let mut old = File::open(path).map_err(io("open"))?;
        let metadata = old.metadata().map_err(io("inspect"))?;
        // A file that its owner may only read could not be overwritten.
        old.set_permissions(Permissions::from_mode(0o600)).map_err(io("change"))?;
        old = OpenOptions::new().write(true).open(path).map_err(io("open"))?;
        let new = beside(path, ".new");
        // What a killed process left: a step that was never used.
        if let Ok(mut left) = OpenOptions::new().write(true).open(&new) {
            overwrite(&mut left)
                .and_then(|()| std::fs::remove_file(&new))
                .map_err(io("clear away a copy of"))?;
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(io("create"))?;
        // Whoever rotates, the service must be able to read it.
        if (metadata.uid(), metadata.gid())
            != file.metadata().map(|m| (m.uid(), m.gid())).map_err(io("inspect"))?
        {
            std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid()))
                .map_err(io("keep the owner of"))?;
        }
        file.write_all(HEADER.as_bytes())
            .and_then(|()| file.write_all(&key.text()))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&new, path))
            .and_then(|()| sync_folder(path))
            .map_err(io("write"))?;
        overwrite(&mut old).map_err(io("overwrite the old"))?;
        Ok(key)
    }
}

/// `path` with an ending more.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The folder holds the name; without this a power cut could lose it.
fn sync_folder(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Puts zeros where the file's bytes are.
fn overwrite(file: &mut File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len().min(FILE_MAX)).unwrap_or(0);
    file.rewind()?;
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Reads the text of a key file.
pub(crate) fn parse(text: &[u8]) -> Option<Key> {
    if text.len() as u64 > FILE_MAX {
        return None;
    }
    let mut key = Key(Vec::with_capacity(STEPS_MAX));
    let lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    for line in lines.filter(|line| !line.is_empty() && line[0] != b'#') {
        if line.len() != 2 * LEN || key.0.len() == STEPS_MAX {
            return None;
        }
        let mut step = Zeroizing::new([0; LEN]);
        for (byte, pair) in step.iter_mut().zip(line.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        // A line that stands twice is a slip of whoever copied it.
        if key.0.contains(&step) {
            return None;
        }
        key.0.push(*step);
    }
    (!key.0.is_empty()).then_some(key)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests;
