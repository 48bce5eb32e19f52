//! The secret key: 32 random bytes in a file that only its owner can read.
//!
//! The file is text: lines that begin with `#` are comments, one other line holds 64 hexadecimal digits.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::redacted::REDACTED;

/// Length of the key in bytes.
const LEN: usize = 32;
/// No key file is longer, in bytes; a larger file is another file.
const FILE_MAX: u64 = 4096;
/// Permission bits of group and others; none may be set.
const OTHERS: u32 = 0o077;

const HEADER: &str = "\
# The secret key of tamis. Keep it, keep it secret, and keep a copy in a safe place:
# without it no recorded opt-out can be matched, and with it subjects can be traced to people.
";

/// The secret key. Wiped from memory when dropped; `Debug` prints `<redacted>`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; LEN]);

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
    /// Not one line of 64 hexadecimal digits.
    #[error("{} is not a key file (64 hexadecimal digits on a line of their own): put your copy back", .0.display())]
    Malformed(PathBuf),
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
        let mut key = Self([0; LEN]);
        getrandom::fill(&mut key.0).map_err(KeyError::Random)?;
        Ok(key)
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
        let hex = key.hex();
        file.write_all(HEADER.as_bytes())
            .and_then(|()| file.write_all(&hex[..]))
            .and_then(|()| file.sync_all())
            .map_err(io("write"))?;
        // The directory holds the name; without this a power cut could lose it.
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(io("sync the directory of"))?;
        Ok(key)
    }

    /// The key's bytes, for deriving others.
    pub(crate) fn bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    fn hex(&self) -> Zeroizing<[u8; 2 * LEN + 1]> {
        let mut text = Zeroizing::new([b'\n'; 2 * LEN + 1]);
        for (pair, byte) in text.chunks_exact_mut(2).zip(&self.0) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        text
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Reads the text of a key file.
pub(crate) fn parse(text: &[u8]) -> Option<Key> {
    if text.len() as u64 > FILE_MAX {
        return None;
    }
    let mut lines = text
        .split(|&b| b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && line[0] != b'#');
    let line = lines.next().filter(|line| line.len() == 2 * LEN)?;
    if lines.next().is_some() {
        return None;
    }
    let mut key = Key([0; LEN]);
    for (byte, pair) in key.0.iter_mut().zip(line.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(key)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests;
