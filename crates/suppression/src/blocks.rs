//! Where the lines of all segments lie: side by side in a few large blocks, so that the system can back them with huge pages.
//!
//! A look-up in a hundred million subjects is one line of 900 MB, and with small pages most of its time goes into finding the page.
//! Segments on the heap lie among megabytes that no look-up reads, and take more huge pages than a processor keeps at hand.

use std::ops::Range;

use crate::line::Line;
use tamis_memory::ask_for_huge_pages;

/// Lines of a block: 64 MiB, of which the system gives what is used. Tests have small ones.
const BLOCK_LINES: usize = if cfg!(test) { 64 } else { 1 << 20 };

/// The lines of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    block: u32,
    start: u32,
    lines: u32,
}

impl Extent {
    /// No lines, of no block: whoever looks for one of them panics.
    pub(crate) const NONE: Self = Self { block: u32::MAX, start: 0, lines: 0 };

    /// How many lines.
    #[inline]
    pub(crate) fn lines(self) -> usize {
        self.lines as usize
    }

    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.lines as usize
    }
}

/// Some lines side by side.
#[derive(Default)]
struct Block {
    lines: Vec<Line>,
    /// What is nobody's, ascending, no two that touch.
    free: Vec<Range<u32>>,
    /// Nothing more is put here.
    closed: bool,
}

impl Block {
    /// Where `lines` are from now on, if there is room.
    fn put(&mut self, lines: &[Line]) -> Option<u32> {
        if self.closed {
            return None;
        }
        let count = u32::try_from(lines.len()).ok()?;
        if let Some(at) = self.free.iter().position(|free| free.end - free.start >= count) {
            let start = self.free[at].start;
            self.free[at].start += count;
            if self.free[at].is_empty() {
                self.free.remove(at);
            }
            self.lines[start as usize..][..lines.len()].clone_from_slice(lines);
            return Some(start);
        }
        if self.lines.capacity() - self.lines.len() < lines.len() {
            return None;
        }
        let start = u32::try_from(self.lines.len()).ok()?;
        self.lines.extend_from_slice(lines);
        Some(start)
    }

    fn give_back(&mut self, mut range: Range<u32>) {
        let at = self.free.partition_point(|free| free.start < range.start);
        if self.free.get(at).is_some_and(|next| next.start == range.end) {
            range.end = self.free.remove(at).end;
        }
        match at.checked_sub(1).map(|before| &mut self.free[before]) {
            Some(before) if before.end == range.start => before.end = range.end,
            Some(_) | None => self.free.insert(at, range),
        }
    }

    fn is_all_free(&self) -> bool {
        matches!(&self.free[..], [all] if all.end - all.start == self.lines.len() as u32)
    }
}

/// All blocks.
#[derive(Default)]
pub(crate) struct Blocks(Vec<Block>);

impl Blocks {
    /// The lines at `extent`.
    #[inline]
    pub(crate) fn lines(&self, extent: Extent) -> &[Line] {
        &self.0[extent.block as usize].lines[extent.range()]
    }

    /// Line `at` of those at `extent`.
    #[inline]
    pub(crate) fn line(&self, extent: Extent, at: usize) -> &Line {
        debug_assert!(at < extent.lines(), "it is of that segment");
        &self.0[extent.block as usize].lines[extent.start as usize + at]
    }

    pub(crate) fn lines_mut(&mut self, extent: Extent) -> &mut [Line] {
        &mut self.0[extent.block as usize].lines[extent.range()]
    }

    /// Copies `lines` to where there is room.
    pub(crate) fn put(&mut self, lines: &[Line]) -> Extent {
        let count =
            |count| u32::try_from(count).expect("blocks, and the lines of one, are counted by 32 bits");
        let found = self.0.iter_mut().enumerate().find_map(|(block, of)| Some((block, of.put(lines)?)));
        let (block, start) = found.unwrap_or_else(|| {
            let mut new =
                Block { lines: Vec::with_capacity(lines.len().max(BLOCK_LINES)), ..Block::default() };
            ask_for_huge_pages(new.lines.spare_capacity_mut());
            let start = new.put(lines).expect("it was made with room for them");
            // A block that was given back leaves its number.
            let block = self.0.iter().position(|block| block.lines.capacity() == 0).unwrap_or(self.0.len());
            if block == self.0.len() {
                self.0.push(new);
            } else {
                self.0[block] = new;
            }
            (block, start)
        });
        Extent { block: count(block), start, lines: count(lines.len()) }
    }

    /// Gives back the lines at `extent`. Returns what is of no use any more, to be dropped where nobody waits.
    pub(crate) fn give_back(&mut self, extent: Extent) -> Vec<Line> {
        if extent.lines == 0 {
            return Vec::new();
        }
        let block = &mut self.0[extent.block as usize];
        block.give_back(extent.start..extent.start + extent.lines);
        if block.is_all_free() { std::mem::take(block).lines } else { Vec::new() }
    }

    /// From now on lines are put into new blocks, side by side; those that there are go as they become free.
    pub(crate) fn close(&mut self) {
        self.0.iter_mut().filter(|block| !block.lines.is_empty()).for_each(|block| block.closed = true);
    }

    /// Whether the lines at `extent` keep a block that nothing more is put into.
    pub(crate) fn is_closed(&self, extent: Extent) -> bool {
        self.0[extent.block as usize].closed
    }

    /// Bytes of lines, free ones as well.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|block| size_of_val(&block.lines[..])).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tamis_subject::Subject;

    use super::*;
    use crate::line::Tag;

    /// Lines that nobody else has.
    fn lines(count: usize, of: u64) -> Vec<Line> {
        let mut line = Line::EMPTY;
        line.put(Tag::of(&Subject::from_bytes((u128::from(of + 1) << 100).to_le_bytes())), 7);
        vec![line; count]
    }

    fn bytes(lines: &[Line]) -> Vec<[u8; 64]> {
        lines.iter().map(Line::to_bytes).collect()
    }

    proptest! {
        /// Guarantees: lines stay what they were whatever is put and given back beside them, no two segments share one, and
        /// all memory is given back with the last of them.
        /// Fails when: a free range is given twice, two that touch are not joined, or a closed block is used again.
        #[test]
        fn lines_stay_what_they_were(steps in prop::collection::vec((0usize..50, 1usize..100, 0u8..40), 1..120)) {
            let mut blocks = Blocks::default();
            let mut held: Vec<(Extent, Vec<Line>)> = Vec::new();
            for (of, (which, count, what)) in (0..).zip(steps) {
                match what {
                    0 => blocks.close(),
                    1..=16 if !held.is_empty() => {
                        let (extent, _) = held.remove(which % held.len());
                        drop(blocks.give_back(extent));
                    }
                    _ => {
                        let lines = lines(count, of);
                        held.push((blocks.put(&lines), lines));
                    }
                }
                for (extent, lines) in &held {
                    prop_assert_eq!(bytes(blocks.lines(*extent)), bytes(lines));
                }
                for block in &blocks.0 {
                    prop_assert!(block.free.is_sorted_by(|a, b| a.end < b.start), "{:?}", block.free);
                }
                let taken: usize = held.iter().map(|(_, lines)| lines.len()).sum();
                let free: usize = blocks.0.iter().flat_map(|block| &block.free).map(|free| free.len()).sum();
                prop_assert_eq!(blocks.bytes(), (taken + free) * 64);
            }
            for (extent, _) in held {
                drop(blocks.give_back(extent));
            }
            prop_assert_eq!(blocks.bytes(), 0);
        }
    }

    /// Guarantees: once closed, what there is takes nothing more, even where it has room.
    #[test]
    fn a_closed_block_takes_nothing() {
        let mut blocks = Blocks::default();
        let [first, second] = [1, 2].map(|of| blocks.put(&lines(10, of)));
        drop(blocks.give_back(first));
        blocks.close();
        let third = blocks.put(&lines(5, 3));
        assert_eq!((second.block, third.block), (0, 1));
    }
}
