//! What becomes of one job, and why.

use std::ops::Range;

use tamis_campaign::{Reason, RefusalCode, RejectReason, UnixMs, Verdict};
use tamis_suppression::Places;
use tamis_wire::RefusalView;

/// What becomes of one job. Borrows from the sieve and the job; valid until the next is decided.
#[derive(Debug)]
pub struct Decision<'a> {
    /// The verdict.
    pub verdict: Verdict,
    /// The gateway that was chosen; empty where none could be.
    pub gateway: &'a str,
    /// Recipients that arrived.
    pub recipients_in: u32,
    /// Recipients that go on.
    pub forwarded: u32,
    /// For each recipient whether it goes on; empty when nothing does.
    pub kept: &'a [bool],
    /// Why it was refused.
    pub refusal: Option<RefusalView>,
    /// The policy that it was decided by; empty without one.
    pub policy_version: &'a str,
    /// Whether each recipient that goes on gets an unsubscribe token of its own.
    pub tokens: bool,
    pub(crate) groups: Option<&'a Groups>,
    pub(crate) retry_at_ms: UnixMs,
}

impl<'a> Decision<'a> {
    pub(crate) fn without_counts(verdict: Verdict, gateway: &'a str, recipients_in: u32) -> Self {
        Self {
            verdict,
            gateway,
            recipients_in,
            forwarded: 0,
            kept: &[],
            refusal: None,
            policy_version: "",
            tokens: false,
            groups: None,
            retry_at_ms: 0,
        }
    }

    pub(crate) fn refused(gateway: &'a str, recipients_in: u32, refusal: RefusalView) -> Self {
        Self { refusal: Some(refusal), ..Self::without_counts(Verdict::Refused, gateway, recipients_in) }
    }

    /// The same job refused after all, since the recipient at `position` fits into no record.
    #[must_use]
    pub fn into_too_large(self, position: u32, bytes_max: usize) -> Self {
        self.into_unfit(format!(
            "field 15: the recipient at place {position} with the job's content does not fit into {bytes_max} bytes"
        ))
    }

    /// The same job refused after all, since its parts would be more than `times` its own bytes.
    #[must_use]
    pub fn into_too_much(self, times: usize, bytes_max: usize) -> Self {
        self.into_unfit(format!(
            "field 14: the job's content leaves its recipients so little of {bytes_max} bytes that the parts together would have more than {times} times the job's bytes"
        ))
    }

    /// The same job refused after all, since no unsubscribe token has room for its names.
    #[must_use]
    pub fn into_without_tokens(self, why: &str) -> Self {
        let message = format!("field 6: {why}");
        let refusal = RefusalView { code: RefusalCode::BadField, rule: "tenant.unsubscribe_tokens", message };
        Self::refused(self.gateway, self.recipients_in, refusal)
    }

    /// Refused for what a message may have at most.
    fn into_unfit(self, message: String) -> Self {
        let refusal = RefusalView { code: RefusalCode::BadField, rule: "topics.max_message_bytes", message };
        Self::refused(self.gateway, self.recipients_in, refusal)
    }

    /// Recipients dropped: reason, how many, places as a portable roaring bitmap.
    pub fn suppressed(&self) -> impl Iterator<Item = (Reason, u32, &'a [u8])> {
        let groups = self.groups;
        Reason::ALL.iter().enumerate().filter_map(move |(i, &reason)| {
            let group = &groups?.suppressed[i];
            group.count().map(|count| (reason, count, groups.map_or(&[][..], |g| g.bytes(group))))
        })
    }

    /// Recipients that could not be used, likewise.
    pub fn rejected(&self) -> impl Iterator<Item = (RejectReason, u32, &'a [u8])> {
        let groups = self.groups;
        RejectReason::ALL.iter().enumerate().filter_map(move |(i, &reason)| {
            let group = &groups?.rejected[i];
            group.count().map(|count| (reason, count, groups.map_or(&[][..], |g| g.bytes(group))))
        })
    }

    /// Recipients to send again: when, how many, which.
    #[must_use]
    pub fn deferred(&self) -> Option<(UnixMs, u32, &'a [u8])> {
        let groups = self.groups?;
        groups.deferred.count().map(|count| (self.retry_at_ms, count, groups.bytes(&groups.deferred)))
    }

    /// G6: `in = forwarded + suppressed + rejected + deferred`, where there are counts.
    #[must_use]
    pub fn books_close(&self) -> bool {
        let suppressed: u32 = self.suppressed().map(|(_, count, _)| count).sum();
        let rejected: u32 = self.rejected().map(|(_, count, _)| count).sum();
        let deferred = self.deferred().map_or(0, |(_, count, _)| count);
        self.groups.is_none() || self.recipients_in == self.forwarded + suppressed + rejected + deferred
    }
}

/// Places of one fate, and where their serialisation stands.
#[derive(Debug, Default)]
pub(crate) struct Group {
    places: Vec<u32>,
    bytes: Range<usize>,
}

impl Group {
    fn count(&self) -> Option<u32> {
        u32::try_from(self.places.len()).ok().filter(|count| *count > 0)
    }
}

/// The places of every fate but being forwarded. Reused from job to job.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    suppressed: [Group; Reason::ALL.len()],
    rejected: [Group; RejectReason::ALL.len()],
    deferred: Group,
    arena: Vec<u8>,
    used: bool,
}

impl Groups {
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.used) {
            self.all().for_each(|group| group.places.clear());
        }
    }

    pub(crate) fn suppress(&mut self, reason: Reason, place: u32) {
        self.used = true;
        self.suppressed[reason as usize - 1].places.push(place);
    }

    pub(crate) fn reject(&mut self, reason: RejectReason, place: u32) {
        self.used = true;
        self.rejected[reason as usize - 1].places.push(place);
    }

    pub(crate) fn defer(&mut self, place: u32) {
        self.used = true;
        self.deferred.places.push(place);
    }

    pub(crate) fn deferred_count(&self) -> usize {
        self.deferred.places.len()
    }

    /// Serialises what there is.
    pub(crate) fn seal(&mut self) {
        if !self.used {
            return;
        }
        let mut arena = std::mem::take(&mut self.arena);
        arena.clear();
        for group in self.all().filter(|group| !group.places.is_empty()) {
            let start = arena.len();
            // Those whom the filter knows come nearly in order.
            group.places.sort_unstable();
            Places::write_ascending(&group.places, &mut arena);
            group.bytes = start..arena.len();
        }
        self.arena = arena;
    }

    fn bytes(&self, group: &Group) -> &[u8] {
        &self.arena[group.bytes.clone()]
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Group> {
        self.suppressed.iter_mut().chain(&mut self.rejected).chain([&mut self.deferred])
    }
}
