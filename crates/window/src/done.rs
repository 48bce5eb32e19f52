//! The records of a partition that have their outcome already, whatever the group's offsets say.
//!
//! A group's coordinator that has just moved to another broker answers from its high watermark, which lags: for a tenth of a
//! second it may tell an older offset than the one whose commit it has confirmed (seen on Kafka 4.3.1), and it may confirm an
//! offset that is lost (KAFKA-20634). What was decided stands in `outcomes`, in the same transaction: it is read back from there
//! after each return to the group's offsets, and a record of which it tells is not decided again (G4, G6).

use std::collections::BTreeMap;

use crate::prints::Print;

/// Records kept, the newest: those of many batches. More are past the group's offset only when an operator has put it back; the older
/// ones are then decided again, and those that were sent are duplicates (G7).
const MOST: usize = 1 << 20;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// The group's offset.
    from: i64,
    /// Records that have an outcome, each with the job it was: a topic that was made anew has other jobs at the same offsets.
    known: BTreeMap<i64, Print>,
    /// See [`Done::is_whole`].
    whole: bool,
}

impl Done {
    /// None yet, of a partition whose offset in the group is `from`.
    #[must_use]
    pub fn new(from: i64) -> Self {
        Self { from, known: BTreeMap::new(), whole: false }
    }

    /// An outcome tells of the job at `offset`.
    pub fn note(&mut self, offset: i64, print: Print) {
        self.whole |= offset < self.from;
        self.known.insert(offset, print);
        if self.known.len() > MOST {
            self.known.pop_first();
        }
    }

    /// Whether an outcome told of a job before the group's offset. Outcomes stand in the order of their jobs: those past it came
    /// after that one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The partition was committed up to `next`: what is before does not come again.
    pub fn committed(&mut self, next: i64) {
        if !self.known.is_empty() {
            self.known = self.known.split_off(&next);
        }
    }

    /// Whether the record at `offset` is done; `print` makes its job's fingerprint, `None` when it is no job.
    #[inline]
    #[must_use]
    pub fn has(&self, offset: i64, print: impl FnOnce() -> Option<Print>) -> bool {
        self.known.get(&offset).is_some_and(|known| print() == Some(*known))
    }

    /// How many are done at the group's offset or past it: 0 when it tells all.
    #[must_use]
    pub fn past(&self) -> usize {
        self.known.range(self.from..).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prints;

    /// Fails when: a record is taken for one of which an outcome tells although it is another job, no job, or has none, or by its place
    /// alone; one at the group's offset counts as before it; or a commit takes away what is past it.
    #[test]
    fn what_is_done_is_known_by_its_place_and_its_job() {
        let prints = Prints::random();
        let print = |name: &str| prints.of("acme", name);
        let mut done = Done::new(5);
        for (offset, name) in [(5, "five"), (6, "six"), (9, "nine")] {
            done.note(offset, print(name));
        }
        assert!(!done.is_whole());
        done.note(3, print("three"));
        assert!(done.is_whole());
        assert_eq!(done.past(), 3);
        assert!(!done.has(4, || panic!("no outcome tells of it")), "the group's offset proves nothing");
        assert!(["three", "five"].iter().zip([3, 5]).all(|(name, at)| done.has(at, || Some(print(name)))));
        assert!(!done.has(6, || Some(print("another"))) && !done.has(6, || None) && !done.has(7, || None));
        done.committed(6);
        assert!(!done.has(5, || Some(print("five"))) && done.has(6, || Some(print("six"))));
        done.committed(10);
        assert_eq!(done.past(), 0);
    }

    /// Fails when: the memory of a group whose offsets were put back far is not bounded, or the oldest are kept.
    #[test]
    fn only_the_newest_are_kept() {
        let print = Prints::random().of("acme", "job");
        let mut done = Done::default();
        let most = i64::try_from(MOST).unwrap();
        (0..most + 3).for_each(|offset| done.note(offset, print));
        assert_eq!(done.past(), MOST);
        assert!(!done.has(2, || Some(print)) && done.has(3, || Some(print)));
    }
}
