//! A real Apache Kafka for tests: one node or three, on free loopback ports, gone when their owner is gone.

mod broker;
mod cluster;
mod detached;
mod disk;
mod jars;
mod node;
mod ports;
mod wait;

pub use broker::{Broker, Options, shared};
pub use cluster::{Cluster, ClusterOptions};
pub use detached::{Up, down, up};
pub use jars::jars;
pub use ports::free_ports;
pub use wait::wait;

use std::fmt;

/// Why there is no broker: the step, and what went wrong, as text for a person.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    pub(crate) fn new(step: &str, why: impl fmt::Display) -> Self {
        Self(format!("{step}: {why}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
