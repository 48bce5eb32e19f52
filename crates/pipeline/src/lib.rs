//! placeholder
mod control;
pub use control::*;
