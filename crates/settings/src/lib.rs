//! Settings: as written, then as checked (contract, sections 5 and 9).
//!
//! [`Settings::read`] finds the file, lays `TAMIS_<SECTION>__<KEY>` over it, refuses what it doesn't know with line and a
//! guess, checks how values relate, and says everything that is wrong at once. What it returns can be trusted.

mod checked;
mod duration;
mod environment;
mod file;
mod problems;
mod raw;
mod schema;
mod template;
mod url;

pub use checked::{
    Auth, Bus, BusKind, Http, Identity, Policy, Purge, Router, Settings, Suppression, TlsFiles, Topics,
};
pub use problems::{Finding, Problems};
pub use template::TEMPLATE;

#[cfg(test)]
mod tests;
