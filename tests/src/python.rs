//! Python's tools, in a place of their own beside the other tools; installed if they are not there yet.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// Runs a command that must succeed; answers its stdout.
pub fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// The folder of the programs of an environment that has these packages, each `name==version`.
#[must_use]
pub fn with(packages: &[&str]) -> PathBuf {
    let place = root().join("target/tools/python");
    let programs = place.join("bin");
    let is_there = |package: &&str| {
        let (name, version) = package.split_once("==").expect("a version that is known");
        let folder = format!("{}-{version}.dist-info", name.replace('-', "_"));
        let found = std::fs::read_dir(place.join("lib")).into_iter().flatten().flatten();
        found.into_iter().any(|python| python.path().join("site-packages").join(&folder).exists())
    };
    if !packages.iter().all(is_there) {
        done(Command::new("python3").args(["-m", "venv"]).arg(&place));
        done(Command::new(programs.join("pip")).args(["install", "--quiet"]).args(packages));
    }
    programs
}
