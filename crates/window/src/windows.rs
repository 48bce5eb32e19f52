//! The windows of all partitions that one worker has.

use crate::done::Done;
use crate::prints::{Print, Prints};
use crate::table::{Said, Table};

/// Answer to a look: hand it back with the verdict.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    print: Print,
    said: Said,
}

impl Look {
    /// Whether the job is a duplicate (G7).
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.said == Said::Before
    }
}

/// What one worker knows of its partitions; a partition each has a table.
#[derive(Debug)]
pub struct Window {
    prints: Prints,
    window_s: u32,
    /// By partition.
    tables: Vec<Option<Table>>,
    /// By partition.
    done: Vec<Done>,
    /// When something was freed last.
    tidied_s: u32,
}

impl Window {
    /// Decisions count for `window_s` seconds; 0 switches it off, and then nothing is ever a duplicate.
    #[must_use]
    pub fn new(prints: Prints, window_s: u32) -> Self {
        Self { prints, window_s, tables: Vec::new(), done: Vec::new(), tidied_s: 0 }
    }

    /// Whether duplicates are looked for at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.window_s > 0
    }

    /// Keeps the tables of these partitions only, and nothing of what is done.
    pub fn keep_only(&mut self, partitions: &[i32]) {
        self.done.clear();
        for (partition, table) in (0..).zip(&mut self.tables) {
            if !partitions.contains(&partition) {
                *table = None;
            }
        }
    }

    /// Which of the partitions, each with the offset the log has committed, must be read back: all but those whose
    /// offset is still where this worker left it. Their tables are dropped.
    pub fn missing(&mut self, committed: &[(i32, Option<i64>)]) -> Vec<i32> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut missing = Vec::new();
        for &(partition, committed) in committed {
            let table = self.table(partition);
            if !table.as_ref().is_some_and(|table| table.stands_at(committed)) {
                *table = None;
                missing.push(partition);
            }
        }
        missing
    }

    /// Takes in the table of a partition that was read back.
    pub fn recalled(&mut self, partition: i32, table: Table) {
        *self.table(partition) = Some(table);
    }

    /// A partition was committed up to `next`.
    pub fn committed(&mut self, partition: i32, next: i64) {
        if let Some(table) = self.table(partition) {
            table.committed(next);
        }
        at(&mut self.done, partition).committed(next);
    }

    /// Takes in what is done of a partition, read back after a return to the group's offset.
    pub fn done(&mut self, partition: i32, done: Done) {
        *at(&mut self.done, partition) = done;
    }

    /// Whether the record at `offset` of a partition has its outcome already, `job` being its tenant and id if it is a job: it is
    /// not to be decided again, and its offset is not to be committed.
    #[inline]
    #[must_use]
    pub fn is_done(&self, partition: i32, offset: i64, job: Option<(&str, &str)>) -> bool {
        let done = usize::try_from(partition).ok().and_then(|at| self.done.get(at));
        done.is_some_and(|done| {
            done.has(offset, || job.map(|(tenant, job_id)| self.prints.of(tenant, job_id)))
        })
    }

    /// Takes a tenant's job of a partition up, and asks memory for what [`Window::look`] and [`Window::note`] will need; `None` when
    /// duplicates are not looked for. It changes nothing, and a few jobs are to be taken up before the first is looked at: each
    /// would wait by itself otherwise.
    #[inline]
    #[must_use]
    pub fn foresee(&self, partition: i32, (tenant, job_id): (&str, &str)) -> Option<Print> {
        if !self.is_on() {
            return None;
        }
        let print = self.prints.of(tenant, job_id);
        if let Some(table) = usize::try_from(partition).ok().and_then(|at| self.tables.get(at)?.as_ref()) {
            table.foresee(print);
        }
        Some(print)
    }

    /// Looks whether a job was said before.
    #[inline]
    pub fn look(&mut self, partition: i32, offset: i64, print: Print, now_s: u32) -> Look {
        let window_s = self.window_s;
        let table = self.table(partition);
        debug_assert!(
            table.is_some(),
            "G7: a partition is read only once it is known what was decided in it"
        );
        let said = table.get_or_insert_with(|| Table::new(window_s)).look(print, offset, now_s);
        Look { print, said }
    }

    /// Notes what became of the job: `settled` when it is ROUTED or EMPTY.
    #[inline]
    pub fn note(&mut self, partition: i32, offset: i64, look: Look, settled: bool, now_s: u32) {
        let Some(table) = self.table(partition) else { return };
        match (look.said, settled) {
            (Said::First | Said::Afresh, true) => table.note(look.print, offset, now_s),
            (Said::Afresh, false) => table.forget(look.print),
            (Said::First, false) | (Said::Before, _) => {}
        }
    }

    /// How many jobs are known, some of which may have expired.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.tables.iter().flatten().map(Table::jobs).sum()
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tables.iter().flatten().map(Table::bytes).sum()
    }

    /// Frees a little of what has expired, once a second at most; to be called once a batch.
    pub fn tidy(&mut self, now_s: u32) {
        if std::mem::replace(&mut self.tidied_s, now_s) == now_s {
            return;
        }
        self.tables.iter_mut().flatten().for_each(|table| table.tidy(now_s));
    }

    #[inline]
    fn table(&mut self, partition: i32) -> &mut Option<Table> {
        at(&mut self.tables, partition)
    }
}

/// What is kept of a partition.
#[inline]
fn at<T: Default>(all: &mut Vec<T>, partition: i32) -> &mut T {
    // No partition of a log is below 0.
    let at = usize::try_from(partition).unwrap_or(0);
    if at >= all.len() {
        all.resize_with(at + 1, T::default);
    }
    &mut all[at]
}
