//! The table against plain models: a map for what it holds, a log with aborts for what it means.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{Look, Prints, Window};

const WINDOW_S: u32 = 100;

/// Few prints, many of them close together, so that entries push each other about; and some that are anything.
fn print_of(n: u16) -> Print {
    // Job ids of one seed: spread as in life. Neighbours come by the hundred when thousands are in.
    static PRINTS: std::sync::LazyLock<Prints> = std::sync::LazyLock::new(Prints::random);
    PRINTS.of("acme", &format!("job-{n}"))
}

#[derive(Debug, Clone)]
enum Step {
    Set(u16),
    Forget(u16),
    Tidy,
    /// Seconds, forward or back.
    Clock(i16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => any::<u16>().prop_map(|n| Step::Set(n % 3_000)),
        6 => any::<u16>().prop_map(|n| Step::Forget(n % 3_000)),
        1 => Just(Step::Tidy),
        1 => (-40i16..60).prop_map(Step::Clock),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Guarantees: whatever is set, forgotten and freed, in any order and under any clock, the table finds exactly what
    /// a map finds among what counts still. Fails when: an entry is moved past its home or left behind a hole, or
    /// something live is freed.
    #[test]
    fn it_finds_what_a_map_finds(steps in prop::collection::vec(step(), 1..6_000)) {
        let mut table = Table::new(WINDOW_S);
        let mut model: HashMap<u16, u32> = HashMap::new();
        let (mut now, mut latest) = (10_000u32, 10_000u32);
        for (offset, step) in (0i64..).zip(steps) {
            match step {
                Step::Set(n) => { table.note(print_of(n), offset, now); model.insert(n, now); }
                Step::Forget(n) => { table.forget(print_of(n)); model.remove(&n); }
                Step::Tidy => (0..SHARDS).for_each(|_| table.tidy(now)),
                Step::Clock(by) => { now = now.saturating_add_signed(by.into()); latest = latest.max(now); }
            }
        }
        // What had expired at the latest moment may be gone, and what counts at that moment must be there.
        for n in 0..3_000 {
            let found = table.look(print_of(n), i64::MAX - 1, latest) == Said::Before;
            let expected = model.get(&n).is_some_and(|t| live(*t, latest, WINDOW_S));
            prop_assert_eq!(found, expected, "{}", n);
        }
        prop_assert!(table.jobs() >= model.values().filter(|t| live(**t, latest, WINDOW_S)).count());
    }
}

/// A partition's log, with what becomes of each job at each try; the model keeps lists and looks through all of them.
#[derive(Debug, Clone)]
struct Job {
    id: u8,
    /// By try: whether it would be ROUTED or EMPTY, if it is no duplicate.
    settles: [bool; 3],
}

/// A decision that was made: job's offset, its id, when.
type Made = (i64, u8, u32);

fn duplicate(made: &[Made], id: u8, now: u32) -> bool {
    made.iter().any(|(_, known, at)| *known == id && live(*at, now, WINDOW_S))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Guarantees (G7): through any order of batches, commits, undone batches and rewinds, with another verdict at
    /// each try, a job is a duplicate exactly when a decision that was committed, or made since the last rewind, is
    /// known of its id. Fails when: a job's own note counts, one that stands behind it counts, or the note of an undone
    /// decision is not taken away.
    #[test]
    fn g7_nothing_has_to_be_taken_back_after_an_abort(
        jobs in prop::collection::vec((0u8..6, any::<[bool; 3]>()).prop_map(|(id, settles)| Job { id, settles }), 1..60),
        batches in prop::collection::vec((1usize..9, 0u8..4, 0u32..40), 1..60),
    ) {
        let mut window = Window::new(Prints::random(), WINDOW_S);
        window.recalled(0, Table::new(WINDOW_S));
        // Offsets cross the border of the low half.
        let first = i64::from(u32::MAX) - 20;
        let (mut committed, mut read, mut now) = (0usize, 0usize, 10_000u32);
        let mut sure: Vec<Made> = Vec::new();
        let mut open: Vec<Made> = Vec::new();
        let mut tries = vec![0usize; jobs.len()];
        for (size, fate, later) in batches {
            now += later;
            let from = read;
            for at in from..(from + size).min(jobs.len()) {
                let (job, offset) = (&jobs[at], first + i64::try_from(at).unwrap());
                let name = job.id.to_string();
                let print = window.foresee(0, ("acme", &name)).unwrap();
                let look: Look = window.look(0, offset, print, now);
                let all: Vec<Made> = sure.iter().chain(&open).copied().collect();
                prop_assert_eq!(look.is_duplicate(), duplicate(&all, job.id, now), "job {} at try {}", at, tries[at]);
                let settled = !look.is_duplicate() && job.settles[tries[at] % 3];
                window.note(0, offset, look, settled, now);
                if settled { open.push((offset, job.id, now)); }
                tries[at] += 1;
                read = at + 1;
            }
            match fate {
                // Undone, and read again from the committed offset on.
                0 => { open.clear(); read = committed; }
                // Committed.
                1 | 2 => { sure.append(&mut open); committed = read; window.committed(0, first + i64::try_from(read).unwrap()); }
                // The next batch is decided before this one is committed.
                _ => {}
            }
        }
    }
}

/// Fails when: the table of a partition in which somebody else has decided is taken for whole.
#[test]
fn a_partition_that_comes_back_untouched_needs_no_reading() {
    let mut window = Window::new(Prints::random(), WINDOW_S);
    assert_eq!(window.missing(&[(0, None), (3, Some(7))]), [0, 3], "nothing is known at first");
    for partition in [0, 3] {
        window.recalled(partition, Table::new(WINDOW_S));
    }
    assert_eq!(window.missing(&[(0, None), (3, Some(7))]), [0, 3], "it has committed nothing here");
    for partition in [0, 3] {
        window.recalled(partition, Table::new(WINDOW_S));
    }
    window.committed(3, 12);
    window.committed(0, 5);
    assert_eq!(window.missing(&[(0, Some(6)), (3, Some(12))]), [0], "somebody else went on with 0");
    window.keep_only(&[0]);
    assert_eq!(window.missing(&[(3, Some(12))]), [3], "it was given to somebody else meanwhile");
}

/// Fails when: what was recalled is taken for a decision of our own that was undone.
#[test]
fn what_was_recalled_counts_even_for_the_job_itself() {
    // After an operator put the group's offsets back, the same records come again.
    let (mut table, print) = (Table::new(WINDOW_S), print_of(1));
    table.recall(print, 10, 1_000, 1_010);
    table.recall(print, 4, 900, 1_010);
    assert_eq!(table.look(print_of(2), 20, 1_010), Said::First);
    assert_eq!(table.look(print, 10, 1_100), Said::Before, "also once the table has been further");
    assert_eq!(table.look(print, 10, 1_101), Said::First, "its own time counts, to the second");
}

/// Guarantees: at most 20 bytes a job, through growth and through a window that moves on, and memory that comes back.
/// Fails when: expired jobs are only ever judged and never freed, or shards double.
#[test]
fn memory_is_bounded_by_what_is_in_the_window() {
    let prints = Prints::random();
    let mut table = Table::new(WINDOW_S);
    let jobs = 400_000u32;
    let mut most = 0.0f64;
    for n in 0..4 * jobs {
        // A window is full after `jobs`.
        let now = 1_000 + n / (jobs / WINDOW_S);
        table.note(prints.of("acme", &n.to_string()), i64::from(n), now);
        if n % 10_000 == 0 && n >= jobs {
            most = most.max(f64::from(u32::try_from(table.bytes()).unwrap()) / f64::from(jobs));
        }
    }
    assert!(most < 20.5, "{most} bytes a job");
    for _ in 0..SHARDS {
        table.tidy(1_000 + 6 * WINDOW_S);
    }
    assert_eq!(table.jobs(), 0);
    assert!(table.bytes() < 64 << 10, "{} bytes when all have expired", table.bytes());
}

/// Guarantees: what has expired is freed, a shard of each table at a time, once a second and no oftener, whatever the batches; a job
/// of a partition that nobody has told of is taken up all the same. Fails when: nothing is freed, or each batch of a second frees.
#[test]
fn what_has_expired_is_freed_once_a_second() {
    let mut window = Window::new(Prints::random(), WINDOW_S);
    window.recalled(0, Table::new(WINDOW_S));
    for offset in 0..10_000 {
        let print = window.foresee(0, ("acme", &offset.to_string())).unwrap();
        let look = window.look(0, offset, print, 1_000);
        window.note(0, offset, look, true, 1_000);
    }
    assert!(window.foresee(7, ("acme", "another's")).is_some());
    let later = 1_001 + WINDOW_S;
    (0..SHARDS).for_each(|_| window.tidy(later));
    let jobs = window.jobs();
    assert!((1..10_000).contains(&jobs), "one shard of it is: {jobs}");
    (1..64).for_each(|second| window.tidy(later + second));
    assert_eq!(window.jobs(), 0);
}
