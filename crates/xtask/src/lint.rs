//! What can be told without running it.

use crate::tidy;
use crate::tools::{cargo, command, from_crates, from_debian, from_npm, library_from_npm, root, runs};
use anyhow::{Context as _, Result, ensure};
use std::io::Write as _;
use std::process::Stdio;
use tamis_telemetry::Metrics;

const CARGO_DENY: &str = "0.20.2";
const BUF: &str = "1.75.0";
const ASYNCAPI_PARSER: &str = "3.6.6";

/// A step and what it is called.
type Step = (&'static str, fn() -> Result<bool>);

const STEPS: [Step; 7] = [
    ("format", format),
    ("house rules", tidy::tidy),
    ("clippy", clippy),
    ("dependencies", dependencies),
    ("messages", messages),
    ("topics", topics),
    ("metrics", metrics),
];

/// `cargo xtask lint`: all steps, also after one has failed.
pub(crate) fn lint() -> Result<bool> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        println!("lint: {name}");
        match step() {
            Ok(true) => {}
            Ok(false) => failed.push(name),
            Err(error) => {
                println!("lint: {name}: {error:#}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        println!("lint: clean");
    } else {
        println!("lint: NOT clean: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

fn format() -> Result<bool> {
    runs(&mut cargo(&["fmt", "--all", "--", "--check"]))
}

fn clippy() -> Result<bool> {
    from_debian("cc", "--version", &["build-essential"])?;
    from_debian("make", "--version", &["build-essential"])?;
    from_debian("perl", "-v", &["perl"])?;
    let all = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    // A workspace of its own, which a change elsewhere could leave behind.
    let fuzz = ["clippy", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--", "-D", "warnings"];
    Ok(runs(&mut cargo(&all))? & runs(&mut cargo(&fuzz))?)
}

fn dependencies() -> Result<bool> {
    let deny = from_crates("cargo-deny", CARGO_DENY)?;
    let clean =
        runs(&mut command(&deny, &["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    let mut fetch = command(&deny, &["fetch", "db"]);
    let fetched = fetch.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !fetched.is_ok_and(|status| status.success()) {
        println!("lint: advisories skipped, their database can't be had here");
        return Ok(clean);
    }
    Ok(runs(&mut command(&deny, &["check", "--disable-fetch", "advisories"]))? && clean)
}

/// Style, and that nothing published changes its meaning: against the last commit.
fn messages() -> Result<bool> {
    let buf = from_npm("@bufbuild/buf", BUF, "buf")?;
    let clean = runs(&mut command(&buf, &["lint", "proto"]))?;
    let mut published = command("git", &["cat-file", "-e", "HEAD:proto"]);
    if !published.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("lint: nothing is published yet that could break");
        return Ok(clean);
    }
    // A copy of HEAD's messages, for buf's own way of reading git clones over a network protocol.
    let old = root().join("target/tools/published");
    if old.exists() {
        std::fs::remove_dir_all(&old).context("remove the old messages")?;
    }
    std::fs::create_dir_all(&old).context("make a folder for the published messages")?;
    let archive = command("git", &["archive", "HEAD", "proto"]).output().context("read HEAD's messages")?;
    let mut tar = command("tar", &["-x"]).current_dir(&old).stdin(Stdio::piped()).spawn()?;
    tar.stdin.take().context("tar's input")?.write_all(&archive.stdout)?;
    ensure!(tar.wait()?.success(), "HEAD's messages can't be unpacked");
    let against = old.join("proto");
    let against = against.to_string_lossy();
    Ok(runs(&mut command(&buf, &["breaking", "proto", "--against", &against]))? && clean)
}

/// The AsyncAPI document, and that the messages it names are published.
fn topics() -> Result<bool> {
    let parser = library_from_npm("@asyncapi/parser", ASYNCAPI_PARSER)?;
    let parser = parser.to_string_lossy();
    let protos = command("git", &["ls-files", "proto/*.proto"]).output().context("list the messages")?;
    let protos = String::from_utf8(protos.stdout).context("a file's name is not UTF-8")?;
    let mut arguments = vec!["crates/xtask/src/asyncapi.cjs", &*parser, "docs/asyncapi.yaml"];
    arguments.extend(protos.lines());
    runs(&mut command("node", &arguments))
}

/// Names, types and help texts, as Prometheus wants them.
fn metrics() -> Result<bool> {
    from_debian("promtool", "--version", &["prometheus"])?;
    let (_metrics, exposition) = Metrics::install();
    let mut promtool = command("promtool", &["check", "metrics"]).stdin(Stdio::piped()).spawn()?;
    promtool.stdin.take().context("promtool's input")?.write_all(exposition.render().as_bytes())?;
    Ok(promtool.wait()?.success())
}
