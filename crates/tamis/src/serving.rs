//! STUB
use crate::exit_code::Outcome; use crate::context::Context; use std::sync::Arc; use std::net::SocketAddr;
pub(crate) trait Local: Send + Sync {}
pub(crate) struct Serving;
impl Serving {
 pub(crate) fn start() -> Outcome<Self> { Ok(Self) }
 pub(crate) fn admin(&self, _a: SocketAddr, _h: tamis_telemetry::Health, _e: tamis_telemetry::Exposition) -> Outcome { Ok(()) }
 pub(crate) fn api(&self, _c: &Context, _s: &tamis_subject::Subjects, _r: &tamis_pipeline::Running, _m: &tamis_telemetry::Metrics, _l: Option<Arc<dyn Local>>, _t: String, a: SocketAddr) -> Outcome<SocketAddr> { Ok(a) }
}
struct N; impl Local for N {}
pub(crate) fn local(_b: Arc<tamis_bus::embedded::Embedded>) -> Arc<dyn Local> { Arc::new(N) }
pub(crate) fn token() -> Outcome<String> { Ok(String::new()) }
