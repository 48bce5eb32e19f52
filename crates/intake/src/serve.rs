//! Opens a door and closes it in order, and bounds what may stand in it: connections, the head of a call, and time.
//!
//! It speaks HTTP/1.1. A connection of HTTP/2 may be kept open for ever by pings and carries many calls at once, which are
//! two more things to bound, and callers of this API gain nothing by it; a proxy in front may speak what it likes.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// How long calls under way may take once it is time to stop: a third of what a drain has (contract, section 9).
const GRACE: Duration = Duration::from_secs(5);
/// Pause after the system could not open a connection: it has too many files open, and some will close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

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
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 256, head_timeout: Duration::from_secs(10), head_bytes: 16 << 10, headers: 64 }
    }
}

/// Serves `router` on `listener` until `shutdown` is ready, then ends the calls under way, in five seconds at most.
///
/// # Errors
/// None now; a listener that fails is tried again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    serve_within(listener, router, shutdown, Limits::default()).await
}

/// As [`serve`], with other limits.
pub(crate) async fn serve_within(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
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
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, told) = (router.clone(), told.clone());
        tokio::spawn(async move {
            connection(stream, router, told, limits).await;
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

/// Answers the calls of one connection, until its end or until it is time to stop.
async fn connection(stream: TcpStream, router: Router, mut told: watch::Receiver<bool>, limits: Limits) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
