//! All records that an index has, some of its subjects after the others, while it is in use.
//!
//! A walk is cut by the first 32 bits of subjects and by nothing else. So it may go on in any index of the same log and key:
//! after a segment was split, and in a process that was started again. Whoever has a record all the time is told once.

use hashbrown::HashMap;
use tamis_campaign::{Channel, Identity, RecordReason, Source, UnixMs};
use tamis_subject::Subject;
use tamis_wire::record::Scope;

use crate::cells::OfScope;
use crate::cold::Cold;
use crate::dictionary::{Known as Found, Place};
use crate::index::Index;
use crate::marks::{Cell, Marks, Set};
use crate::segment::Segment;
use crate::stored::Unreadable;

/// About how many records a stretch tells: with the longest evidence they are some thirty MB of text.
const RECORDS_MOST: usize = if cfg!(test) { 50 } else { 1 << 16 };

/// A record that is not lifted and not over: in force, or to come into force later.
#[derive(Debug)]
pub struct Known<'a> {
    /// Whose.
    pub subject: Subject,
    /// What the subject was made from.
    pub identity: Identity,
    /// How far it reaches.
    pub scope: &'a Scope,
    /// Which channel; `None` is every one.
    pub channel: Option<Channel>,
    /// Why.
    pub reason: RecordReason,
    /// From when on, Unix ms; 0 = at once.
    pub effective_at_ms: UnixMs,
    /// Until when, Unix ms; 0 = for good.
    pub expires_at_ms: UnixMs,
    /// Which door it came in by.
    pub source: Source,
    /// An opaque id.
    pub evidence: &'a str,
    /// When the log took it, Unix ms.
    pub recorded_at_ms: UnixMs,
}

/// What cells stand for: those that are wanted.
struct Names(HashMap<Cell, Name>);

struct Name {
    scope: Scope,
    reason: RecordReason,
    channel: Option<Channel>,
}

/// What is known of the subjects that begin with some bits, as it was at one moment.
pub struct Stretch {
    from: u32,
    /// By how many bits the subjects of the segment begin alike.
    depth: u8,
    segment: Segment,
    marks: Marks,
    cold: Cold,
    names: Names,
}

impl std::fmt::Debug for Stretch {
    /// Without what it holds of subjects.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stretch").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Index {
    /// Copies what is known of subjects from `from` on, which is 0 at the beginning: a segment's, at most. Of one tenant's scope
    /// and lists alone, or of everything. A few MB: the index must stand still for it, and for nothing that is done with it.
    #[must_use]
    pub fn stretch(&self, from: u32, tenant: Option<&str>) -> Stretch {
        let (number, depth) = self.dictionary.at(from);
        let (segment, marks) = (self.dictionary.segment(number), self.marks(number));
        let names = self.names(tenant, segment.iter().map(|(_, mark)| marks.set(mark)));
        Stretch {
            from,
            depth,
            segment: segment.to_owned(),
            marks: marks.clone(),
            cold: self.cold[number as usize].copy(),
            names,
        }
    }

    /// Tells the records of each of `subjects`, with its number: of one tenant's scope and lists alone, or all.
    ///
    /// # Errors
    /// When the snapshot in use can't be read.
    pub fn records_of(
        &self,
        subjects: &[Subject],
        tenant: Option<&str>,
        now_ms: UnixMs,
        mut each: impl FnMut(usize, Known<'_>),
    ) -> Result<(), Unreadable> {
        let mut found = Vec::new();
        for (number, subject) in subjects.iter().enumerate() {
            if let Some(Found { place, mark }) = self.find_surely(subject)? {
                found.push((number, place, mark));
            }
        }
        let sets = found.iter().map(|(_, place, mark)| self.marks(place.segment).set(*mark));
        let names = self.names(tenant, sets);
        for (number, Place { segment, local }, mark) in found {
            let (marks, cold) = (self.marks(segment), &self.cold[segment as usize]);
            names.tell(marks, cold, (local, mark), subjects[number], now_ms, |known| each(number, known))?;
        }
        Ok(())
    }

    /// The names of the cells of `sets`, as far as they are the tenant's.
    fn names<'s>(&self, tenant: Option<&str>, sets: impl Iterator<Item = Set<'s>>) -> Names {
        let mut wanted = vec![false; self.cells.count() as usize];
        for set in sets {
            set.cells().iter().for_each(|cell| wanted[*cell as usize] = true);
        }
        let mut names = Names(HashMap::new());
        let mut add = |of: &OfScope, scope: &dyn Fn() -> Scope| {
            for (reason, channel, cell) in of.iter().filter(|(.., cell)| wanted[*cell as usize]) {
                names.0.insert(cell, Name { scope: scope(), reason, channel });
            }
        };
        if tenant.is_none() {
            add(&self.cells.platform, &|| Scope::Platform);
        }
        let tenants = self.cells.tenants.iter();
        for (name, of) in tenants.filter(|(name, _)| tenant.is_none_or(|tenant| tenant == &***name)) {
            add(&of.own, &|| Scope::Tenant(name.clone()));
            for (list, of) in &of.lists {
                add(of, &|| Scope::List { tenant: name.clone(), list: list.clone() });
            }
        }
        names
    }
}

impl Stretch {
    /// Tells its records. Answers from where to go on; `None` when there is nothing left.
    ///
    /// # Errors
    /// When the snapshot in use can't be read.
    pub fn records(
        &self,
        now_ms: UnixMs,
        mut each: impl FnMut(Known<'_>),
    ) -> Result<Option<u32>, Unreadable> {
        let until = self.until();
        let cold = self.cold.whole()?;
        for (local, mark) in self.segment.iter() {
            if !self.marks.set(mark).cells().iter().any(|cell| self.names.0.contains_key(cell)) {
                continue;
            }
            let subject = cold.subject(local)?;
            if (u64::from(self.from)..until).contains(&(subject.words()[0] >> 32)) {
                self.names.tell(&self.marks, &cold, (local, mark), subject, now_ms, &mut each)?;
            }
        }
        Ok(u32::try_from(until).ok())
    }

    /// Where it ends: with its segment, or before, if that has very many records.
    fn until(&self) -> u64 {
        let of_tenant = |cell: &&Cell| self.names.0.contains_key(*cell);
        let sets = self.segment.iter().map(|(_, mark)| self.marks.set(mark));
        let records: usize = sets.map(|set| set.cells().iter().filter(of_tenant).count()).sum();
        let pieces = records.div_ceil(RECORDS_MOST).max(1).next_power_of_two() as u64;
        let width = ((1 << (32 - u32::from(self.depth))) / pieces).max(1);
        (u64::from(self.from) / width + 1) * width
    }
}

impl Names {
    /// Tells what is known of the subject at a place, whose mark it is.
    fn tell(
        &self,
        marks: &Marks,
        cold: &Cold,
        (local, mark): (u16, u16),
        subject: Subject,
        now_ms: UnixMs,
        mut each: impl FnMut(Known<'_>),
    ) -> Result<(), Unreadable> {
        for cell in marks.set(mark).cells() {
            let Some(Name { scope, reason, channel }) = self.0.get(cell) else { continue };
            let (effective_at_ms, expires_at_ms) = marks.times(local, *cell);
            if expires_at_ms != 0 && expires_at_ms <= now_ms {
                continue;
            }
            let Some(origin) = cold.get(local, *cell)? else { continue };
            each(Known {
                subject,
                identity: origin.identity,
                scope,
                channel: *channel,
                reason: *reason,
                effective_at_ms,
                expires_at_ms,
                source: origin.source,
                evidence: &origin.evidence,
                recorded_at_ms: origin.recorded_at_ms,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
