//! A hostile real world: real brokers, real processes, faults from a seed, and a checker that believes nobody.
//!
//! `world` puts it together and takes it down; `load` works on it and writes a `history`; `nemesis` breaks one thing at a
//! time; `watch` sees how long it holds and when it goes on; `checker` compares the history with what arrived; `report`
//! says it.

#![allow(clippy::print_stdout, reason = "a soak is watched while it runs")]

pub mod checker;
mod compass;
mod fields;
mod frame;
pub mod history;
mod http;
mod load;
pub mod nemesis;
pub mod proxy;
mod read_back;
pub mod report;
pub mod soak;
pub mod watch;
mod world;
