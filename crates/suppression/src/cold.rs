//! What no look-up of the line needs: whole subjects, and where each record came from.
//!
//! It has one part for each segment of the dictionary. Where the index was loaded from a snapshot, or has written one, the
//! part stays in that file and only what has changed since is in memory. It is read when the writer must be sure whose
//! record it is, when a segment is built anew, and to explain.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use tamis_campaign::{Identity, Source, UnixMs};
use tamis_subject::Subject;

use crate::marks::Cell;
use crate::stored::{Shape, Stored, Unreadable};
use tamis_memory::prefetch_all;

/// No next detail.
pub(crate) const END: u32 = u32::MAX;

/// Where a record came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin<T = Box<str>> {
    /// Of what kind the subject is. No record of its tells another, but only records tell it.
    pub(crate) identity: Identity,
    pub(crate) source: Source,
    pub(crate) evidence: T,
    pub(crate) recorded_at_ms: UnixMs,
}

/// A record's origin, packed into 20 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Detail {
    pub(crate) next: u32,
    pub(crate) cell: Cell,
    /// Where the evidence stands in `texts`; 0 is the empty one.
    pub(crate) evidence: u32,
    /// When, in 56 bits of two's complement (enough for a million years), then the identity's number in 4 and the source's in
    /// the last 4.
    pub(crate) recorded: [u32; 2],
}

/// A subject's four words, low ones first, and the first of its details: 20 bytes, side by side.
#[derive(Clone, Copy)]
pub(crate) struct Person {
    pub(crate) subject: [u32; 4],
    pub(crate) first: u32,
}

impl Person {
    pub(crate) const NOBODY: Self = Self { subject: [0; 4], first: END };

    pub(crate) fn subject(&self) -> Subject {
        let words = self.subject.iter().rev();
        Subject::from_bytes(words.fold(0, |all: u128, word| all << 32 | u128::from(*word)).to_le_bytes())
    }
}

/// All that is kept of one subject.
pub(crate) struct Told {
    pub(crate) subject: Subject,
    pub(crate) origins: Vec<(Cell, Origin)>,
}

/// Who stands where.
#[derive(Clone)]
enum People {
    /// Everybody, by place in the segment; what stands at an empty place means nothing.
    All(Vec<Person>),
    /// Those that are new or have changed since the snapshot.
    Changed(HashMap<u16, Person>),
}

/// The cold part of one segment.
#[derive(Clone)]
pub(crate) struct Cold {
    stored: Option<Arc<Stored>>,
    people: People,
    details: Vec<Detail>,
    /// Details that are free, linked.
    free: u32,
    /// Evidence, each after its length (4 bytes, little-endian).
    texts: Vec<u8>,
    /// Who has changed since shortly before the part was copied for a snapshot that is being written.
    changed: Option<HashSet<u16>>,
}

impl Cold {
    /// For a segment of `places`; room for `details` records.
    pub(crate) fn new(places: usize, details: usize) -> Self {
        Self {
            stored: None,
            people: People::All(vec![Person::NOBODY; places]),
            details: Vec::with_capacity(details),
            free: END,
            texts: Vec::new(),
            changed: None,
        }
    }

    /// All in memory, as it was stored.
    pub(crate) fn of_parts(people: Vec<Person>, details: Vec<Detail>, texts: Vec<u8>) -> Self {
        Self { people: People::All(people), details, texts, ..Self::new(0, 0) }
    }

    /// As a snapshot has it.
    pub(crate) fn of_stored(stored: Stored) -> Self {
        Self { stored: Some(Arc::new(stored)), people: People::Changed(HashMap::new()), ..Self::new(0, 0) }
    }

    fn person(&self, local: u16) -> Option<&Person> {
        match &self.people {
            People::All(people) => Some(&people[usize::from(local)]),
            People::Changed(people) => people.get(&local),
        }
    }

    fn person_mut(&mut self, local: u16) -> &mut Person {
        match &mut self.people {
            People::All(people) => &mut people[usize::from(local)],
            People::Changed(people) => people.entry(local).or_insert(Person::NOBODY),
        }
    }

    fn first(&self, local: u16) -> u32 {
        self.person(local).map_or(END, |person| person.first)
    }

    /// Who stands at a place that is taken.
    pub(crate) fn subject(&self, local: u16) -> Result<Subject, Unreadable> {
        match (self.person(local), &self.stored) {
            (Some(person), _) => Ok(person.subject()),
            (None, Some(stored)) => Ok(stored.person(local)?.subject()),
            (None, None) => Err(Unreadable::Damaged),
        }
    }

    /// Asks for who is at `local`, and for where the next detail will be, so that they are near when they are wanted.
    #[inline]
    pub(crate) fn foresee(&self, local: u16) {
        if let People::All(people) = &self.people {
            prefetch_all(&raw const people[usize::from(local)]);
        }
        prefetch_all(self.details.as_ptr().wrapping_add(self.details.len()));
    }

    /// Reads who is at `local`, if only the snapshot has it: to be brought in later.
    pub(crate) fn told(&self, local: u16) -> Result<Option<Told>, Unreadable> {
        match &self.stored {
            Some(stored) if self.person(local).is_none() => stored.told(local).map(Some),
            _ => Ok(None),
        }
    }

    /// Takes into memory what [`Cold::told`] read.
    pub(crate) fn bring(&mut self, local: u16, told: &Told) {
        if self.person(local).is_some() {
            return;
        }
        self.put(local, &told.subject);
        for (cell, origin) in &told.origins {
            self.add(local, *cell, &origin.borrowed());
        }
    }

    /// Makes sure that who is at `local` is in memory, before it is changed.
    fn change(&mut self, local: u16) -> Result<(), Unreadable> {
        if let Some(told) = self.told(local)? {
            self.bring(local, &told);
        }
        if let Some(changed) = &mut self.changed {
            changed.insert(local);
        }
        Ok(())
    }

    /// Notes who stands at an empty place.
    #[expect(clippy::cast_possible_truncation, reason = "the words' halves")]
    pub(crate) fn put(&mut self, local: u16, subject: &Subject) {
        let [low, high] = subject.words();
        let subject = [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32];
        *self.person_mut(local) = Person { subject, first: END };
    }

    fn find(&self, local: u16, cell: Cell) -> Option<(u32, u32)> {
        let (mut before, mut at) = (END, self.first(local));
        while at != END {
            let detail = &self.details[at as usize];
            if detail.cell == cell {
                return Some((before, at));
            }
            (before, at) = (at, detail.next);
        }
        None
    }

    /// Notes where the record of the subject at `local` in `cell` came from, in place of what was known.
    pub(crate) fn set(&mut self, local: u16, cell: Cell, origin: &Origin<&str>) -> Result<(), Unreadable> {
        self.change(local)?;
        let Some((_, at)) = self.find(local, cell) else {
            self.add(local, cell, origin);
            return Ok(());
        };
        if text(&self.texts, self.details[at as usize].evidence) != Some(origin.evidence) {
            self.details[at as usize].evidence = self.keep(origin.evidence);
        }
        self.details[at as usize].recorded = pack(origin);
        Ok(())
    }

    /// The same for a record of which nothing is known yet.
    fn add(&mut self, local: u16, cell: Cell, origin: &Origin<&str>) {
        let evidence = self.keep(origin.evidence);
        let recorded = pack(origin);
        self.link(local, Detail { next: END, cell, evidence, recorded });
    }

    /// Puts a detail before those of the subject at `local`.
    #[inline]
    fn link(&mut self, local: u16, detail: Detail) {
        let detail = Detail { next: self.first(local), ..detail };
        self.person_mut(local).first = if self.free == END {
            if self.details.len() == self.details.capacity() {
                // By an eighth, not to twice: this is most of the memory.
                self.details.reserve_exact(self.details.len() / 8 + 4);
            }
            self.details.push(detail);
            u32::try_from(self.details.len() - 1).expect("details of a segment are counted by 32 bits")
        } else {
            let at = self.free;
            self.free = std::mem::replace(&mut self.details[at as usize], detail).next;
            at
        };
    }

    /// Forgets a record's origin.
    pub(crate) fn remove(&mut self, local: u16, cell: Cell) -> Result<(), Unreadable> {
        self.change(local)?;
        let Some((before, at)) = self.find(local, cell) else { return Ok(()) };
        let next = self.details[at as usize].next;
        if before == END {
            self.person_mut(local).first = next;
        } else {
            self.details[before as usize].next = next;
        }
        self.details[at as usize].next = self.free;
        self.free = at;
        Ok(())
    }

    /// Where the record of the subject at `local` in `cell` came from.
    pub(crate) fn get(&self, local: u16, cell: Cell) -> Result<Option<Origin>, Unreadable> {
        if let Some(told) = self.told(local)? {
            return Ok(told.origins.into_iter().find(|(other, _)| *other == cell).map(|(_, origin)| origin));
        }
        let found = self.find(local, cell).map(|(_, at)| self.origin(&self.details[at as usize]));
        found.transpose().map(|origin| origin.map(|origin| origin.owned()))
    }

    fn origin(&self, detail: &Detail) -> Result<Origin<&str>, Unreadable> {
        origin(&self.texts, detail)
    }

    /// Whether no snapshot has any of it.
    pub(crate) fn is_all_in_memory(&self) -> bool {
        self.stored.is_none()
    }

    /// Everything in memory; a copy where it had to be read.
    pub(crate) fn whole(&self) -> Result<Cow<'_, Self>, Unreadable> {
        let Some(stored) = &self.stored else { return Ok(Cow::Borrowed(self)) };
        let mut whole = stored.whole()?;
        let People::Changed(changed) = &self.people else { return Err(Unreadable::Damaged) };
        for (local, person) in changed {
            whole.put(*local, &person.subject());
            whole.take(*local, self, *local)?;
        }
        Ok(Cow::Owned(whole))
    }

    /// Puts all details of the subject at `from` in `other`, which has it in memory, to the subject at `local`, which has
    /// none, as they are: nothing of them is looked at but where their evidence ends.
    #[inline]
    pub(crate) fn take(&mut self, local: u16, other: &Self, from: u16) -> Result<(), Unreadable> {
        let mut at = other.first(from);
        while at != END {
            let detail = other.details[at as usize];
            let evidence = match detail.evidence {
                0 => 0,
                there => self.keep(text(&other.texts, there).ok_or(Unreadable::Damaged)?),
            };
            self.link(local, Detail { evidence, ..detail });
            at = detail.next;
        }
        Ok(())
    }

    /// Records that it has room taken for.
    pub(crate) fn details(&self) -> usize {
        self.details.len()
    }

    /// Records that it has room for without moving any.
    #[cfg(test)]
    pub(crate) fn spare(&self) -> usize {
        self.details.capacity() - self.details.len()
    }

    /// Notes changes from now on: it is about to be copied for a snapshot.
    pub(crate) fn note_changes(&mut self) {
        self.changed = Some(HashSet::new());
    }

    /// A copy for a snapshot. Whatever has changed since [`Cold::note_changes`] may be in it or not.
    pub(crate) fn copy(&self) -> Self {
        Self { changed: None, ..self.clone() }
    }

    /// The snapshot has what was copied: only what has changed since stays in memory. Nothing if the segment was built
    /// anew meanwhile. Returns what is not needed any more, to be dropped where nobody waits.
    pub(crate) fn rest_on(&mut self, stored: Stored) -> Result<Option<Self>, Unreadable> {
        let Some(changed) = self.changed.take() else { return Ok(None) };
        let mut new = Self::of_stored(stored);
        for local in changed {
            new.put(local, &self.subject(local)?);
            new.take(local, self, local)?;
        }
        Ok(Some(std::mem::replace(self, new)))
    }

    /// Notes changes no longer: there is no snapshot.
    pub(crate) fn forget_copy(&mut self) {
        self.changed = None;
    }

    /// The people and details as they are stored, all of them in memory.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Shape {
        let People::All(people) = &self.people else { return Shape::default() };
        for Person { subject: [a, b, c, d], first } in people {
            write_words(out, [*a, *b, *c, *d, *first]);
        }
        for Detail { next, cell, evidence, recorded: [low, high] } in &self.details {
            write_words(out, [*next, *cell, *evidence, *low, *high]);
        }
        out.extend_from_slice(&self.texts);
        let count = |count| u32::try_from(count).expect("a segment's parts are counted by 32 bits");
        Shape {
            people: count(people.len()),
            details: count(self.details.len()),
            texts: count(self.texts.len()),
        }
    }

    fn keep(&mut self, evidence: &str) -> u32 {
        if evidence.is_empty() {
            return 0;
        }
        if self.texts.is_empty() {
            self.texts.push(0); // so that no text stands at 0
        }
        let needed = evidence.len() + size_of::<u32>();
        if self.texts.capacity() - self.texts.len() < needed {
            self.texts.reserve_exact(needed + self.texts.len() / 8);
        }
        let at = u32::try_from(self.texts.len()).expect("the log's records bound the evidence of a segment");
        let length = u32::try_from(evidence.len()).expect("the log's records bound a text");
        self.texts.extend_from_slice(&length.to_le_bytes());
        self.texts.extend_from_slice(evidence.as_bytes());
        at
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let people = match &self.people {
            People::All(people) => people.capacity() * size_of::<Person>(),
            People::Changed(people) => people.allocation_size(),
        };
        size_of::<Self>()
            + people
            + self.details.capacity() * size_of::<Detail>()
            + self.texts.capacity()
            + self.stored.as_ref().map_or(0, |stored| stored.bytes())
            + self.changed.as_ref().map_or(0, HashSet::allocation_size)
    }
}

impl Origin {
    fn borrowed(&self) -> Origin<&str> {
        let Self { identity, source, evidence, recorded_at_ms } = self;
        Origin { identity: *identity, source: *source, evidence, recorded_at_ms: *recorded_at_ms }
    }
}

impl Origin<&str> {
    pub(crate) fn owned(&self) -> Origin {
        let Self { identity, source, evidence, recorded_at_ms } = self;
        let evidence = (*evidence).into();
        Origin { identity: *identity, source: *source, evidence, recorded_at_ms: *recorded_at_ms }
    }
}

fn write_words(out: &mut Vec<u8>, words: [u32; 5]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// The origin that a detail holds, with its evidence from `texts`.
pub(crate) fn origin<'t>(texts: &'t [u8], detail: &Detail) -> Result<Origin<&'t str>, Unreadable> {
    let (recorded_at_ms, identity, source) = unpack(detail.recorded).ok_or(Unreadable::Damaged)?;
    let evidence = text(texts, detail.evidence).ok_or(Unreadable::Damaged)?;
    Ok(Origin { identity, source, evidence, recorded_at_ms })
}

/// The text at a place; `None` where there is none.
fn text(texts: &[u8], at: u32) -> Option<&str> {
    if at == 0 {
        return Some("");
    }
    let (length, rest) = texts.get(at as usize..)?.split_first_chunk()?;
    std::str::from_utf8(rest.get(..u32::from_le_bytes(*length) as usize)?).ok()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the two halves of 64 bits")]
fn pack(origin: &Origin<&str>) -> [u32; 2] {
    let clamped = origin.recorded_at_ms.clamp(i64::MIN >> 8, i64::MAX >> 8);
    let kinds = origin.identity.number() << 4 | origin.source.number();
    let all = (clamped << 8 | i64::from(kinds)) as u64;
    [all as u32, (all >> 32) as u32]
}

fn unpack(recorded: [u32; 2]) -> Option<(UnixMs, Identity, Source)> {
    let all = (u64::from(recorded[1]) << 32 | u64::from(recorded[0])).cast_signed();
    let kind = |bits: i64| i32::try_from(bits & 0xf).ok();
    Some((all >> 8, Identity::from_number(kind(all >> 4)?)?, Source::from_number(kind(all)?)?))
}
