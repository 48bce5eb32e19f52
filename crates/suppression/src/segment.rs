//! One segment of the dictionary: some thousand lines, in which a subject's home is a multiplication away.

use std::ops::{Deref, Range};

use tamis_subject::Subject;

use crate::line::{Line, Tag, WAYS};

/// Lines of a segment: its places are counted by 16 bits.
const LINES_MOST: usize = (1 << 16) / WAYS;
/// A segment is to be built anew when this much of it is taken, percent. With more of it look-ups go on to a second line more
/// often, with less memory is wasted; this is what the goal for memory leaves, and the only one that was measured.
const FULL_PERCENT: usize = 90;
/// And it must be when this much is: until then it may wait for a quiet moment.
const MOST_PERCENT: usize = 95;
/// A close segment has room for so many for each 256 that it holds: at least, and how many different numbers.
const CLOSE_LEAST: usize = 272;
const CLOSE_SPREAD: usize = 33;

/// No place for one more subject: its segment must be built anew first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Full;

/// How much room a segment is given besides what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// As much again: while a log is read from its beginning. With little room each subject would be moved ten times before
    /// its segment has doubled.
    Ample,
    /// Between a sixteenth and three sixteenths, so that segments do not all grow at once: as memory allows.
    Close,
}

impl Room {
    /// The lines of a segment with room for `subjects` and some more.
    fn lines(self, subjects: usize, dice: usize) -> usize {
        let room = match self {
            Self::Ample => subjects * 2,
            Self::Close => subjects * (CLOSE_LEAST + dice % CLOSE_SPREAD) / 256,
        };
        (room.max(subjects + 1) * 100).div_ceil(WAYS * FULL_PERCENT).min(LINES_MOST)
    }
}

/// The lines of one segment, its own or where they lie, and how many subjects they hold.
#[derive(Clone, Copy)]
pub(crate) struct Segment<L = Box<[Line]>> {
    lines: L,
    used: usize,
}

impl Segment {
    /// With room for `subjects` and some more; `dice` varies how many.
    pub(crate) fn for_subjects(subjects: usize, room: Room, dice: usize) -> Self {
        let lines = vec![Line::EMPTY; room.lines(subjects, dice)];
        Self { lines: lines.into_boxed_slice(), used: 0 }
    }

    /// With these lines; `None` when there are none, or too many.
    pub(crate) fn of_lines(lines: Box<[Line]>) -> Option<Self> {
        let used = lines.iter().map(Line::taken).sum();
        (1..=LINES_MOST).contains(&lines.len()).then_some(Self { lines, used })
    }

    /// Puts in a subject that is not in; `Full` when every way of every line is taken.
    pub(crate) fn put(&mut self, subject: &Subject, mark: u16) -> Result<u16, Full> {
        let local = put(&mut self.lines, subject, mark)?;
        self.used += 1;
        Ok(local)
    }
}

impl<L: Deref<Target = [Line]>> Segment<L> {
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(crate) fn places(&self) -> usize {
        self.lines.len() * WAYS
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Whether it is to be built anew: it has too little room, or more than a close one.
    pub(crate) fn is_unfit(&self) -> bool {
        let most = Room::Close.lines(self.used + 1, CLOSE_SPREAD - 1);
        self.used >= self.places() * FULL_PERCENT / 100 || self.lines.len() > most
    }

    /// With how many subjects it must be built anew before another comes.
    pub(crate) fn full_with(&self) -> usize {
        self.places() * MOST_PERCENT / 100
    }

    /// Every place that is taken, with its mark, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, u16)> {
        let lines = self.lines.iter().enumerate();
        lines.flat_map(|(at, line)| (0..line.taken()).map(move |way| (local(at, way), line.mark(way))))
    }
}

impl<'a> Segment<&'a [Line]> {
    #[inline]
    pub(crate) fn in_place(lines: &'a [Line], used: usize) -> Self {
        Self { lines, used }
    }

    /// Its own copy of it.
    pub(crate) fn to_owned(self) -> Segment {
        Segment { lines: self.lines.into(), used: self.used }
    }

    /// The line that `subject` is in, unless that was full, and its number.
    #[inline]
    pub(crate) fn home(self, subject: &Subject) -> (&'a Line, usize) {
        let home = home(self.lines.len(), subject);
        (&self.lines[home], home)
    }

    /// The line that `subject` is in if its home was full, and that was not; and its number.
    #[inline]
    pub(crate) fn second(self, subject: &Subject) -> (&'a Line, usize) {
        let second = Path::of(self.lines, subject).at(1);
        (&self.lines[second], second)
    }

    /// The subject's place and mark. `is_same` compares whole subjects; it is asked only where `sure` is wanted, or where
    /// two tags in reach are the same, which happens once in 10¹¹ look-ups.
    #[inline]
    pub(crate) fn find(
        self,
        subject: &Subject,
        sure: bool,
        is_same: impl FnMut(u16) -> bool,
    ) -> Option<(u16, u16)> {
        let (path, tag) = (Path::of(self.lines, subject), Tag::of(subject));
        let mut found = None;
        for step in path.steps() {
            let at = path.at(step);
            let mut ways = self.lines[at].matching(tag);
            while ways != 0 {
                let way = ways.trailing_zeros() as usize;
                ways &= ways - 1;
                if sure || found.is_some() {
                    return self.find_among_likes(subject, is_same);
                }
                found = Some((local(at, way), self.lines[at].mark(way)));
            }
            if !self.lines[at].passes_on(subject) {
                break;
            }
        }
        found
    }

    #[cold]
    fn find_among_likes(self, subject: &Subject, mut is_same: impl FnMut(u16) -> bool) -> Option<(u16, u16)> {
        let local = self.likes(subject).find(|local| is_same(*local))?;
        Some((local, self.mark(local)))
    }

    /// Every place in reach whose tag is that of `subject`; one may come twice.
    pub(crate) fn likes(self, subject: &Subject) -> impl Iterator<Item = u16> + use<'a> {
        let Self { lines, .. } = self;
        let (path, tag) = (Path::of(lines, subject), Tag::of(subject));
        let last = path.steps().find(|step| !lines[path.at(*step)].passes_on(subject));
        let reach = (0..=last.unwrap_or(path.steps().end - 1)).map(move |step| path.at(step));
        reach.flat_map(move |at| {
            let ways = lines[at].matching(tag);
            (0..WAYS).filter(move |way| ways >> way & 1 == 1).map(move |way| local(at, way))
        })
    }

    fn mark(self, local: u16) -> u16 {
        self.lines[usize::from(local) / WAYS].mark(usize::from(local) % WAYS)
    }
}

/// Puts a subject that is not in into `lines`, which are a segment's.
pub(crate) fn put(lines: &mut [Line], subject: &Subject, mark: u16) -> Result<u16, Full> {
    let path = Path::of(lines, subject);
    for step in path.steps() {
        let at = path.at(step);
        if let Some(way) = lines[at].put(Tag::of(subject), mark) {
            return Ok(local(at, way));
        }
        lines[at].pass_on(subject);
    }
    Err(Full)
}

/// The line of `lines` in which a subject is, unless that was full.
#[inline]
pub(crate) fn home(lines: usize, subject: &Subject) -> usize {
    // The low half of the word, scaled to the number of lines: that need be no power of two.
    (((subject.words()[0] & 0xffff_ffff) * lines as u64) >> 32) as usize
}

/// The lines of a segment in which a subject may be, in the order in which it is put and looked for: its home, then a few strides of
/// its own, then all that follow the home.
///
/// With the same stride for all, those who find no room crowd together: at a load of 0.85 an absent subject that is passed on has 3.4
/// more lines to look at, and with strides of their own 1.1.
#[derive(Clone, Copy)]
struct Path {
    home: usize,
    stride: usize,
    lines: usize,
}

/// Strides of its own that a subject takes: hardly any needs more.
const STRIDES: usize = 7;

impl Path {
    /// The stride comes from bits of the second word that are used for nothing else.
    #[inline]
    fn of(lines: &[Line], subject: &Subject) -> Self {
        let stride = 1 + (subject.words()[1] >> 3 & 63) as usize;
        Self { home: home(lines.len(), subject), stride, lines: lines.len() }
    }

    /// Every line is at one of them.
    #[inline]
    fn steps(self) -> Range<usize> {
        0..STRIDES + self.lines
    }

    #[inline]
    fn at(self, step: usize) -> usize {
        match step {
            0 => self.home,
            1..=STRIDES => self.wrapped(self.home + step * self.stride),
            _ => self.wrapped(self.home + step - STRIDES),
        }
    }

    /// Few come past the end, and a division takes as long as all else.
    #[inline]
    fn wrapped(self, at: usize) -> usize {
        if at < self.lines { at } else { at % self.lines }
    }
}

/// The place of a way of a line.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "LINES_MOST keeps places within 16 bits")]
pub(crate) fn local(line: usize, way: usize) -> u16 {
    (line * WAYS + way) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(words: (u64, u64)) -> Subject {
        Subject::from_bytes((u128::from(words.0) | u128::from(words.1) << 64).to_le_bytes())
    }

    proptest! {
        /// Guarantees: whoever has no room at home is put wherever there is room, and found there, whatever the number of lines.
        /// Fails when: a line is on nobody's path, or the looker goes another way than the putter.
        #[test]
        fn a_segment_takes_as_many_as_it_has_places(lines in 1usize..90, home: u64, others in any::<[u64; 8]>()) {
            let mut segment = Segment::of_lines(vec![Line::EMPTY; lines].into()).expect("it has lines");
            // All have one home; what else there is of them differs.
            let who: Vec<_> = (0..segment.places() as u64).map(|n| subject((home, others[n as usize % 8] ^ n << 24))).collect();
            for (n, who) in who.iter().enumerate() {
                prop_assert!(segment.put(who, n as u16).is_ok(), "of {} places, {} are taken", lines * WAYS, n);
            }
            prop_assert!(segment.put(&who[0], 0).is_err());
            let (lines, used) = (segment.lines(), segment.used());
            for (n, who) in who.iter().enumerate() {
                let likes: Vec<_> = Segment::in_place(lines, used).likes(who).collect();
                prop_assert!(likes.iter().any(|local| Segment::in_place(lines, used).mark(*local) == n as u16));
            }
        }
    }
}
