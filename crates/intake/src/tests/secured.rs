//! TLS at a door, with certificates made here: who gets in, who does not, and what a change of the files does.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tamis_telemetry::{Exposition, Metrics};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::house::{ANY_PORT, House};
use crate::serve::{Limits, serve_within};
use crate::tls::{Error, Tls, TlsFiles};
use crate::{api, listen};

/// An authority.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of an authority's and its key, in PEM.
fn certificate(of: &Authority, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    let made = params.signed_by(&key, of).unwrap();
    (made.pem(), key.serialize_pem())
}

fn server(of: &Authority) -> (String, String) {
    certificate(of, "localhost", ExtendedKeyUsagePurpose::ServerAuth)
}

fn client(of: &Authority) -> (String, String) {
    certificate(of, "gateway", ExtendedKeyUsagePurpose::ClientAuth)
}

fn write(path: &Path, text: &str, mode: u32) {
    let _ = std::fs::remove_file(path);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
}

/// A door that speaks TLS.
struct Door {
    dir: tempfile::TempDir,
    at: SocketAddr,
    authority: Authority,
    exposition: Exposition,
    _house: House,
}

impl Door {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn open(clients: Option<&Authority>, limits: Limits) -> Self {
        let (dir, authority, house) = (tempfile::tempdir().unwrap(), authority(), House::new());
        let (cert, key) = server(&authority);
        let files = TlsFiles {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
            client_ca: clients.map(|_| dir.path().join("ca.pem")),
        };
        write(&files.cert, &cert, 0o644);
        write(&files.key, &key, 0o600);
        if let Some(clients) = clients {
            write(&dir.path().join("ca.pem"), &clients.pem(), 0o644);
        }
        let (metrics, exposition) = Metrics::install();
        let listener = listen(ANY_PORT).unwrap();
        let at = listener.local_addr().unwrap();
        let tls = Some(Tls::open(files).unwrap());
        tokio::spawn(serve_within(
            listener,
            api(house.state.clone()),
            std::future::pending(),
            metrics,
            tls,
            limits,
        ));
        Self { dir, at, authority, exposition, _house: house }
    }

    /// What a caller is answered who trusts `authority` and shows `own`; `None` when TLS comes to nothing.
    async fn ask(&self, authority: &Authority, own: Option<&(String, String)>) -> Option<String> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![cert], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                    .unwrap()
            }
        };
        let stream = TcpStream::connect(self.at).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        stream.write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.ok()?;
        let mut answer = Vec::new();
        // In TLS 1.3 a caller is told only here that its certificate is not taken.
        stream.read_to_end(&mut answer).await.ok()?;
        Some(String::from_utf8(answer).unwrap())
    }

    fn counted(&self, kind: &str) -> usize {
        let row = format!(r#"tamis_errors_total{{stage="tls",kind="{kind}"}} "#);
        let text = self.exposition.render();
        text.lines().find_map(|line| line.strip_prefix(&row)).map_or(0, |count| count.parse().unwrap())
    }
}

fn is_served(answer: Option<String>) -> bool {
    answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 404") && answer.contains("NOT_FOUND"))
}

/// Guarantees: with authorities for callers, only a certificate of theirs gets in; plain HTTP gets nothing at all.
/// Fails when: the verifier is left out, or allows callers without a certificate.
#[tokio::test(flavor = "multi_thread")]
async fn only_callers_with_a_certificate_of_ours_get_in() {
    let (ours, others) = (authority(), authority());
    let door = Door::open(Some(&ours), Limits::default()).await;
    assert!(is_served(door.ask(&door.authority, Some(&client(&ours))).await));
    assert_eq!(door.ask(&door.authority, None).await, None, "no certificate");
    assert_eq!(door.ask(&door.authority, Some(&client(&others))).await, None, "another authority's");
    assert_eq!(door.ask(&others, Some(&client(&ours))).await, None, "a caller who does not trust the door");
    let mut plain = TcpStream::connect(door.at).await.unwrap();
    plain.write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
    assert_eq!(door.counted("handshake"), 4);
}

/// Guarantees: a new certificate is what new connections see within five seconds; files that are no good, or do not fit
/// together, change nothing.
/// Fails when: the files are read once, or a bad one closes the door.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_seen_and_a_bad_one_is_not() {
    let door = Door::open(None, Limits::default()).await;
    let next = authority();
    assert!(is_served(door.ask(&door.authority, None).await), "no caller needs a certificate");
    let (cert, key) = server(&next);
    write(&door.path("cert.pem"), &cert, 0o644);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(is_served(door.ask(&door.authority, None).await), "certificate and key don't fit yet");
    write(&door.path("key.pem"), &key, 0o600);
    let begun = Instant::now();
    while !is_served(door.ask(&next, None).await) {
        assert!(begun.elapsed() < Duration::from_secs(5), "the new certificate is not seen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    write(&door.path("cert.pem"), "what is this", 0o644);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(is_served(door.ask(&next, None).await), "the last good one stays");
}

/// Guarantees: who connects and says nothing is let go in time, and counted.
/// Fails when: the handshake has no time limit: the timer for a head begins only after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_has_a_time_limit() {
    let limits =
        Limits { handshake_timeout: Duration::from_millis(300), connections: 1, ..Limits::default() };
    let door = Door::open(None, limits).await;
    let begun = Instant::now();
    let mut silent = TcpStream::connect(door.at).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut answer)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(door.counted("handshake_timeout"), 1);
    assert!(is_served(door.ask(&door.authority, None).await), "its place is free again");
}

/// Guarantees: a door does not open with files that are no good, and says which and why without quoting one.
#[test]
fn bad_files_are_refused_with_a_reason() {
    let (dir, of) = (tempfile::tempdir().unwrap(), authority());
    let (cert, key) = server(&of);
    let path = |name: &str| dir.path().join(name);
    let open = |cert: &str, key: &str, mode, ca: Option<&str>| {
        write(&path("cert"), cert, 0o644);
        write(&path("key"), key, mode);
        let client_ca = ca.map(|text| {
            write(&path("ca"), text, 0o644);
            path("ca")
        });
        Tls::open(TlsFiles { cert: path("cert"), key: path("key"), client_ca }).err()
    };
    assert!(open(&cert, &key, 0o640, Some(&of.pem())).is_none());
    assert!(matches!(open(&cert, &key, 0o644, None), Some(Error::OpenToEverybody { mode: 0o644, .. })));
    assert!(matches!(open(&key, &key, 0o600, None), Some(Error::Malformed { what: "certificate", .. })));
    assert!(matches!(open(&cert, &cert, 0o600, None), Some(Error::Malformed { what: "private key", .. })));
    assert!(matches!(open(&cert, &key, 0o600, Some("")), Some(Error::Malformed { .. })));
    let huge = format!("{cert}{}", " ".repeat(1 << 20));
    assert!(matches!(open(&huge, &key, 0o600, None), Some(Error::Malformed { .. })));
    let words = open(&cert, &server(&of).1, 0o600, None).expect("another pair's key").to_string();
    assert!(words.contains("don't fit") && !words.contains("-----"), "{words}");
    let missing = Tls::open(TlsFiles { cert: path("none"), key: path("key"), client_ca: None });
    assert!(matches!(missing.err(), Some(Error::Io { .. })));
}
