//! TLS at a door: certificate and key from PEM files that are read again when they change, and, where authorities for callers are
//! given, nobody in without a certificate of theirs.
//!
//! A changed file counts for connections made a second later; those that are open go on with what they began with. Files that do
//! not fit together, as between the writing of one and of the other, are told and passed over: the last good ones stay.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::file_mark::{FileMark, file_mark};

/// How often the files are looked at, at most: a change counts within five seconds, as that of API keys.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Largest file, bytes; one that holds all public authorities has 200 KB.
const FILE_MAX: u64 = 1 << 20;
/// Permission bits of everybody; a key's file has none. Its group may read it, as systems share keys.
const EVERYBODY: u32 = 0o007;

/// The PEM files of a door.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, with those between it and its authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of the callers' certificates; callers need none without it.
    pub client_ca: Option<PathBuf>,
}

/// What a door needs to speak TLS. Clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Watched>);

struct Watched {
    files: TlsFiles,
    known: Mutex<Known>,
}

struct Known {
    config: Arc<ServerConfig>,
    looked: Instant,
    marks: Marks,
}

/// Of each file.
type Marks = [Option<FileMark>; 3];

/// Why a door can't speak TLS. No text of it holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Everybody may read or change the key's file.
    #[error("the key file {} is open to everybody (mode {mode:04o}): run `chmod o=` on it", path.display())]
    OpenToEverybody {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not PEM, too large, or without what is looked for.
    #[error("{} holds no {what} in PEM", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Certificate and key are of different pairs, or of a kind that is not known.
    #[error("certificate and key don't fit: {0}")]
    Unfit(rustls::Error),
    /// The authorities can't be used.
    #[error("use the authorities of http.client_ca: {0}")]
    Authorities(VerifierBuilderError),
}

impl Tls {
    /// Reads the files. Later a change that is no good is logged, and the last good ones stay.
    ///
    /// # Errors
    /// When a file can't be read or used.
    pub fn open(files: TlsFiles) -> Result<Self, Error> {
        let marks = marks(&files);
        let config = configure(&files)?;
        let known = Mutex::new(Known { config, looked: Instant::now(), marks });
        Ok(Self(Arc::new(Watched { files, known })))
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut known = self.0.known.lock();
        if known.looked.elapsed() >= LOOK_EVERY {
            known.looked = Instant::now();
            let now = marks(&self.0.files);
            if now != known.marks {
                known.marks = now;
                match configure(&self.0.files) {
                    Ok(config) => {
                        tracing::info!("certificate read again");
                        known.config = config;
                    }
                    Err(error) => tracing::error!(%error, "certificate refused; the last good one stays"),
                }
            }
        }
        known.config.clone().into()
    }
}

fn configure(files: &TlsFiles) -> Result<Arc<ServerConfig>, Error> {
    let certificates = certificates(&files.cert)?;
    let key = private_key(&files.key)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(Error::Unfit)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates(path)? {
                roots.add(certificate).map_err(Error::Unfit)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(Error::Authorities)?)
        }
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(Error::Unfit)?;
    // What the doors speak.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// One certificate or more.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let malformed = || Error::Malformed { path: path.to_owned(), what: "certificate" };
    let text = read(path, "certificate", false)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(malformed)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(path, "private key", true)?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| Error::Malformed { path: path.to_owned(), what: "private key" })
}

/// A file's bytes, wiped when they are dropped.
fn read(path: &Path, what: &'static str, is_secret: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
    let io = |error| Error::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(io)?;
    // Of the open file, not of the path: nobody can swap it in between.
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if is_secret && mode & EVERYBODY != 0 {
        return Err(Error::OpenToEverybody { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(Vec::new());
    if metadata.is_file() {
        file.take(FILE_MAX + 1).read_to_end(&mut text).map_err(io)?;
    }
    if text.is_empty() || text.len() as u64 > FILE_MAX {
        return Err(Error::Malformed { path: path.to_owned(), what });
    }
    Ok(text)
}

fn marks(files: &TlsFiles) -> Marks {
    [file_mark(&files.cert), file_mark(&files.key), files.client_ca.as_deref().and_then(file_mark)]
}
