//! What one job looks at: the handful of cells of its scopes, its channel and its purpose.

use arrayvec::ArrayVec;
use tamis_campaign::{Channel, Purpose, Reason, RecordReason, UnixMs};
use tamis_subject::Subject;

use crate::cells::{OfScope, row};
use crate::dictionary::{self, Known, Place};
use crate::index::Index;
use crate::marks::Cell;

/// Three scopes, two channels (the job's and every one), the reasons that drop.
const MOST: usize = 3 * 2 * (RecordReason::ALL.len() - 1);
/// Three scopes, two channels: a consent.
const CONSENTS_MOST: usize = 3 * 2;

/// A subject of which something is known, to be asked about while the index stands still.
#[derive(Debug, Clone, Copy)]
pub struct Hit(Known);

/// The cells of a job, lowest reason first.
#[derive(Debug)]
pub struct Selection<'i> {
    index: &'i Index,
    cells: ArrayVec<(Reason, Cell), MOST>,
    /// The cells of consents, where one is needed.
    consents: Option<ArrayVec<Cell, CONSENTS_MOST>>,
    contacts: bool,
}

impl<'i> Selection<'i> {
    pub(crate) fn new(
        index: &'i Index,
        scopes: [Option<&OfScope>; 3],
        channel: Channel,
        purpose: Purpose,
        needs_consent: bool,
    ) -> Self {
        let mut selection = Self { index, cells: ArrayVec::new(), consents: None, contacts: false };
        for record_reason in RecordReason::ALL {
            let Some(reason) = record_reason.drops().filter(|r| r.drops(purpose)) else { continue };
            for scope in scopes.iter().flatten() {
                for channel in [None, Some(channel)] {
                    if let Some(cell) = scope.of(row(*record_reason), channel) {
                        selection.cells.push((reason, cell));
                    }
                }
            }
        }
        if needs_consent && Reason::NoConsent.drops(purpose) {
            let cells = scopes.iter().flatten().flat_map(|scope| {
                [None, Some(channel)].map(|channel| scope.of(row(RecordReason::Consent), channel))
            });
            selection.consents = Some(cells.flatten().collect());
        }
        selection.contacts = !selection.is_empty() && scopes.iter().flatten().any(|s| s.contacts);
        selection
    }

    /// Whether there is nothing to look at: the filter says the same of everybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.consents.as_ref().is_none_or(ArrayVec::is_empty)
    }

    /// What is said of somebody of whom nothing is known: where a consent is needed, that there is none.
    #[must_use]
    pub fn of_unknown(&self) -> Option<Reason> {
        self.consents.as_ref().map(|_| Reason::NoConsent)
    }

    /// Whether contacts are worth looking up.
    #[must_use]
    pub fn wants_contacts(&self) -> bool {
        self.contacts
    }

    /// Whether anything is known of `subject`. For several, [`Selection::hits`] is much faster.
    #[inline]
    #[must_use]
    pub fn hit(&self, subject: &Subject) -> Option<Hit> {
        if self.is_empty() { None } else { self.index.find(subject).map(Hit) }
    }

    /// Begins look-ups of many, which come some at a time.
    #[inline]
    #[must_use]
    pub fn look_ups(&self) -> LookUps<'i> {
        LookUps {
            index: self.index,
            inner: (!self.is_empty()).then(|| dictionary::LookUps::new(&self.index.dictionary)),
        }
    }

    /// Looks up all of `subjects`; `told` gets the number and the hit of each of which anything is known, in any order. Most
    /// are in no list, and the miss settles them: one line of the cache, waited for side by side.
    #[inline]
    pub fn hits(&self, subjects: &[Subject], mut told: impl FnMut(usize, Hit)) {
        let mut look_ups = self.look_ups();
        look_ups.ask(subjects, &mut told);
        look_ups.settle(subjects, told);
    }

    /// Why each of `subjects` must not be written to at `now_ms`, appended to `reasons` in their order.
    pub fn reasons(&self, subjects: &[Subject], now_ms: UnixMs, reasons: &mut Vec<Option<Reason>>) {
        let first = reasons.len();
        reasons.resize(first + subjects.len(), self.of_unknown());
        self.hits(subjects, |number, hit| reasons[first + number] = self.reason(hit, now_ms));
    }

    /// Why the subject of `hit` must not be written to at `now_ms`: the lowest reason in force (contract, section 2). That no
    /// consent is in force, where one is needed, is the last of them.
    #[inline]
    #[must_use]
    pub fn reason(&self, hit: Hit, now_ms: UnixMs) -> Option<Reason> {
        let Known { place, mark } = hit.0;
        let marks = self.index.marks(place.segment);
        let known = marks.set(mark);
        let in_force = |cell: Cell| known.contains(cell) && marks.in_force(place.local, cell, now_ms);
        let first = self.cells.iter().find(|(_, cell)| in_force(*cell)).map(|(reason, _)| *reason);
        let Some(consents) = &self.consents else { return first };
        let consented = || consents.iter().any(|cell| in_force(*cell));
        first.or_else(|| (!consented()).then_some(Reason::NoConsent))
    }
}

/// Look-ups of many subjects, which come some at a time: each waits for memory while those after it are made.
pub struct LookUps<'i> {
    index: &'i Index,
    /// `None` where there is nothing to look at.
    inner: Option<dictionary::LookUps<'i>>,
}

impl LookUps<'_> {
    /// Takes those of `subjects` that are new since the last call; `subjects` are always all of them, from the first on. `told` gets
    /// the number and the hit of some of which anything is known.
    #[inline]
    pub fn ask(&mut self, subjects: &[Subject], mut told: impl FnMut(usize, Hit)) {
        let Some(inner) = &mut self.inner else { return };
        inner.ask(subjects, is_same(self.index, subjects), |number, known| told(number, Hit(known)));
    }

    /// Looks up all that are left: now `told` has had every hit, once, in any order.
    #[inline]
    pub fn settle(self, subjects: &[Subject], mut told: impl FnMut(usize, Hit)) {
        let Some(inner) = self.inner else { return };
        inner.settle(subjects, is_same(self.index, subjects), |number, known| told(number, Hit(known)));
    }
}

#[inline]
fn is_same(index: &Index, subjects: &[Subject]) -> impl Fn(usize, Place) -> bool {
    move |number, place| index.is_at(place, &subjects[number])
}

/// Why a person must not be written to who is known by two subjects, address and contact: the lower of what is said of each. A
/// consent of either is one of the person, so that its lack is the other's to say.
#[inline]
#[must_use]
pub fn of_both(one: Option<Reason>, other: Option<Reason>) -> Option<Reason> {
    match (one, other) {
        (Some(Reason::NoConsent), said) | (said, Some(Reason::NoConsent)) => said,
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
