//! The whole system in one process: campaigns, people who opt out, gateways, and someone who checks it all.
//!
//! [`books`] knows what was planned and judges what arrived, by a model of its own that shares no code with the
//! filter; [`world`] makes people and campaigns out of a seed; [`cast`] plays them against a bus; [`picture`]
//! shows it.

pub(crate) mod books;
pub(crate) mod cast;
pub(crate) mod latency;
pub(crate) mod people;
pub(crate) mod picture;
pub(crate) mod seed;
pub(crate) mod stage;
pub(crate) mod world;
