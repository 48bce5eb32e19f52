//! A partition with transactions in it: what is committed, what is open, where the last stable offset is.

/// Who wrote in a transaction: a number of a transactional id.
pub(crate) type Producer = u8;

/// What has become of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Written outside transactions.
    Plain,
    /// Its transaction has not ended here.
    Open,
    /// Its transaction was committed.
    Committed,
    /// Its transaction was aborted.
    Aborted,
    /// No record: the end of a transaction, which takes an offset.
    Marker,
}

impl Fate {
    /// Whether a `read_committed` reader gets it, once it is below the last stable offset.
    pub(crate) fn is_readable(self) -> bool {
        matches!(self, Self::Plain | Self::Committed)
    }
}

/// One offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<T> {
    pub(crate) value: T,
    pub(crate) fate: Fate,
    pub(crate) producer: Producer,
}

/// A partition. Offsets are indices; what is purged stays in memory and counts as unreadable.
#[derive(Debug)]
pub(crate) struct Log<T> {
    pub(crate) entries: Vec<Entry<T>>,
    /// The first offset that can be read.
    pub(crate) start: i64,
    /// Open transactions: whose, and where each begins.
    open: Vec<(Producer, i64)>,
}

impl<T: Copy + Default> Log<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::with_capacity(64), start: 0, open: Vec::new() }
    }

    /// The next offset: every replica has everything, but on the suppression log.
    pub(crate) fn end(&self) -> i64 {
        self.entries.len() as i64
    }

    /// The last stable offset.
    pub(crate) fn stable(&self) -> i64 {
        self.open.iter().map(|(_, first)| *first).min().unwrap_or_else(|| self.end())
    }

    /// Writes a record; in a transaction when there is a `producer`. Returns its offset.
    pub(crate) fn append(&mut self, value: T, producer: Option<Producer>) -> i64 {
        let offset = self.end();
        let fate = match producer {
            None => Fate::Plain,
            Some(producer) => {
                if !self.open.iter().any(|(open, _)| *open == producer) {
                    self.open.push((producer, offset));
                }
                Fate::Open
            }
        };
        self.entries.push(Entry { value, fate, producer: producer.unwrap_or_default() });
        offset
    }

    /// The end of `producer`'s transaction reaches this partition.
    pub(crate) fn mark(&mut self, producer: Producer, commit: bool) {
        if let Some(place) = self.open.iter().position(|(open, _)| *open == producer) {
            let (_, first) = self.open.swap_remove(place);
            for entry in &mut self.entries[index(first)..] {
                if entry.fate == Fate::Open && entry.producer == producer {
                    entry.fate = if commit { Fate::Committed } else { Fate::Aborted };
                }
            }
        }
        self.entries.push(Entry { value: T::default(), fate: Fate::Marker, producer });
    }

    /// What `producer`'s open transaction holds here.
    pub(crate) fn open_of(&self, producer: Producer) -> impl Iterator<Item = &T> {
        let first =
            self.open.iter().find(|(open, _)| *open == producer).map_or(self.end(), |(_, first)| *first);
        let mine = move |entry: &&Entry<T>| entry.fate == Fate::Open && entry.producer == producer;
        self.entries[index(first)..].iter().filter(mine).map(|entry| &entry.value)
    }

    pub(crate) fn at(&self, offset: i64) -> Option<&Entry<T>> {
        self.entries.get(index(offset))
    }

    /// DeleteRecords: nothing before `offset` can be read any more.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.start = self.start.max(offset.min(self.end()));
    }
}

/// An offset as an index.
pub(crate) fn index(offset: i64) -> usize {
    usize::try_from(offset).expect("offsets of the model are never negative")
}
