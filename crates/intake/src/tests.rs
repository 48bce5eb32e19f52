//! What the doors promise, asked without a listener: a log in a folder, its real filter, and recorders that ack, fail or
//! never answer.

mod audited;
mod consenting;
mod exporting;
pub(crate) mod house;
mod importing;
mod keyed;
mod limits;
mod linking;
mod looking;
mod opening;
mod rated;
mod repeating;
mod secured;
mod told;
mod webhooks;
mod writing;
