//! One cache line of the dictionary: nine subjects' tags, what each is in, and who went on to a later one.

use tamis_subject::Subject;

/// Subjects of a line. A tag of 40 bits and a mark of 16 are seven bytes: nine fit into 64 with a byte left for `over`.
pub(crate) const WAYS: usize = 9;

/// What is kept of a subject besides the line that it stands in: 40 bits, never 0, which is an empty way.
///
/// With the nine tags of a line, and 1.1 lines looked at on average, an absent subject is taken for a present one in 10⁻¹¹
/// of the look-ups; G3 allows 10⁻¹⁰.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    low: u32,
    high: u8,
}

impl Tag {
    const EMPTY: Self = Self { low: 0, high: 0 };

    /// The high 40 bits of the second word: the first word says which segment and line.
    #[inline]
    pub(crate) fn of(subject: &Subject) -> Self {
        let bits = (subject.words()[1] >> 24).max(1);
        #[expect(clippy::cast_possible_truncation, reason = "40 bits, in two pieces")]
        Self { low: bits as u32, high: (bits >> 32) as u8 }
    }
}

/// Which eighth of all subjects it is of, as a bit; from bits that are used for nothing else.
#[inline]
fn eighth(subject: &Subject) -> u8 {
    1 << (subject.words()[1] & 7)
}

/// Ways are filled from the first on and emptied only when the whole segment is built anew.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Line {
    low: [u32; WAYS],
    marks: [u16; WAYS],
    high: [u8; WAYS],
    /// Who went on to a later line since this one was full: a bit for each eighth of the subjects. So most look-ups of
    /// absent subjects end here even when the line has overflowed (the idea is Boost's, of `unordered_flat_map`).
    over: u8,
}

impl Line {
    pub(crate) const EMPTY: Self = Self { low: [0; WAYS], marks: [0; WAYS], high: [0; WAYS], over: 0 };

    /// The ways that may hold `tag`, by the first 32 bits of it: a bit each. Without a branch, so that a batch waits for
    /// memory side by side.
    #[inline]
    pub(crate) fn likely(&self, tag: Tag) -> u32 {
        let mut ways = 0;
        for (way, low) in self.low.iter().enumerate() {
            ways |= u32::from(*low == tag.low) << way;
        }
        ways
    }

    /// Whether there is any such way: what is asked of every line, in fewer steps than which ways they are.
    #[inline]
    pub(crate) fn is_likely(&self, tag: Tag) -> bool {
        self.low.iter().fold(false, |any, low| any | (*low == tag.low))
    }

    /// The ways that hold `tag`: a bit each.
    #[inline]
    pub(crate) fn matching(&self, tag: Tag) -> u32 {
        let likely = self.likely(tag);
        if likely == 0 {
            return 0;
        }
        let high = self.high.iter().enumerate();
        likely & high.fold(0, |ways, (way, high)| ways | u32::from(*high == tag.high) << way)
    }

    /// Whether `subject` may be in a later line.
    #[inline]
    pub(crate) fn passes_on(&self, subject: &Subject) -> bool {
        self.over & eighth(subject) != 0
    }

    /// Notes that `subject` is in a later line.
    pub(crate) fn pass_on(&mut self, subject: &Subject) {
        self.over |= eighth(subject);
    }

    #[inline]
    pub(crate) fn mark(&self, way: usize) -> u16 {
        self.marks[way]
    }

    pub(crate) fn set_mark(&mut self, way: usize, mark: u16) {
        self.marks[way] = mark;
    }

    /// Puts a subject into the first empty way; `None` when there is none.
    pub(crate) fn put(&mut self, tag: Tag, mark: u16) -> Option<usize> {
        let way = self.matching(Tag::EMPTY).trailing_zeros() as usize;
        if way >= WAYS {
            return None;
        }
        self.low[way] = tag.low;
        self.high[way] = tag.high;
        self.marks[way] = mark;
        Some(way)
    }

    /// As it stands in a snapshot: low parts, marks, high parts, `over`.
    pub(crate) fn to_bytes(&self) -> [u8; LINE_BYTES] {
        let mut bytes = [0; LINE_BYTES];
        for way in 0..WAYS {
            bytes[way * 4..][..4].copy_from_slice(&self.low[way].to_le_bytes());
            bytes[WAYS * 4 + way * 2..][..2].copy_from_slice(&self.marks[way].to_le_bytes());
        }
        bytes[WAYS * 6..WAYS * 7].copy_from_slice(&self.high);
        bytes[WAYS * 7] = self.over;
        bytes
    }

    /// The reverse; `None` when an empty way comes before one that is taken.
    pub(crate) fn from_bytes(bytes: &[u8; LINE_BYTES]) -> Option<Self> {
        let line = Self {
            low: std::array::from_fn(|way| {
                bytes[way * 4..].first_chunk().map_or(0, |low| u32::from_le_bytes(*low))
            }),
            marks: std::array::from_fn(|way| {
                bytes[WAYS * 4 + way * 2..].first_chunk().map_or(0, |mark| u16::from_le_bytes(*mark))
            }),
            high: std::array::from_fn(|way| bytes[WAYS * 6 + way]),
            over: bytes[WAYS * 7],
        };
        // Of the empty ways all but the lowest must have no lower neighbour that is taken.
        let empty = line.matching(Tag::EMPTY);
        (empty == 0 || empty >> empty.trailing_zeros() == (1 << (WAYS as u32 - empty.trailing_zeros())) - 1)
            .then_some(line)
    }

    /// The ways that are taken.
    pub(crate) fn taken(&self) -> usize {
        (self.matching(Tag::EMPTY).trailing_zeros() as usize).min(WAYS)
    }
}

/// Bytes of a line.
pub(crate) const LINE_BYTES: usize = 64;

const _: () = assert!(
    size_of::<Line>() == LINE_BYTES && WAYS * 7 + 1 == LINE_BYTES,
    "a line of the dictionary is a line of the cache"
);
