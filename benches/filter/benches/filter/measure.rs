//! Subjects, samples, and the row of a contestant.

use std::hint::black_box;
use std::time::Instant;

use crate::made::splitmix;
pub(crate) use crate::made::{number, subject};

pub(crate) const HEAD: &str = "\
| structure | subjects | absent, ns | present, ns | bytes an entry (RSS) | built in | false matches, of look-ups |
|---|---|---|---|---|---|---|";
pub(crate) const GOALS_HEAD: &str = "\
| what | subjects | figure |
|---|---|---|";

/// Subjects looked up.
pub(crate) const SAMPLE: usize = 1 << 22;
/// Numbers from here on are never put in.
pub(crate) const ABSENT: u64 = 1 << 40;

/// Present subjects in random order, or absent ones.
pub(crate) fn sample<T>(of: u64, present: bool, make: impl Fn(u64) -> T) -> Vec<T> {
    let who = |n| if present { splitmix(n ^ 0x5bd1_e995) % of } else { ABSENT + n };
    (0..SAMPLE as u64).map(|n| make(who(n))).collect()
}

/// The fastest of three rounds over a sample, ns a subject; `look` returns how many were found.
pub(crate) fn fastest<T>(sample: &[T], expected: usize, mut look: impl FnMut(&[T]) -> usize) -> f64 {
    let round = |look: &mut dyn FnMut(&[T]) -> usize| {
        let begun = Instant::now();
        let found = black_box(look(black_box(sample)));
        let took = begun.elapsed();
        assert!(found >= expected, "{found} of {expected} are found");
        took.as_secs_f64() * 1e9 / sample.len() as f64
    };
    (0..3).map(|_| round(&mut look)).fold(f64::MAX, f64::min)
}

/// Memory in use, bytes.
pub(crate) fn rss() -> u64 {
    crate::machine::memory("VmRSS:")
}

/// Builds a rival and prints its row: `contains` one at a time, in a loop.
pub(crate) fn row<S>(
    name: &str,
    entries: u64,
    build: impl FnOnce() -> S,
    contains: impl Fn(&S, u128) -> bool,
    bytes: impl Fn(&S) -> Option<u64>,
) {
    let (present, absent) = (sample(entries, true, number), sample(entries, false, number));
    let before = rss();
    let begun = Instant::now();
    let built = build();
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = bytes(&built).unwrap_or_else(|| rss().saturating_sub(before));
    let look = |sample: &[u128]| sample.iter().filter(|n| contains(&built, **n)).count();
    let absent_ns = fastest(&absent, 0, look);
    let present_ns = fastest(&present, SAMPLE, look);
    print_row(name, entries, &[absent_ns, present_ns], bytes, seconds, (look(&absent), SAMPLE as u64));
}

/// One row of the table.
pub(crate) fn print_row(
    name: &str,
    entries: u64,
    ns: &[f64; 2],
    bytes: u64,
    seconds: f64,
    (wrong, of): (usize, u64),
) {
    let [absent, present] = ns;
    let each = bytes as f64 / entries as f64;
    let millions = entries / 1_000_000;
    println!(
        "| {name} | {millions} M | {absent:.1} | {present:.1} | {each:.1} | {seconds:.1} s | {wrong} of {of} |"
    );
}
