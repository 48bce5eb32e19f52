//! Figures.

use crate::tools::{cargo, java, root, runs};
use anyhow::{Result, bail};

/// Those that have a broker and a process of their own.
const PROGRAMS: [&str; 9] =
    ["line", "latency", "memory", "takeover", "purge", "size", "rebuild", "import", "counts"];

/// `cargo xtask bench <name>`: a program of `benches/src/bin`, or a bench of any crate.
pub(crate) fn bench(name: &str, rest: &[&str]) -> Result<bool> {
    if PROGRAMS.contains(&name) {
        java()?;
        let program = ["run", "--release", "-p", "tamis-benches", "--bin", name, "--"];
        return runs(&mut cargo(&[&program[..], rest].concat()));
    }
    let mut folders = vec![root().join("benches"), root().join("benches/filter")];
    folders.extend(std::fs::read_dir(root().join("crates"))?.flatten().map(|folder| folder.path()));
    let file = format!("benches/{name}.rs");
    let Some(folder) = folders.into_iter().find(|folder| folder.join(&file).exists()) else {
        bail!("there is no bench called {name}");
    };
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest.to_string_lossy();
    let bench = ["bench", "--manifest-path", &manifest, "--bench", name, "--"];
    runs(&mut cargo(&[&bench[..], rest].concat()))
}
