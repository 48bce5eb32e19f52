//! `cargo xtask mutants`: deliberate breaks, each of which the simulator must catch.
//!
//! Two kinds. Those of what surrounds the control are part of the simulator (`crates/sim/src/mutant.rs`). Those of the
//! control itself are changes of its source, made in a copy of what the simulator needs of the tree: the control, the
//! bus's plain types, the simulator. So a break is built in seconds, and the tree is never touched.

mod breaks;

use crate::tools::{command, root};
use anyhow::{Context as _, Result, bail, ensure};
use breaks::{BREAKS, Break, FILE};
use std::fs;
use std::path::{Path, PathBuf};

/// How long the unbroken world must hold.
const SOUND_SECONDS: &str = "20";
/// How long a break may stay unseen.
const BREAK_SECONDS: &str = "300";
/// Same seed, same table.
const SEED: &str = "1";

/// The copy's crates, what they are made of, and what they need of each other. The control needs of the bus two types.
const MEMBERS: [(&str, &[&str], &str, &[&str]); 4] = [
    ("campaign", &["src"], "", &[]),
    (
        "bus",
        &["src/types.rs"],
        "#![allow(dead_code)]\nmod types;\npub use types::{Partition, Positions};\n",
        &["campaign"],
    ),
    ("pipeline", &["src/control.rs"], "pub mod control;\n", &["bus"]),
    ("sim", &["src"], "", &["bus", "pipeline"]),
];

/// What a run of the simulator came to.
struct Seen {
    broken: Option<String>,
    schedules: String,
}

/// Runs all of them, prints the table. Whether the unbroken world held and every break was caught.
pub(crate) fn mutants() -> Result<bool> {
    let tree = copy()?;
    let program = build(&tree)?;
    let sound = simulate(&program, &["--seconds", SOUND_SECONDS])?;
    println!("| break | in | breaks | caught by | after schedules |\n|---|---|---|---|---|");
    let mut survivors = 0;
    let mut row = |name: &str, place: &str, breaks: &str, seen: &Seen| {
        let caught = seen.broken.as_deref().unwrap_or("**survives**");
        survivors += usize::from(seen.broken.is_none());
        println!("| {name} | {place} | {breaks} | {caught} | {} |", seen.schedules);
    };
    for line in listed(&program)?.lines() {
        let mut cells = line.split('\t');
        let (Some(name), Some(text), Some(breaks)) = (cells.next(), cells.next(), cells.next()) else {
            bail!("the simulator lists `{line}`")
        };
        let seen = simulate(&program, &["--seconds", BREAK_SECONDS, "--seed", SEED, "--mutant", name])?;
        row(text, "around", breaks, &seen);
    }
    let control = tree.join(FILE);
    let source = fs::read_to_string(&control).context("read the control's source")?;
    for made in BREAKS {
        fs::write(&control, broken(made, &source)?).context("write the broken control")?;
        let seen = simulate(&build(&tree)?, &["--seconds", BREAK_SECONDS, "--seed", SEED])?;
        row(made.name, "control", made.breaks, &seen);
    }
    println!();
    if let Some(promise) = &sound.broken {
        println!("the unbroken world breaks {promise}");
    }
    println!("{survivors} survive; unbroken: {} schedules", sound.schedules);
    Ok(survivors == 0 && sound.broken.is_none())
}

/// The source with the break in it.
fn broken(made: &Break, source: &str) -> Result<String> {
    let found = source.matches(made.find).count();
    ensure!(found == 1, "`{}`: its text is {found} times in {FILE}, not once", made.name);
    Ok(source.replacen(made.find, made.put, 1))
}

/// Copies what the simulator needs to `target/mutants/tree`.
fn copy() -> Result<PathBuf> {
    let tree = root().join("target/mutants/tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).context("remove the old copy")?;
    }
    fs::create_dir_all(&tree).context("make the copy's folder")?;
    let release = "[profile.release]\nlto = \"fat\"\ncodegen-units = 1\n";
    let manifest = format!("[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n{release}");
    fs::write(tree.join("Cargo.toml"), manifest).context("write the copy's manifest")?;
    for (name, parts, lib, needs) in MEMBERS {
        let (from, to) = (root().join("crates").join(name), tree.join("crates").join(name));
        for part in parts {
            copy_all(&from.join(part), &to.join(part))?;
        }
        if !lib.is_empty() {
            fs::write(to.join("src/lib.rs"), lib).context("write the copy's lib.rs")?;
        }
        let needs: String =
            needs.iter().map(|need| format!("tamis-{need} = {{ path = \"../{need}\" }}\n")).collect();
        let head = format!("[package]\nname = \"tamis-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        fs::write(to.join("Cargo.toml"), format!("{head}\n[dependencies]\n{needs}"))
            .context("write a crate's manifest")?;
    }
    Ok(tree)
}

/// A file, or a folder with all that is in it.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
            let entry = entry.with_context(|| format!("list {}", from.display()))?;
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let folder = to.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
    Ok(())
}

/// Builds the copy's simulator, with a target folder of its own.
fn build(tree: &Path) -> Result<PathBuf> {
    let target = root().join("target/mutants/target");
    let mut cargo =
        command("cargo", &["build", "--release", "--quiet", "-p", "tamis-sim", "--manifest-path"]);
    cargo.arg(tree.join("Cargo.toml")).arg("--target-dir").arg(&target);
    let output = cargo.output().context("start cargo build")?;
    ensure!(output.status.success(), "the copy does not build: {}", String::from_utf8_lossy(&output.stderr));
    Ok(target.join("release/tamis-sim"))
}

fn listed(program: &Path) -> Result<String> {
    let output = command(program, &["--mutant", "list"]).output().context("list the simulator's mutants")?;
    String::from_utf8(output.stdout).context("the list is not UTF-8")
}

/// Runs the simulator until it fails or the time is up.
fn simulate(program: &Path, arguments: &[&str]) -> Result<Seen> {
    let output = command(program, arguments).output().context("start the simulator")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let schedules =
        text.lines().find_map(|line| line.split_once(" schedules with").map(|(n, _)| n.to_owned()));
    let broken = text.lines().find_map(|line| line.strip_prefix("BROKEN ")?.split_once(':'));
    let broken = broken.map(|(promise, _)| promise.to_owned());
    let schedules = schedules.with_context(|| {
        format!("the simulator says nothing: {}", String::from_utf8_lossy(&output.stderr))
    })?;
    ensure!(output.status.success() == broken.is_none(), "the simulator's end and its words differ");
    Ok(Seen { broken, schedules })
}

#[cfg(test)]
mod tests {
    use super::{BREAKS, FILE, broken, build, copy};
    use crate::tools::root;

    /// Guarantees: the simulator can be built of the parts that are copied.
    /// Fails when: one of them comes to need another; the bus's plain types did, once.
    #[test]
    fn the_copy_builds() {
        build(&copy().unwrap()).unwrap();
    }

    /// Guarantees: every break can be made in the control as it is.
    /// Fails when: the control's text changes under a break; mend the break then.
    #[test]
    fn every_break_finds_its_text_once() {
        let source = std::fs::read_to_string(root().join(FILE)).unwrap();
        for made in BREAKS {
            assert_ne!(broken(made, &source).unwrap(), source, "{}", made.name);
        }
    }
}
