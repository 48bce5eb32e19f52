//! API keys: a file of digests, one key a table. A key itself is shown once, when it is made, and kept nowhere.
//!
//! The digest is BLAKE3 of the whole key. A key has 256 random bits, so a slow digest would add nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tamis_campaign::{Tenant, UnixMs, is_identifier};
use tamis_subject::Subjects;
use zeroize::Zeroizing;

/// Permission bits of group and others; none may be set.
const OTHERS: u32 = 0o077;
/// Largest keys file, bytes: some twenty thousand keys, and each call is compared with all.
const FILE_MAX: u64 = 4 << 20;
/// As a tenant's name.
const GATEWAY_MOST: usize = Tenant::MOST;
/// An id goes into logs; ours have 12 characters.
const ID_MOST: usize = 64;

const HEADER: &str = "\
# API keys of tamis: digests only. Made by `tamis keys api create`; a table taken away is a key revoked.
";

/// Whom a key belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "owner", rename_all = "lowercase")]
pub enum Owner {
    /// One tenant.
    Tenant(String),
    /// A gateway.
    Gateway(String),
    /// An operator.
    Operator,
}

impl Owner {
    /// Whether its name is one.
    fn is_good(&self) -> bool {
        match self {
            Self::Tenant(name) | Self::Gateway(name) => is_identifier(name.as_bytes(), GATEWAY_MOST),
            Self::Operator => true,
        }
    }
}

/// A key as the file has it: without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, in lists and in logs.
    pub id: String,
    /// Whom it belongs to.
    #[serde(flatten)]
    pub owner: Owner,
    /// When it was made, Unix ms.
    pub created_ms: UnixMs,
    /// BLAKE3 of the key, in hex.
    digest: String,
}

impl Entry {
    /// Whether it can be a key. A name outside its alphabet would go into records that no reader takes.
    fn is_good(&self) -> bool {
        self.digest().is_some() && self.owner.is_good() && is_identifier(self.id.as_bytes(), ID_MOST)
    }

    /// The gateway's key itself, made again; `None` when it is none, or was made in another way or under another identity key.
    pub(crate) fn gateway_key(&self, subjects: &Subjects) -> Option<Zeroizing<String>> {
        let Owner::Gateway(_) = &self.owner else { return None };
        let key = Zeroizing::new(text_of(&self.id, &subjects.gateway_secret(&self.id)));
        (self.digest()? == digest_of(&key)).then_some(key)
    }

    /// The digest's bytes; `None` when it is not one.
    pub(crate) fn digest(&self) -> Option<blake3::Hash> {
        blake3::Hash::from_hex(&self.digest).ok()
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    key: Vec<Entry>,
}

/// Why the keys can't be read or changed. No text of it holds a key or a digest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Group or others have a permission on the file.
    #[error("the keys file {} is open to others (mode {mode:04o}): run `chmod 600` on it", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a file of keys.
    #[error("{} is not a keys file; put your copy back, or take it away and make new keys", .0.display())]
    Malformed(PathBuf),
    /// There is no room for another key.
    #[error("{} would have more than {FILE_MAX} bytes: revoke keys that are not used", .0.display())]
    Full(PathBuf),
    /// A name outside its alphabet.
    #[error("a tenant's or gateway's name has 1 to {GATEWAY_MOST} characters of [A-Za-z0-9._:-]")]
    BadOwner,
    /// No key has that id.
    #[error("no key has this id")]
    NoSuchKey,
    /// The system has no random bytes to give.
    #[error("get random bytes for a key: {0}")]
    Random(getrandom::Error),
    /// The system refused.
    #[error("{verb} keys file {}: {error}", path.display())]
    Io {
        /// What was being done.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Makes a key for `owner`, and the file (mode 0600) and its folder if there is none. Answers its id and the key itself,
/// which nobody can tell again. A running service takes it within five seconds.
///
/// # Errors
/// [`Error::BadOwner`], or when the file can't be read or written.
pub fn create(path: &Path, owner: Owner) -> Result<(String, String), Error> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(Error::Random)?;
    let id = new_id()?;
    add(path, owner, text_of(&id, &secret), id)
}

/// As [`create`], for the gateway `name`: its secret is made of the identity key, so that what it signs can be checked though no
/// secret is stored ([`Subjects::gateway_secret`]).
///
/// # Errors
/// As [`create`].
pub fn create_gateway(path: &Path, name: &str, subjects: &Subjects) -> Result<(String, String), Error> {
    let id = new_id()?;
    let text = text_of(&id, &subjects.gateway_secret(&id));
    add(path, Owner::Gateway(name.to_owned()), text, id)
}

fn new_id() -> Result<String, Error> {
    let mut id = [0; 6];
    getrandom::fill(&mut id).map_err(Error::Random)?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn text_of(id: &str, secret: &[u8; 32]) -> String {
    format!("tamis_{id}_{}", BASE64_URL_SAFE_NO_PAD.encode(secret))
}

fn add(path: &Path, owner: Owner, key: String, id: String) -> Result<(String, String), Error> {
    if !owner.is_good() {
        return Err(Error::BadOwner);
    }
    let digest = digest_of(&key).to_hex().to_string();
    change(path, |keys| {
        keys.push(Entry { id: id.clone(), owner, created_ms: crate::now_ms(), digest });
        Ok(())
    })?;
    Ok((id, key))
}

/// The keys there are, oldest first; none when there is no file.
///
/// # Errors
/// When the file is open to others, is not a keys file, or can't be read.
pub fn list(path: &Path) -> Result<Vec<Entry>, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(io_error("open", path))?,
    };
    // Of the open file, not of the path: nobody can swap it in between.
    let metadata = file.metadata().map_err(io_error("inspect", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(Error::OpenToOthers { path: path.to_owned(), mode });
    }
    let malformed = || Error::Malformed(path.to_owned());
    if !metadata.is_file() {
        return Err(malformed());
    }
    let mut text = Vec::new();
    // Bounded while it is read, too: it may grow meanwhile.
    file.take(FILE_MAX + 1).read_to_end(&mut text).map_err(io_error("read", path))?;
    if text.len() as u64 > FILE_MAX {
        return Err(malformed());
    }
    std::str::from_utf8(&text).ok().and_then(parse).ok_or_else(malformed)
}

/// The keys in a file's text; `None` when it is not a keys file. The parser's words would quote what stands there.
pub(crate) fn parse(text: &str) -> Option<Vec<Entry>> {
    let Written { key } = toml::from_str(text).ok()?;
    key.iter().all(Entry::is_good).then_some(key)
}

/// Takes a key away. A running service refuses it within five seconds.
///
/// # Errors
/// [`Error::NoSuchKey`], or when the file can't be read or written.
pub fn revoke(path: &Path, id: &str) -> Result<(), Error> {
    change(path, |keys| {
        let before = keys.len();
        keys.retain(|entry| entry.id != id);
        if keys.len() < before { Ok(()) } else { Err(Error::NoSuchKey) }
    })
}

pub(crate) fn digest_of(key: &str) -> blake3::Hash {
    blake3::hash(key.as_bytes())
}

/// Changes the file in one step that no reader sees half of. Two who change it at once wait for each other.
fn change(path: &Path, change: impl FnOnce(&mut Vec<Entry>) -> Result<(), Error>) -> Result<(), Error> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(io_error("make the folder of", path))?;
    let beside = |ending: &str| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        folder.join(name)
    };
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(beside(".lock"));
    let lock = lock.map_err(io_error("lock", path))?;
    lock.lock().map_err(io_error("lock", path))?;
    let mut key = list(path)?;
    change(&mut key)?;
    let text = toml::to_string(&Written { key }).map_err(|_| Error::Malformed(path.to_owned()))?;
    let text = format!("{HEADER}\n{text}");
    // What could not be read again is not written.
    if text.len() as u64 > FILE_MAX {
        return Err(Error::Full(path.to_owned()));
    }
    let new = beside(".new");
    // What a killed process left; we hold the lock.
    let _ = std::fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(io_error("write", path))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&new, path))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(io_error("write", path))
}

fn io_error<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |error| Error::Io { verb, path: path.to_owned(), error }
}
