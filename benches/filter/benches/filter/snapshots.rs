//! Snapshots: written while look-ups go on, and loaded.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tamis_suppression::snapshot::{self, Folder, Order, Shared, Stamp};
use tamis_suppression::{Index, ViewLock};

use crate::measure::{fastest, rss, sample, subject};
use crate::ours::{Built, Held, NOW_MS, READ, apply, build, follow, judge, look, select};

/// Records that the log has after the snapshot.
const TAIL: u64 = 1_000_000;
/// Opt-outs that come each time while a snapshot is written, and how often.
const COMING: u64 = 64;
const EVERY: Duration = Duration::from_millis(20);
/// Recipients of a job.
const JOB: usize = 1_000;
/// Jobs under one view: 256 KiB of them, as in the line.
const OF_A_VIEW: usize = 13;

/// As the pipeline's filter is shared.
struct Locked {
    index: ViewLock<Index>,
    /// What the longest change of the index took.
    longest: Mutex<Held>,
}

impl Shared for Locked {
    fn with<R>(&self, step: impl FnOnce(&mut Index) -> R) -> R {
        let mut index = self.index.write();
        self.longest.lock().during(|| step(&mut index))
    }

    fn see<R>(&self, step: impl FnOnce(&Index) -> R) -> R {
        self.index.hold_still(step)
    }
}

/// The snapshot of an index of `entries` subjects over 1,000 tenants.
pub(crate) fn snapshot(entries: u64) {
    let say =
        |what: &str, figure: String| println!("| snapshot: {what} | {} M | {figure} |", entries / 1_000_000);
    let home = tempfile::tempdir().expect("a folder");
    let folder = Folder::at(home.path());
    let Built { index, mut records, .. } = build(entries, 1_000, 1, 1);
    let cold_before = index.bytes_apart().cold;
    let of = index.life();
    let shared = Locked { index: ViewLock::new(index), longest: Mutex::default() };
    let done = AtomicBool::new(false);
    let (mut coming, mut offset) = (records.clone(), entries as i64);
    let (seconds, seen) = thread::scope(|scope| {
        let reader = scope.spawn(|| stalls(&shared, &done));
        scope.spawn(|| {
            for first in
                (2 * entries..).step_by(COMING as usize).take_while(|_| !done.load(Ordering::Relaxed))
            {
                let some: Vec<_> = (first..first + COMING).map(|n| (n, subject(n))).collect();
                let prepared = shared.see(|index| index.prepare(some.iter().map(|(_, subject)| subject), 1));
                let mut prepared = prepared.expect("what is in the file can be read");
                while !prepared.is_empty() {
                    let replaced = shared.with(|index| index.accept_some(&mut prepared));
                    drop(replaced);
                }
                shared.with(|index| apply(index, &mut coming, &mut offset, &some, &mut Held::default()));
                thread::sleep(EVERY);
            }
        });
        thread::sleep(Duration::from_millis(200));
        let stamp = Stamp { cluster: "c".to_owned(), topic: "t".to_owned(), scheme: 1, key_check: [0; 16] };
        let order = Order { stamp, told_scheme: 1, taken_at_ms: NOW_MS, of, go_on: &|| true };
        let begun = Instant::now();
        snapshot::write(&folder, order, &shared).expect("it is written");
        let seconds = begun.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (seconds, reader.join().expect("look-ups"))
    });
    let path = folder.file(1);
    let bytes = fs::metadata(&path).expect("the snapshot").len() as f64;
    say(
        "written while jobs are looked up and opt-outs come",
        format!("{seconds:.1} s, {:.0} MB, {:.1} bytes a record", bytes / 1e6, bytes / entries as f64),
    );
    say(
        "worst wait for a view meanwhile",
        format!(
            "{:.2} ms, of {} jobs of {JOB}; the longest look-up of one, which waits for nobody, {:.2} ms; changes were {}",
            seen.wait.as_secs_f64() * 1e3,
            seen.jobs,
            seen.look.as_secs_f64() * 1e3,
            shared.longest.lock().told()
        ),
    );
    let cold_after = shared.index.read().bytes_apart().cold;
    say(
        "what look-ups don't need, in memory",
        format!(
            "{:.2} bytes a record, before {:.2}",
            cold_after as f64 / entries as f64,
            cold_before as f64 / entries as f64
        ),
    );
    drop(shared);

    let before = rss();
    let begun = Instant::now();
    let (mut index, about) = snapshot::load(&path).expect("it is loaded");
    let loaded = begun.elapsed().as_secs_f64();
    assert!(about.records >= entries, "{} of {entries}", about.records);
    let resident = (rss().saturating_sub(before)) as f64 / entries as f64;
    say("loaded, out of the page cache", format!("{loaded:.2} s, {resident:.2} bytes a record (RSS)"));
    let begun = Instant::now();
    let mut offset = index.position()[0];
    for first in (0..TAIL).step_by(READ) {
        // Nine of ten are new, one is known.
        let who = |n: u64| if n.is_multiple_of(10) { n * 97 % entries } else { 3 * entries + n };
        let some: Vec<_> = (first..(first + READ as u64).min(TAIL)).map(|n| (n, subject(who(n)))).collect();
        follow(&mut index, &mut records, &mut offset, &some, (0, &mut Held::default()));
    }
    let tail = begun.elapsed().as_secs_f64();
    say("a tail of 1 M records after it", format!("{tail:.2} s; {:.2} s from the start", loaded + tail));
    let (present, absent) = (sample(entries, true, subject), sample(entries, false, subject));
    let selection = select(&index);
    assert_eq!(look(&selection, &absent), 0, "false matches");
    let absent_ns = fastest(&absent, 0, |s| judge(&selection, s));
    let present_ns = fastest(&present, 0, |s| judge(&selection, s));
    say(
        "look-up and reason, batched, of what was loaded",
        format!("absent {absent_ns:.1} ns, present {present_ns:.1} ns"),
    );
    let begun = Instant::now();
    snapshot::check(&path).expect("it is sound");
    say("checked to the last byte", format!("{:.1} s", begun.elapsed().as_secs_f64()));
}

/// What a reader saw at worst.
#[derive(Default)]
struct Stalls {
    /// Before it had its view.
    wait: Duration,
    /// Of the look-ups under it: what the machine takes away from anybody, to tell from what the lock does.
    look: Duration,
    jobs: u64,
}

/// Looks up jobs as a worker does, some under each view.
fn stalls(shared: &Locked, done: &AtomicBool) -> Stalls {
    let jobs = sample(1, false, subject);
    let mut seen = Stalls::default();
    while !done.load(Ordering::Relaxed) {
        for jobs in jobs.chunks_exact(JOB * OF_A_VIEW).take(8) {
            let asked = Instant::now();
            let view = shared.index.read();
            seen.wait = seen.wait.max(asked.elapsed());
            for job in jobs.chunks(JOB) {
                let begun = Instant::now();
                look(&select(&view), job);
                seen.look = seen.look.max(begun.elapsed());
                seen.jobs += 1;
            }
        }
    }
    seen
}
