//! A link that was opened: what it can stop, and the records that stop it. Pure.

use tamis_bus::KeyedRecord;
use tamis_campaign::{Channel, DAY_MS, Identity, RecordReason, Source, UnixMs};
use tamis_subject::token::Opened;
use tamis_subject::{SCHEME, Subject, Subjects};
use tamis_suppression::Found;
use tamis_wire::record::{self, Record, Scope, State};

/// What is recorded as the reason of every opt-out by link.
pub(crate) const REASON: RecordReason = RecordReason::Unsubscribed;
/// And as its door.
pub(crate) const SOURCE: Source = Source::OneClick;
/// For how long what was stopped can be taken back.
const UNDO_MS: i64 = 10 * 60 * 1_000;

/// What a person can stop, from the narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The link's list, on its channel.
    List,
    /// The sender, on the link's channel.
    Channel,
    /// The sender, on every channel.
    All,
}

impl Choice {
    const EVERY: [Self; 3] = [Self::List, Self::Channel, Self::All];

    /// Its name in the form.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Channel => "channel",
            Self::All => "all",
        }
    }
}

/// What an undo must know; it travels sealed, since tamis remembers nothing about a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undo {
    /// What was stopped.
    pub(crate) choice: Choice,
    /// When it was answered, Unix ms.
    pub(crate) at_ms: UnixMs,
    /// The offset after its record, in the person's partition.
    pub(crate) next: i64,
    /// When the log says that it took the record, Unix ms: that tells it from one that this link brings later.
    pub(crate) recorded_at_ms: UnixMs,
}

impl Undo {
    fn to_bytes(self) -> [u8; 25] {
        let mut bytes = [0; 25];
        bytes[0] = self.choice as u8;
        bytes[1..9].copy_from_slice(&self.at_ms.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.next.to_be_bytes());
        bytes[17..].copy_from_slice(&self.recorded_at_ms.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&choice, rest) = bytes.split_first()?;
        let (at_ms, rest) = rest.split_first_chunk()?;
        let (next, rest) = rest.split_first_chunk()?;
        let recorded_at_ms = i64::from_be_bytes(rest.try_into().ok()?);
        let choice = Choice::EVERY.into_iter().find(|known| *known as u8 == choice)?;
        let (at_ms, next) = (i64::from_be_bytes(*at_ms), i64::from_be_bytes(*next));
        Some(Self { choice, at_ms, next, recorded_at_ms })
    }

    /// Whether it comes in time; one from the future does not.
    pub(crate) fn is_in_time(self, now_ms: UnixMs) -> bool {
        (0..UNDO_MS).contains(&now_ms.saturating_sub(self.at_ms))
    }
}

/// A token that is good, and what came with it.
pub(crate) struct Link {
    opened: Opened,
    token: Box<str>,
    subjects: Subjects,
}

impl Link {
    /// What `token` is for, if it is one of ours and, where links end after some `days`, has not ended at `now_ms`.
    pub(crate) fn open(subjects: Subjects, token: &str, days: u16, now_ms: UnixMs) -> Option<Self> {
        let opened = subjects.open(token)?;
        let age = now_ms.div_euclid(DAY_MS) - i64::from(opened.day);
        (days == 0 || age <= i64::from(days)).then(|| Self { opened, token: token.into(), subjects })
    }

    /// What it can stop, from the narrowest, which is what one-click stops.
    pub(crate) fn choices(&self) -> &'static [Choice] {
        const { &Choice::EVERY }.get(usize::from(self.opened.list.is_empty())..).unwrap_or_default()
    }

    /// The choice of this name, if it has it.
    pub(crate) fn choice(&self, name: &str) -> Option<Choice> {
        self.choices().iter().copied().find(|choice| choice.as_str() == name)
    }

    pub(crate) fn tenant(&self) -> &str {
        &self.opened.tenant
    }

    /// Empty when it is for the tenant as a whole.
    pub(crate) fn list(&self) -> &str {
        &self.opened.list
    }

    pub(crate) fn channel(&self) -> Channel {
        self.opened.channel
    }

    pub(crate) fn identity(&self) -> Identity {
        self.opened.identity
    }

    /// The person, of the first scheme.
    pub(crate) fn first(&self) -> Subject {
        self.opened.first
    }

    /// What people can name when they ask about it, and what its records have as evidence after `token:`. Nobody gets from it to
    /// the token.
    pub(crate) fn reference(&self) -> String {
        blake3::hash(self.token.as_bytes()).to_hex()[..16].to_owned()
    }

    fn evidence(&self) -> Box<str> {
        format!("token:{}", self.reference()).into()
    }

    /// The partition of `partitions` that the person's records are in.
    pub(crate) fn partition(&self, partitions: u32) -> i32 {
        record::partition_of(&self.opened.first, partitions)
    }

    /// The record that stops `choice`, or starts it again, for a log of `partitions`.
    pub(crate) fn record(&self, choice: Choice, state: State, partitions: u32) -> KeyedRecord {
        let (scope, channel) = self.reach(choice);
        let record = Record {
            subject: self.subjects.advance(self.opened.first, SCHEME),
            identity: self.opened.identity,
            scope,
            channel,
            reason: REASON,
            state,
            effective_at_ms: 0,
            expires_at_ms: 0,
            source: SOURCE,
            evidence: self.evidence(),
            scheme: self.subjects.scheme(),
        };
        KeyedRecord::new(self.partition(partitions), record::key(&record), record::encode(&record))
    }

    fn reach(&self, choice: Choice) -> (Scope, Option<Channel>) {
        let Opened { tenant, list, channel, .. } = &self.opened;
        match choice {
            Choice::List => (Scope::List { tenant: tenant.clone(), list: list.clone() }, Some(*channel)),
            Choice::Channel => (Scope::Tenant(tenant.clone()), Some(*channel)),
            Choice::All => (Scope::Tenant(tenant.clone()), None),
        }
    }

    /// Whether `found` is the record of `choice`, whoever wrote it.
    pub(crate) fn is_of(&self, found: &Found, choice: Choice) -> bool {
        let (scope, channel) = self.reach(choice);
        found.reason == REASON && found.scope == scope && found.channel == channel
    }

    /// Whether `found`, a record of one of its choices, was written by this link.
    pub(crate) fn wrote(&self, found: &Found) -> bool {
        found.source == SOURCE && found.evidence == self.evidence()
    }

    /// Seals an undo, for this link only.
    pub(crate) fn seal(&self, undo: Undo) -> String {
        self.subjects.seal_undo(&self.token, &undo.to_bytes())
    }

    /// Opens one that was sealed for this link.
    pub(crate) fn open_undo(&self, sealed: &str) -> Option<Undo> {
        Undo::from_bytes(&self.subjects.open_undo(&self.token, sealed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, UNDO_MS, Undo};

    #[test]
    fn an_undo_is_read_as_it_was_written_and_nothing_else_is() {
        for choice in Choice::EVERY {
            let undo = Undo { choice, at_ms: 1_795_000_000_123, next: 42, recorded_at_ms: 7 };
            let bytes = undo.to_bytes();
            assert_eq!(Undo::from_bytes(&bytes), Some(undo));
            assert_eq!(Undo::from_bytes(&bytes[..24]), None);
            assert_eq!(Undo::from_bytes(&[&bytes[..], &[0]].concat()), None);
            assert_eq!(Undo::from_bytes(&[&[3][..], &bytes[1..]].concat()), None);
        }
        assert_eq!(Undo::from_bytes(&[]), None);
    }

    #[test]
    fn an_undo_is_good_for_ten_minutes() {
        let undo = Undo { choice: Choice::All, at_ms: 1_000, next: 0, recorded_at_ms: 0 };
        for (now_ms, good) in
            [(999, false), (1_000, true), (999 + UNDO_MS, true), (1_000 + UNDO_MS, false), (i64::MIN, false)]
        {
            assert_eq!(undo.is_in_time(now_ms), good, "{now_ms}");
        }
    }
}
