//! Opt-outs coming in by HTTP, and what operators ask of a running service (contract, section 6).
//!
//! [`public`](fn@public) is the door of people with an unsubscribe link, [`api`] that of tenants and operators, [`admin`] that of
//! probes and dashboards, [`listen`] and [`serve`] open any. An
//! opt-out is confirmed only once the log has it (G1); no answer, log line or error holds an address.

mod access;
mod admin;
mod answer;
mod ask;
mod audit;
mod body;
mod consents;
mod export;
mod file_mark;
pub mod imports;
pub mod inbound;
mod job_tenants;
pub mod keys;
mod links;
mod local;
mod once;
mod openapi;
mod patient;
mod problem_pages;
mod problems;
mod public;
mod rates;
mod recording;
pub mod replies;
mod rows;
mod scopes;
mod serve;
mod shape;
mod state;
mod suppressions;
mod tls;
mod webhooks;

pub use access::Access;
pub use admin::admin;
pub use export::{ExportPage, ExportRow};
pub use file_mark::{FileMark, file_mark};
pub use job_tenants::JobTenants;
pub use local::{Local, LocalAsk, LocalRecord};
pub use public::public;
pub use scopes::KeyScope;
pub use serve::{listen, serve, serve_tls};
pub use state::{ApiState, Links, api};
pub use tls::{Error as TlsError, Tls, TlsFiles};

#[cfg(test)]
mod tests;

/// The wall clock, Unix ms.
fn now_ms() -> tamis_campaign::UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
