//! The filter against what a good engineer would reach for, at 1 M, 10 M and 100 M subjects, and against its own goals.
//!
//! `cargo xtask bench filter [size…] [name…]`, sizes in millions. With neither, it measures everything and leaves table and plot in
//! `benches/results/`. Each contestant and size has a process of its own, one after the
//! other, so that its memory is its own: RSS after building less RSS before. Subjects are Splitmix64's output, which is as
//! good as the PRF's. A sample of four million subjects, in random order, is looked up three times, and the fastest counts;
//! each time the sample is read from memory in order, which costs every contestant the same. What bounds it: memory latency
//! and the TLB.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]
#![expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "figures")]

#[path = "filter/decision.rs"]
mod decision;
#[path = "../../src/machine.rs"]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "shared with the benches of the line")]
mod machine;
#[path = "../../src/made.rs"]
#[allow(unreachable_pub, reason = "shared with the benches of the line")]
mod made;
#[path = "filter/measure.rs"]
mod measure;
#[path = "filter/ours.rs"]
mod ours;
#[path = "filter/plot.rs"]
mod plot;
#[path = "filter/redis.rs"]
mod redis;
#[path = "filter/rivals.rs"]
mod rivals;
#[path = "filter/snapshots.rs"]
mod snapshots;
#[path = "../../../crates/sieve/benches/sieve/whole.rs"]
mod whole;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Name, most millions it is run with and why no more, and what measures it.
type Contestant = (&'static str, u64, &'static str, fn(u64));

const CONTESTANTS: [Contestant; 13] = [
    ("goals, 1 tenant", 100, "", ours::one_tenant),
    ("goals, 1,000 tenants", 100, "", ours::tenants),
    ("goals, 5 channels", 100, "", ours::channels),
    (
        "goals, 3 records each",
        30,
        "300 M records do not fit this machine's memory with their origins",
        ours::three_each,
    ),
    ("goals, decision", 100, "", decision::decision),
    ("goals, snapshot", 100, "", snapshots::snapshot),
    ("tamis", 100, "", ours::against_rivals),
    ("hashbrown set of u128", 100, "", rivals::hash_set),
    ("sorted Vec<u128>", 100, "", rivals::sorted),
    ("RoaringTreemap of 64 bits", 10, "does not fit this machine's memory", rivals::treemap),
    ("binary fuse before a set", 100, "", rivals::fuse),
    ("redb", 100, "", rivals::redb),
    ("redis SMISMEMBER, pipelined", 100, "", redis::redis),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [one, name, millions] = &arguments[..]
        && one == "--one"
    {
        let (.., run) = CONTESTANTS.iter().find(|c| c.0 == name).expect("a contestant's name");
        run(millions.parse::<u64>().expect("a number of millions") * 1_000_000);
        return;
    }
    let sizes: Vec<u64> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    let only: Vec<&String> = arguments.iter().filter(|a| a.parse::<u64>().is_err()).collect();
    let sizes = if sizes.is_empty() { vec![1, 10, 100] } else { sizes };
    let (mut begun, mut table) = ("", String::new());
    let mut say = |line: &str| {
        println!("{line}");
        table += line;
        table += "\n";
    };
    for (name, most, why, _) in CONTESTANTS {
        if !only.is_empty() && !only.iter().any(|o| name.contains(o.as_str())) {
            continue;
        }
        let head = if name.contains("goals") { measure::GOALS_HEAD } else { measure::HEAD };
        if std::mem::replace(&mut begun, head) != head {
            say(&format!("\n{head}"));
        }
        for millions in &sizes {
            if *millions > most {
                say(&format!("| {name} | {millions} M | {why} |"));
            } else if !measured(name, *millions, &mut say) {
                say(&format!("| {name} | {millions} M | ended early: no memory, or no such program |"));
            }
        }
    }
    let about = machine::describe();
    println!("\n{about}");
    if arguments.is_empty() {
        keep(&table, &about);
    }
}

/// Measures one contestant in a process of its own, and says its rows; whether it came to its end.
fn measured(name: &str, millions: u64, say: &mut impl FnMut(&str)) -> bool {
    let me = std::env::current_exe().expect("this program's own path");
    let mut one = Command::new(me);
    let Ok(mut child) = one.args(["--one", name, &millions.to_string()]).stdout(Stdio::piped()).spawn()
    else {
        return false;
    };
    let rows = BufReader::new(child.stdout.take().expect("its output")).lines();
    rows.map_while(Result::ok).for_each(|row| say(&row));
    child.wait().is_ok_and(|status| status.success())
}

/// Leaves table and plot among the results.
fn keep(table: &str, about: &str) {
    let page = machine::results("filter");
    let picture = page.with_extension("svg");
    plot::draw(&picture, table).expect("a place for the plot");
    let picture = picture.file_name().unwrap_or_default().to_string_lossy();
    let report = format!(
        "# The filter beside others, and beside its goals\n\n`cargo xtask bench filter`, {about}.\n\n![look-ups and bytes]({picture})\n{table}"
    );
    std::fs::write(&page, report).expect("a place for the table");
}
