//! A segment built anew: larger, without those who are in nothing any more, or split in two.
//!
//! It is all that growth and cleaning ever do at once, and it is done beside the index in use: one segment, of 58,000 subjects
//! at most. Readers wait only while it is put in place.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};
use tamis_campaign::UnixMs;
use tamis_subject::Subject;

use crate::cold::{Cold, Told};
use crate::dictionary::{Dictionary, Place, Segment, spread};
use crate::index::Index;
use crate::marks::{Cell, Exhausted, Marks, NONE, SPLIT_SETS};
use crate::stored::Unreadable;

/// How long after its end a record is forgotten, by the log's clock, ms: a day more than any two clocks differ.
const FORGOTTEN_AFTER_MS: UnixMs = 24 * 3_600_000;

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

impl std::fmt::Debug for Prepared {
    /// Without what it holds of subjects.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("renewed", &self.renewed.len()).finish_non_exhaustive()
    }
}

impl Index {
    /// Makes what [`Index::apply`] will need for records of `subjects`, while readers go on: room in the segments that would
    /// be full, and what only the snapshot knows of who is there already. Give it to [`Index::accept`].
    ///
    /// # Errors
    /// When the snapshot in use can't be read.
    pub fn prepare<'s>(
        &self,
        subjects: impl Iterator<Item = &'s Subject> + Clone,
    ) -> Result<Prepared, Unreadable> {
        let mut coming: HashMap<u32, usize> = HashMap::new();
        for subject in subjects.clone() {
            *coming.entry(self.dictionary.segment_of(subject)).or_default() += 1;
        }
        coming.retain(|number, more| {
            let segment = self.dictionary.segment(*number);
            segment.used() + *more > segment.full_with()
        });
        let mut told = Vec::new();
        for subject in subjects {
            let number = self.dictionary.segment_of(subject);
            if coming.contains_key(&number) || self.cold[number as usize].is_all_in_memory() {
                continue;
            }
            for place in self.dictionary.likes(subject) {
                if let Some(who) = self.cold[number as usize].told(place.local)? {
                    told.push((place, who));
                }
            }
        }
        let renewed = coming.into_iter().map(|(number, more)| Ok((number, self.built_anew(number, more)?)));
        Ok(Prepared { changes: self.changes, renewed: renewed.collect::<Result<_, Unreadable>>()?, told })
    }

    /// Puts in place what was prepared; nothing, if the index has changed since: then [`Index::apply`] does it all.
    pub fn accept(&mut self, prepared: Prepared) {
        if prepared.changes != self.changes {
            return;
        }
        for (Place { segment, local }, told) in prepared.told {
            self.cold[segment as usize].bring(local, &told);
        }
        for (number, renewed) in prepared.renewed {
            self.put_in_place(number, renewed);
        }
    }

    /// Builds segment `number` anew, so that it has room for one more subject and one more set of cells.
    pub(crate) fn renew(&mut self, number: u32) -> Result<(), Unreadable> {
        let renewed = self.built_anew(number, 1)?;
        self.put_in_place(number, renewed);
        Ok(())
    }

    fn put_in_place(&mut self, number: u32, renewed: Renewed) {
        match renewed {
            Renewed::One(part) => self.set_part(number, *part),
            Renewed::Two(halves) => {
                let (lower, upper) = *halves;
                let new = self.dictionary.split(number);
                self.marks.push(Marks::new());
                self.cold.push(Cold::new(0, 0));
                self.set_part(number, lower);
                self.set_part(new, upper);
            }
        }
        self.renewals += 1;
        self.changes += 1;
    }

    fn set_part(&mut self, number: u32, part: Part) {
        self.dictionary.set_segment(number, part.segment);
        self.marks[number as usize] = part.marks;
        self.cold[number as usize] = part.cold;
        self.records -= part.forgotten;
    }

    /// Segment `number` with room for `more` subjects.
    fn built_anew(&self, number: u32, more: usize) -> Result<Renewed, Unreadable> {
        let at = number as usize;
        let old = Old {
            segment: self.dictionary.segment(number),
            marks: &self.marks[at],
            cold: self.cold[at].whole()?,
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
    segment: &'a Segment,
    marks: &'a Marks,
    cold: Cow<'a, Cold>,
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
        let segment = Segment::for_subjects(live.len() + more, dice);
        let cold = Cold::new(segment.places(), segment.full_with());
        let mut part = Part::of(segment, Marks::new(), cold);
        for &(from, mark) in live {
            let set = self.marks.set(mark);
            let (mut kept, mut gone) = (Cow::Borrowed(set.cells()), Vec::new());
            if !over.is_empty() {
                let is_over = |cell: &Cell| over.contains(&(from, *cell));
                let (over, left) = kept.iter().partition(|cell| is_over(cell));
                (gone, kept) = (over, Cow::Owned(left));
            }
            let Ok(mark) = part.marks.number(&kept) else { return Ok(Err(Exhausted)) };
            part.forgotten += gone.len();
            if mark == NONE {
                continue;
            }
            let subject = self.cold.subject(from)?;
            let local = part.segment.put(&subject, mark).expect("it was made with room for all");
            part.cold.put(local, &subject);
            part.cold.take(local, &self.cold, from)?;
            for cell in gone {
                part.cold.remove(local, cell)?;
            }
            if self.marks.has_times() {
                for cell in kept.iter() {
                    part.marks.set_times(local, *cell, self.marks.times(from, *cell));
                }
            }
        }
        Ok(Ok(part))
    }
}

#[cfg(test)]
pub(crate) mod tests;
