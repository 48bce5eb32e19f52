//! What the tests of the whole share: people and opt-outs from a seed, a plain model of who must receive what, the suite
//! that both logs pass, and services as processes of their own.
#![allow(
    clippy::missing_panics_doc,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "in tests a panic is how a promise is seen broken, and a seed is printed to play it again"
)]

pub mod aviary;
pub mod canary;
pub mod embedded;
pub mod hostile;
pub mod imported;
pub mod inbound;
pub mod kafka;
pub mod key_rotated;
pub mod links;
pub mod people;
pub mod process;
pub mod python;
pub mod said_twice;
pub mod suite;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The `tamis` binary of this build, built if it is not there yet.
#[must_use]
pub fn tamis_bin() -> PathBuf {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let cargo = option_env!("CARGO").unwrap_or("cargo");
        let built = Command::new(cargo).args(["build", "--quiet", "--package", "tamis"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the binary builds");
        // A test runs from <target>/<profile>/deps, a program from <target>/<profile>.
        let ours = std::env::current_exe().expect("a test has a path");
        let target = ours.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
        target.expect("cargo marks its target folder").join("debug").join("tamis")
    })
    .clone()
}
