//! Laws of snapshots: what is loaded answers as what was written, and nothing else is loaded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use tamis_campaign::DAY_MS;

use super::*;
use crate::growth::tests::{Event, Key, PEOPLE, check as answers_as, event, record, subject};

/// An index to which records come while others look: one before every step of the snapshot.
struct Busy {
    index: RefCell<Index>,
    model: RefCell<BTreeMap<Key, Event>>,
    coming: RefCell<std::vec::IntoIter<Event>>,
}

impl Busy {
    fn new(index: Index, model: BTreeMap<Key, Event>, coming: Vec<Event>) -> Self {
        Self { index: index.into(), model: model.into(), coming: coming.into_iter().into() }
    }
}

impl Shared for Busy {
    fn with<R>(&self, step: impl FnOnce(&mut Index) -> R) -> R {
        if let Some(event) = self.coming.borrow_mut().next() {
            apply(&mut self.index.borrow_mut(), &mut self.model.borrow_mut(), &[event]);
        }
        step(&mut self.index.borrow_mut())
    }

    fn see<R>(&self, step: impl FnOnce(&Index) -> R) -> R {
        self.with(|index| step(index))
    }
}

/// Applies `events` as a service does: prepared beside, then one by one.
fn apply(index: &mut Index, model: &mut BTreeMap<Key, Event>, events: &[Event]) {
    let records: Vec<_> = events.iter().map(record).collect();
    let prepared = index.prepare(records.iter().map(|record| &record.subject), 1).unwrap();
    drop(index.accept(prepared));
    for (event, record) in events.iter().zip(&records) {
        let offset = index.position()[0];
        index.apply(0, offset, event.recorded_at_ms, record).unwrap();
        if event.lifted {
            model.remove(&event.key);
        } else {
            model.insert(event.key, event.clone());
        }
    }
}

fn stamp() -> Stamp {
    Stamp { cluster: "c".to_owned(), topic: "t".to_owned(), scheme: 1, key_check: [7; 16] }
}

fn save(folder: &Folder, taken_at_ms: UnixMs, busy: &Busy) -> Result<(u64, About), Error> {
    let of = busy.index.borrow().life();
    write(folder, Order { stamp: stamp(), told_scheme: 1, taken_at_ms, of, go_on: &|| true }, busy)
}

fn some(who: std::ops::Range<u16>) -> Vec<Event> {
    let event = |n: u16| Event::plain((n % PEOPLE, usize::from(n % 3), 0));
    who.map(event).collect()
}

/// An index of everybody, written to a folder, and the file.
fn written() -> (tempfile::TempDir, Folder, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::at(home.path());
    let (mut index, mut model) = (Index::new(1), BTreeMap::new());
    apply(&mut index, &mut model, &some(0..PEOPLE));
    let (number, _) = save(&folder, 1, &Busy::new(index, model, vec![])).unwrap();
    let file = folder.file(number);
    (home, folder, file)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 32 }))]

    /// Guarantees G1 and G3 over snapshots that are taken while records come: the index that goes on resting on one answers as
    /// before, and so does one that is loaded from it and has followed the log from its position on.
    /// Fails when: a snapshot claims what it has not got; a split while it is written loses or doubles anybody; what has
    /// changed since is forgotten when the index comes to rest on the file; times or origins are mixed up in it.
    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn g1_g3_what_is_loaded_answers_as_what_was_written(
        before in prop::collection::vec(event(), 0..1_500), during in prop::collection::vec(event(), 0..200),
        after in prop::collection::vec(event(), 0..600), again in prop::collection::vec(event(), 0..200), now in 0i64..6,
    ) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::at(home.path());
        let (mut index, mut model) = (Index::new(1), BTreeMap::new());
        apply(&mut index, &mut model, &before);
        let mut log = before.clone();
        for during in [during, again] {
            let busy = Busy::new(index, model, during.clone());
            let (number, about) = save(&folder, 5, &busy).unwrap();
            let Busy { index: same, model: now_in, coming } = busy;
            (index, model) = (same.into_inner(), now_in.into_inner());
            log.extend(during[..during.len() - coming.borrow().len()].iter().cloned());
            answers_as(&index, &model, now)?;
            for after in after.chunks(97) {
                apply(&mut index, &mut model, after);
            }
            log.extend(after.iter().cloned());
            answers_as(&index, &model, now)?;

            let (mut loaded, told) = check(&folder.file(number)).unwrap();
            prop_assert_eq!(&told, &about);
            prop_assert_eq!(told.position.as_slice(), loaded.position());
            let from = usize::try_from(told.position[0]).unwrap();
            let mut replayed = BTreeMap::new();
            log[from..].chunks(61).for_each(|events| apply(&mut loaded, &mut replayed, events));
            answers_as(&loaded, &model, now)?;
        }
    }

    /// Guarantees that nothing that is no snapshot, or no longer the one that was written, is loaded or ends the process.
    /// Fails when: a length, a place or a number of the file is taken on trust.
    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn a_changed_snapshot_is_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4)) {
        let (_home, _, file) = written();
        let mut bytes = fs::read(&file).unwrap();
        for (at, by) in changes {
            let at = at.index(bytes.len());
            bytes[at] ^= by;
        }
        let original = fs::read(&file).unwrap();
        prop_assume!(bytes != original);
        fs::write(&file, &bytes).unwrap();
        // Four bytes of the head mean nothing yet.
        prop_assert!(check(&file).is_err() || bytes[16..] == original[16..]);
    }
}

/// Guarantees that a file of which the end was never written is told as that, wherever it ends.
/// Fails when: a length is believed.
#[test]
#[cfg_attr(miri, ignore = "files")]
fn a_torn_snapshot_is_refused() {
    let (_home, _, file) = written();
    let bytes = fs::read(&file).unwrap();
    for length in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        fs::write(&file, &bytes[..length]).unwrap();
        assert!(matches!(load(&file), Err(Refused::Torn)), "{length} bytes");
    }
    fs::write(&file, b"not a snapshot, but long enough to be one of something else entirely").unwrap();
    assert!(matches!(load(&file), Err(Refused::NotOne)));
    fs::write(&file, [&bytes[..8], &[9], &bytes[9..]].concat()).unwrap();
    assert!(matches!(load(&file), Err(Refused::Version(9))));
}

/// Guarantees that numbers which no log, clock or file comes to are refused, checksums or not: what goes on from there would overflow, and what
/// is told twice would take more memory than the file has bytes.
/// Fails when: any of them is taken on trust.
#[test]
#[cfg_attr(miri, ignore = "files")]
fn a_snapshot_of_impossible_numbers_is_refused() {
    let (_home, _, file) = written();
    let bytes = fs::read(&file).unwrap();
    let (body, tail) = bytes.split_last_chunk().unwrap();
    let (at, ..) = format::read_tail(tail).unwrap();
    let (segments, table) = body.split_at(usize::try_from(at).unwrap());
    let changed = |change: fn(&mut format::Table)| {
        let mut table: format::Table = serde_json::from_slice(table).unwrap();
        change(&mut table);
        let table = serde_json::to_vec(&table).unwrap();
        fs::write(&file, [segments, &table, &format::tail(at, &table)].concat()).unwrap();
        match load(&file) {
            Ok(_) => "nothing",
            Err(Refused::Damaged(what)) => what,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(changed(|_| {}), "nothing");
    let harms: [fn(&mut format::Table); 4] = [
        |table| table.about.position[0] = -1,
        |table| table.about.position[0] = i64::MAX,
        |table| table.about.taken_at_ms = i64::MIN,
        |table| table.about.taken_at_ms = i64::MAX,
    ];
    for (n, harm) in harms.into_iter().enumerate() {
        assert_eq!(changed(harm), "a position or the time", "harm {n}");
    }
    let twice = changed(|table| table.segments.extend(table.segments.clone()));
    assert_eq!(twice, "what segments have together");
}

/// Guarantees that a snapshot is used for its own log and key only, and not past what the log keeps (semantics, section 1).
/// Fails when: any of them is not compared.
#[test]
fn a_snapshot_of_something_else_is_refused() {
    let about = About {
        stamp: stamp(),
        position: vec![3, 4],
        taken_at_ms: 1_000,
        told_scheme: 1,
        subjects: 0,
        records: 0,
    };
    let why = |stamp: &Stamp, partitions, now_ms, kept_ms| {
        about.fits(stamp, partitions, now_ms, kept_ms).map_err(|refused| refused.to_string())
    };
    let other = |change: fn(&mut Stamp)| {
        let mut other = stamp();
        change(&mut other);
        why(&other, 2, 1_000, None).unwrap_err()
    };
    assert_eq!(why(&stamp(), 2, 1_000, Some(5)), Ok(()));
    assert!(other(|s| s.cluster.push('x')).contains("cluster"));
    assert!(other(|s| s.topic.push('x')).contains("topic"));
    assert!(other(|s| s.scheme = 2).contains("scheme"));
    assert!(other(|s| s.key_check[3] = 0).contains("key"));
    assert!(why(&stamp(), 3, 1_000, None).unwrap_err().contains("partitions"));
    assert!(why(&stamp(), 2, 1_005, Some(5)).unwrap_err().contains("old"));
    assert_eq!(why(&stamp(), 2, i64::MAX, None), Ok(()));
}

/// Guarantees that a crash while one is written costs nothing: what was left is removed, and the older ones stay; and that
/// old ones go in the end.
/// Fails when: an unfinished one has the name of a finished one, numbers are given twice, or all are kept.
#[test]
#[cfg_attr(miri, ignore = "files")]
fn snapshots_are_numbered_and_a_few_are_kept() {
    let (home, folder, _) = written();
    fs::write(home.path().join("filter-000000000009.unfinished"), b"half").unwrap();
    assert_eq!(folder.numbers().unwrap(), [1]);
    for _ in 0..4 {
        let newest = folder.numbers().unwrap()[0];
        let (index, _) = load(&folder.file(newest)).unwrap();
        save(&folder, 1, &Busy::new(index, BTreeMap::new(), vec![])).unwrap();
    }
    assert_eq!(folder.numbers().unwrap(), [5, 4, 3]);
    assert!(!home.path().join("filter-000000000009.unfinished").exists());
    let held = folder.begin().unwrap();
    assert!(folder.begin().is_err(), "two write at once");
    drop(held);
    assert_eq!(folder.numbers().unwrap(), [5, 4, 3]);
}

/// Guarantees that what look-ups don't need leaves memory with the snapshot, and comes back where it changes.
/// Fails when: the index keeps everything, or forgets where a record came from.
#[test]
#[cfg_attr(miri, ignore = "files")]
fn cold_parts_stay_in_the_file() {
    let home = tempfile::tempdir().unwrap();
    let (mut index, mut model) = (Index::new(1), BTreeMap::new());
    apply(&mut index, &mut model, &some(0..PEOPLE));
    // No segment is built anew from here on.
    index.settle();
    let prepared = index.prepare(std::iter::empty(), usize::MAX).unwrap();
    drop(index.accept(prepared));
    let before = index.bytes_apart();
    let busy = Busy::new(index, model, some(0..3));
    save(&Folder::at(home.path()), 1, &busy).unwrap();
    let mut index = busy.index.into_inner();
    let after = index.bytes_apart();
    assert!(after.cold * 2 < before.cold, "{} bytes, were {}", after.cold, before.cold);
    assert_eq!(after.hot, before.hot);
    assert_eq!(index.in_force("a", &subject(9), 1).unwrap()[0].recorded_at_ms, 0);
    apply(&mut index, &mut BTreeMap::new(), &[Event { recorded_at_ms: 77, ..Event::plain((9, 0, 0)) }]);
    assert_eq!(index.in_force("a", &subject(9), 1).unwrap()[0].recorded_at_ms, 77);
}

/// Guarantees G5 where the file in use is damaged or cut: the writer is told, and does not guess.
/// Fails when: what can't be read is taken for somebody else.
#[test]
#[cfg_attr(miri, ignore = "files")]
fn g5_a_file_that_is_changed_while_in_use_is_told() {
    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(40),
        |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|b| *b ^= 1),
    ] {
        let (_home, _, file) = written();
        let (mut index, _) = load(&file).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let known = record(&Event::plain((9, 0, 0)));
        assert!(index.prepare(std::iter::once(&known.subject), 0).is_err());
        assert!(index.in_force("a", &known.subject, 1).is_err());
        let offset = index.position()[0];
        assert!(index.apply(0, offset, 1, &known).is_err());
    }
}

/// Guarantees that what expired long ago leaves the index when its segment is built anew, and nothing else does.
/// Fails when: expired records stay for good, or those that expired just now, or never, go.
#[test]
fn what_is_over_for_good_is_forgotten() {
    let (mut index, mut model) = (Index::new(1), BTreeMap::new());
    let timed = |who, expires| Event { times: (0, expires), ..Event::plain((who, 0, 0)) };
    let events: Vec<_> =
        (0..PEOPLE).map(|who| timed(who, [1_000, 2 * DAY_MS, 0][usize::from(who % 3)])).collect();
    apply(&mut index, &mut model, &events);
    assert_eq!(index.records(), usize::from(PEOPLE));
    let late = Event { recorded_at_ms: 2 * DAY_MS + 5, ..Event::plain((1, 1, 0)) };
    apply(&mut index, &mut model, &[late]);
    for number in 0..u32::try_from(index.marks.len()).unwrap() {
        index.renew(number).unwrap();
    }
    model.retain(|_, event| event.times.1 != 1_000);
    assert_eq!(index.records(), model.len());
    answers_as(&index, &model, 2 * DAY_MS + 5).unwrap();
}

/// Guarantees that what was begun under one key is never finished with another index, and that time is kept.
/// Fails when: the index is not looked at between two segments.
#[test]
#[cfg_attr(miri, ignore = "files")]
fn a_snapshot_of_an_index_that_was_replaced_is_given_up() {
    let (home, folder, _) = written();
    let busy = Busy::new(Index::new(1), BTreeMap::new(), some(0..PEOPLE));
    let ordered = |go_on: &dyn Fn() -> bool| {
        let of = busy.index.borrow().life();
        write(&folder, Order { stamp: stamp(), told_scheme: 1, taken_at_ms: 1, of, go_on }, &busy)
    };
    let replaced = ordered(&|| {
        *busy.index.borrow_mut() = Index::new(1);
        true
    });
    assert!(matches!(replaced, Err(Error::Replaced)), "{replaced:?}");
    assert!(matches!(ordered(&|| false), Err(Error::GivenUp)));
    assert_eq!(folder.numbers().unwrap(), [1]);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "the snapshot and the lock");
}
