//! What an index holds, counted.

use std::collections::BTreeMap;

use tamis_campaign::{Channel, RecordReason};

use crate::index::Index;

/// How many records there are of a kind of scope, a reason and a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// `platform`, `tenant` or `list`.
    pub scope: &'static str,
    /// Why.
    pub reason: RecordReason,
    /// Which channel; `None` is every one.
    pub channel: Option<Channel>,
    /// How many scopes of the kind have any.
    pub scopes: u64,
    /// How many records.
    pub records: u64,
}

impl Index {
    /// Counts all records, those that expired not long ago as well.
    #[must_use]
    pub fn tally(&self) -> Vec<Tally> {
        let mut by_cell = vec![0u64; self.cells_count() as usize];
        for (number, marks) in (0..).zip(&self.marks) {
            for (_, mark) in self.dictionary.segment(number).iter() {
                for cell in marks.set(mark).cells() {
                    by_cell[*cell as usize] += 1;
                }
            }
        }
        let mut tallies: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for row in self.cells.rows() {
            let records = by_cell[row.cell as usize];
            if let (Some((scope, reason, channel)), true) = (row.kind(), records > 0) {
                let (scopes, all) = tallies.entry((scope, reason, channel)).or_default();
                *scopes += 1;
                *all += records;
            }
        }
        let tally =
            |((scope, reason, channel), (scopes, records))| Tally { scope, reason, channel, scopes, records };
        tallies.into_iter().map(tally).collect()
    }
}
