//! What one job looks at: the handful of bitmaps of its scopes, its channel and its purpose.

use tamis_campaign::{Channel, Purpose, Reason, RecordReason, UnixMs};
use tamis_subject::Subject;

use crate::index::{Index, Slot, Slots};

/// Three scopes, two channels (the job's and every one), the reasons that drop.
const MOST: usize = 3 * 2 * (RecordReason::ALL.len() - 1);

/// The bitmaps of a job, lowest reason first.
pub struct Selection<'i> {
    index: &'i Index,
    slots: [Option<(Reason, &'i Slot)>; MOST],
    count: usize,
    contacts: bool,
}

impl<'i> Selection<'i> {
    pub(crate) fn new(
        index: &'i Index,
        scopes: [Option<&'i Slots>; 3],
        channel: Channel,
        purpose: Purpose,
    ) -> Self {
        let mut selection = Self { index, slots: [None; MOST], count: 0, contacts: false };
        for (row, record_reason) in RecordReason::ALL.iter().enumerate() {
            let Some(reason) = record_reason.drops().filter(|r| r.drops(purpose)) else { continue };
            for slots in scopes.iter().flatten() {
                for channel in [0, channel as usize] {
                    if let Some(number) = slots.of[row][channel] {
                        selection.slots[selection.count] = Some((reason, index.slot(number)));
                        selection.count += 1;
                    }
                }
            }
        }
        selection.contacts = selection.count > 0 && scopes.iter().flatten().any(|s| s.contacts);
        selection
    }

    /// Whether there is nothing to look at: nobody is dropped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether contacts are worth looking up.
    #[must_use]
    pub fn wants_contacts(&self) -> bool {
        self.contacts
    }

    /// Why `subject` must not be written to at `now_ms`: the lowest reason in force (contract, section 2).
    #[inline]
    #[must_use]
    pub fn reason(&self, subject: &Subject, now_ms: UnixMs) -> Option<Reason> {
        if self.count == 0 {
            return None;
        }
        let id = self.index.id(subject)?;
        self.slots[..self.count]
            .iter()
            .flatten()
            .find(|(_, slot)| slot.holds(id, now_ms))
            .map(|(reason, _)| *reason)
    }
}
