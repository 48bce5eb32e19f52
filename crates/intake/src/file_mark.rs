//! Whether a file is another than it was: for files that are read again when they change.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What changes when a file is replaced or written: inode, size, time of change in seconds and nanoseconds.
pub type FileMark = (u64, u64, i64, i64);

/// The mark of the file at `path`; `None` while there is none.
#[must_use]
pub fn file_mark(path: &Path) -> Option<FileMark> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()))
}
