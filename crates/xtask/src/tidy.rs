//! House rules that no other tool knows.

use crate::tools::{command, root};
use anyhow::{Context as _, Result};
use std::path::Path;

/// Longest file of Rust, lines.
const LINES_MAX: usize = 600;

/// Whose door each outside library has. `deny.toml` has the same, for what comes in by way of others. `fuzz` takes in the
/// sources of intake and of the command as they are, and what they need.
const DOORS: [(&str, &[&str]); 23] = [
    ("age", &["crates/tamis"]),
    ("indicatif", &["crates/tamis"]),
    ("rdkafka", &["crates/bus", "crates/sim", "benches", "tests"]),
    ("redb", &["crates/bus", "benches", "benches/filter"]),
    ("axum", &["crates/intake", "fuzz"]),
    ("hyper", &["crates/intake"]),
    ("hyper-util", &["crates/intake"]),
    ("prost", &["crates/wire"]),
    ("roaring", &["crates/suppression", "benches/filter"]),
    ("rlibphonenumber", &["crates/subject"]),
    ("siphasher", &["crates/subject"]),
    ("blake3", &["crates/subject", "crates/intake", "fuzz"]),
    ("clap", &["crates/tamis"]),
    ("metrics", &["crates/telemetry"]),
    ("toml", &["crates/settings", "crates/intake", "crates/policy", "fuzz"]),
    ("region", &["crates/subject"]),
    ("rustix", &["crates/tamis", "crates/pipeline", "crates/memory", "benches/filter"]),
    ("aho-corasick", &["tests"]),
    ("xorf", &["benches/filter"]),
    ("governor", &["crates/intake"]),
    ("tokio-rustls", &["crates/intake"]),
    ("utoipa", &["crates/intake"]),
    ("encoding_rs", &["crates/intake", "fuzz"]),
];

/// Places of one machine, taken apart so that this file does not hold them.
const MACHINE: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/tmp/", "brief")];

/// `cargo xtask tidy`: whether the house is in order.
pub(crate) fn tidy() -> Result<bool> {
    let listed = command("git", &["ls-files", "-z"]).output().context("list the files")?;
    let listed = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
    let mut found = Vec::new();
    for name in listed.split_terminator('\0') {
        // What is deleted and not committed yet is listed, and is not there.
        if let Ok(text) = std::fs::read_to_string(root().join(name)) {
            look_at(name, &text, &mut found);
        }
    }
    for folder in std::fs::read_dir(root().join("crates")).context("list the crates")?.flatten() {
        if folder.path().join("Cargo.toml").exists() && !folder.path().join("README.md").exists() {
            found.push(format!("{} has no README.md", folder.path().display()));
        }
    }
    found.iter().for_each(|problem| println!("tidy: {problem}"));
    Ok(found.is_empty())
}

fn look_at(name: &str, text: &str, found: &mut Vec<String>) {
    let lines = text.lines().count();
    if name.ends_with(".rs") && lines > LINES_MAX {
        found.push(format!("{name} has {lines} lines, {LINES_MAX} is the most"));
    }
    if let Some(folder) = name.strip_suffix("/Cargo.toml") {
        for library in strangers(folder, text) {
            found.push(format!("{name} takes {library} in by a door that is not its own"));
        }
    }
    for (number, line) in text.lines().enumerate() {
        if MACHINE.iter().any(|place| line.contains(place)) {
            found.push(format!("{name}:{} names a place of one machine", number + 1));
        }
    }
}

/// Libraries whose door is in another crate than the one in `folder`.
fn strangers(folder: &str, manifest: &str) -> Vec<&'static str> {
    let names = |library: &str| {
        manifest
            .lines()
            .any(|line| line.strip_prefix(library).is_some_and(|rest| rest.starts_with([' ', '.', '='])))
    };
    let outside =
        DOORS.iter().filter(|(_, doors)| !doors.iter().any(|door| Path::new(door) == Path::new(folder)));
    outside.map(|(library, _)| *library).filter(|library| names(library)).collect()
}

#[cfg(test)]
mod tests {
    use super::{look_at, strangers};

    #[test]
    fn a_library_may_come_in_by_its_own_door_only() {
        assert_eq!(strangers("crates/bus", "[dependencies]\nrdkafka.workspace = true\n"), [""; 0]);
        assert_eq!(strangers("crates/tamis", "[dependencies]\nrdkafka = \"0.39\"\nclap = 1"), ["rdkafka"]);
        assert_eq!(
            strangers("crates/wire", "metrics-exporter-prometheus = \"1\"\nprost.workspace = true"),
            [""; 0]
        );
    }

    #[test]
    fn long_files_and_places_of_one_machine_are_told() {
        let mut found = Vec::new();
        look_at("a.rs", &"\n".repeat(601), &mut found);
        look_at("b.md", concat!("see /ho", "me/someone"), &mut found);
        look_at("c.rs", "fn main() {}\n", &mut found);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
