//! The keys against a plain map, whatever comes in bulk, alone, under a condition, and over crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::embedded::Config;

const PARTITIONS: u32 = 2;
/// So few that merging begins and goes on all the time.
const FRESH: usize = 5;

#[derive(Debug, Clone)]
enum Step {
    /// Writes under these keys in one transaction.
    Write {
        keys: Vec<u8>,
        bulk: bool,
    },
    /// Writes unless something came after the offset.
    Unless {
        key: u8,
        offset: i64,
    },
    Forget {
        key: u8,
    },
    Merge,
    Begin,
    /// A crash, or a failed transaction: what was in memory is gone.
    Load,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..12_u8;
    let step = prop_oneof![
        6 => (prop::collection::vec(key.clone(), 1..6), any::<bool>()).prop_map(|(keys, bulk)| Step::Write { keys, bulk }),
        2 => (key.clone(), -1..30_i64).prop_map(|(key, offset)| Step::Unless { key, offset }),
        2 => key.prop_map(|key| Step::Forget { key }),
        2 => Just(Step::Merge),
        1 => Just(Step::Begin),
        1 => Just(Step::Load),
    ];
    prop::collection::vec(step, 1..40)
}

/// A store with its keys, and beside it the place of the last record under each key.
struct World {
    core: Core,
    keys: Keys,
    last: BTreeMap<u8, u64>,
}

fn partition_of_key(key: u8) -> u32 {
    u32::from(key) % PARTITIONS
}

impl World {
    fn open(dir: &Path) -> Self {
        let core = Core::open(dir, Config { partitions: PARTITIONS, ..Config::default() }).unwrap();
        let keys = Keys::load_with(&core, FRESH).unwrap();
        Self { core, keys, last: BTreeMap::new() }
    }

    fn write(&mut self, names: &[u8], bulk: bool) {
        let Self { core, keys, last } = self;
        core.write(|write| {
            for &name in names {
                let partition = partition_of_key(name);
                let at = place(partition, write.take(Topic::Suppressions, partition));
                let mut open = Open::new(&write.transaction)?;
                let hash = keys.hash(partition, &[name]);
                if bulk { keys.note(&mut open, hash, at) } else { keys.put(&mut open, hash, at) }.unwrap();
                let record = [&[0; 8][..], &1_u32.to_le_bytes(), &[name]].concat();
                open.log.insert(at, record.as_slice()).unwrap();
                last.insert(name, at);
            }
            if bulk {
                let ends = write.parts(Topic::Suppressions).next.to_vec();
                keys.keep_up(&write.transaction, names.len(), &ends)?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    }

    fn is_after(&self, name: u8, offset: i64) -> bool {
        let partition = partition_of_key(name);
        self.core
            .write(|write| {
                let open = Open::new(&write.transaction)?;
                let hash = self.keys.hash(partition, &[name]);
                Ok::<_, Error>(self.keys.is_after(&open, hash, partition, offset).unwrap())
            })
            .unwrap()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write { keys, bulk } => self.write(keys, *bulk),
            Step::Unless { key, offset } => {
                let later =
                    self.last.get(key).is_some_and(|at| i64::try_from(offset_of(*at)).unwrap() > *offset);
                assert_eq!(self.is_after(*key, *offset), later, "key {key} after {offset}");
                if !later {
                    self.write(&[*key], true);
                }
            }
            Step::Forget { key } => {
                let keys = &mut self.keys;
                let forget = |write: &mut super::super::core::Write| {
                    let mut open = Open::new(&write.transaction)?;
                    let hash = keys.hash(partition_of_key(*key), &[*key]);
                    keys.forget(&mut open, hash).unwrap();
                    Ok::<_, Error>(())
                };
                self.core.write(forget).unwrap();
                self.last.remove(key);
            }
            Step::Merge => self.keys.idle(&self.core).unwrap(),
            Step::Begin => self.keys.begin(&self.core.ends(Topic::Suppressions).get()),
            Step::Load => self.keys = Keys::load_with(&self.core, FRESH).unwrap(),
        }
    }

    /// Every record of the log: its key and place.
    fn log(&self) -> BTreeSet<(u8, u64)> {
        let mut all = BTreeSet::new();
        let mut cursors: Vec<(Partition, u64)> = (0..).zip(vec![0; PARTITIONS as usize]).collect();
        self.core
            .scan(Topic::Suppressions, &mut cursors, |partition, offset, record| {
                let key = Front::of_suppression(record)?.1[0];
                all.insert((key, place(partition as u32, offset)));
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Guarantees: whatever comes in bulk, alone and under a condition, and whenever it is merged in or read from the log again,
    /// the last record under each key is there, nothing that was taken away is, a condition is judged by the last, and in the end
    /// nothing else is there.
    /// Fails when: what waits is not looked at for a condition or a tombstone; the log's end is noted as merged before all is; a
    /// merge deletes the later of two.
    #[test]
    fn the_last_record_under_each_key_stays_and_no_other(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::open(dir.path());
        for step in &steps {
            world.step(step);
            let mut found = BTreeMap::new();
            for (key, at) in world.log() {
                found.insert(key, at);
            }
            prop_assert_eq!(&found, &world.last, "after {:?}", step);
        }
        for _ in 0..2 {
            while world.keys.is_behind() {
                world.step(&Step::Merge);
            }
            world.step(&Step::Begin);
        }
        prop_assert_eq!(world.log(), world.last.iter().map(|(key, at)| (*key, *at)).collect());
        // Merged in, nothing is read again.
        let before = world.log();
        world.step(&Step::Load);
        prop_assert_eq!(world.log(), before);
    }
}

/// Guarantees (G1): a condition is judged by what earlier steps of a merge have brought in, too.
/// Fails when: what the table has is noted after the last step only.
#[test]
fn g1_a_condition_sees_what_was_merged_in_a_moment_ago() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    let names = [0, 2, 4, 6, 8, 10];
    world.write(&names, true);
    world.write(&[1], true);
    assert!(world.keys.merged > 0 && world.keys.is_behind(), "it is being merged");
    for name in names {
        assert!(world.is_after(name, -1), "key {name}");
    }
}

/// Guarantees: a store from before has its keys read from its log.
#[test]
fn a_store_from_before_is_read_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path());
    world.write(&[1, 2, 3], false);
    world
        .core
        .write(|write| {
            write.transaction.delete_table(KEYS).unwrap();
            write.transaction.delete_table(UNTIL).unwrap();
            let mut before = write.transaction.open_table(BEFORE).unwrap();
            before.insert([0, 1, 1].as_slice(), 0).unwrap();
            Ok::<_, Error>(())
        })
        .unwrap();
    world.step(&Step::Load);
    world.write(&[1], false);
    assert_eq!(world.log().len(), 3);
    let tables = |write: &mut super::super::core::Write| {
        Ok::<_, Error>(write.transaction.delete_table(BEFORE).unwrap())
    };
    assert!(!world.core.write(tables).unwrap(), "the old table is gone");
}
