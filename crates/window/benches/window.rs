//! What the window costs: bytes a job, a look-up with its note, the worst single step. `cargo xtask bench window`
//!
//! Jobs are decided in offset order under ids as schedulers make them, in one partition (the worst case for a stall) and
//! in eight; as in the line, a few are taken up together, and what they need of memory is asked for, before the first is looked at.

#![allow(clippy::print_stdout, reason = "its results are its purpose")]
#![allow(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::collections::{HashMap as StdMap, HashSet as StdSet};
use std::hint::black_box;
use std::time::Instant;

use tamis_window::{Print, Prints, Table, Window};

/// Jobs looked up for a figure.
const ASKED: u32 = 1_000_000;

fn id(n: u32) -> String {
    format!("autumn-2026-{n:09}")
}

/// Jobs that the line takes up together.
const TOGETHER: usize = 16;

/// ns for each of `ASKED` calls, ids made before.
fn timed(ids: &[String], mut each: impl FnMut(u32, &str)) -> f64 {
    let begun = Instant::now();
    for (n, id) in (0u32..).zip(ids) {
        each(n, id);
    }
    begun.elapsed().as_secs_f64() * 1e9 / ids.len() as f64
}

/// Ids spread over those that are in, or after all of them.
fn ids(jobs: u32, present: bool) -> Vec<String> {
    let mut n = 0u32;
    (0..ASKED)
        .map(|i| {
            n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if present { id(n % jobs) } else { id(jobs + i) }
        })
        .collect()
}

fn window(jobs: u32, partitions: i32) {
    let prints = Prints::random();
    let mut window = Window::new(prints, 172_800);
    (0..partitions).for_each(|p| window.recalled(p, Table::new(172_800)));
    let mut worst = 0.0f64;
    let decide = |window: &mut Window, n: u32, print: Print| {
        let (partition, offset) = (n as i32 % partitions, i64::from(n / partitions as u32));
        let look = window.look(partition, offset, print, 1_000);
        window.note(partition, offset, look, true, 1_000);
        look.is_duplicate()
    };
    let foresee = |window: &Window, n: u32, id: &str| {
        window.foresee(n as i32 % partitions, ("acme", id)).expect("it is on")
    };
    for n in 0..jobs {
        let id = id(n);
        let begun = Instant::now();
        let print = foresee(&window, n, &id);
        decide(&mut window, n, print);
        worst = worst.max(begun.elapsed().as_secs_f64() * 1e3);
    }
    let bytes = window.bytes() as f64 / f64::from(jobs);
    let mut together = |ids: &[String], mut n: u32| {
        let begun = Instant::now();
        let mut prints = Vec::with_capacity(TOGETHER);
        for some in ids.chunks(TOGETHER) {
            prints.extend((n..).zip(some).map(|(n, id)| foresee(&window, n, id)));
            for print in prints.drain(..) {
                black_box(decide(&mut window, n, print));
                n += 1;
            }
        }
        begun.elapsed().as_secs_f64() * 1e9 / ids.len() as f64
    };
    let new = together(&ids(jobs, false), jobs);
    let found = together(&ids(jobs, true), jobs + ASKED);
    // Everything has expired: the worst single step of the sweep, one shard.
    let mut tidy = 0.0f64;
    for second in 0..64 {
        let begun = Instant::now();
        window.tidy(400_000 + second);
        tidy = tidy.max(begun.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "| window, {partitions} partitions | {jobs} | {bytes:.1} | {new:.0} | {found:.0} | {worst:.1} | {tidy:.1} |"
    );
}

/// Resident memory of this process, bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0);
    pages * 4_096.0
}

/// A rival: `insert` answers whether it is new.
fn rival<T: Default>(name: &str, jobs: u32, insert: impl Fn(&mut T, &str) -> bool) {
    let before = resident();
    let mut rival = T::default();
    let mut worst = 0.0f64;
    for n in 0..jobs {
        let id = id(n);
        let begun = Instant::now();
        insert(&mut rival, &id);
        worst = worst.max(begun.elapsed().as_secs_f64() * 1e3);
    }
    let bytes = (resident() - before) / f64::from(jobs);
    let absent = ids(jobs, false);
    let new = timed(&absent, |_, id| {
        black_box(insert(&mut rival, id));
    });
    let again = ids(jobs, true);
    let found = timed(&again, |_, id| {
        black_box(insert(&mut rival, id));
    });
    println!("| {name} | {jobs} | {bytes:.1} | {new:.0} | {found:.0} | {worst:.1} | – |");
}

fn main() {
    println!(
        "| | jobs | bytes a job | look and note, new, ns | duplicate, ns | worst step, ms | worst sweep, ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    for jobs in [1_000_000, 10_000_000] {
        window(jobs, 1);
        window(jobs, 8);
        let prints = Prints::random();
        rival::<hashbrown::HashMap<(String, String), u32>>("hashbrown, (String, String)", jobs, |map, id| {
            map.insert(("acme".to_owned(), id.to_owned()), 1).is_none()
        });
        rival::<StdMap<u64, u64>>("std map, the same fingerprint to 8 bytes", jobs, |map, id| {
            map.insert(prints.of("acme", id).get(), 1).is_none()
        });
        rival::<StdSet<u128>>("std set of u128", jobs, |set, id| {
            set.insert(u128::from(prints.of("acme", id).get()) << 64 | 7)
        });
    }
}
