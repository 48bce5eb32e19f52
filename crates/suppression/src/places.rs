//! Places of recipients in a job, as a roaring bitmap in the portable serialisation.

use roaring::RoaringBitmap;

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
