//! The filter against what a good engineer would reach for, at 1 M, 10 M and 100 M subjects, and against its own goals.
//!
//! `cargo xtask bench filter [size…]`, sizes in millions. Each contestant and size has a process of its own, one after the
//! other, so that its memory is its own: RSS after building less RSS before. Subjects are Splitmix64's output, which is as
//! good as the PRF's. A sample of four million subjects, in random order, is looked up three times, and the fastest counts;
//! each time the sample is read from memory in order, which costs every contestant the same. What bounds it: memory latency
//! and the TLB.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]
#![expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "figures")]

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
#[path = "filter/redis.rs"]
mod redis;
#[path = "filter/rivals.rs"]
mod rivals;
#[path = "filter/snapshots.rs"]
mod snapshots;

use std::process::Command;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Name, most millions it is run with and why no more, and what measures it.
type Contestant = (&'static str, u64, &'static str, fn(u64));

const CONTESTANTS: [Contestant; 12] = [
    ("goals, 1 tenant", 100, "", ours::one_tenant),
    ("goals, 1,000 tenants", 100, "", ours::tenants),
    ("goals, 5 channels", 10, "measured to 10 M only", ours::channels),
    (
        "goals, 3 records each",
        30,
        "300 M records do not fit this machine's memory with their origins",
        ours::three_each,
    ),
    ("goals, snapshot", 100, "", snapshots::snapshot),
    ("tamis", 100, "", ours::against_rivals),
    ("hashbrown set of u128", 100, "", rivals::hash_set),
    ("sorted Vec<u128>", 100, "", rivals::sorted),
    ("RoaringTreemap of 64 bits", 10, "does not fit this machine's memory", rivals::treemap),
    ("binary fuse before a set", 100, "", rivals::fuse),
    ("redb", 10, "measured to 10 M only", rivals::redb),
    ("redis SMISMEMBER, pipelined", 10, "measured to 10 M only", redis::redis),
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
    let mut begun = "";
    for (name, most, why, _) in CONTESTANTS {
        if !only.is_empty() && !only.iter().any(|o| name.contains(o.as_str())) {
            continue;
        }
        let head = if name.contains("goals") { measure::GOALS_HEAD } else { measure::HEAD };
        if std::mem::replace(&mut begun, head) != head {
            println!("\n{head}");
        }
        for millions in &sizes {
            if *millions > most {
                println!("| {name} | {millions} M | {why} |");
                continue;
            }
            let me = std::env::current_exe().expect("this program's own path");
            let status = Command::new(me).args(["--one", name, &millions.to_string()]).status();
            if !status.is_ok_and(|status| status.success()) {
                println!("| {name} | {millions} M | ended early: no memory, or no such program |");
            }
        }
    }
    println!("\n{}", machine::describe());
}
