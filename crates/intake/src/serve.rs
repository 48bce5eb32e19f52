//! Opens a door and closes it in order, and bounds what may stand in it: connections, the head of a call, and time,
//! in which it comes and in which its answer is read.
//!
//! It speaks HTTP/1.1. A connection of HTTP/2 may be kept open for ever by pings and carries many calls at once, which are
//! two more things to bound, and callers of this API gain nothing by it; a proxy in front may speak what it likes.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tamis_telemetry::Metrics;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};

use crate::patient::Patient;
use crate::rates::Peer;
use crate::tls::Tls;

/// How long calls under way may take once it is time to stop: a third of what a drain has (contract, section 9).
const GRACE: Duration = Duration::from_secs(5);
/// Pause after the system could not open a connection: it has too many files open, and some will close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Bytes of an answer that the system keeps for a caller; Linux takes it twice. By itself it would keep 4 MiB for each, and
/// tell only after a third of them that the caller reads: one that is slow would look like one that is gone.
const SEND_BUFFER_BYTES: u32 = 64 << 10;
/// Connections that may wait before the door, as tokio's own listener has it.
const BACKLOG: u32 = 1_024;

/// What may stand in a door.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once; others wait before the door until one ends. Well inside the 1,024 files that a process may have
    /// open by default.
    pub(crate) connections: usize,
    /// How long the head of a call may take to come in. A connection that says nothing between two calls ends after it, too.
    pub(crate) head_timeout: Duration,
    /// Bytes of a call's first line and headers, of which a key has 60. It is looked at after each read, so that twice as
    /// many may come in.
    pub(crate) head_bytes: usize,
    /// Headers of a call.
    pub(crate) headers: usize,
    /// How long a caller may take to agree on TLS, where the door speaks it.
    pub(crate) handshake_timeout: Duration,
    /// How long a caller may take nothing of its answer.
    pub(crate) unread_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let patience = Duration::from_secs(10);
        Self {
            connections: 256,
            head_timeout: patience,
            head_bytes: 16 << 10,
            headers: 64,
            handshake_timeout: patience,
            unread_timeout: patience,
        }
    }
}

/// A listener for [`serve`] at `at`, whose connections keep little of an answer in the system.
///
/// # Errors
/// When the system does not give the address.
pub fn listen(at: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A service that is started again need not wait for the connections of the one before.
    socket.set_reuseaddr(true)?;
    // Each connection has it from its listener.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listener` until `shutdown` is ready, then ends the calls under way, in five seconds at most.
///
/// # Errors
/// None now; a listener that fails is tried again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    metrics: Metrics,
) -> std::io::Result<()> {
    serve_tls(listener, router, shutdown, metrics, None).await
}

/// As [`serve`]; with `tls` the door speaks nothing else.
///
/// # Errors
/// As [`serve`].
pub async fn serve_tls(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    metrics: Metrics,
    tls: Option<Tls>,
) -> std::io::Result<()> {
    serve_within(listener, router, shutdown, metrics, tls, Limits::default()).await
}

/// As [`serve_tls`], with other limits.
pub(crate) async fn serve_within(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    metrics: Metrics,
    tls: Option<Tls>,
    limits: Limits,
) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let (tell, told) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.expect("the places are never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, told, metrics, tls) = (router.clone(), told.clone(), metrics.clone(), tls.clone());
        let stream = Patient::new(stream, limits.unread_timeout, metrics.clone());
        let peer = Peer(peer.ip());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, peer, router, told, limits).await,
                Some(tls) => secure(stream, peer, router, told, limits, &tls, &metrics).await,
            }
            drop(place);
        });
    }
    drop(listener);
    // Whoever listened is gone only when its connection has ended.
    let _ = tell.send(true);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    // All places are free again when every connection has ended.
    let _ = tokio::time::timeout(GRACE, places.acquire_many(all)).await;
    Ok(())
}

/// Agrees on TLS in a bounded time, then as [`connection`].
async fn secure(
    stream: Patient,
    peer: Peer,
    router: Router,
    mut told: watch::Receiver<bool>,
    limits: Limits,
    tls: &Tls,
    metrics: &Metrics,
) {
    let agreed = tokio::select! {
        agreed = tokio::time::timeout(limits.handshake_timeout, tls.acceptor().accept(stream)) => agreed,
        _ = told.wait_for(|stopping| *stopping) => return,
    };
    match agreed {
        Ok(Ok(stream)) => connection(stream, peer, router, told, limits).await,
        // Whoever speaks plain HTTP, has no certificate or a wrong one, is told by TLS itself; more would help nobody else.
        Ok(Err(_)) => metrics.error("tls", "handshake"),
        Err(_) => metrics.error("tls", "handshake_timeout"),
    }
}

/// Answers the calls of one connection, until its end or until it is time to stop.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    mut told: watch::Receiver<bool>,
    limits: Limits,
) {
    let router = TowerToHyperService::new(router);
    let answers = service_fn(|mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(stream), answers);
    let mut serving = pin!(serving);
    // What a connection ends with is its caller's affair: a head that is no HTTP was answered with a 400, one that is too
    // long with a 431, and it is told nowhere, since it may be anything.
    tokio::select! {
        _ = &mut serving => return,
        _ = told.wait_for(|stopping| *stopping) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}
