//! A small disk in memory for one broker's data, which can be filled up.

use crate::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Mounts, tells it, and waits: the mount is in this process's name space only and ends with it, and the process ends
/// with its standard input, so nothing is left however its owner goes.
const HOLDER: &str = r#"mount -t tmpfs -o "size=$2" tmpfs "$1" && echo mounted && exec cat >/dev/null"#;

/// A mounted disk. Whoever wants to see it goes in by [`SmallDisk::within`].
#[derive(Debug)]
pub(crate) struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts `bytes` of memory at `at`.
    ///
    /// # Errors
    /// When mounting is not allowed: it takes root, or a machine that lets others do it.
    pub(crate) fn mount(at: PathBuf, bytes: u64) -> Result<Self, Error> {
        const STEP: &str = "mount a small disk";
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", HOLDER, "holder"])
            .arg(&at)
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Error::new(STEP, e))?;
        let mut told = String::new();
        if let Some(output) = holder.stdout.take() {
            let _ = BufReader::new(output).read_line(&mut told);
        }
        let disk = Self { holder, at };
        if told.trim() == "mounted" { Ok(disk) } else { Err(Error::new(STEP, "not allowed here")) }
    }

    /// What a command line begins with, to see the disk.
    pub(crate) fn within(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.holder.id())]
    }

    fn ballast(&self) -> PathBuf {
        let inside = self.at.strip_prefix("/").unwrap_or(&self.at);
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside).join("ballast")
    }

    /// Takes all the room there is. Says how many bytes that were.
    pub(crate) fn fill(&self) -> Result<u64, Error> {
        const STEP: &str = "fill the small disk";
        let mut ballast = fs::File::create(self.ballast()).map_err(|e| Error::new(STEP, e))?;
        let mut written = 0;
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![0; size];
            while let Ok(count) = ballast.write(&block) {
                written += count as u64;
            }
        }
        Ok(written)
    }

    /// Gives it back.
    pub(crate) fn free(&self) -> Result<(), Error> {
        fs::remove_file(self.ballast()).map_err(|e| Error::new("free the small disk", e))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
