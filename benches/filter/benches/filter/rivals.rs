//! What a good engineer would reach for.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashSet;
use redb::{ReadableDatabase, TableDefinition};
use roaring::RoaringTreemap;
use xorf::{BinaryFuse8, Filter as _};

use crate::measure::{number, row};

/// The low word as it is: subjects are a hash already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole numbers are hashed");
    }

    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }
}

type Set = HashSet<u128, BuildHasherDefault<Identity>>;

fn set(entries: u64) -> Set {
    // Grown as opt-outs come, as ours is.
    let mut set = Set::default();
    set.extend((0..entries).map(number));
    set
}

pub(crate) fn hash_set(entries: u64) {
    row("hashbrown set of u128", entries, || set(entries), |set, n| set.contains(&n), |_| None);
}

pub(crate) fn sorted(entries: u64) {
    let build = || {
        let mut all: Vec<u128> = (0..entries).map(number).collect();
        all.sort_unstable();
        all
    };
    row("sorted Vec<u128>", entries, build, |all, n| all.binary_search(&n).is_ok(), |_| None);
}

pub(crate) fn treemap(entries: u64) {
    let build = || {
        let mut hashes: Vec<u64> = (0..entries).map(|n| number(n) as u64).collect();
        hashes.sort_unstable();
        hashes.dedup();
        RoaringTreemap::from_sorted_iter(hashes).expect("they are sorted")
    };
    row("RoaringTreemap of 64 bits", entries, build, |map, n| map.contains(n as u64), |_| None);
}

pub(crate) fn fuse(entries: u64) {
    let build = || {
        let mut hashes: Vec<u64> = (0..entries).map(|n| number(n) as u64).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let filter = BinaryFuse8::try_from(&hashes).expect("distinct keys");
        drop(hashes);
        (filter, set(entries))
    };
    let contains = |(filter, set): &(BinaryFuse8, Set), n| filter.contains(&(n as u64)) && set.contains(&n);
    row("binary fuse before a set", entries, build, contains, |_| None);
}

pub(crate) fn redb(entries: u64) {
    const TABLE: TableDefinition<u128, ()> = TableDefinition::new("subjects");
    let folder = tempfile::tempdir().expect("a folder for the store");
    let file = folder.path().join("store");
    let build = || {
        let database = redb::Database::create(&file).expect("a store");
        let write = database.begin_write().expect("a transaction");
        {
            let mut table = write.open_table(TABLE).expect("the table");
            let mut all: Vec<u128> = (0..entries).map(number).collect();
            all.sort_unstable();
            all.iter().for_each(|n| drop(table.insert(n, ()).expect("room on the disk")));
        }
        write.commit().expect("a commit");
        let read = database.begin_read().expect("a transaction");
        let table = read.open_table(TABLE).expect("the table");
        (database, table)
    };
    let contains =
        |(_, table): &(_, redb::ReadOnlyTable<u128, ()>), n| table.get(n).expect("a page").is_some();
    row("redb (bytes on the disk)", entries, build, contains, |_| {
        std::fs::metadata(&file).ok().map(|m| m.len())
    });
}
