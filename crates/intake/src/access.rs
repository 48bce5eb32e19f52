//! Who calls: from `Authorization: Bearer` to an owner.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use parking_lot::Mutex;
use subtle::{Choice, ConstantTimeEq as _};
use tamis_campaign::Source;

use crate::answer::Refusal;
use crate::keys::{self, Entry, Owner};

/// How often the keys file is looked at, at most: a change counts within five seconds (contract, section 9).
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who may call. Clones share it.
#[derive(Clone)]
pub struct Access(Option<Arc<Watched>>);

struct Watched {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    keys: Arc<[Entry]>,
    looked: Instant,
    mark: Option<Mark>,
}

/// What changes when a file is replaced or written: inode, size, time of change in seconds and nanoseconds.
type Mark = (u64, u64, i64, i64);

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The key's id, for the log.
    pub(crate) id: String,
    pub(crate) owner: Owner,
    /// The door that its records came in by.
    pub(crate) source: Source,
}

impl Access {
    /// Every caller is an operator (`http.auth = "off"`); for loopback addresses only.
    #[must_use]
    pub fn open() -> Self {
        Self(None)
    }

    /// Callers have a key of the file at `path`, which is read again when it changes. No file is no key.
    ///
    /// # Errors
    /// When the file is open to others, is not a keys file, or can't be read. Later that is logged, and the last good
    /// keys stay.
    pub fn keys(path: &Path) -> Result<Self, keys::Error> {
        let mark = mark(path);
        let keys = keys::list(path)?.into();
        let known = Mutex::new(Known { keys, looked: Instant::now(), mark });
        Ok(Self(Some(Arc::new(Watched { path: path.to_owned(), known }))))
    }

    /// Who calls with `headers`; `process` is a token that opens for commands on this machine.
    pub(crate) fn caller(&self, headers: &HeaderMap, process: Option<&str>) -> Result<Caller, Refusal> {
        let presented = bearer(headers).map(keys::digest_of);
        // Every comparison is made in full, whoever matches.
        let same = |known: &blake3::Hash| {
            presented.map_or(Choice::from(0), |given| given.as_bytes().ct_eq(known.as_bytes()))
        };
        if process.is_some_and(|token| same(&keys::digest_of(token)).into()) {
            let id = "this machine".to_owned();
            return Ok(Caller { id, owner: Owner::Operator, source: Source::Operator });
        }
        let Some(watched) = &self.0 else {
            let id = "auth off".to_owned();
            return Ok(Caller { id, owner: Owner::Operator, source: Source::Api });
        };
        let mut found = None;
        for entry in watched.keys().iter() {
            if entry.digest().is_some_and(|digest| same(&digest).into()) {
                found = Some(entry.clone());
            }
        }
        let entry = found.ok_or_else(Refusal::unknown_key)?;
        Ok(Caller { id: entry.id, owner: entry.owner, source: Source::Api })
    }
}

/// Who may sign.
pub(crate) enum Signers {
    /// Nobody signs (`http.auth = "off"`).
    Nobody,
    /// The owners of these keys; others are not looked at.
    Keys(Arc<[Entry]>),
}

impl Access {
    /// The keys that there are now.
    pub(crate) fn signers(&self) -> Signers {
        match &self.0 {
            None => Signers::Nobody,
            Some(watched) => Signers::Keys(watched.keys()),
        }
    }
}

impl Watched {
    fn keys(&self) -> Arc<[Entry]> {
        let mut known = self.known.lock();
        if known.looked.elapsed() >= LOOK_EVERY {
            known.looked = Instant::now();
            let now = mark(&self.path);
            if now != known.mark {
                known.mark = now;
                match keys::list(&self.path) {
                    Ok(keys) => {
                        tracing::info!(keys = keys.len(), "keys file read again");
                        known.keys = keys.into();
                    }
                    Err(error) => tracing::error!(%error, "keys file refused; the last good keys stay"),
                }
            }
        }
        known.keys.clone()
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()))
}

/// What stands after `Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
