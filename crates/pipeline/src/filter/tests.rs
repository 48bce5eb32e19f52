//! The filter between real threads, at real sizes.

use std::time::Instant;

use tamis_campaign::{Channel, Purpose};
use tamis_subject::{Key, Region, Subject};
use tamis_suppression::snapshot::{self, Folder, Order, Stamp};
use tamis_wire::record::{Record, Scope};

use super::*;

/// Enough that segments of full size are split several times.
const RECORDS: u64 = 250_000;
/// Records of a step, as the follower takes them at most.
const STEP: u64 = 4_096;
/// Subjects that a reader asks about in one view.
const ASKED: u64 = 500;

fn mix(n: u64) -> u64 {
    let mixed = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn subject(n: u64) -> Subject {
    let word = |n: u64| mix(n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    Subject::from_bytes((u128::from(word(2 * n)) << 64 | u128::from(word(2 * n + 1))).to_le_bytes())
}

fn record(n: u64) -> Record {
    Record::plain(subject(n), Scope::Tenant("a".into()))
}

fn new() -> Filter {
    let key = Key::generate().expect("random bytes");
    Filter::new(1, Subjects::new(&key, Region::parse("FR").expect("a region")))
}

/// The `n`-th record of the log is the `n`-th subject's, so a view is right when exactly those below its position are in.
fn assert_right(view: &View, dice: u64) {
    let reached = u64::try_from(view.position()[0]).expect("a position");
    let who: Vec<u64> = (0..ASKED).map(|n| mix(dice ^ n << 32) % (reached + reached / 4 + 1)).collect();
    let subjects: Vec<Subject> = who.iter().map(|n| subject(*n)).collect();
    let selection = view.select("a", "", Channel::Sms, Purpose::Marketing);
    let mut found = vec![false; subjects.len()];
    selection.hits(&subjects, |n, _| found[n] = true);
    for (n, found) in who.iter().zip(found) {
        assert_eq!(found, *n < reached, "subject {n} of a view at {reached}");
    }
}

fn apply(filter: &Filter, from: u64) {
    for first in (from..RECORDS).step_by(usize::try_from(STEP).expect("few")) {
        let step: Vec<(u64, Record)> = (first..(first + STEP).min(RECORDS)).map(|n| (n, record(n))).collect();
        let prepared = filter.read().prepare(step.iter().map(|(_, record)| &record.subject), 1);
        let prepared = prepared.expect("the snapshot is there");
        filter.change(|index| {
            drop(index.accept(prepared));
            for (n, record) in &step {
                let offset = i64::try_from(*n).expect("few");
                index.apply(0, offset, 1, record).expect("the snapshot is there");
            }
        });
    }
}

fn save(filter: &Filter, folder: &Folder) -> u64 {
    let stamp = Stamp { cluster: "c".to_owned(), topic: "t".to_owned(), scheme: 1, key_check: [0; 16] };
    let of = filter.read().life();
    let order = Order { stamp, told_scheme: 1, taken_at_ms: 1, of, go_on: &|| true };
    snapshot::write(folder, order, filter).expect("a snapshot").0
}

/// Guarantees G1 and G3 between threads: while records are applied and snapshots are written, each view is exactly what its
/// position says, and what was written while nothing stood still leads to the same index.
/// Fails when: a reader sees half a step; what was made beside the index is put in place of newer records; a snapshot leaves out
/// what was split while it was written.
#[test]
fn g1_g3_every_view_is_what_its_position_says() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = Folder::at(home.path());
    let (filter, done) = (new(), AtomicBool::new(false));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (filter, done) = (&filter, &done);
            scope.spawn(move || {
                let mut dice = reader;
                while !done.load(Ordering::Relaxed) {
                    dice = mix(dice + 1);
                    assert_right(&filter.read(), dice);
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                save(&filter, &folder);
            }
        });
        apply(&filter, 0);
        done.store(true, Ordering::Relaxed);
    });
    assert_right(&filter.read(), 7);
    println!("{RECORDS} records beside readers and snapshots in {:?}", begun.elapsed());
    for number in folder.numbers().expect("snapshots") {
        let (index, about) = snapshot::check(&folder.file(number)).expect("a sound snapshot");
        let loaded = new();
        loaded.change(|filter| *filter = index);
        apply(&loaded, u64::try_from(about.position[0]).expect("a position"));
        for dice in 0..50 {
            assert_right(&loaded.read(), mix(dice));
        }
        assert_eq!(loaded.read().records() as u64, RECORDS);
    }
}
