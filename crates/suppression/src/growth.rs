//! A segment built anew: larger, without those who are in nothing any more, or split in two.
//!
//! It is all that growth and cleaning ever do at once, and it is done beside the index in use: one segment, of 58,000 subjects
//! at most. Readers wait only while it is put in place.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};
use tamis_campaign::{DAY_MS, UnixMs};
use tamis_subject::Subject;

use crate::cold::{Cold, Told};
use crate::dictionary::{Dictionary, Place, spread};
use crate::index::Index;
use crate::line::Line;
use crate::marks::{Cell, Exhausted, Marks, NONE, SPLIT_SETS};
use crate::segment::{Room, Segment};
use crate::stored::Unreadable;

/// How long after its end a record is forgotten, by the log's clock, ms: a day more than any two clocks differ.
const FORGOTTEN_AFTER_MS: UnixMs = DAY_MS;

/// Details of a subject that room is made for ahead at most: a snapshot may tell of more than anybody has.
const DETAILS_EXPECTED: usize = 64;

/// Segments that are put in place at once: half a megabyte of lines each, which are copied to where the others' are.
const ACCEPTED: usize = 2;

/// All that is known of the subjects of one segment.
pub(crate) struct Part {
    pub(crate) segment: Segment,
    pub(crate) marks: Marks,
    pub(crate) cold: Cold,
    /// Records that it was made without, since they are over for good.
    forgotten: usize,
}

impl Part {
    pub(crate) fn of(segment: Segment, marks: Marks, cold: Cold) -> Self {
        Self { segment, marks, cold, forgotten: 0 }
    }
}

/// The cold part of `segment`, of those in it alone and each person's records side by side. `cold` must be in memory.
pub(crate) fn only_live(segment: &Segment, cold: &Cold) -> Result<Cold, Unreadable> {
    let mut live = Cold::new(segment.places(), segment.used());
    for (local, _) in segment.iter() {
        live.put(local, &cold.subject(local)?);
        live.take(local, cold, local)?;
    }
    Ok(live)
}

/// What takes the place of a segment.
pub(crate) enum Renewed {
    One(Box<Part>),
    /// Its lower and its upper half.
    Two(Box<(Part, Part)>),
}

/// What some records need that takes time, made beside the index in use by [`Index::prepare`].
pub struct Prepared {
    changes: u64,
    renewed: Vec<(u32, Renewed)>,
    told: Vec<(Place, Told)>,
}

impl Prepared {
    /// Whether nothing had to be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.renewed.is_empty() && self.told.is_empty()
    }
}

impl std::fmt::Debug for Prepared {
    /// Without what it holds of subjects.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("renewed", &self.renewed.len()).finish_non_exhaustive()
    }
}

/// What something else has taken the place of: megabytes, to be dropped where nobody waits.
#[must_use = "drop it where nobody waits"]
pub struct Replaced(Vec<Was>);

/// What was in a place: never looked at, only dropped.
type Was = (Vec<Line>, Marks, Cold);

impl std::fmt::Debug for Replaced {
    /// Without what it holds of subjects.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replaced").field("parts", &self.0.len()).finish()
    }
}

impl Index {
    /// Makes what [`Index::apply`] will need for records of `subjects`, while readers go on: room in the segments that would
    /// have none, and what only the snapshot knows of who is there already. Besides it builds up to `ahead` segments anew that
    /// will have none before long, or have had more than they need since [`Index::settle`]. Give it to [`Index::accept`].
    ///
    /// # Errors
    /// When the snapshot in use can't be read.
    pub fn prepare<'s>(
        &self,
        subjects: impl Iterator<Item = &'s Subject> + Clone,
        ahead: usize,
    ) -> Result<Prepared, Unreadable> {
        let mut coming: HashMap<u32, usize> = HashMap::new();
        for subject in subjects.clone() {
            *coming.entry(self.dictionary.segment_of(subject)).or_default() += 1;
        }
        let mut anew = HashMap::new();
        for (&number, &more) in &coming {
            let segment = self.dictionary.segment(number);
            if segment.used() + more > segment.full_with() {
                anew.insert(number, more);
            }
        }
        for number in self.dictionary.unfit().take(ahead) {
            anew.insert(number, coming.get(&number).copied().unwrap_or(1));
        }
        let mut told = Vec::new();
        for subject in subjects {
            let number = self.dictionary.segment_of(subject);
            if self.cold[number as usize].is_all_in_memory() || anew.contains_key(&number) {
                continue;
            }
            for place in self.dictionary.likes(subject) {
                if let Some(who) = self.cold[number as usize].told(place.local)? {
                    told.push((place, who));
                }
            }
        }
        let renewed = anew.into_iter().map(|(number, more)| Ok((number, self.built_anew(number, more)?)));
        Ok(Prepared { changes: self.changes, renewed: renewed.collect::<Result<_, Unreadable>>()?, told })
    }

    /// The log is read to its end: from now on memory counts for more than the time that growth takes. What has too much of
    /// it is built anew by the next calls of [`Index::prepare`].
    pub fn settle(&mut self) {
        if std::mem::replace(&mut self.room, Room::Close) == Room::Ample {
            self.dictionary.settle();
        }
    }

    /// Puts in place what was prepared; nothing, if the index has changed since: then [`Index::apply`] does it all.
    pub fn accept(&mut self, mut prepared: Prepared) -> Replaced {
        let mut replaced = Vec::new();
        while !prepared.is_empty() {
            replaced.append(&mut self.accept_some(&mut prepared).0);
        }
        Replaced(replaced)
    }

    /// The same, of a few segments at once, so that nobody waits for all: until `prepared` is empty.
    pub fn accept_some(&mut self, prepared: &mut Prepared) -> Replaced {
        if prepared.changes != self.changes {
            prepared.renewed.clear();
            prepared.told.clear();
        }
        for (Place { segment, local }, told) in prepared.told.drain(..) {
            self.cold[segment as usize].bring(local, &told);
        }
        let some = prepared.renewed.len().saturating_sub(ACCEPTED);
        let replaced = prepared.renewed.split_off(some).into_iter();
        let replaced = replaced.map(|(number, renewed)| self.put_in_place(number, renewed)).collect();
        prepared.changes = self.changes;
        Replaced(replaced)
    }

    /// Builds segment `number` anew, so that it has room for one more subject and one more set of cells.
    pub(crate) fn renew(&mut self, number: u32) -> Result<(), Unreadable> {
        let renewed = self.built_anew(number, 1)?;
        drop(self.put_in_place(number, renewed));
        Ok(())
    }

    /// Returns what was there.
    fn put_in_place(&mut self, number: u32, renewed: Renewed) -> Was {
        self.renewals += 1;
        self.changes += 1;
        match renewed {
            Renewed::One(part) => self.set_part(number, *part),
            Renewed::Two(halves) => {
                let (lower, upper) = *halves;
                let new = self.dictionary.split(number);
                self.marks.push(Marks::new());
                self.cold.push(Cold::new(0, 0));
                // There was nothing yet.
                drop(self.set_part(new, upper));
                self.set_part(number, lower)
            }
        }
    }

    fn set_part(&mut self, number: u32, part: Part) -> Was {
        self.records -= part.forgotten;
        (
            self.dictionary.set_segment(number, &part.segment),
            std::mem::replace(&mut self.marks[number as usize], part.marks),
            std::mem::replace(&mut self.cold[number as usize], part.cold),
        )
    }

    /// Segment `number` with room for `more` subjects.
    fn built_anew(&self, number: u32, more: usize) -> Result<Renewed, Unreadable> {
        let at = number as usize;
        let old = Old {
            segment: self.dictionary.segment(number),
            marks: &self.marks[at],
            cold: self.cold[at].whole()?,
            room: self.room,
            over: self.marks[at].over(self.latest_ms - FORGOTTEN_AFTER_MS),
        };
        let live: Vec<(u16, u16)> = old.segment.iter().filter(|(_, mark)| *mark != NONE).collect();
        let sets: HashSet<u16> =
            live.iter().map(|(_, mark)| *mark).filter(|mark| Marks::is_own(*mark)).collect();
        if !Dictionary::is_to_be_split(number, live.len() + more) && sets.len() < SPLIT_SETS {
            return Ok(Renewed::One(Box::new(old.part(&live, number, more)?)));
        }
        let mut halves = [Vec::new(), Vec::new()];
        for (local, mark) in live {
            let upper = self.dictionary.is_upper(number, &old.cold.subject(local)?);
            halves[usize::from(upper)].push((local, mark));
        }
        let [lower, upper] = halves.map(|half| old.part(&half, number, more));
        Ok(Renewed::Two(Box::new((lower?, upper?))))
    }
}

/// A segment that is to be built anew.
struct Old<'a> {
    segment: Segment<&'a [Line]>,
    marks: &'a Marks,
    cold: Cow<'a, Cold>,
    /// What the new one is given.
    room: Room,
    /// Records that are over for good.
    over: HashSet<(u16, Cell)>,
}

impl Old<'_> {
    /// The same knowledge of those of its subjects that are `live` (place and mark), in a segment of their size.
    fn part(&self, live: &[(u16, u16)], number: u32, more: usize) -> Result<Part, Unreadable> {
        match self.part_without(&self.over, live, number, more)? {
            Ok(part) => Ok(part),
            // Without what is over there may be more sets, for once: all is kept then.
            Err(Exhausted) => self
                .part_without(&HashSet::new(), live, number, more)
                .map(|part| part.expect("a segment has no more sets in use than it had")),
        }
    }

    fn part_without(
        &self,
        over: &HashSet<(u16, Cell)>,
        live: &[(u16, u16)],
        number: u32,
        more: usize,
    ) -> Result<Result<Part, Exhausted>, Unreadable> {
        let dice = spread(number as usize + self.segment.used());
        let segment = Segment::for_subjects(live.len() + more, self.room, dice);
        // In proportion: else the next record would have all details moved, while readers wait.
        let used = self.segment.used();
        let known = self.cold.details().min(used * DETAILS_EXPECTED);
        let details = known * segment.full_with() / used.max(1) + more;
        let cold = Cold::new(segment.places(), details);
        let mut part = Part::of(segment, Marks::new(), cold);
        let mut numbers = vec![NONE; self.marks.own_count()];
        for &(from, mark) in live {
            let set = self.marks.set(mark);
            let gone: Vec<Cell> = if over.is_empty() {
                Vec::new()
            } else {
                set.cells().iter().copied().filter(|cell| over.contains(&(from, *cell))).collect()
            };
            let mark = if gone.is_empty() {
                part.marks.take(&mut numbers, mark, set)
            } else {
                let left: Vec<Cell> =
                    set.cells().iter().copied().filter(|cell| !gone.contains(cell)).collect();
                part.marks.number(&left)
            };
            let Ok(mark) = mark else { return Ok(Err(Exhausted)) };
            part.forgotten += gone.len();
            if mark == NONE {
                continue;
            }
            let subject = self.cold.subject(from)?;
            let local = part.segment.put(&subject, mark).expect("it was made with room for all");
            part.cold.put(local, &subject);
            part.cold.take(local, &self.cold, from)?;
            for cell in &gone {
                part.cold.remove(local, *cell)?;
            }
            if self.marks.has_times() {
                for cell in set.cells().iter().filter(|cell| !gone.contains(cell)) {
                    part.marks.set_times(local, *cell, self.marks.times(from, *cell));
                }
            }
        }
        Ok(Ok(part))
    }
}

#[cfg(test)]
pub(crate) mod tests;
