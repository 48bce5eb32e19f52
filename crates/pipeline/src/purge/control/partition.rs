//! What is known of the content of one partition.

use tamis_bus::{First, Span};
use tamis_campaign::UnixMs;

use super::Moment;
use crate::control::Millis;

/// The oldest content of a partition, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Not looked at since something came or went.
    Unknown {
        /// Nothing in it is older than this; `None` when that is not known either.
        oldest_ms: Option<UnixMs>,
    },
    /// No record in the span: nothing, or markers of transactions only.
    Nothing {
        /// Last seen so.
        at_ms: UnixMs,
    },
    /// There is content.
    Record {
        /// The first record's offset.
        offset: i64,
        /// Its timestamp in the log.
        timestamp_ms: UnixMs,
        /// When it was first found to be the first.
        since: Millis,
    },
}

/// One partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The span that `found` was found in, or is to be looked for in.
    span: Span,
    pub(super) found: Found,
}

impl Default for Part {
    fn default() -> Self {
        Self { span: Span { start: 0, end: 0 }, found: Found::Unknown { oldest_ms: None } }
    }
}

impl Part {
    /// The span is this now: what was found may not be true of it any more.
    pub(super) fn see(&mut self, span: Span, moment: Moment) {
        // A start that went back has shown again what was gone: nothing is known then.
        let went_back = span.start < self.span.start;
        self.found = match self.found {
            _ if span.start >= span.end => Found::Nothing { at_ms: moment.unix_ms },
            _ if went_back => Found::Unknown { oldest_ms: None },
            Found::Unknown { oldest_ms } => Found::Unknown { oldest_ms },
            Found::Nothing { .. } if span.end == self.span.end => Found::Nothing { at_ms: moment.unix_ms },
            Found::Nothing { at_ms } => Found::Unknown { oldest_ms: Some(at_ms) },
            Found::Record { offset, .. } if span.start <= offset => self.found,
            // What comes after a record is not older.
            Found::Record { timestamp_ms, .. } => Found::Unknown { oldest_ms: Some(timestamp_ms) },
        };
        self.span = span;
    }

    /// Where to look from, if it is not known what is there.
    pub(super) fn wants_look(&self) -> Option<i64> {
        matches!(self.found, Found::Unknown { .. }).then_some(self.span.start)
    }

    /// A look was had.
    pub(super) fn looked(&mut self, first: Option<First>, moment: Moment) {
        self.found = match first {
            None => Found::Nothing { at_ms: moment.unix_ms },
            Some(First { offset, timestamp_ms }) => Found::Record { offset, timestamp_ms, since: moment.now },
        };
    }

    /// The age of the oldest content, at most; 0 when nothing is there.
    pub(super) fn age_ms(&self, moment: Moment) -> Millis {
        let oldest_ms = match self.found {
            Found::Nothing { .. } => None,
            Found::Unknown { oldest_ms } => oldest_ms,
            Found::Record { timestamp_ms, .. } => Some(timestamp_ms),
        };
        // The log's clock may be ahead of ours.
        oldest_ms.map_or(0, |oldest| moment.unix_ms.saturating_sub(oldest).max(0).unsigned_abs())
    }
}
