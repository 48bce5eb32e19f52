//! The dictionary: which of the subjects are known, and what each is in. Pure.
//!
//! A subject's first word chooses a segment (its high bits, by a directory) and a home line in it (its low 32); forty bits
//! of the second word are its tag. A line that is full passes on to the next one, and says whom.
//!
//! A segment has at most 65,529 places, so that places and marks are 16 bits; it grows by an eighth (while a log is read from
//! its beginning, to twice its size) and is split in two when it is full, each time on its own. That is all that growth ever does at once: no second table, no half-moved state. The
//! tags are not the whole subject, so a segment is built anew from [`crate::cold`].

use arrayvec::ArrayVec;
use tamis_subject::Subject;

use crate::line::{Line, Tag, WAYS};
use crate::prefetch::prefetch;

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
/// Subjects with which a segment is split: a little less than its most lines hold, so that it can grow once more. It
/// differs from segment to segment by `SPLIT_SPREAD`, so that they do not all split within the same minute. Tests split
/// small ones.
const SPLIT_AT: usize = if cfg!(test) { 60 } else { 51_000 };
const SPLIT_SPREAD: usize = if cfg!(test) { 40 } else { 7_000 };
/// Bits that the subjects of a segment begin with alike, at most.
const DEPTH_MOST: u8 = 30;
/// Entries of the directory for each segment at most: what a snapshot may ask for.
const DIRECTORY_SPREAD: usize = 1_024;
/// How many look-ups wait for memory side by side: more than the processor does, few enough to stay in the first cache.
const AHEAD: usize = 32;
/// How many that are passed on to a second line wait for it side by side.
const FOLLOWED: usize = 8;

/// Where a subject stands. Valid until its segment is built anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    /// Line times ways, plus way.
    pub(crate) local: u16,
}

/// A subject that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) place: Place,
    /// What it is in: a number of its segment's `Marks`.
    pub(crate) mark: u16,
}

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

/// The lines of one segment, and how many subjects they hold.
#[derive(Clone)]
pub(crate) struct Segment {
    lines: Box<[Line]>,
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
    fn is_unfit(&self) -> bool {
        let most = Room::Close.lines(self.used + 1, CLOSE_SPREAD - 1);
        self.used >= self.places() * FULL_PERCENT / 100 || self.lines.len() > most
    }

    /// With how many subjects it must be built anew before another comes.
    pub(crate) fn full_with(&self) -> usize {
        self.places() * MOST_PERCENT / 100
    }

    #[inline]
    fn home(&self, subject: &Subject) -> usize {
        // The low half of the word, scaled to the number of lines: that need be no power of two.
        (((subject.words()[0] & 0xffff_ffff) * self.lines.len() as u64) >> 32) as usize
    }

    /// The `step`-th line after `home`, round the end.
    #[inline]
    fn after(&self, home: usize, step: usize) -> usize {
        let at = home + step;
        if at < self.lines.len() { at } else { at - self.lines.len() }
    }

    /// Puts in a subject that is not in; `Full` when every way of every line is taken.
    pub(crate) fn put(&mut self, subject: &Subject, mark: u16) -> Result<u16, Full> {
        let home = self.home(subject);
        for step in 0..self.lines.len() {
            let at = self.after(home, step);
            if let Some(way) = self.lines[at].put(Tag::of(subject), mark) {
                self.used += 1;
                return Ok(local(at, way));
            }
            self.lines[at].pass_on(subject);
        }
        Err(Full)
    }

    /// The subject's place and mark. `is_same` compares whole subjects; it is asked only where `sure` is wanted, or where
    /// two tags in reach are the same, which happens once in 10¹¹ look-ups.
    #[inline]
    fn find(&self, subject: &Subject, sure: bool, is_same: impl FnMut(u16) -> bool) -> Option<(u16, u16)> {
        let (home, tag) = (self.home(subject), Tag::of(subject));
        let mut found = None;
        for step in 0..self.lines.len() {
            let at = self.after(home, step);
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
    fn find_among_likes(
        &self,
        subject: &Subject,
        mut is_same: impl FnMut(u16) -> bool,
    ) -> Option<(u16, u16)> {
        let local = self.likes(subject).find(|local| is_same(*local))?;
        Some((local, self.mark(local)))
    }

    /// Every place in reach whose tag is that of `subject`.
    fn likes(&self, subject: &Subject) -> impl Iterator<Item = u16> {
        let (home, tag) = (self.home(subject), Tag::of(subject));
        let last = (0..self.lines.len()).find(|step| !self.lines[self.after(home, *step)].passes_on(subject));
        let lines = (0..=last.unwrap_or(self.lines.len() - 1)).map(move |step| self.after(home, step));
        lines.flat_map(move |at| {
            let ways = self.lines[at].matching(tag);
            (0..WAYS).filter(move |way| ways >> way & 1 == 1).map(move |way| local(at, way))
        })
    }

    fn mark(&self, local: u16) -> u16 {
        self.lines[usize::from(local) / WAYS].mark(usize::from(local) % WAYS)
    }

    /// Every place that is taken, with its mark, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, u16)> {
        let lines = self.lines.iter().enumerate();
        lines.flat_map(|(at, line)| (0..line.taken()).map(move |way| (local(at, way), line.mark(way))))
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "LINES_MOST keeps places within 16 bits")]
fn local(line: usize, way: usize) -> u16 {
    (line * WAYS + way) as u16
}

/// All segments, found by a directory that doubles.
pub(crate) struct Dictionary {
    /// Segment numbers, by the first bits of the subject's first word.
    directory: Vec<u32>,
    /// By how much the word less its last bit is moved to leave those bits: 63 less their number.
    shift: u32,
    segments: Vec<Segment>,
    /// How many bits of the directory each segment stands for.
    depths: Vec<u8>,
}

impl Dictionary {
    pub(crate) fn new() -> Self {
        let first = Segment::for_subjects(1, Room::Close, 0);
        Self { directory: vec![0], shift: 63, segments: vec![first], depths: vec![0] }
    }

    #[inline]
    fn number(&self, subject: &Subject) -> u32 {
        self.directory[(subject.words()[0] >> 1 >> self.shift) as usize]
    }

    /// The subject's place and mark. Of a present subject always its own; `is_same` is asked in doubt only.
    #[inline]
    pub(crate) fn find(&self, subject: &Subject, is_same: impl Fn(Place) -> bool) -> Option<Known> {
        self.find_in(subject, false, is_same)
    }

    /// The same, and each tag that matches is compared as a whole: for the writer, who must not mistake anyone.
    pub(crate) fn find_surely(&self, subject: &Subject, is_same: impl FnMut(Place) -> bool) -> Option<Known> {
        self.find_in(subject, true, is_same)
    }

    #[inline]
    fn find_in(
        &self,
        subject: &Subject,
        sure: bool,
        mut is_same: impl FnMut(Place) -> bool,
    ) -> Option<Known> {
        let segment = self.number(subject);
        let is_same = |local| is_same(Place { segment, local });
        let (local, mark) = self.segments[segment as usize].find(subject, sure, is_same)?;
        Some(Known { place: Place { segment, local }, mark })
    }

    /// Asks for the home line of `subject`, and says which it is.
    #[inline]
    fn ask_for(&self, subject: &Subject) -> (&Segment, usize) {
        let segment = &self.segments[self.number(subject) as usize];
        let home = segment.home(subject);
        prefetch(&segment.lines[home]);
        (segment, home)
    }

    /// Looks up many: `told` gets the number and the find of each subject that is known, in any order.
    ///
    /// The home line of each is asked for `AHEAD` subjects before it is looked at; most subjects are settled by that line. For one
    /// in twenty it passes on: those wait for their second line side by side as well, `FOLLOWED` of them.
    #[inline]
    pub(crate) fn find_each(
        &self,
        subjects: &[Subject],
        is_same: impl Fn(usize, Place) -> bool,
        mut told: impl FnMut(usize, Known),
    ) {
        if let [subject] = subjects {
            // Nothing to wait for side by side.
            if let Some(known) = self.find(subject, |place| is_same(0, place)) {
                told(0, known);
            }
            return;
        }
        let mut followed = ArrayVec::<usize, FOLLOWED>::new();
        let mut find = |number: usize| {
            if let Some(known) = self.find(&subjects[number], |place| is_same(number, place)) {
                told(number, known);
            }
        };
        let mut homes = [(&self.segments[0], 0); AHEAD];
        for (home, subject) in homes.iter_mut().zip(subjects) {
            *home = self.ask_for(subject);
        }
        for (number, subject) in subjects.iter().enumerate() {
            let (segment, home) = homes[number % AHEAD];
            if let Some(later) = subjects.get(number + AHEAD) {
                homes[number % AHEAD] = self.ask_for(later);
            }
            let line = &segment.lines[home];
            if line.likely(Tag::of(subject)) != 0 {
                find(number);
            } else if line.passes_on(subject) {
                prefetch(&segment.lines[segment.after(home, 1)]);
                if let Err(full) = followed.try_push(number) {
                    followed.drain(..).for_each(&mut find);
                    followed.push(full.element());
                }
            }
        }
        followed.drain(..).for_each(find);
    }

    /// Asks for the home line of `subject`; returns its segment.
    #[inline]
    pub(crate) fn foresee(&self, subject: &Subject) -> u32 {
        self.ask_for(subject);
        self.number(subject)
    }

    /// Where the subject stands, or will stand, if its line has not overflowed.
    #[inline]
    pub(crate) fn expected(&self, subject: &Subject) -> Place {
        let number = self.number(subject);
        let segment = &self.segments[number as usize];
        let home = segment.home(subject);
        let line = &segment.lines[home];
        let way = match line.likely(Tag::of(subject)) {
            0 => line.taken().min(WAYS - 1),
            ways => ways.trailing_zeros() as usize,
        };
        Place { segment: number, local: local(home, way) }
    }

    /// Puts in a subject that is not in, if there is room.
    pub(crate) fn put(&mut self, subject: &Subject, mark: u16) -> Result<Place, Full> {
        let number = self.number(subject);
        let segment = &mut self.segments[number as usize];
        if segment.used >= segment.full_with() {
            return Err(Full);
        }
        segment.put(subject, mark).map(|local| Place { segment: number, local })
    }

    pub(crate) fn set_mark(&mut self, place: Place, mark: u16) {
        let local = usize::from(place.local);
        self.segments[place.segment as usize].lines[local / WAYS].set_mark(local % WAYS, mark);
    }

    /// The segment in which `subject` is, or would be.
    pub(crate) fn segment_of(&self, subject: &Subject) -> u32 {
        self.number(subject)
    }

    pub(crate) fn segment(&self, number: u32) -> &Segment {
        &self.segments[number as usize]
    }

    /// Every segment that is to be built anew when there is time.
    pub(crate) fn unfit(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.segments).filter(|(_, segment)| segment.is_unfit()).map(|(number, _)| number)
    }

    /// Puts `segment` in place of the one that it returns.
    pub(crate) fn set_segment(&mut self, number: u32, segment: Segment) -> Segment {
        std::mem::replace(&mut self.segments[number as usize], segment)
    }

    /// Whether a segment of so many subjects is to be split.
    pub(crate) fn is_to_be_split(number: u32, subjects: usize) -> bool {
        subjects >= SPLIT_AT + spread(number as usize) % SPLIT_SPREAD
    }

    /// Whether `subject`, of segment `number`, goes to the new segment when that one is split.
    pub(crate) fn is_upper(&self, number: u32, subject: &Subject) -> bool {
        subject.words()[0] >> (63 - self.depths[number as usize]) & 1 == 1
    }

    /// Makes a new segment for the upper half of segment `number`.
    ///
    /// # Panics
    /// When subjects are no pseudo-random function's output, so that a split does not divide them.
    pub(crate) fn split(&mut self, number: u32) -> u32 {
        let depth = self.depths[number as usize];
        assert!(depth < DEPTH_MOST, "subjects are a pseudo-random function's output, a split divides them");
        if u32::from(depth) == 63 - self.shift {
            self.directory = self.directory.iter().flat_map(|number| [*number; 2]).collect();
            self.shift -= 1;
        }
        let new = u32::try_from(self.segments.len()).expect("segments are counted by 32 bits");
        self.segments.push(Segment::for_subjects(0, Room::Close, 0));
        self.depths[number as usize] = depth + 1;
        self.depths.push(depth + 1);
        let below = 63 - self.shift - u32::from(depth) - 1;
        for (prefix, entry) in self.directory.iter_mut().enumerate() {
            if *entry == number && prefix >> below & 1 == 1 {
                *entry = new;
            }
        }
        new
    }

    /// The segment whose subjects begin with the bits of `prefix`, and by how many bits all of its do.
    pub(crate) fn at(&self, prefix: u32) -> (u32, u8) {
        let number = self.directory[(u64::from(prefix) << 31 >> self.shift) as usize];
        (number, self.depths[number as usize])
    }

    /// All segments in the order of their subjects, each with the number of bits that its subjects begin with alike.
    /// `None` when they do not add up to all that subjects may begin with.
    pub(crate) fn of_segments(segments: Vec<(u8, Segment)>) -> Option<Self> {
        let deepest = u32::from(segments.iter().map(|(depth, _)| *depth).max()?);
        let mut directory = Vec::new();
        // Not more than a few times as many as there are segments, which chance never needs.
        let most = segments.len().checked_mul(DIRECTORY_SPREAD)?;
        if deepest > u32::from(DEPTH_MOST) || 1 << deepest > most {
            return None;
        }
        for (number, (depth, _)) in segments.iter().enumerate() {
            let entries = 1 << (deepest - u32::from(*depth));
            if directory.len() % entries != 0 {
                return None;
            }
            directory.resize(directory.len() + entries, u32::try_from(number).ok()?);
        }
        let (depths, segments) = segments.into_iter().unzip();
        (directory.len() == 1 << deepest).then_some(Self { directory, shift: 63 - deepest, segments, depths })
    }

    /// Every place whose tag is that of `subject`: it is at one of them, if it is in.
    pub(crate) fn likes(&self, subject: &Subject) -> impl Iterator<Item = Place> {
        let segment = self.number(subject);
        let likes = self.segments[segment as usize].likes(subject);
        likes.map(move |local| Place { segment, local })
    }

    /// Subjects that are in.
    pub(crate) fn subjects(&self) -> usize {
        self.segments.iter().map(Segment::used).sum()
    }

    /// Bytes of lines and directory.
    pub(crate) fn bytes(&self) -> usize {
        let lines: usize = self.segments.iter().map(|segment| segment.lines.len()).sum();
        lines * size_of::<Line>()
            + self.segments.capacity() * (size_of::<Segment>() + 1)
            + self.directory.capacity() * size_of::<u32>()
    }
}

/// A number that looks like chance, of `n`.
pub(crate) fn spread(n: usize) -> usize {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}
