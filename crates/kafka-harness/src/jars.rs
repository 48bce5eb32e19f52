//! Kafka's jars: fetched once by Maven, shared by everything under `target/`.

use crate::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The pom that names the versions.
const POM: &str = include_str!("../pom.xml");

/// The folder's name carries the version, so that another one is fetched anew.
const FOLDER: &str = "kafka-libs-4.3.1";

/// The workspace's `target/`, as cargo sees it.
pub(crate) fn target_dir() -> PathBuf {
    // Compiled in: the harness is used where it was built.
    option_env!("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from)
}

/// The folder with Kafka's jars, those of its clients among them.
///
/// # Errors
/// When they are not there and Maven can't fetch them.
pub fn jars() -> Result<PathBuf, Error> {
    Ok(folder()?.join("jars"))
}

/// The folder of the jars' folder. The first caller fetches, the others wait for it.
pub(crate) fn folder() -> Result<PathBuf, Error> {
    const STEP: &str = "fetch Kafka's jars";
    let fail = |e: std::io::Error| Error::new(STEP, e);
    let folder = target_dir().join(FOLDER);
    fs::create_dir_all(&folder).map_err(fail)?;
    let folder = folder.canonicalize().map_err(fail)?;
    let lock = File::create(folder.join("lock")).map_err(fail)?;
    lock.lock().map_err(fail)?;
    let complete = folder.join("complete");
    if !complete.exists() {
        fetch(&folder)?;
        File::create(&complete).map_err(fail)?;
    }
    Ok(folder)
}

fn fetch(folder: &Path) -> Result<(), Error> {
    const STEP: &str = "fetch Kafka's jars with Maven";
    fs::write(folder.join("pom.xml"), POM).map_err(|e| Error::new(STEP, e))?;
    let fetched = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            Error::new(STEP, format!("`mvn` can't be started ({e}); install Maven and a JDK of 17 or later"))
        })?;
    if fetched.status.success() {
        Ok(())
    } else {
        Err(Error::new(STEP, String::from_utf8_lossy(&fetched.stdout)))
    }
}
