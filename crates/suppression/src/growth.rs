//! A segment built anew: larger, without those who are in nothing any more, or split in two.
//!
//! It is all that growth and cleaning ever do at once, under the writer's lock: one segment, of 58,000 subjects at most.

use crate::cold::Cold;
use crate::dictionary::{Dictionary, Segment, spread};
use crate::index::Index;
use crate::marks::{Marks, NONE};

/// All that is known of the subjects of one segment.
struct Part {
    segment: Segment,
    marks: Marks,
    cold: Cold,
}

impl Index {
    /// Builds segment `number` anew, so that it has room for one more subject and one more set of cells.
    pub(crate) fn renew(&mut self, number: u32) {
        let at = number as usize;
        let old = Part {
            segment: self.dictionary.take_segment(number),
            marks: std::mem::replace(&mut self.marks[at], Marks::new()),
            cold: std::mem::replace(&mut self.cold[at], Cold::new(0, 0)),
        };
        let live: Vec<(u16, u16)> = old.segment.iter().filter(|(_, mark)| *mark != NONE).collect();
        if Dictionary::is_to_be_split(number, live.len()) {
            let (new, is_upper) = self.dictionary.split(number);
            let (upper, lower): (Vec<_>, Vec<_>) =
                live.into_iter().partition(|(local, _)| is_upper(&old.cold.subject(*local)));
            self.marks.push(Marks::new());
            self.cold.push(Cold::new(0, 0));
            self.set_part(number, old.with(&lower, number));
            self.set_part(new, old.with(&upper, new));
        } else {
            let part = old.with(&live, number);
            self.set_part(number, part);
        }
        self.renewals += 1;
    }

    fn set_part(&mut self, number: u32, part: Part) {
        self.dictionary.set_segment(number, part.segment);
        self.marks[number as usize] = part.marks;
        self.cold[number as usize] = part.cold;
    }
}

impl Part {
    /// The same knowledge of those of its subjects that are `live` (place and mark), in a segment of their size.
    fn with(&self, live: &[(u16, u16)], number: u32) -> Self {
        let segment = Segment::for_subjects(live.len(), spread(number as usize + self.segment.used()));
        let cold = Cold::new(segment.places(), segment.full_with());
        let mut part = Self { segment, marks: Marks::new(), cold };
        let mut renumbered: Vec<Option<u16>> = vec![None; self.marks.len()];
        for &(from, mark) in live {
            let new_mark = *renumbered[usize::from(mark)].get_or_insert_with(|| {
                let number = part.marks.number(self.marks.cells(mark));
                number.expect("a segment has no more sets in use than subjects")
            });
            let subject = self.cold.subject(from);
            let local = part.segment.put(&subject, new_mark).expect("it was made with room for all");
            part.cold.put(local, &subject);
            part.cold.take(local, &self.cold, from);
            if self.marks.has_times() {
                for cell in self.marks.cells(mark) {
                    part.marks.set_times(local, *cell, self.marks.times(from, *cell));
                }
            }
        }
        part
    }
}

#[cfg(test)]
mod tests;
