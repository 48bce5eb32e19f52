//! A file for each command.

pub(crate) mod deliveries;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod init;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod links;
pub(crate) mod run;
pub(crate) mod scrub;
pub(crate) mod snapshot;
pub(crate) mod suppress;
pub(crate) mod topics;
pub(crate) mod validate;
