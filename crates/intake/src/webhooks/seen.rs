//! What was taken in the last minutes, so that a call that is repeated is not counted again: a stop that somebody sends once more after a
//! start, or a gateway that did not hear our answer. Pure.
//!
//! It is bounded. When it is full, what it can't remember still counts if it only adds, since an opt-out is never sent away; what lifts
//! is refused until there is room ([`Seen::is_full`]).

use std::collections::{HashSet, VecDeque};

use tamis_campaign::UnixMs;

/// How long a call is remembered: as long as its signature can be fresh, from five minutes ahead of us to five behind.
pub(crate) const KEPT_MS: i64 = 2 * super::signature::TOLERANCE_MS;
/// Most marks, of which an event leaves two: 160 events a second for ten minutes, in some 20 MB.
pub(crate) const MARKS_MAX: usize = 200_000;

/// A digest of what identifies a call or a message.
pub(crate) type Mark = [u8; 16];

/// The memory.
#[derive(Default)]
pub(crate) struct Seen {
    marks: HashSet<Mark>,
    /// In the order in which they came.
    order: VecDeque<(UnixMs, Mark)>,
}

impl Seen {
    /// Whether one of `marks` was taken lately.
    pub(crate) fn has_any(&mut self, marks: &[Mark], now_ms: UnixMs) -> bool {
        self.forget(now_ms);
        marks.iter().any(|mark| self.marks.contains(mark))
    }

    /// Whether there is no room for an event more.
    pub(crate) fn is_full(&mut self, now_ms: UnixMs) -> bool {
        self.forget(now_ms);
        self.order.len() + 2 > MARKS_MAX
    }

    /// Remembers `marks`, those of one event, if there is room.
    pub(crate) fn remember(&mut self, marks: &[Mark], now_ms: UnixMs) {
        if self.is_full(now_ms) {
            return;
        }
        for mark in marks {
            if self.marks.insert(*mark) {
                self.order.push_back((now_ms, *mark));
            }
        }
    }

    fn forget(&mut self, now_ms: UnixMs) {
        // A clock that was set back keeps them longer, and one that was set forward is right from then on.
        while self.order.front().is_some_and(|(at_ms, _)| now_ms - at_ms > KEPT_MS) {
            if let Some((_, mark)) = self.order.pop_front() {
                self.marks.remove(&mark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: usize) -> Mark {
        (number as u128).to_le_bytes()
    }

    #[test]
    fn a_call_is_known_as_long_as_its_signature_can_be_fresh() {
        let mut seen = Seen::default();
        seen.remember(&[mark(1), mark(2)], 1_000);
        assert!(seen.has_any(&[mark(9), mark(2)], 1_000 + KEPT_MS));
        assert!(!seen.has_any(&[mark(3)], 1_000));
        assert!(!seen.has_any(&[mark(1), mark(2)], 1_001 + KEPT_MS));
        assert!(seen.marks.is_empty() && seen.order.is_empty());
    }

    /// Guarantees: it never grows past its limit, says so, and has room again in time.
    #[test]
    fn it_is_bounded_and_says_when_it_is_full() {
        let mut seen = Seen::default();
        for number in 0..MARKS_MAX {
            seen.remember(&[mark(2 * number), mark(2 * number + 1)], 5);
        }
        assert_eq!((seen.order.len(), seen.marks.len()), (MARKS_MAX, MARKS_MAX));
        assert!(seen.is_full(5) && seen.has_any(&[mark(0)], 5));
        assert!(!seen.is_full(6 + KEPT_MS));
    }
}
