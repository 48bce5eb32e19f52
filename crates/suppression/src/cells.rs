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

/// A cell as a snapshot lists it. Tenant and list are empty where the scope has none.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct CellRow {
    pub(crate) cell: Cell,
    tenant: Box<str>,
    list: Box<str>,
    channel: u8,
    reason: i32,
    contacts: bool,
}

impl CellRow {
    fn scope(&self) -> Scope {
        match (&*self.tenant, &*self.list) {
            ("", _) => Scope::Platform,
            (tenant, "") => Scope::Tenant(tenant.into()),
            (tenant, list) => Scope::List { tenant: tenant.into(), list: list.into() },
        }
    }

    /// The kind of its scope, its reason and its channel.
    pub(crate) fn kind(&self) -> Option<(&'static str, RecordReason, Option<Channel>)> {
        let reason = RecordReason::from_number(self.reason)?;
        Some((self.scope().as_str(), reason, Channel::from_number(i32::from(self.channel))))
    }
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
        let scope = self.scope(&record.scope);
        scope.contacts |= record.identity == Identity::Contact;
        match scope.of(row(record.reason), record.channel) {
            Some(cell) => cell,
            None => self.add(&record.scope, record.reason, record.channel),
        }
    }

    fn scope(&mut self, scope: &Scope) -> &mut OfScope {
        match scope {
            Scope::Platform => &mut self.platform,
            Scope::Tenant(tenant) => &mut named(&mut self.tenants, tenant).own,
            Scope::List { tenant, list } => named(&mut named(&mut self.tenants, tenant).lists, list),
        }
    }

    /// A new cell.
    fn add(&mut self, scope: &Scope, reason: RecordReason, channel: Option<Channel>) -> Cell {
        let cell = self.count;
        self.count = cell.checked_add(1).expect("cells are counted by tenants and lists");
        let (row, channel) = key(row(reason), channel);
        self.scope(scope).cells.push((row, channel, cell));
        cell
    }

    /// How many there are.
    pub(crate) fn count(&self) -> Cell {
        self.count
    }

    /// Every cell, as a snapshot lists them.
    pub(crate) fn rows(&self) -> Vec<CellRow> {
        let mut rows = Vec::with_capacity(self.count as usize);
        let mut add = |tenant: &str, list: &str, of: &OfScope| {
            rows.extend(of.cells.iter().map(|&(row, channel, cell)| CellRow {
                cell,
                tenant: tenant.into(),
                list: list.into(),
                channel,
                reason: RecordReason::ALL[usize::from(row)].number(),
                contacts: of.contacts,
            }));
        };
        add("", "", &self.platform);
        for (tenant, of) in &self.tenants {
            add(tenant, "", &of.own);
            of.lists.iter().for_each(|(list, of)| add(tenant, list, of));
        }
        rows
    }

    /// The cells of a snapshot, and how many; `None` when they are not numbered from 0 on, each once.
    pub(crate) fn of_rows(mut rows: Vec<CellRow>) -> Option<(Self, Cell)> {
        rows.sort_by_key(|row| row.cell);
        let mut cells = Self::default();
        for row in rows {
            let reason = RecordReason::from_number(row.reason)?;
            let channel = Channel::from_number(i32::from(row.channel));
            let known = channel.is_some() || row.channel == 0;
            let scope = cells.scope(&row.scope());
            scope.contacts |= row.contacts;
            if !known || scope.of(self::row(reason), channel).is_some() || row.cell != cells.count {
                return None;
            }
            cells.add(&row.scope(), reason, channel);
        }
        let count = cells.count;
        Some((cells, count))
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
