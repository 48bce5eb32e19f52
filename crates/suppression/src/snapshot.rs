//! Snapshots: the index in a file, so that a service is ready seconds after a restart.
//!
//! Layout: a head (magic, version), for each segment of the dictionary what look-ups need and then what they don't
//! ([`crate::stored`]), a table of it all in JSON, and a tail that says where the table stands. The table, what look-ups need of
//! a segment, and each 4 KiB of the rest have their xxh3. What look-ups need is read and compared at once; the rest stays in
//! the file, and is compared whenever it is read.
//!
//! A snapshot is taken a segment at a time while the index is in use, and claims the position at which that began. So it
//! may know more than it claims; to apply the log from there over it leads to the same index, since the last record of a
//! subject's cell decides, whatever was known before.

mod folder;
mod format;
mod read;
mod tally;
mod write;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tamis_campaign::UnixMs;

pub use folder::Folder;
pub use read::{about, check, load};
pub use tally::Tally;
pub use write::write;

use crate::index::{Index, Life};
use crate::stored::Unreadable;

/// What a snapshot is of: it is good for this log, under this key, and for no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Id of the cluster that has the log.
    pub cluster: String,
    /// Id of the log's topic: another one after it was made anew.
    pub topic: String,
    /// Version of canonical forms and key.
    pub scheme: u32,
    /// The key's check value.
    pub key_check: [u8; 16],
}

/// What is known of a snapshot without its segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Of which log and key.
    pub stamp: Stamp,
    /// The next offset of each partition: everything before it is in.
    pub position: Vec<i64>,
    /// When it was begun, Unix ms.
    pub taken_at_ms: UnixMs,
    /// The newest scheme that the log had told of.
    pub told_scheme: u32,
    /// Subjects in it.
    pub subjects: u64,
    /// Records in it.
    pub records: u64,
}

/// What a snapshot is to be of.
pub struct Order<'a> {
    /// Of which log and key.
    pub stamp: Stamp,
    /// The newest scheme that the log had told of.
    pub told_scheme: u32,
    /// Now, Unix ms.
    pub taken_at_ms: UnixMs,
    /// Of which index: nothing is written when another one has taken its place ([`Index::life`]).
    pub of: Life,
    /// Asked before each segment.
    pub go_on: &'a dyn Fn() -> bool,
}

/// An index that others use meanwhile.
pub trait Shared {
    /// Does `step` while nobody else sees the index. Others wait for it, so it is short.
    fn with<R>(&self, step: impl FnOnce(&mut Index) -> R) -> R;
    /// Does `step` while the index stands still: only its writer waits. One segment is copied in it.
    fn see<R>(&self, step: impl FnOnce(&Index) -> R) -> R;
}

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The system refused.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Another kind of file.
    #[error("it is no snapshot of a filter")]
    NotOne,
    /// Of a version that this one does not know.
    #[error("it has version {0} of the format, which this version does not know")]
    Version(u32),
    /// Not all there.
    #[error("it is torn: its end is missing")]
    Torn,
    /// A checksum or a bound does not hold.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// Of another log.
    #[error("it is of another {0}")]
    Foreign(&'static str),
    /// Of another key.
    #[error("it was written under another {0}")]
    OtherKey(&'static str),
    /// What was cleaned up of the log since may be missing in it.
    #[error("it is {age_h} hours old, and the log keeps what was lifted for {kept_h} hours only")]
    TooOld {
        /// Its age, hours.
        age_h: i64,
        /// For how long the log keeps tombstones, hours.
        kept_h: i64,
    },
    /// It has more than the log.
    #[error("partition {partition} of the log ends before it: the log was cut")]
    Ahead {
        /// The partition.
        partition: usize,
    },
}

impl From<Unreadable> for Refused {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Io(kind) => Self::Io(kind.into()),
            Unreadable::Damaged => Self::Damaged("a segment's cold part"),
        }
    }
}

/// Why no snapshot was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("{verb} {}: {error}", path.display())]
    Io {
        /// What was being done.
        verb: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The snapshot that the index rests on can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Another index took its place meanwhile.
    #[error("the filter was replaced meanwhile: the next one is of the new one")]
    Replaced,
    /// It was not to go on.
    #[error("there was no time for it")]
    GivenUp,
}

impl Error {
    fn io(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { verb, path, error }
    }
}

impl About {
    /// Whether its offsets and time are such as a log and a clock come to, with room to go on from there: at a thousand million records a
    /// second a log would be there in a hundred years.
    fn is_in_range(&self) -> bool {
        const MOST: i64 = 1 << 62;
        self.position.iter().chain([&self.taken_at_ms]).all(|number| (0..=MOST).contains(number))
    }

    /// Whether it may be used for the log and key of `stamp`, of so many partitions, that keeps tombstones for `kept_ms`.
    ///
    /// # Errors
    /// The reason why not.
    pub fn fits(
        &self,
        stamp: &Stamp,
        partitions: usize,
        now_ms: UnixMs,
        kept_ms: Option<i64>,
    ) -> Result<(), Refused> {
        const HOUR_MS: i64 = 3_600_000;
        let is_foreign = [
            ("cluster", self.stamp.cluster != stamp.cluster),
            ("topic: the log was made anew", self.stamp.topic != stamp.topic),
            ("number of partitions", self.position.len() != partitions),
        ];
        if let Some((what, _)) = is_foreign.iter().find(|(_, is)| *is) {
            return Err(Refused::Foreign(what));
        }
        if self.stamp.scheme != stamp.scheme {
            return Err(Refused::OtherKey("scheme"));
        }
        if self.stamp.key_check != stamp.key_check {
            return Err(Refused::OtherKey("key"));
        }
        // A snapshot from the future is as good as its clock: the age can't be told.
        let age_ms = (now_ms - self.taken_at_ms).abs();
        match kept_ms {
            Some(kept) if age_ms >= kept => {
                Err(Refused::TooOld { age_h: age_ms / HOUR_MS, kept_h: kept / HOUR_MS })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;
