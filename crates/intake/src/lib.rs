//! Opt-outs coming in by HTTP, and what operators ask of a running service (contract, section 6).
//!
//! [`api`] is the door of tenants and operators, [`admin`] that of probes and dashboards, [`listen`] and [`serve`] open either. An
//! opt-out is confirmed only once the log has it (G1); no answer, log line or error holds an address.

mod access;
mod admin;
mod answer;
mod ask;
mod body;
pub mod imports;
pub mod keys;
mod local;
mod patient;
mod recording;
mod rows;
mod serve;
mod shape;
mod state;
mod suppressions;

pub use access::Access;
pub use admin::admin;
pub use local::{Local, LocalAsk, LocalRecord};
pub use serve::{listen, serve};
pub use state::{ApiState, api};

#[cfg(test)]
mod tests;

/// The wall clock, Unix ms.
fn now_ms() -> tamis_campaign::UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
