//! Every test, a little fuzzing, one line that sums up.

use crate::nightly;
use crate::tools::{cargo, from_crates, from_debian, java, libraries_from_npm, root, runs};
use anyhow::{Context as _, Result, ensure};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// What drives a browser, and what looks for barriers in its pages.
const BROWSER_LIBRARIES: [(&str, &str); 2] = [("playwright-core", "1.56.1"), ("axe-core", "4.14.1")];
const CARGO_FUZZ: &str = "0.13.2";
const FUZZ_SECONDS: u32 = 10;

/// How many.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

/// `cargo xtask test`; its last line is `N passed, N failed`.
pub(crate) fn test() -> Result<bool> {
    prepare()?;
    let mut count = counted(&mut cargo(&["test", "--workspace", "--no-fail-fast"]))?;
    let fuzzed = fuzz()?;
    count.passed += fuzzed.passed;
    count.failed += fuzzed.failed;
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(count.failed == 0)
}

/// What tests need besides Rust: a broker's Java, a browser with what drives it, what the C of librdkafka is compiled with, and the program.
pub(crate) fn prepare() -> Result<()> {
    java()?;
    from_debian("chromium", "--version", &["chromium", "fonts-dejavu-core"])?;
    from_debian("npm", "--version", &["nodejs", "npm"])?;
    libraries_from_npm(&BROWSER_LIBRARIES)?;
    // For the example clients.
    from_debian("javac", "-version", &["default-jdk-headless"])?;
    from_debian("curl", "--version", &["curl"])?;
    from_debian("python3", "-cimport ensurepip, venv", &["python3", "python3-venv"])?;
    from_debian("cc", "--version", &["build-essential"])?;
    from_debian("make", "--version", &["build-essential"])?;
    from_debian("perl", "-v", &["perl"])?;
    ensure!(runs(&mut cargo(&["build", "-p", "tamis"]))?, "tamis does not build");
    Ok(())
}

/// Runs tests, shows what they say, adds their sums up. What failed without a sum counts as one.
fn counted(command: &mut Command) -> Result<Count> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("start cargo test")?;
    let output = child.stdout.take().context("cargo's output")?;
    let mut count = Count::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("read cargo's output")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(sum) = line.trim().strip_prefix("test result:") {
            let found = read_sum(sum);
            count.passed += found.passed;
            count.failed += found.failed;
        }
    }
    if !child.wait().context("wait for cargo test")?.success() {
        count.failed = count.failed.max(1);
    }
    Ok(count)
}

/// Reads ` ok. 12 passed; 0 failed; …`.
fn read_sum(sum: &str) -> Count {
    let number = |unit: &str| {
        let part = sum.split(['.', ';']).find_map(|part| part.trim().strip_suffix(unit));
        part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    Count { passed: number(" passed"), failed: number(" failed") }
}

/// Ten seconds of each target.
fn fuzz() -> Result<Count> {
    let mut count = Count::default();
    let Ok(folder) = std::fs::read_dir(root().join("fuzz/fuzz_targets")) else {
        println!("fuzz: skipped, there are no targets");
        return Ok(count);
    };
    if !nightly::is_there() {
        println!("fuzz: skipped, there is no nightly toolchain");
        return Ok(count);
    }
    let program = from_crates("cargo-fuzz", CARGO_FUZZ)?;
    let mut targets: Vec<String> = folder
        .flatten()
        .filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    targets.sort();
    for target in targets {
        // What is found goes into the first folder: the second is kept in the repository.
        let found = root().join("target/fuzz-corpus").join(&target);
        std::fs::create_dir_all(&found).context("make a folder for what is found")?;
        let kept = root().join("fuzz/corpus").join(&target);
        let (found, kept) = (found.to_string_lossy(), kept.to_string_lossy());
        let limit = format!("-max_total_time={FUZZ_SECONDS}");
        let run = [
            &["fuzz", "run", "--sanitizer=none", &target, &found, &kept][..],
            &["--", &limit, "-rss_limit_mb=2048", "-verbosity=0"],
        ]
        .concat();
        println!("fuzz: {target}, {FUZZ_SECONDS} s ({})", program.display());
        if runs(&mut nightly::command(&run))? {
            count.passed += 1;
        } else {
            println!("fuzz: {target} FAILED");
            count.failed += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod sums {
    use super::{Count, counted, read_sum};
    use std::process::Command;

    #[test]
    fn a_sum_is_read_from_the_line_that_cargo_prints() {
        let line = " FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(read_sum(line), Count { passed: 12, failed: 3 });
    }

    #[test]
    fn what_fails_without_a_sum_counts_as_one_failure() {
        let count =
            counted(Command::new("sh").args(["-c", "echo 'test result: ok. 2 passed; 0 failed'; exit 1"]));
        assert_eq!(count.unwrap(), Count { passed: 2, failed: 1 });
    }
}
