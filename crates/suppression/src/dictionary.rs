//! The dictionary: which of the subjects are known, and what each is in. Pure.
//!
//! A subject's first word chooses a segment (its high bits, by a directory) and a home line in it (its low 32); forty bits
//! of the second word are its tag. A line that is full passes on to others, and says whom.
//!
//! A segment has at most 65,529 places, so that places and marks are 16 bits; it grows by an eighth (while a log is read from
//! its beginning, to twice its size) and is split in two when it is full, each time on its own. That is all that growth ever does at once: no second table, no half-moved state. The
//! tags are not the whole subject, so a segment is built anew from [`crate::cold`].

use arrayvec::ArrayVec;
use tamis_subject::Subject;

use crate::blocks::{Blocks, Extent};
use crate::line::{Line, Tag, WAYS};
use crate::segment::{self, Full, Room, Segment, local};
use tamis_memory::prefetch;

/// Subjects with which a segment is split: a little less than its most lines hold, so that it can grow once more. It
/// differs from segment to segment by `SPLIT_SPREAD`, so that they do not all split within the same minute. Tests split
/// small ones.
const SPLIT_AT: usize = if cfg!(test) { 60 } else { 51_000 };
const SPLIT_SPREAD: usize = if cfg!(test) { 40 } else { 7_000 };
/// Bits that the subjects of a segment begin with alike, at most.
const DEPTH_MOST: u8 = 30;
/// Entries of the directory for each segment at most: what a snapshot may ask for.
const DIRECTORY_SPREAD: usize = 1_024;
/// How many lines are asked for before any of them is looked at: more than the processor waits for side by side, few enough to stay
/// in the first cache.
pub(crate) const TOGETHER: usize = 32;
const _: () = assert!(TOGETHER <= u64::BITS as usize, "each has a bit");

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

/// Where a segment is, and how many subjects it holds.
#[derive(Clone, Copy)]
struct Slot {
    extent: Extent,
    used: u32,
}

/// All segments, found by a directory that doubles.
pub(crate) struct Dictionary {
    /// Segment numbers, by the first bits of the subject's first word.
    directory: Vec<u32>,
    /// By how much the word less its last bit is moved to leave those bits: 63 less their number.
    shift: u32,
    segments: Vec<Slot>,
    blocks: Blocks,
    /// How many bits of the directory each segment stands for.
    depths: Vec<u8>,
}

impl Dictionary {
    pub(crate) fn new() -> Self {
        let mut blocks = Blocks::default();
        let first = slot(&mut blocks, &Segment::for_subjects(1, Room::Close, 0));
        Self { directory: vec![0], shift: 63, segments: vec![first], blocks, depths: vec![0] }
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
        let (local, mark) = self.segment(segment).find(subject, sure, is_same)?;
        Some(Known { place: Place { segment, local }, mark })
    }

    /// Asks for the home line of `subject`, and says which it is.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "measured: out of line, its answer goes through memory, 2 ns a look-up"
    )]
    fn ask_for(&self, subject: &Subject) -> &Line {
        let Slot { extent, .. } = self.segments[self.number(subject) as usize];
        let line = self.blocks.line(extent, segment::home(extent.lines(), subject));
        prefetch(line);
        line
    }

    /// Asks for the home line of `subject`; returns its segment.
    #[inline]
    pub(crate) fn foresee(&self, subject: &Subject) -> u32 {
        self.ask_for(subject);
        self.number(subject)
    }

    /// Where the subject stands in its home line, or will stand; `None` when it has no room there: its second line is asked for then.
    #[inline]
    pub(crate) fn expected(&self, subject: &Subject) -> Option<Place> {
        let number = self.number(subject);
        let segment = self.segment(number);
        let (line, home) = segment.home(subject);
        let way = expected_way(line, subject);
        if way.is_none() {
            prefetch(segment.second(subject).0);
        }
        way.map(|way| Place { segment: number, local: local(home, way) })
    }

    /// The same of its second line.
    #[inline]
    pub(crate) fn expected_second(&self, subject: &Subject) -> Option<Place> {
        let number = self.number(subject);
        let (line, second) = self.segment(number).second(subject);
        expected_way(line, subject).map(|way| Place { segment: number, local: local(second, way) })
    }

    /// Puts in a subject that is not in, if there is room.
    pub(crate) fn put(&mut self, subject: &Subject, mark: u16) -> Result<Place, Full> {
        let number = self.number(subject);
        let segment = self.segment(number);
        if segment.used() >= segment.full_with() {
            return Err(Full);
        }
        let slot = &mut self.segments[number as usize];
        let local = segment::put(self.blocks.lines_mut(slot.extent), subject, mark)?;
        slot.used += 1;
        Ok(Place { segment: number, local })
    }

    pub(crate) fn set_mark(&mut self, place: Place, mark: u16) {
        let local = usize::from(place.local);
        let lines = self.blocks.lines_mut(self.segments[place.segment as usize].extent);
        lines[local / WAYS].set_mark(local % WAYS, mark);
    }

    /// The segment in which `subject` is, or would be.
    pub(crate) fn segment_of(&self, subject: &Subject) -> u32 {
        self.number(subject)
    }

    #[inline]
    pub(crate) fn segment(&self, number: u32) -> Segment<&[Line]> {
        let Slot { extent, used } = self.segments[number as usize];
        Segment::in_place(self.blocks.lines(extent), used as usize)
    }

    /// Every segment that is to be built anew when there is time.
    pub(crate) fn unfit(&self) -> impl Iterator<Item = u32> {
        let unfit = |number: &u32, slot: &Slot| {
            self.segment(*number).is_unfit() || self.blocks.is_closed(slot.extent)
        };
        (0..).zip(&self.segments).filter(move |(number, slot)| unfit(number, slot)).map(|(number, _)| number)
    }

    /// Puts `segment` in place of what was there. Returns what is of no use any more, to be dropped where nobody waits.
    pub(crate) fn set_segment(&mut self, number: u32, segment: &Segment) -> Vec<Line> {
        let new = slot(&mut self.blocks, segment);
        let old = std::mem::replace(&mut self.segments[number as usize], new);
        self.blocks.give_back(old.extent)
    }

    /// From now on segments are put side by side, apart from those that there are.
    pub(crate) fn settle(&mut self) {
        self.blocks.close();
    }

    /// Whether a segment of so many subjects is to be split.
    pub(crate) fn is_to_be_split(number: u32, subjects: usize) -> bool {
        subjects >= SPLIT_AT + spread(number as usize) % SPLIT_SPREAD
    }

    /// Whether `subject`, of segment `number`, goes to the new segment when that one is split.
    pub(crate) fn is_upper(&self, number: u32, subject: &Subject) -> bool {
        subject.words()[0] >> (63 - self.depths[number as usize]) & 1 == 1
    }

    /// Makes a new segment for the upper half of segment `number`; it has no lines until it is set.
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
        self.segments.push(Slot { extent: Extent::NONE, used: 0 });
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
            if directory.len() % entries != 0 || directory.len() + entries > 1 << deepest {
                return None;
            }
            directory.resize(directory.len() + entries, u32::try_from(number).ok()?);
        }
        let mut blocks = Blocks::default();
        // Each goes as soon as it is in place, so that all are never there twice.
        let (depths, segments) =
            segments.into_iter().map(|(depth, segment)| (depth, slot(&mut blocks, &segment))).unzip();
        let all = directory.len() == 1 << deepest;
        all.then_some(Self { directory, shift: 63 - deepest, segments, blocks, depths })
    }

    /// Every place whose tag is that of `subject`: it is at one of them, if it is in.
    pub(crate) fn likes(&self, subject: &Subject) -> impl Iterator<Item = Place> {
        let segment = self.number(subject);
        let likes = self.segment(segment).likes(subject);
        likes.map(move |local| Place { segment, local })
    }

    /// Subjects that are in.
    pub(crate) fn subjects(&self) -> usize {
        self.segments.iter().map(|slot| slot.used as usize).sum()
    }

    /// Bytes of lines and directory.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.bytes()
            + self.segments.capacity() * (size_of::<Slot>() + 1)
            + self.directory.capacity() * size_of::<u32>()
    }
}

/// Look-ups of many subjects, which come some at a time.
///
/// The home lines of up to `TOGETHER` subjects are asked for before those that were asked for last are looked at; most subjects are
/// settled by that line. It passes one in ten on: their second lines are asked for, and looked at as many subjects later.
pub(crate) struct LookUps<'d> {
    dictionary: &'d Dictionary,
    /// The home lines of the subjects that were asked for last, and of those before them: they take turns, so that none is moved.
    homes: [ArrayVec<&'d Line, TOGETHER>; 2],
    /// Which of them has those that were asked for last.
    last: usize,
    /// How many were asked for.
    asked: usize,
    /// Of the subjects that were looked at last, those that their home passes on: whether it is likely to have them all the same, and
    /// their second line.
    passed_on: ArrayVec<(usize, bool, &'d Line), TOGETHER>,
}

impl<'d> LookUps<'d> {
    pub(crate) fn new(dictionary: &'d Dictionary) -> Self {
        let homes = [ArrayVec::new(), ArrayVec::new()];
        Self { dictionary, homes, last: 0, asked: 0, passed_on: ArrayVec::new() }
    }

    /// Asks for those of `subjects` that are new since the last call, and looks at those that were asked for before them: `told`
    /// gets the number and the find of each that is known, in any order. `subjects` are always all of them, from the first on.
    #[inline]
    pub(crate) fn ask(
        &mut self,
        subjects: &[Subject],
        is_same: impl Fn(usize, Place) -> bool,
        mut told: impl FnMut(usize, Known),
    ) {
        for some in subjects[self.asked..].chunks(TOGETHER) {
            self.last = 1 - self.last;
            let homes = &mut self.homes[self.last];
            homes.clear();
            // Nothing else between them: what waits for its page then waits side by side.
            homes.extend(some.iter().map(|subject| self.dictionary.ask_for(subject)));
            self.look_at(1 - self.last, self.asked, subjects, &is_same, &mut told);
            self.asked += some.len();
        }
    }

    /// Looks at all that are left.
    #[inline]
    pub(crate) fn settle(
        mut self,
        subjects: &[Subject],
        is_same: impl Fn(usize, Place) -> bool,
        mut told: impl FnMut(usize, Known),
    ) {
        self.look_at(self.last, self.asked, subjects, &is_same, &mut told);
        self.follow(subjects, &is_same, &mut told);
    }

    /// Looks at the lines of one turn: those of the subjects before number `end`.
    #[inline]
    fn look_at(
        &mut self,
        turn: usize,
        end: usize,
        subjects: &[Subject],
        is_same: &impl Fn(usize, Place) -> bool,
        told: &mut impl FnMut(usize, Known),
    ) {
        self.follow(subjects, is_same, told);
        let Self { dictionary, homes, passed_on, .. } = self;
        let homes = &homes[turn];
        let first = end - homes.len();
        // What each line says is gathered first: a branch for each would be guessed wrong for one in ten.
        let (mut likely, mut passing) = (0u64, 0u64);
        for (home, subject) in homes.iter().zip(&subjects[first..end]) {
            likely = likely >> 1 | u64::from(home.is_likely(Tag::of(subject))) << 63;
            passing = passing >> 1 | u64::from(home.passes_on(subject)) << 63;
        }
        // From the first, in the lowest bit, on.
        let [likely, passing] = [likely, passing].map(|bits| bits.unbounded_shr(64 - homes.len() as u32));
        for at in ones(passing) {
            let subject = &subjects[first + at];
            let (second, _) = dictionary.segment(dictionary.number(subject)).second(subject);
            prefetch(second);
            passed_on.push((first + at, likely >> at & 1 == 1, second));
        }
        for at in ones(likely & !passing) {
            self.find(first + at, subjects, is_same, told);
        }
    }

    /// Looks at the second lines of those that were passed on; where that does not settle it, at all that there are.
    #[inline]
    fn follow(
        &mut self,
        subjects: &[Subject],
        is_same: &impl Fn(usize, Place) -> bool,
        told: &mut impl FnMut(usize, Known),
    ) {
        for &(number, likely, second) in &self.passed_on {
            let subject = &subjects[number];
            if likely || second.is_likely(Tag::of(subject)) || second.passes_on(subject) {
                self.find(number, subjects, is_same, told);
            }
        }
        self.passed_on.clear();
    }

    fn find(
        &self,
        number: usize,
        subjects: &[Subject],
        is_same: &impl Fn(usize, Place) -> bool,
        told: &mut impl FnMut(usize, Known),
    ) {
        if let Some(known) = self.dictionary.find(&subjects[number], |place| is_same(number, place)) {
            told(number, known);
        }
    }
}

/// The way that the subject has, or will have.
#[inline]
fn expected_way(line: &Line, subject: &Subject) -> Option<usize> {
    match line.likely(Tag::of(subject)) {
        0 => Some(line.taken()).filter(|way| *way < WAYS),
        ways => Some(ways.trailing_zeros() as usize),
    }
}

/// Puts the lines of `segment` where the others' are.
fn slot(blocks: &mut Blocks, segment: &Segment) -> Slot {
    let used = u32::try_from(segment.used()).expect("places are counted by 16 bits");
    Slot { extent: blocks.put(segment.lines()), used }
}

/// The places of the bits that are set.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (at < u64::BITS).then_some(at as usize)
    })
}

/// A number that looks like chance, of `n`.
pub(crate) fn spread(n: usize) -> usize {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}
