//! Addresses that came before in the same job: a small table that is emptied by counting up.

use tamis_subject::Subject;

/// Places by subject, open addressing; a slot counts only if its stamp is this job's.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    slots: Vec<(u32, u32)>,
    stamp: u32,
    mask: usize,
}

impl Repeats {
    /// Begins a job of `recipients`.
    pub(crate) fn begin(&mut self, recipients: usize) {
        let size = (recipients * 2).next_power_of_two();
        if self.slots.len() < size {
            self.slots = vec![(0, 0); size];
            self.stamp = 0;
        }
        self.mask = size - 1;
        self.stamp = self.stamp.checked_add(1).unwrap_or_else(|| {
            self.slots.fill((0, 0));
            1
        });
    }

    /// Whether `subject` came before; if not, it is noted as standing at `place`. All sixteen bytes are compared.
    #[inline]
    pub(crate) fn is_repeat(
        &mut self,
        place: u32,
        subject: Subject,
        subject_at: impl Fn(u32) -> Subject,
    ) -> bool {
        // Other bits than the dictionary's hash, though either would do.
        #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
        let mut at = subject.words()[1] as usize & self.mask;
        loop {
            let (stamp, other) = self.slots[at];
            if stamp != self.stamp {
                self.slots[at] = (self.stamp, place);
                return false;
            }
            if subject_at(other) == subject {
                return true;
            }
            at = (at + 1) & self.mask;
        }
    }
}
