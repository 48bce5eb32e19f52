//! Programs: where they are, how they are had, how they are run.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap_or_else(|_| PathBuf::from("."))
}

/// What is fetched for the work on tamis, and is no part of it.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// A command in the workspace's folder.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// `cargo`, as it runs this.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    command("cargo", arguments)
}

/// Runs a command with its output on ours; whether it went well.
pub(crate) fn runs(command: &mut Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("start {:?}", command.get_program()))?;
    Ok(status.success())
}

/// Whether a program can be started with these arguments.
fn is_there(program: impl AsRef<std::ffi::OsStr>, argument: &str) -> bool {
    let quiet = command(program, &[argument]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Makes sure of `program`, from Debian's `packages` if we may.
///
/// # Errors
/// When it is missing and can't be had.
pub(crate) fn from_debian(program: &str, argument: &str, packages: &[&str]) -> Result<()> {
    if is_there(program, argument) {
        return Ok(());
    }
    let user = command("id", &["-u"]).output().context("ask who we are")?;
    let missing = format!("{program} is missing: install {}", packages.join(" "));
    ensure!(user.stdout == b"0\n", "{missing}");
    println!("{program} is missing; installing {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = command("apt-get", arguments);
        runs(command.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()))
    };
    // An old list may do: the install tells.
    let _ = apt(&["update", "-q"]);
    let install = ["install", "-q", "-y", "--no-install-recommends"];
    ensure!(apt(&[&install[..], packages].concat())? && is_there(program, argument), "{missing}");
    Ok(())
}

/// Makes sure of Java and Maven, which a broker needs.
///
/// # Errors
/// As [`from_debian`].
pub(crate) fn java() -> Result<()> {
    from_debian("java", "-version", &["default-jre-headless"])?;
    from_debian("mvn", "-version", &["maven"])
}

/// A tool that cargo installs, under [`tools`]; its path.
///
/// # Errors
/// When it can't be installed.
pub(crate) fn from_crates(name: &str, version: &str) -> Result<PathBuf> {
    let path = tools().join("bin").join(name);
    if !is_there(&path, "--version") {
        println!("installing {name} {version}");
        let place = tools();
        let place = place.to_string_lossy();
        let arguments = ["install", "--quiet", "--locked", "--root", &place, "--version", version, name];
        ensure!(runs(&mut cargo(&arguments))?, "{name} can't be installed");
    }
    Ok(path)
}

/// A library of npm's, under [`tools`]; its folder.
///
/// # Errors
/// When it can't be installed.
pub(crate) fn library_from_npm(package: &str, version: &str) -> Result<PathBuf> {
    let place = tools().join("npm");
    let path = place.join("node_modules").join(package);
    let described = std::fs::read_to_string(path.join("package.json")).unwrap_or_default();
    if !described.contains(&format!("\"version\": \"{version}\"")) {
        install_from_npm(&place, package, version)?;
    }
    Ok(path)
}

fn install_from_npm(place: &Path, package: &str, version: &str) -> Result<()> {
    println!("installing {package} {version}");
    std::fs::create_dir_all(place).context("make a folder for npm")?;
    let prefix = place.to_string_lossy();
    let wanted = format!("{package}@{version}");
    let arguments = ["install", "--silent", "--no-fund", "--no-audit", "--prefix", &prefix, &wanted];
    ensure!(runs(&mut command("npm", &arguments))?, "{package} can't be installed");
    Ok(())
}

/// A tool of npm's, under [`tools`]; its path.
///
/// # Errors
/// When it can't be installed.
pub(crate) fn from_npm(package: &str, version: &str, program: &str) -> Result<PathBuf> {
    let place = tools().join("npm");
    let path = place.join("node_modules/.bin").join(program);
    if !is_there(&path, "--version") {
        install_from_npm(&place, package, version)?;
    }
    Ok(path)
}

/// Libraries of npm's, each with its version, under [`tools`].
///
/// # Errors
/// When they can't be installed.
pub(crate) fn libraries_from_npm(wanted: &[(&str, &str)]) -> Result<()> {
    let place = tools().join("npm");
    let is_there = |&(package, version): &(&str, &str)| {
        let manifest = std::fs::read_to_string(place.join("node_modules").join(package).join("package.json"));
        manifest.is_ok_and(|text| text.contains(&format!("\"version\": \"{version}\"")))
    };
    if !wanted.iter().all(is_there) {
        std::fs::create_dir_all(&place).context("make a folder for npm")?;
        let prefix = place.to_string_lossy();
        let wanted: Vec<_> = wanted.iter().map(|(package, version)| format!("{package}@{version}")).collect();
        let mut npm =
            command("npm", &["install", "--silent", "--no-fund", "--no-audit", "--prefix", &prefix]);
        ensure!(runs(npm.args(&wanted))?, "{} can't be installed", wanted.join(", "));
    }
    Ok(())
}
