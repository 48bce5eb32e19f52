//! Addresses that came before in the same job: a small table that is emptied for each.

use tamis_subject::Subject;

/// Slots for each recipient, at least: few enough for the first cache, and so many that most find an empty one at once.
const SPREAD: usize = 4;

/// Recipients by subject, open addressing: 0, or a recipient's number and one.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    slots: Vec<u32>,
}

impl Repeats {
    /// Begins a job of `recipients`.
    pub(crate) fn begin(&mut self, recipients: usize) {
        self.slots.clear();
        self.slots.resize((recipients * SPREAD).next_power_of_two(), 0);
    }

    /// Whether the subject of recipient `number`, of all those `subjects`, came before; if not, it is noted. All sixteen bytes are
    /// compared.
    #[inline]
    pub(crate) fn is_repeat(&mut self, number: u32, subjects: &[Subject]) -> bool {
        let subject = subjects[number as usize];
        let mask = self.slots.len() - 1;
        // Other bits than the dictionary's hash, though either would do.
        #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
        let mut at = subject.words()[1] as usize & mask;
        loop {
            match self.slots[at].checked_sub(1) {
                None => {
                    self.slots[at] = number + 1;
                    return false;
                }
                Some(other) if subjects[other as usize] == subject => return true,
                Some(_) => at = (at + 1) & mask,
            }
        }
    }
}
