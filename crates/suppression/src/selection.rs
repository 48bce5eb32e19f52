//! What one job looks at: the handful of bitmaps of its scopes, its channel and its purpose.

use arrayvec::ArrayVec;
use tamis_campaign::{Channel, Purpose, Reason, RecordReason, UnixMs};
use tamis_subject::Subject;

use crate::index::{Id, Index, Slot, Slots};

/// Three scopes, two channels (the job's and every one), the reasons that drop.
const MOST: usize = 3 * 2 * (RecordReason::ALL.len() - 1);

/// A subject of which something is known.
#[derive(Debug, Clone, Copy)]
pub struct Hit(Id);

/// The bitmaps of a job, lowest reason first.
pub struct Selection<'i> {
    index: &'i Index,
    slots: ArrayVec<(Reason, &'i Slot), MOST>,
    contacts: bool,
}

impl<'i> Selection<'i> {
    pub(crate) fn new(
        index: &'i Index,
        scopes: [Option<&'i Slots>; 3],
        channel: Channel,
        purpose: Purpose,
    ) -> Self {
        let mut selection = Self { index, slots: ArrayVec::new(), contacts: false };
        for (row, record_reason) in RecordReason::ALL.iter().enumerate() {
            let Some(reason) = record_reason.drops().filter(|r| r.drops(purpose)) else { continue };
            for slots in scopes.iter().flatten() {
                for channel in [0, channel as usize] {
                    if let Some(number) = slots.of[row][channel] {
                        selection.slots.push((reason, index.slot(number)));
                    }
                }
            }
        }
        selection.contacts = !selection.is_empty() && scopes.iter().flatten().any(|s| s.contacts);
        selection
    }

    /// Whether there is nothing to look at: nobody is dropped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether contacts are worth looking up.
    #[must_use]
    pub fn wants_contacts(&self) -> bool {
        self.contacts
    }

    /// Whether anything is known of `subject`. To be asked for all recipients of a job one after the other, so that
    /// the look-ups wait for memory side by side; most are in no list, and the miss settles them.
    #[inline]
    #[must_use]
    pub fn hit(&self, subject: &Subject) -> Option<Hit> {
        if self.slots.is_empty() { None } else { self.index.id(subject).map(Hit) }
    }

    /// Why the subject of `hit` must not be written to at `now_ms`: the lowest reason in force (contract, section 2).
    #[must_use]
    pub fn reason(&self, hit: Hit, now_ms: UnixMs) -> Option<Reason> {
        self.slots.iter().find(|(_, slot)| slot.holds(hit.0, now_ms)).map(|(reason, _)| *reason)
    }
}
