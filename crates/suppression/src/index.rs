//! The index: which subjects are known, the cells that each has a record in, and how far the log has been followed.

use std::sync::Arc;

use arrayvec::ArrayVec;
use tamis_campaign::{Channel, Purpose, RecordReason, Source, UnixMs};
use tamis_subject::Subject;
use tamis_wire::record::{Record, Scope, State};

use crate::cells::{Cells, OfScope};
use crate::cold::{Cold, Origin};
use crate::dictionary::{Dictionary, Known, Place, TOGETHER};
use crate::marks::{Cell, Marks, NONE};
use crate::segment::Room;
use crate::selection::Selection;
use crate::stored::Unreadable;
use tamis_memory::prefetch;

/// All records in force, or to come into force, up to a position of the log.
///
/// Its parts are cut by the dictionary's segments: `marks` and `cold` have one for each.
pub struct Index {
    pub(crate) position: Vec<i64>,
    gaps: u64,
    pub(crate) records: usize,
    pub(crate) cells: Cells,
    pub(crate) dictionary: Dictionary,
    pub(crate) marks: Vec<Marks>,
    pub(crate) cold: Vec<Cold>,
    /// What a segment that is built anew is given.
    pub(crate) room: Room,
    /// How often a segment was built anew.
    pub(crate) renewals: u64,
    /// How often anything was changed, so that what was prepared for another state is not taken.
    pub(crate) changes: u64,
    life: Life,
    /// The latest moment that the log has told, Unix ms: what expired long before is over for good.
    pub(crate) latest_ms: UnixMs,
}

/// One index, from when it was made on: tells it from another that takes its place.
#[derive(Debug, Clone)]
pub struct Life(Arc<()>);

impl PartialEq for Life {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// How much memory an index takes, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    /// Looked at for recipients: must be in memory.
    pub hot: usize,
    /// Whole subjects, sources and evidence: for the writer and to explain.
    pub cold: usize,
}

/// A record in force, as a look-up tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Why.
    pub reason: RecordReason,
    /// How far it reaches.
    pub scope: Scope,
    /// Which channel; `None` is every one.
    pub channel: Option<Channel>,
    /// From when on, Unix ms; 0 = at once.
    pub effective_at_ms: UnixMs,
    /// Until when, Unix ms; 0 = for good.
    pub expires_at_ms: UnixMs,
    /// Which door it came in by.
    pub source: Source,
    /// An opaque id.
    pub evidence: Box<str>,
    /// When the log took it, Unix ms.
    pub recorded_at_ms: UnixMs,
}

impl std::fmt::Debug for Index {
    /// Without what it holds: not even a part of a subject is printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("position", &self.position)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// An empty index over `partitions` partitions, for a log that is read from its beginning (see [`Index::settle`]).
    #[must_use]
    pub fn new(partitions: usize) -> Self {
        let dictionary = Dictionary::new();
        let places = dictionary.segment(0).places();
        Self {
            position: vec![0; partitions],
            gaps: 0,
            records: 0,
            cells: Cells::default(),
            dictionary,
            marks: vec![Marks::new()],
            cold: vec![Cold::new(places, 0)],
            room: Room::Ample,
            renewals: 0,
            changes: 0,
            life: Life(Arc::default()),
            latest_ms: 0,
        }
    }

    /// Which index it is.
    #[must_use]
    pub fn life(&self) -> Life {
        self.life.clone()
    }

    /// The next offset to apply of each partition.
    #[must_use]
    pub fn position(&self) -> &[i64] {
        &self.position
    }

    /// How often offsets were passed over that the log had nothing for: compacted away, or markers of transactions.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Applies a record. The latest by its place in the log counts; one from before the position is known already.
    ///
    /// What was not prepared ([`Index::prepare`]) is done here: a segment built anew takes milliseconds.
    ///
    /// # Errors
    /// When the snapshot in use can't be read. The index can't be relied on then.
    pub fn apply(
        &mut self,
        partition: i32,
        offset: i64,
        recorded_at_ms: UnixMs,
        record: &Record,
    ) -> Result<(), Unreadable> {
        if !self.move_past(partition, offset) {
            return Ok(());
        }
        self.latest_ms = self.latest_ms.max(recorded_at_ms);
        let cell = self.cells.number(record);
        let (identity, source) = (record.identity, record.source);
        let origin = Origin { identity, source, evidence: &*record.evidence, recorded_at_ms };
        loop {
            let done = match record.state {
                State::InForce => self.enforce(record, cell, &origin),
                State::Lifted => self.lift(&record.subject, cell),
            };
            match done {
                // A segment that was built anew has room for one more, or is half of what it was.
                Err(Obstacle::Full(segment)) => self.renew(segment)?,
                Err(Obstacle::Unreadable(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Asks memory for what [`Index::apply`] will need of `subjects`: to be called before a few dozen records are applied
    /// one after the other, each of which would wait by itself otherwise. It changes nothing.
    pub fn foresee<'s>(&self, subjects: impl Iterator<Item = &'s Subject> + Clone) {
        for subject in subjects.clone() {
            let segment = self.dictionary.foresee(subject);
            prefetch(&self.marks[segment as usize]);
            prefetch(&self.cold[segment as usize]);
        }
        // Only the line tells which place is next; and a store that is waited for holds back all stores after it.
        let mut passed_on = ArrayVec::<&Subject, TOGETHER>::new();
        for subject in subjects {
            match self.dictionary.expected(subject) {
                Some(place) => self.foresee_at(place),
                // With more of them than that, some wait.
                None => drop(passed_on.try_push(subject)),
            }
        }
        for place in passed_on.into_iter().filter_map(|subject| self.dictionary.expected_second(subject)) {
            self.foresee_at(place);
        }
    }

    /// Asks memory for where a look-up of each of `subjects` will look first.
    #[inline]
    pub fn ask_for(&self, subjects: &[Subject]) {
        for subject in subjects {
            self.dictionary.foresee(subject);
        }
    }

    #[inline]
    fn foresee_at(&self, Place { segment, local }: Place) {
        self.cold[segment as usize].foresee(local);
    }

    /// Notes a record in force.
    fn enforce(&mut self, record: &Record, cell: Cell, origin: &Origin<&str>) -> Result<(), Obstacle> {
        let subject = &record.subject;
        let place = if let Some(Known { place, mark }) = self.find_surely(subject)? {
            let new = self.marks[place.segment as usize]
                .with(mark, cell)
                .map_err(|_| Obstacle::Full(place.segment))?;
            self.records += usize::from(new != mark);
            self.dictionary.set_mark(place, new);
            place
        } else {
            let segment = self.dictionary.segment_of(subject);
            let full = Obstacle::Full(segment);
            let mark = self.marks[segment as usize].with(NONE, cell).map_err(|_| full)?;
            let place = self.dictionary.put(subject, mark).map_err(|_| full)?;
            self.cold[segment as usize].put(place.local, subject);
            self.records += 1;
            place
        };
        let segment = place.segment as usize;
        self.marks[segment].set_times(place.local, cell, (record.effective_at_ms, record.expires_at_ms));
        Ok(self.cold[segment].set(place.local, cell, origin)?)
    }

    /// Notes that nothing is in force in a cell.
    fn lift(&mut self, subject: &Subject, cell: Cell) -> Result<(), Obstacle> {
        let Some(Known { place, mark }) = self.find_surely(subject)? else { return Ok(()) };
        let segment = place.segment as usize;
        let new = self.marks[segment].without(mark, cell).map_err(|_| Obstacle::Full(place.segment))?;
        self.records -= usize::from(new != mark);
        self.dictionary.set_mark(place, new);
        self.marks[segment].set_times(place.local, cell, (0, 0));
        Ok(self.cold[segment].remove(place.local, cell)?)
    }

    /// Goes past a record that holds nothing to apply.
    pub fn advance(&mut self, partition: i32, offset: i64) {
        self.move_past(partition, offset);
    }

    /// The cells that a job selects: once a job, not once a recipient.
    #[must_use]
    pub fn select(&self, tenant: &str, list: &str, channel: Channel, purpose: Purpose) -> Selection<'_> {
        self.selection(tenant, list, channel, purpose, false)
    }

    /// As [`Index::select`], for a channel on which marketing may need a consent in force.
    #[inline]
    #[must_use]
    pub fn selection(
        &self,
        tenant: &str,
        list: &str,
        channel: Channel,
        purpose: Purpose,
        needs_consent: bool,
    ) -> Selection<'_> {
        let of_tenant = self.cells.tenants.get(tenant);
        let of_list = of_tenant.filter(|_| !list.is_empty()).and_then(|t| t.lists.get(list));
        let scopes = [Some(&self.cells.platform), of_tenant.map(|t| &t.own), of_list];
        Selection::new(self, scopes, channel, purpose, needs_consent)
    }

    /// Every record in force for `subject` that a job of `tenant` could meet, on any channel and list.
    ///
    /// # Errors
    /// When the snapshot in use can't be read.
    pub fn in_force(
        &self,
        tenant: &str,
        subject: &Subject,
        now_ms: UnixMs,
    ) -> Result<Vec<Found>, Unreadable> {
        let Some(known) = self.find_surely(subject)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        self.collect(&self.cells.platform, &Scope::Platform, known, now_ms, &mut found)?;
        if let Some((name, of)) = self.cells.tenants.get_key_value(tenant) {
            self.collect(&of.own, &Scope::Tenant(name.clone()), known, now_ms, &mut found)?;
            for (list, cells) in &of.lists {
                let scope = Scope::List { tenant: name.clone(), list: list.clone() };
                self.collect(cells, &scope, known, now_ms, &mut found)?;
            }
        }
        found.sort_by(|a, b| (a.reason, &a.scope, a.channel).cmp(&(b.reason, &b.scope, b.channel)));
        Ok(found)
    }

    /// The record of one cell, unless it is lifted. Its times say whether it counts: it may come into force later, or be over.
    ///
    /// # Errors
    /// When the snapshot in use can't be read.
    pub fn record_of(
        &self,
        subject: &Subject,
        scope: &Scope,
        channel: Option<Channel>,
        reason: RecordReason,
    ) -> Result<Option<Found>, Unreadable> {
        let (tenant, list) = scope.names();
        let of_tenant = || self.cells.tenants.get(tenant);
        let of = match scope {
            Scope::Platform => Some(&self.cells.platform),
            Scope::Tenant(_) => of_tenant().map(|tenant| &tenant.own),
            Scope::List { .. } => of_tenant().and_then(|tenant| tenant.lists.get(list)),
        };
        let wanted = |of: &OfScope| of.iter().find(|found| (found.0, found.1) == (reason, channel));
        let Some((.., cell)) = of.and_then(wanted) else { return Ok(None) };
        let Some(Known { place: Place { segment, local }, mark }) = self.find_surely(subject)? else {
            return Ok(None);
        };
        let marks = self.marks(segment);
        if !marks.set(mark).contains(cell) {
            return Ok(None);
        }
        self.found(Place { segment, local }, scope, (reason, channel, cell))
    }

    /// The record of a cell at a place that has one.
    fn found(
        &self,
        Place { segment, local }: Place,
        scope: &Scope,
        (reason, channel, cell): (RecordReason, Option<Channel>, Cell),
    ) -> Result<Option<Found>, Unreadable> {
        let (effective_at_ms, expires_at_ms) = self.marks(segment).times(local, cell);
        let found = self.cold[segment as usize].get(local, cell)?.map(|origin| Found {
            reason,
            scope: scope.clone(),
            channel,
            effective_at_ms,
            expires_at_ms,
            source: origin.source,
            evidence: origin.evidence,
            recorded_at_ms: origin.recorded_at_ms,
        });
        Ok(found)
    }

    fn collect(
        &self,
        of: &OfScope,
        scope: &Scope,
        known: Known,
        now_ms: UnixMs,
        found: &mut Vec<Found>,
    ) -> Result<(), Unreadable> {
        let Known { place, mark } = known;
        let marks = self.marks(place.segment);
        for (reason, channel, cell) in of.iter() {
            if marks.set(mark).contains(cell) && marks.in_force(place.local, cell, now_ms) {
                found.extend(self.found(place, scope, (reason, channel, cell))?);
            }
        }
        Ok(())
    }

    /// Subjects that have a record, or had one until lately.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.dictionary.subjects()
    }

    /// Records that are not lifted, in force or timed.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// About how much memory it takes, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Bytes { hot, cold } = self.bytes_apart();
        hot + cold
    }

    /// The same, with what must be at hand for recipients apart from the rest.
    #[must_use]
    pub fn bytes_apart(&self) -> Bytes {
        let marks: usize = self.marks.iter().map(Marks::bytes).sum();
        Bytes {
            hot: self.dictionary.bytes() + marks + self.cells.bytes(),
            cold: self.cold.iter().map(Cold::bytes).sum(),
        }
    }

    /// Whether it is `subject` that stands at `place`, for look-ups in doubt: two tags alike, once in 10¹¹. Who can't be read
    /// is taken for the one that is looked for, and dropped.
    #[inline]
    pub(crate) fn is_at(&self, place: Place, subject: &Subject) -> bool {
        self.cold[place.segment as usize].subject(place.local).map_or(true, |known| known == *subject)
    }

    #[inline]
    pub(crate) fn find(&self, subject: &Subject) -> Option<Known> {
        self.dictionary.find(subject, |place| self.is_at(place, subject))
    }

    pub(crate) fn find_surely(&self, subject: &Subject) -> Result<Option<Known>, Unreadable> {
        let mut unreadable = None;
        let known = self.dictionary.find_surely(subject, |Place { segment, local }| {
            match self.cold[segment as usize].subject(local) {
                Ok(known) => known == *subject,
                Err(error) => {
                    unreadable = Some(error);
                    false
                }
            }
        });
        unreadable.map_or(Ok(known), Err)
    }

    #[inline]
    pub(crate) fn marks(&self, segment: u32) -> &Marks {
        &self.marks[segment as usize]
    }

    /// Moves a partition's position past a record; `false` when it is past it already.
    fn move_past(&mut self, partition: i32, offset: i64) -> bool {
        let position = usize::try_from(partition).ok().and_then(|p| self.position.get_mut(p));
        match position {
            Some(position) if *position <= offset => {
                self.changes += 1;
                self.gaps += u64::from(*position < offset);
                *position = offset + 1;
                true
            }
            Some(_) | None => false,
        }
    }
}

/// What keeps a record from being applied.
#[derive(Debug, Clone, Copy)]
enum Obstacle {
    /// No room in this segment.
    Full(u32),
    Unreadable(Unreadable),
}

impl From<Unreadable> for Obstacle {
    fn from(error: Unreadable) -> Self {
        Self::Unreadable(error)
    }
}

#[cfg(test)]
mod tests;
