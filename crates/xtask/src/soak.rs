//! The hostile world.

use crate::tests::prepare;
use crate::tools::{cargo, runs};
use anyhow::Result;

/// `cargo xtask soak`: the program of `crates/chaos`, which prints its seed first and its report last.
pub(crate) fn soak(options: &[&str]) -> Result<bool> {
    prepare()?;
    let program = ["run", "--quiet", "-p", "tamis-chaos", "--bin", "tamis-chaos", "--"];
    runs(&mut cargo(&[&program[..], options].concat()))
}
