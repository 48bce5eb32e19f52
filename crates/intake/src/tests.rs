//! What the doors promise, asked without a listener: a log in a folder, its real filter, and recorders that ack, fail or
//! never answer.

mod house;
mod importing;
mod keyed;
mod limits;
mod looking;
mod opening;
mod writing;
