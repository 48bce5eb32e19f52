//! Whose row was kept before, by whole subjects.
//!
//! One line of the cache settles most look-ups. A batch's lines are asked of memory before any of them is looked at, since the reads
//! wait side by side then, and one after the other otherwise. The table grows by going from its first line to its last, because a
//! subject's line comes from its first bits: what was in order stays so, and nothing is waited for.

use std::hint::black_box;

use tamis_subject::Subject;

/// Subjects of a line.
const WAYS: usize = 4;
/// Lines of the first table.
const LINES_FIRST: usize = if cfg!(test) { 2 } else { 1 << 12 };
/// Subjects whose lines are asked for together: more than a processor waits for at a time, and few enough to be still at hand.
const TOGETHER: usize = 64;
/// Nobody: the subject of somebody is this one in 2¹²⁸.
const NOBODY: Subject = Subject::from_bytes([0; 16]);

#[derive(Clone)]
#[repr(align(64))]
struct Line([Subject; WAYS]);

/// Subjects that were noted.
pub(crate) struct Kept {
    lines: Vec<Line>,
    count: usize,
    /// Whether [`NOBODY`] was noted, which stands for an empty way in a line.
    nobody: bool,
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self { lines: vec![Line([NOBODY; WAYS]); LINES_FIRST], count: 0, nobody: false }
    }

    /// Notes `subjects`, those of whom `are_kept` says so by their numbers, in their order; `repeats` gets the numbers of those who
    /// were noted before.
    pub(crate) fn note(
        &mut self,
        subjects: &[Subject],
        are_kept: impl Fn(usize) -> bool,
        mut repeats: impl FnMut(usize),
    ) {
        self.grow_for(subjects.len());
        for (part, some) in subjects.chunks(TOGETHER).enumerate() {
            let asked = some.iter().map(|subject| self.lines[self.home(subject)].0[0].words()[0]);
            black_box(asked.fold(0, |all, word| all ^ word));
            for (at, subject) in (part * TOGETHER..).zip(some) {
                if are_kept(at) && !self.is_new(*subject) {
                    repeats(at);
                }
            }
        }
    }

    /// Where to look for a subject first: in the order of the subjects' first words, so that the table grows in order.
    fn home(&self, subject: &Subject) -> usize {
        let share = u128::from(subject.words()[0]) * self.lines.len() as u128;
        (share >> 64) as usize
    }

    /// Notes a subject; `false` if it was before.
    fn is_new(&mut self, subject: Subject) -> bool {
        if subject == NOBODY {
            return !std::mem::replace(&mut self.nobody, true);
        }
        let mut at = self.home(&subject);
        loop {
            let Line(ways) = &mut self.lines[at];
            if ways.contains(&subject) {
                return false;
            }
            // Ways are filled from the first on.
            if let Some(free) = ways.iter_mut().find(|way| **way == NOBODY) {
                *free = subject;
                self.count += 1;
                return true;
            }
            at = if at + 1 == self.lines.len() { 0 } else { at + 1 };
        }
    }

    /// Makes room for so many more: by a half, when four fifths are taken. So a subject has 20 to 30 bytes, and 50 while it grows.
    fn grow_for(&mut self, more: usize) {
        let needed = self.count + more;
        if needed * 5 <= self.lines.len() * WAYS * 4 {
            return;
        }
        let lines = (self.lines.len() * 3 / 2).max(needed * 5 / (WAYS * 4) + 1);
        let before = std::mem::replace(&mut self.lines, vec![Line([NOBODY; WAYS]); lines]);
        self.count = 0;
        let subjects = before.iter().flat_map(|line| line.0).filter(|subject| *subject != NOBODY);
        subjects.for_each(|subject| {
            let new = self.is_new(subject);
            debug_assert!(new, "each is there once");
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Somebody: few, who begin alike or are next to each other, so that lines are full and pass people on to others.
    fn subject(n: u8) -> Subject {
        if n == u8::MAX {
            return NOBODY;
        }
        let first = if n.is_multiple_of(3) { u64::MAX } else { u64::from(n) << 60 };
        Subject::from_bytes((u128::from(n / 16) << 64 | u128::from(first)).to_le_bytes())
    }

    proptest! {
        /// Guarantees: somebody is told as noted before if and only if he was, by his whole subject, however many there are, and
        /// whoever is not to be noted is not.
        /// Fails when: a part of a subject stands for it; somebody is lost when the table grows or his line is full; the last line's
        /// are not passed on to the first.
        #[test]
        fn whoever_was_noted_is_told_again_and_nobody_else(
            batches in prop::collection::vec(prop::collection::vec((any::<u8>(), any::<bool>()), 0..150), 1..6),
        ) {
            let mut kept = Kept::new();
            let mut plain = HashSet::new();
            for batch in batches {
                let subjects: Vec<Subject> = batch.iter().map(|(n, _)| subject(*n)).collect();
                let (mut told, mut expected) = (Vec::new(), Vec::new());
                kept.note(&subjects, |at| batch[at].1, |at| told.push(at));
                for (at, (subject, (_, is_kept))) in subjects.iter().zip(&batch).enumerate() {
                    if *is_kept && !plain.insert(subject.to_bytes()) {
                        expected.push(at);
                    }
                }
                prop_assert_eq!(told, expected);
            }
        }
    }
}
