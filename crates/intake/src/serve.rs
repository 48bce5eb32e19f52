//! Opens a door and closes it in order.

use std::future::{Future, IntoFuture as _};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

/// How long calls under way may take once it is time to stop: a third of what a drain has (contract, section 9).
const GRACE: Duration = Duration::from_secs(5);

/// Serves `router` on `listener` until `shutdown` is ready, then ends the calls under way, in five seconds at most.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (tell, mut told) = tokio::sync::watch::channel(false);
    let stopping = async move {
        shutdown.await;
        // Whoever listened is gone only when serving has ended.
        let _ = tell.send(true);
    };
    let late = async move {
        let _ = told.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(stopping).into_future() => served,
        () = late => Ok(()),
    }
}
