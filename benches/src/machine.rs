//! What a figure was taken on, and medians.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The median of `figures`, of an even number the middle of the two in the middle; 0 of none.
#[must_use]
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => 0.0,
        Some(upper) if sorted.len().is_multiple_of(2) => f64::midpoint(sorted[middle - 1], *upper),
        Some(figure) => *figure,
    }
}

/// The least and the most of `figures`.
#[must_use]
pub fn range(figures: &[f64]) -> (f64, f64) {
    figures.iter().fold((f64::MAX, 0.0), |(least, most), figure| (figure.min(least), figure.max(most)))
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The numbers below `count` in the order of round `round`: each begins a round in turn.
pub fn turns(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| (at + round) % count)
}

/// Today, as in `2026-11-24`.
#[must_use]
pub fn today() -> String {
    said("date", &["+%F"])
}

/// Date, commit, processor and cores, in a line.
#[must_use]
pub fn describe() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
    format!(
        "{}, commit {}, {} × {}, {} GiB of memory, load {} at the end",
        today(),
        said("git", &["rev-parse", "--short", "HEAD"]),
        cores,
        model.trim_start_matches([':', '\t', ' ']),
        kib >> 20,
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("unknown"),
    )
}

/// Where figures are kept: in `results`, of the crate's folder or the nearest above that has one.
#[must_use]
pub fn results(name: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = home.ancestors().map(|folder| folder.join("results")).find(|folder| folder.is_dir());
    folder.unwrap_or_else(|| home.join("results")).join(format!("{}-{name}.md", today()))
}

/// A line of `/proc/self/status` that is in KiB, in bytes.
#[must_use]
pub fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|found| found.strip_prefix(line));
    let kib = value.and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when: one of an even number of figures is taken for their median.
    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!([3.0, 1.0, 2.0].map(|figure| median(&[figure])), [3.0, 1.0, 2.0]);
        assert_eq!([median(&[]), median(&[9.0, 1.0, 2.0]), median(&[4.0, 1.0])], [0.0, 2.0, 2.5]);
        assert_eq!(median(&[8.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn the_memory_of_a_process_is_read() {
        assert!(memory("VmRSS:") > 1 << 20, "{}", memory("VmRSS:"));
    }
}
