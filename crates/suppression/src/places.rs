//! Places of recipients in a job, as a roaring bitmap in the portable serialisation.

use roaring::RoaringBitmap;

/// Values of an array; more are a bitmap.
const ARRAY_MOST: usize = 4_096;
/// What a serialisation begins with in which no container is one of runs.
const NO_RUNS: u32 = 12_346;

/// Places from 0, each once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Places(RoaringBitmap);

impl Places {
    /// From places in ascending order.
    ///
    /// # Panics
    /// When they are not ascending: a defect of the caller.
    #[must_use]
    pub fn from_ascending(places: &[u32]) -> Self {
        Self(RoaringBitmap::from_sorted_iter(places.iter().copied()).expect("places are counted up"))
    }

    /// Appends the portable serialisation of places in ascending order, as [`Places::write`] does.
    ///
    /// # Panics
    /// When they are not ascending: a defect of the caller.
    pub fn write_ascending(places: &[u32], out: &mut Vec<u8>) {
        let last = places.last().and_then(|last| u16::try_from(*last).ok());
        if last.is_none() || places.len() > ARRAY_MOST {
            return Self::from_ascending(places).write(out);
        }
        // One array, which is what most are; the library makes several allocations of it. By the format's specification
        // (RoaringFormatSpec): a cookie, one container, its key, how many it has less one, where it begins, its values.
        assert!(places.is_sorted_by(|a, b| a < b), "places are counted up");
        out.extend(NO_RUNS.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        out.extend(0u16.to_le_bytes());
        out.extend((places.len() as u16 - 1).to_le_bytes());
        out.extend(16u32.to_le_bytes());
        out.extend(places.iter().flat_map(|place| (*place as u16).to_le_bytes()));
    }

    /// Adds a place after all others.
    ///
    /// # Panics
    /// When it is not after them: a defect of the caller.
    pub fn push(&mut self, place: u32) {
        self.0.try_push(place).expect("places are counted up");
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// From the portable serialisation, as an outcome has it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        RoaringBitmap::deserialize_from(bytes).ok().map(Self)
    }

    /// Appends the portable serialisation.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.0.serialize_into(out).expect("a Vec takes what is written to it");
    }

    /// The places, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_as_the_library(places: &[u32]) {
        let (mut ours, mut theirs) = (vec![1], vec![1]);
        Places::write_ascending(places, &mut ours);
        Places::from_ascending(places).write(&mut theirs);
        assert!(ours == theirs, "{} places, the last {:?}", places.len(), places.last());
    }

    /// Guarantees: the same at the edges of the short way.
    /// Fails when: an array is taken for a bitmap or the reverse; a place past 16 bits loses its high half.
    #[test]
    fn places_are_written_alike_at_the_edges() {
        for count in [0, 1, 2, 4_095, 4_096, 4_097] {
            for last in [65_535, 65_536] {
                let places: Vec<u32> = (0..count).chain([last]).collect();
                assert_as_the_library(&places);
                assert_as_the_library(&places[..places.len() - 1]);
                assert_as_the_library(&places[1..]);
            }
        }
    }

    proptest! {
        /// Guarantees: places are written as the library writes them, octet for octet.
        /// Fails when: a count or a place is one off.
        #[test]
        fn places_are_written_as_the_library_writes_them(
            some in prop::collection::btree_set(prop_oneof![9 => 0u32..100_000, 1 => any::<u32>()], 0..40),
        ) {
            let near: Vec<u32> = some.iter().copied().filter(|place| *place <= 0xffff).collect();
            assert_as_the_library(&near);
            assert_as_the_library(&some.into_iter().collect::<Vec<_>>());
        }
    }
}
