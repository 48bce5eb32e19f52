//! Who calls: from `Authorization: Bearer` to an owner.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use parking_lot::Mutex;
use subtle::{Choice, ConstantTimeEq as _};
use tamis_campaign::Source;

use crate::file_mark::{FileMark, file_mark};
use crate::keys::{self, Entry, Owner};
use crate::scopes::KeyScope;

/// How often the keys file is looked at, at most: a change counts within five seconds (contract, section 9).
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who may call. Clones share it.
#[derive(Clone)]
pub struct Access(Who);

#[derive(Clone)]
enum Who {
    Everybody,
    Nobody,
    Keyed(Arc<Watched>),
}

struct Watched {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    keys: Arc<[Entry]>,
    looked: Instant,
    mark: Option<FileMark>,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The key's id, for the log.
    pub(crate) id: String,
    pub(crate) owner: Owner,
    /// What the key may do.
    pub(crate) scopes: Vec<KeyScope>,
    /// Whether it has a key of the file, whose calls are counted.
    pub(crate) is_keyed: bool,
    /// The door that its records came in by.
    pub(crate) source: Source,
}

/// Why nobody known calls. The caller is not told which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// No key, or what is none.
    NoKey,
    /// A key that is not in the file.
    Unknown,
    /// A key whose time is over.
    Expired,
}

impl Stranger {
    /// The label of `tamis_errors_total`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Unknown => "unknown_key",
            Self::Expired => "expired_key",
        }
    }
}

impl Caller {
    /// An operator without a key of the file.
    fn operator(id: &str, source: Source) -> Self {
        let owner = Owner::Operator;
        let scopes = KeyScope::of(&owner).to_vec();
        Self { id: id.to_owned(), owner, scopes, is_keyed: false, source }
    }

    /// Whether its key may do that.
    pub(crate) fn may(&self, scope: KeyScope) -> bool {
        self.scopes.contains(&scope)
    }
}

impl Access {
    /// Every caller is an operator (`http.auth = "off"`); for loopback addresses only.
    #[must_use]
    pub fn open() -> Self {
        Self(Who::Everybody)
    }

    /// No key opens: for a door that only the process token does.
    #[must_use]
    pub(crate) fn closed() -> Self {
        Self(Who::Nobody)
    }

    /// Callers have a key of the file at `path`, which is read again when it changes. No file is no key.
    ///
    /// # Errors
    /// When the file is open to others, is not a keys file, or can't be read. Later that is logged, and the last good
    /// keys stay.
    pub fn keys(path: &Path) -> Result<Self, keys::Error> {
        let mark = file_mark(path);
        let keys = keys::list(path)?.into();
        let known = Mutex::new(Known { keys, looked: Instant::now(), mark });
        Ok(Self(Who::Keyed(Arc::new(Watched { path: path.to_owned(), known }))))
    }

    /// Who calls with `headers`; `process` is a token that opens for commands on this machine.
    pub(crate) fn caller(&self, headers: &HeaderMap, process: Option<&str>) -> Result<Caller, Stranger> {
        let presented = bearer(headers).map(keys::digest_of);
        // Every comparison is made in full, whoever matches.
        let same = |known: &blake3::Hash| {
            presented.map_or(Choice::from(0), |given| given.as_bytes().ct_eq(known.as_bytes()))
        };
        if process.is_some_and(|token| same(&keys::digest_of(token)).into()) {
            return Ok(Caller::operator("this machine", Source::Operator));
        }
        let keys = match &self.0 {
            Who::Everybody => return Ok(Caller::operator("auth off", Source::Api)),
            Who::Nobody => Arc::from([]),
            Who::Keyed(watched) => watched.keys(),
        };
        let mut found = None;
        for entry in keys.iter() {
            if entry.digest().is_some_and(|digest| same(&digest).into()) {
                found = Some(entry.clone());
            }
        }
        let stranger = if presented.is_some() { Stranger::Unknown } else { Stranger::NoKey };
        let entry = found.ok_or(stranger)?;
        if entry.has_expired(crate::now_ms()) {
            return Err(Stranger::Expired);
        }
        let scopes = entry.scopes().to_vec();
        Ok(Caller { id: entry.id, owner: entry.owner, scopes, is_keyed: true, source: Source::Api })
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
    /// The keys that may hand in events now: those whose time is not over and that have the scope.
    pub(crate) fn signers(&self) -> Signers {
        let keys = match &self.0 {
            Who::Everybody => return Signers::Nobody,
            Who::Nobody => Arc::from([]),
            Who::Keyed(watched) => watched.keys(),
        };
        let now_ms = crate::now_ms();
        let may = |entry: &&Entry| !entry.has_expired(now_ms) && entry.scopes().contains(&KeyScope::Inbound);
        Signers::Keys(keys.iter().filter(may).cloned().collect())
    }
}

impl Watched {
    fn keys(&self) -> Arc<[Entry]> {
        let mut known = self.known.lock();
        if known.looked.elapsed() >= LOOK_EVERY {
            known.looked = Instant::now();
            let now = file_mark(&self.path);
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

/// What stands after `Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
