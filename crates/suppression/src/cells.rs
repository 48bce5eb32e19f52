//! The cells: each (scope, channel, reason) that any record is of, by number.

use hashbrown::HashMap;
use tamis_campaign::{Channel, Identity, RecordReason};
use tamis_wire::record::{Record, Scope};

use crate::marks::Cell;

/// The cells of one scope. A scope has a few of them, so a list is smaller than a table, and tenants and lists come by the
/// thousand.
#[derive(Default)]
pub(crate) struct OfScope {
    /// Row of the reason, channel (0 is every one, as on the wire), number.
    cells: Vec<(u8, u8, Cell)>,
    /// Whether any record of this scope is of a contact, so that contacts are worth looking up.
    pub(crate) contacts: bool,
}

impl OfScope {
    /// The cell of a reason (by its row) and a channel.
    #[inline]
    pub(crate) fn of(&self, row: usize, channel: Option<Channel>) -> Option<Cell> {
        let wanted = key(row, channel);
        self.cells.iter().find(|(row, channel, _)| (*row, *channel) == wanted).map(|(.., cell)| *cell)
    }

    /// Every cell: reason, channel, number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RecordReason, Option<Channel>, Cell)> {
        self.cells.iter().map(|&(row, channel, cell)| {
            (RecordReason::ALL[usize::from(row)], Channel::from_number(i32::from(channel)), cell)
        })
    }
}

/// The scopes of one tenant.
#[derive(Default)]
pub(crate) struct OfTenant {
    pub(crate) own: OfScope,
    pub(crate) lists: HashMap<Box<str>, OfScope>,
}

/// All cells, by scope.
#[derive(Default)]
pub(crate) struct Cells {
    pub(crate) platform: OfScope,
    pub(crate) tenants: HashMap<Box<str>, OfTenant>,
    count: Cell,
}

impl Cells {
    /// The number of a record's cell, a new one if need be.
    pub(crate) fn number(&mut self, record: &Record) -> Cell {
        let scope = match &record.scope {
            Scope::Platform => &mut self.platform,
            Scope::Tenant(tenant) => &mut named(&mut self.tenants, tenant).own,
            Scope::List { tenant, list } => named(&mut named(&mut self.tenants, tenant).lists, list),
        };
        scope.contacts |= record.identity == Identity::Contact;
        let row = row(record.reason);
        if let Some(cell) = scope.of(row, record.channel) {
            return cell;
        }
        let cell = self.count;
        // Marks keep a bit of each number to themselves.
        self.count = cell
            .checked_add(1)
            .filter(|next| next >> 31 == 0)
            .expect("cells are counted by tenants and lists");
        let (row, channel) = key(row, record.channel);
        scope.cells.push((row, channel, cell));
        cell
    }

    /// About how much memory they take: tables and texts.
    pub(crate) fn bytes(&self) -> usize {
        const CELL: usize = size_of::<(u8, u8, Cell)>();
        const LIST: usize = size_of::<(Box<str>, OfScope)>() + 1;
        const TENANT: usize = size_of::<(Box<str>, OfTenant)>() + 1;
        let tenants = self.tenants.values().map(|of| of.lists.capacity() * LIST * 8 / 7).sum::<usize>();
        self.count as usize * CELL + self.tenants.capacity() * TENANT * 8 / 7 + tenants
    }
}

/// What stands under `name`, without a copy of the name where it is known.
fn named<'m, V: Default>(map: &'m mut HashMap<Box<str>, V>, name: &str) -> &'m mut V {
    if !map.contains_key(name) {
        map.insert(name.into(), V::default());
    }
    map.get_mut(name).expect("it was put in if it was not there")
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "there are nine reasons and five channels")]
fn key(row: usize, channel: Option<Channel>) -> (u8, u8) {
    (row as u8, channel.map_or(0, |c| c.number() as u8))
}

/// The row of a reason: its place in `RecordReason::ALL`, which is ascending by number.
pub(crate) fn row(reason: RecordReason) -> usize {
    RecordReason::ALL.iter().position(|r| *r == reason).unwrap_or(0)
}
