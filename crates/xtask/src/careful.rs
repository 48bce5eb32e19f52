//! The filter and what reads foreign bytes, under tools that see undefined behaviour where a test would pass.
//!
//! Miri runs the crates that are pure Rust and quick enough for it; `cargo careful` (the standard library with its own
//! assertions) those that are too slow there, since every telephone number's metadata is read first. Three
//! `unsafe` calls are in `bus` and go to librdkafka: Miri can't run C. They are held by tests against a real broker
//! (`crates/bus/tests/kafka.rs`) and by reading. The others are a prefetch and the advice to use huge pages in `suppression`, and the
//! keyed function as it is compiled for a processor's registers in `subject`: left out under Miri.

use crate::nightly::{command, has, is_there};
use crate::tools::{from_crates, root, runs};
use anyhow::Result;

const CARGO_CAREFUL: &str = "0.4.10";
/// Under Miri, which is some hundred times slower.
const IN_MIRI: [&str; 3] = ["tamis-campaign", "tamis-wire", "tamis-suppression"];
/// Under `cargo careful`.
const IN_CAREFUL: [&str; 5] =
    ["tamis-campaign", "tamis-wire", "tamis-suppression", "tamis-subject", "tamis-sieve"];

/// `cargo xtask careful`: whether nothing was found. What can't be had is said, and is no failure.
pub(crate) fn careful() -> Result<bool> {
    if !is_there() {
        println!("careful: skipped, there is no nightly toolchain");
        return Ok(true);
    }
    Ok(miri()? & careful_std()?)
}

fn packages<'a>(names: &[&'a str]) -> Vec<&'a str> {
    names.iter().flat_map(|name| ["-p", *name]).collect()
}

fn miri() -> Result<bool> {
    if !has("miri")? {
        println!("careful: Miri skipped, its component can't be had here");
        return Ok(true);
    }
    println!("careful: Miri over {}", IN_MIRI.join(", "));
    let arguments = [&["miri", "test"], &packages(&IN_MIRI)[..]].concat();
    let mut miri = command(&arguments);
    // Time and the environment are the real ones, for proptest's seed; leaks and provenance are looked at all the same.
    miri.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", "4");
    miri.env("CARGO_TARGET_DIR", root().join("target/careful"));
    runs(&mut miri)
}

fn careful_std() -> Result<bool> {
    if !has("rust-src")? {
        println!("careful: cargo careful skipped, the standard library's source can't be had here");
        return Ok(true);
    }
    from_crates("cargo-careful", CARGO_CAREFUL)?;
    println!("careful: cargo careful over {}", IN_CAREFUL.join(", "));
    let arguments = [&["careful", "test"], &packages(&IN_CAREFUL)[..]].concat();
    let mut careful = command(&arguments);
    careful.env("CARGO_TARGET_DIR", root().join("target/careful"));
    runs(&mut careful)
}
