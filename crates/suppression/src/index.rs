//! The index: dictionary of subjects, and a bitmap over their ids for each (scope, channel, reason).

use hashbrown::{HashMap, HashTable};
use roaring::RoaringBitmap;
use tamis_campaign::{Channel, Identity, Purpose, RecordReason, Source, UnixMs};
use tamis_subject::Subject;
use tamis_wire::record::{Record, Scope, State};

use crate::selection::Selection;

/// A subject's dense id.
pub(crate) type Id = u32;

/// Channels of a bitmap: 0 is every channel, as on the wire.
const CHANNELS: usize = Channel::ALL.len() + 1;
const REASONS: usize = RecordReason::ALL.len();

/// All records in force, or to come into force, up to a position of the log.
#[derive(Debug)]
pub struct Index {
    position: Vec<i64>,
    gaps: u64,
    ids: HashTable<(Subject, Id)>,
    slots: Vec<Slot>,
    platform: Slots,
    tenants: HashMap<Box<str>, TenantSlots>,
    records: usize,
}

/// The bitmaps of one scope, by channel and reason; numbers into `Index::slots`.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    pub(crate) of: [[Option<u32>; CHANNELS]; REASONS],
    /// Whether any record of this scope is of a contact, so that contacts are worth looking up.
    pub(crate) contacts: bool,
}

#[derive(Debug, Default)]
struct TenantSlots {
    own: Slots,
    lists: HashMap<Box<str>, Slots>,
}

/// One bitmap, and what is known of each record in it.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    ids: RoaringBitmap,
    /// The few that come into force later or expire: (effective, expires), 0 = at once, never.
    timed: HashMap<Id, (UnixMs, UnixMs)>,
    details: HashMap<Id, Detail>,
}

#[derive(Debug)]
struct Detail {
    source: Source,
    evidence: Box<str>,
    recorded_at_ms: UnixMs,
}

/// A record in force, as a look-up tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Why.
    pub reason: RecordReason,
    /// How far it reaches.
    pub scope: Scope,
    /// Which channel; `None` is every one.
    pub channel: Option<Channel>,
    /// From when on, Unix ms; 0 = at once.
    pub effective_at_ms: UnixMs,
    /// Until when, Unix ms; 0 = for good.
    pub expires_at_ms: UnixMs,
    /// Which door it came in by.
    pub source: Source,
    /// An opaque id.
    pub evidence: Box<str>,
    /// When the log took it, Unix ms.
    pub recorded_at_ms: UnixMs,
}

impl Slot {
    /// In force: effective at 0 or past, expiring at 0 or later than now (semantics, section 2).
    #[inline]
    pub(crate) fn holds(&self, id: Id, now_ms: UnixMs) -> bool {
        self.ids.contains(id)
            && (self.timed.is_empty()
                || self.timed.get(&id).is_none_or(|&(effective, expires)| {
                    effective <= now_ms && (expires == 0 || expires > now_ms)
                }))
    }
}

impl Index {
    /// An empty index over `partitions` partitions.
    #[must_use]
    pub fn new(partitions: usize) -> Self {
        Self {
            position: vec![0; partitions],
            gaps: 0,
            ids: HashTable::new(),
            slots: Vec::new(),
            platform: Slots::default(),
            tenants: HashMap::new(),
            records: 0,
        }
    }

    /// The next offset to apply of each partition.
    #[must_use]
    pub fn position(&self) -> &[i64] {
        &self.position
    }

    /// How often offsets were passed over that the log had nothing for: compacted away, or markers of transactions.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Applies a record. The latest by its place in the log counts; one from before the position is known already.
    pub fn apply(&mut self, partition: i32, offset: i64, recorded_at_ms: UnixMs, record: &Record) {
        if !self.move_past(partition, offset) {
            return;
        }
        let number = self.slot_of(record);
        let id = self.id_of(record.subject);
        let slot = &mut self.slots[number];
        match record.state {
            State::Lifted => {
                slot.timed.remove(&id);
                slot.details.remove(&id);
                self.records -= usize::from(slot.ids.remove(id));
            }
            State::InForce => {
                self.records += usize::from(slot.ids.insert(id));
                if record.effective_at_ms == 0 && record.expires_at_ms == 0 {
                    slot.timed.remove(&id);
                } else {
                    slot.timed.insert(id, (record.effective_at_ms, record.expires_at_ms));
                }
                let evidence = record.evidence.clone();
                slot.details.insert(id, Detail { source: record.source, evidence, recorded_at_ms });
            }
        }
    }

    /// Goes past a record that holds nothing to apply.
    pub fn advance(&mut self, partition: i32, offset: i64) {
        self.move_past(partition, offset);
    }

    /// The bitmaps that a job selects: once a job, not once a recipient.
    #[must_use]
    pub fn select(&self, tenant: &str, list: &str, channel: Channel, purpose: Purpose) -> Selection<'_> {
        let of_tenant = self.tenants.get(tenant);
        let of_list = of_tenant.filter(|_| !list.is_empty()).and_then(|t| t.lists.get(list));
        let scopes = [Some(&self.platform), of_tenant.map(|t| &t.own), of_list];
        Selection::new(self, scopes, channel, purpose)
    }

    /// Every record in force for `subject` that a job of `tenant` could meet, on any channel and list.
    #[must_use]
    pub fn in_force(&self, tenant: &str, subject: &Subject, now_ms: UnixMs) -> Vec<Found> {
        let Some(id) = self.id(subject) else { return Vec::new() };
        let mut found = Vec::new();
        self.collect(&self.platform, &Scope::Platform, id, now_ms, &mut found);
        if let Some((name, slots)) = self.tenants.get_key_value(tenant) {
            self.collect(&slots.own, &Scope::Tenant(name.clone()), id, now_ms, &mut found);
            for (list, slots) in &slots.lists {
                let scope = Scope::List { tenant: name.clone(), list: list.clone() };
                self.collect(slots, &scope, id, now_ms, &mut found);
            }
        }
        found.sort_by(|a, b| (a.reason, &a.scope, a.channel).cmp(&(b.reason, &b.scope, b.channel)));
        found
    }

    fn collect(&self, slots: &Slots, scope: &Scope, id: Id, now_ms: UnixMs, found: &mut Vec<Found>) {
        for (&reason, of_reason) in RecordReason::ALL.iter().zip(&slots.of) {
            for (channel, number) in of_reason.iter().enumerate() {
                let Some(slot) = number.map(|n| &self.slots[n as usize]) else { continue };
                if !slot.holds(id, now_ms) {
                    continue;
                }
                let Some(detail) = slot.details.get(&id) else { continue };
                let (effective_at_ms, expires_at_ms) = slot.timed.get(&id).copied().unwrap_or_default();
                found.push(Found {
                    reason,
                    scope: scope.clone(),
                    channel: i32::try_from(channel).ok().and_then(Channel::from_number),
                    effective_at_ms,
                    expires_at_ms,
                    source: detail.source,
                    evidence: detail.evidence.clone(),
                    recorded_at_ms: detail.recorded_at_ms,
                });
            }
        }
    }

    /// Subjects ever seen.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.ids.len()
    }

    /// Records that are not lifted, in force or timed.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// About how much memory it takes, bytes: dictionary, details and bitmaps, evidence texts left out.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const ID: usize = size_of::<(Subject, Id)>() + 1;
        const RECORD: usize = size_of::<(Id, Detail)>() + 1;
        const BIT: usize = 2;
        self.ids.capacity() * ID
            + self.records * (RECORD * 8 / 7 + BIT)
            + self.slots.len() * size_of::<Slot>()
    }

    #[inline]
    pub(crate) fn id(&self, subject: &Subject) -> Option<Id> {
        self.ids.find(hash(subject), |(known, _)| known == subject).map(|(_, id)| *id)
    }

    pub(crate) fn slot(&self, number: u32) -> &Slot {
        &self.slots[number as usize]
    }

    /// Moves a partition's position past a record; `false` when it is past it already.
    fn move_past(&mut self, partition: i32, offset: i64) -> bool {
        let position = usize::try_from(partition).ok().and_then(|p| self.position.get_mut(p));
        match position {
            Some(position) if *position <= offset => {
                self.gaps += u64::from(*position < offset);
                *position = offset + 1;
                true
            }
            Some(_) | None => false,
        }
    }

    fn id_of(&mut self, subject: Subject) -> Id {
        if let Some(id) = self.id(&subject) {
            return id;
        }
        let id =
            Id::try_from(self.ids.len()).expect("four thousand million subjects do not fit this machine");
        self.ids.insert_unique(hash(&subject), (subject, id), |(known, _)| hash(known));
        id
    }

    fn slot_of(&mut self, record: &Record) -> usize {
        let slots = match &record.scope {
            Scope::Platform => &mut self.platform,
            Scope::Tenant(tenant) => &mut self.tenants.entry(tenant.clone()).or_default().own,
            Scope::List { tenant, list } => {
                self.tenants.entry(tenant.clone()).or_default().lists.entry(list.clone()).or_default()
            }
        };
        slots.contacts |= record.identity == Identity::Contact;
        let channel = record.channel.map_or(0, |c| c as usize);
        let number = slots.of[reason_row(record.reason)][channel].get_or_insert_with(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("bitmaps are counted by tenants and lists")
        });
        *number as usize
    }
}

/// The row of a reason: its place in `RecordReason::ALL`, which is ascending by number.
pub(crate) fn reason_row(reason: RecordReason) -> usize {
    RecordReason::ALL.iter().position(|r| *r == reason).unwrap_or(0)
}

/// A subject is the PRF's output: any of its bits are a hash.
#[inline]
fn hash(subject: &Subject) -> u64 {
    subject.words()[0]
}

#[cfg(test)]
mod tests;
