//! The HTTP doors of the process: opened here, answered by `intake`.

use std::net::SocketAddr;
use std::time::Duration;

use tamis_intake::Tls;
use tamis_telemetry::{Exposition, Health, Metrics};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::context;
use crate::exit_code::{ExitCode, OrExit as _, Outcome};

/// How long calls under way may take when the process ends.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The runtime that serves, and the word to stop.
pub(crate) struct Serving {
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    metrics: Metrics,
}

impl Serving {
    /// Starts the runtime; nothing is open yet.
    pub(crate) fn start(metrics: Metrics) -> Outcome<Self> {
        Ok(Self { runtime: Some(context::runtime()?), stop: watch::Sender::new(false), metrics })
    }

    /// Opens `/livez`, `/readyz` and `/metrics`. Answers the address, which tells the port where 0 was asked.
    pub(crate) fn admin(
        &self,
        at: SocketAddr,
        health: Health,
        exposition: Exposition,
    ) -> Outcome<SocketAddr> {
        let (listener, bound) = self.listen("admin", at)?;
        let router = tamis_intake::admin(health, exposition);
        self.serve("admin", tamis_intake::serve(listener, router, self.stopped(), self.metrics.clone()));
        Ok(bound)
    }

    /// Opens the API, by TLS if there is some.
    pub(crate) fn api(
        &self,
        at: SocketAddr,
        state: tamis_intake::ApiState,
        tls: Option<Tls>,
    ) -> Outcome<SocketAddr> {
        let (listener, bound) = self.listen("api", at)?;
        let router = tamis_intake::api(state);
        let (stopped, metrics) = (self.stopped(), self.metrics.clone());
        self.serve("api", tamis_intake::serve_tls(listener, router, stopped, metrics, tls));
        Ok(bound)
    }

    /// Opens the door of people with an unsubscribe link.
    pub(crate) fn public(&self, at: SocketAddr, state: tamis_intake::ApiState) -> Outcome<SocketAddr> {
        let (listener, bound) = self.listen("public", at)?;
        let router = tamis_intake::public(state);
        self.serve("public", tamis_intake::serve(listener, router, self.stopped(), self.metrics.clone()));
        Ok(bound)
    }

    fn listen(&self, door: &'static str, at: SocketAddr) -> Outcome<(TcpListener, SocketAddr)> {
        let _within = self.runtime().enter();
        let listener =
            tamis_intake::listen(at).or_exit(ExitCode::Failed, format!("listen on http.{door} = {at}"))?;
        let bound = listener.local_addr().or_exit(ExitCode::Failed, "ask for the address listened on")?;
        Ok((listener, bound))
    }

    fn serve(&self, door: &'static str, serving: impl Future<Output = std::io::Result<()>> + Send + 'static) {
        self.runtime().spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, door, "door closed");
            }
        });
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // The sender is gone only when the process ends.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("taken only when dropped")
    }
}

impl Drop for Serving {
    /// Ends calls under way and closes the doors.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(END_TIMEOUT);
        }
    }
}
