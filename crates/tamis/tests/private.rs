//! What a running tamis shows of its memory, seen from outside.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The user that root becomes for it: root's own files tell nothing. It owns nothing else.
const NOBODY: u32 = 65_534;

/// A service that is killed at the end of its test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `tamis run` under a shell that allows core files, in a folder of its own, not as root; waits until it has its
/// store.
fn running(dir: &Path) -> Running {
    let tamis = env!("CARGO_BIN_EXE_tamis");
    let made = Command::new(tamis).current_dir(dir).arg("init").stderr(Stdio::null()).status();
    assert!(made.is_ok_and(|status| status.success()), "settings can be made");
    let mut shell = Command::new("sh");
    if fs::metadata("/proc/self").expect("proc").uid() == 0 {
        for file in ["", "tamis.toml", "tamis.key"] {
            chown(dir.join(file), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        shell.uid(NOBODY).gid(NOBODY);
    }
    let child = shell
        .args([
            "-c",
            "ulimit -c unlimited 2>/dev/null || ulimit -c \"$(ulimit -H -c)\"; exec \"$0\" run",
            tamis,
        ])
        .current_dir(dir)
        .env("TAMIS_HTTP__PUBLIC", "127.0.0.1:0")
        .env("TAMIS_HTTP__API", "127.0.0.1:0")
        .env("TAMIS_HTTP__ADMIN", "127.0.0.1:0")
        .env_remove("TAMIS_CONFIG")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tamis starts");
    let mut running = Running(child);
    let begun = Instant::now();
    while !dir.join("var/tamis/endpoint.json").exists() {
        assert!(running.0.try_wait().expect("ask").is_none(), "the service ended");
        assert!(begun.elapsed() < Duration::from_secs(30), "the service does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

fn aborted(child: &mut Child) -> ExitStatus {
    let killed = Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(6), "it ended by SIGABRT");
    status
}

fn core_files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).expect("a folder").flatten().map(|file| file.file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with("core")).collect()
}

/// A line of `/proc/<pid>/<file>` that begins with `name`, without it.
fn told(Running(child): &Running, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/{file}", child.id())).expect("a process has it");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is not in {file}")).trim().to_owned()
}

/// Guarantees: killed by SIGABRT, tamis leaves no core file, though its shell allowed one.
/// Fails when: neither RLIMIT_CORE nor PR_SET_DUMPABLE is set.
#[test]
fn an_abort_leaves_no_core_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut other = Command::new("sh")
        .args(["-c", "ulimit -c unlimited; exec sleep 60"])
        .current_dir(dir.path())
        .spawn()
        .expect("sleep starts");
    std::thread::sleep(Duration::from_millis(300));
    // Shows that the fault bites, where the system lets it: another program's memory is dumped.
    println!("another program dumps core here: {}", aborted(&mut other).core_dumped());
    for file in core_files(dir.path()) {
        fs::remove_file(dir.path().join(file)).expect("ours");
    }
    let status = aborted(&mut running(dir.path()).0);
    assert!(!status.core_dumped());
    assert_eq!(core_files(dir.path()), [""; 0]);
}

/// Guarantees: the kernel counts the process as one whose memory is nobody's but root's: no collector of dumps and no
/// other process of the same user gets it, whatever the limit is.
/// Fails when: PR_SET_DUMPABLE is left out.
#[test]
fn memory_can_be_read_by_no_other_process_of_the_same_user() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = running(dir.path());
    let file = format!("/proc/{}/status", running.0.id());
    let user = told(&running, "status", "Uid:");
    let owner = fs::metadata(file).expect("a process has it").uid();
    // Of a dumpable process the files under /proc are its user's, of others root's.
    assert_eq!(owner, 0, "user {user}");
    assert!(!user.starts_with("0\t"), "root owns its files either way: this shows nothing");
}

/// Guarantees: the limit for core files is 0, and the key's page is locked in memory.
/// Fails when: `setrlimit` is left out, or `mlock` is.
#[test]
fn the_limit_is_zero_and_the_key_is_locked() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = running(dir.path());
    let limit = told(&running, "limits", "Max core file size");
    assert_eq!(limit.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{limit}");
    let locked = told(&running, "status", "VmLck:");
    assert_ne!(locked, "0 kB");
}
