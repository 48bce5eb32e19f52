//! One import: rows in, records out, a bounded number of them on the way.

use std::fs::File;
use std::io::Read;

use tamis_bus::{KeyedRecord, Positions};
use tamis_campaign::{Source, UnixMs};
use tamis_pipeline::View;
use tamis_suppression::Found;
use tamis_wire::record::{self, Record};

use super::folder::{Cells, UNDO_WINDOW};
use super::layouts::{Header, Unfit};
use super::plan::{Plan, Visible};
use super::reading::{Broken, Format, Next, NotText, Reader, Row};
use super::rows::{Code, Draft, Maker};
use super::text::Decoder;
use super::told::{Failure, State, Told};
use super::writing::{Careful, Settled, Window, settle};
use super::{Imports, World};

/// Rows of a batch: some hundred KiB of records, made and looked up in about a millisecond each.
pub(super) const BATCH_ROWS: usize = 8_192;
/// How often the status is written to its file, ms.
const TELL_EVERY_MS: UnixMs = 1_000;
/// How far ahead the moment is at which everything is visible: this, and as long as slow writing would take.
const VISIBLE_AHEAD_MS: UnixMs = 10_000;
/// Rows a second of slow writing: a sixth of what a log takes.
const SLOW_ROWS_A_SECOND: u64 = 50_000;
/// Records of one kind of row looked at without letting the filter's writer in.
const LOOK_MAX: usize = 512;
/// Of these, so many are asked of memory side by side.
const FORESEEN: usize = 64;

/// An import that has begun, and holds its lock.
pub struct Import {
    imports: Imports,
    plan: Plan,
    told: Told,
    lock: File,
    told_at_ms: UnixMs,
}

/// Rows read together.
#[derive(Default)]
struct Batch {
    drafts: Vec<Draft>,
    settled: Settled,
    ended: bool,
    /// Why there are no more, where that is not the end.
    failed: Option<Failure>,
}

impl Import {
    pub(super) fn new(imports: Imports, plan: Plan, told: Told, lock: File) -> Self {
        Self { imports, plan, told, lock, told_at_ms: 0 }
    }

    /// What is told of it.
    #[must_use]
    pub fn told(&self) -> Told {
        self.told.clone()
    }

    /// Imports the rows of `from`, and ends. `whole` is called once all of them are read and none of what comes then can have
    /// them refused. It blocks.
    ///
    /// # Errors
    /// What the status tells, too.
    pub fn run(mut self, from: impl Read, whole: impl FnOnce()) -> Result<(), Failure> {
        let done = self.all(from, whole);
        let now_ms = crate::now_ms();
        let mut status = self.told.status();
        status.state = if done.is_ok() { State::Done } else { State::Failed };
        status.failure = done.as_ref().err().cloned();
        status.ended_at_ms = Some(now_ms);
        if !self.plan.dry_run {
            let window_ms = u64::try_from(UNDO_WINDOW.as_millis()).unwrap_or(u64::MAX);
            status.undo_until_ms = now_ms.checked_add_unsigned(window_ms);
        }
        let filter = self.imports.0.world.filter.position();
        for (at, next) in status.position.iter_mut().enumerate().filter(|(_, next)| **next < 0) {
            *next = filter.as_slice().get(at).copied().unwrap_or(0);
        }
        let (id, rows, rejected) = (&status.import_id, status.rows, status.rejected);
        match &done {
            Ok(()) => tracing::info!(import = id, rows, accepted = status.accepted, rejected, "import done"),
            Err(failure) => {
                self.imports.0.world.metrics.error("intake", "import");
                tracing::warn!(import = id, rows, rejected, code = failure.code, "import failed");
            }
        }
        let kept =
            self.imports.0.folder.remove(id, "spool").and_then(|()| self.imports.0.folder.tell(&status));
        if let Err(error) = kept {
            tracing::warn!(%error, import = id, "what became of an import could not be kept");
        }
        // Told to have ended only when an undo of it may begin.
        drop(self.lock);
        self.imports.0.running.lock().remove(id);
        *self.told.0.lock() = status;
        done
    }

    fn all(&mut self, from: impl Read, whole: impl FnOnce()) -> Result<(), Failure> {
        let world = self.imports.0.world.clone();
        let plan = self.plan.clone();
        let mut rows = Rows::open(from, &plan, &world)?;
        self.describe(&rows);
        match (plan.dry_run, plan.visible) {
            (true, _) => self.try_out(&mut rows, &world)?,
            (false, Visible::AsItGoes) => {
                let window = Window::new(&world, &self.told);
                let passed = self.as_it_goes(&mut rows, &world, &window);
                // What was handed over before it broke off counts, too.
                let settled = window.all();
                passed?;
                settled?;
            }
            (false, Visible::AtOnce) => {
                self.spool(&mut rows, &world)?;
                whole();
                self.at_once(&world)?;
                self.told.0.lock().next_line = rows.next_line;
                return Ok(());
            }
        }
        whole();
        Ok(())
    }

    fn as_it_goes<R: Read>(
        &mut self,
        rows: &mut Rows<'_, R>,
        world: &World,
        window: &Window,
    ) -> Result<(), Failure> {
        let mut brought = self.cells("brought", false)?;
        loop {
            let mut batch = rows.batch();
            let (ended, failed) = (batch.ended, batch.failed.take());
            let (fresh, _) = look(world, &mut batch.drafts, None)?;
            let mut records = Vec::with_capacity(batch.drafts.len());
            for (draft, fresh) in batch.drafts.iter().zip(&fresh) {
                let keyed = keyed(draft, world);
                if *fresh {
                    brought.put(keyed.partition, keyed.value.as_deref().unwrap_or_default()).map_err(disk)?;
                }
                records.push(keyed);
            }
            count(&mut batch, &fresh);
            // Both logs write a partition's records together faster than one here, one there. Of one cell the order stays.
            records.sort_by_key(|record| record.partition);
            // Before the log has them: who is lifted by an undo is looked up once more then.
            brought.flush().map_err(disk)?;
            window.hand(records, batch.settled)?;
            self.tell_sometimes(rows);
            match failed {
                Some(failure) => return Err(failure),
                None if ended => return Ok(()),
                None => {}
            }
        }
    }

    /// Counts what would change.
    fn try_out<R: Read>(&mut self, rows: &mut Rows<'_, R>, world: &World) -> Result<(), Failure> {
        loop {
            let mut batch = rows.batch();
            let failed = batch.failed.take();
            let (fresh, _) = look(world, &mut batch.drafts, None)?;
            count(&mut batch, &fresh);
            settle(&self.told, &batch.settled, &Positions::default());
            self.tell_sometimes(rows);
            match failed {
                Some(failure) => return Err(failure),
                None if batch.ended => return Ok(()),
                None => {}
            }
        }
    }

    /// Reads and checks everything, and keeps it as records of keyed subjects; nothing is written to the log.
    fn spool<R: Read>(&mut self, rows: &mut Rows<'_, R>, world: &World) -> Result<(), Failure> {
        let mut spool = self.cells("spool", true)?;
        loop {
            let mut batch = rows.batch();
            if let Some(failure) = batch.failed {
                return Err(failure);
            }
            // None of it counts before all of it does.
            batch.settled.next_line = 0;
            for draft in &batch.drafts {
                let keyed = keyed(draft, world);
                spool.put(keyed.partition, keyed.value.as_deref().unwrap_or_default()).map_err(disk)?;
            }
            let ended = batch.ended;
            settle(&self.told, &batch.settled, &Positions::default());
            self.tell_sometimes(rows);
            if ended {
                break;
            }
        }
        spool.flush().map_err(disk)?;
        let rejected = self.told.status().rejected;
        if rejected > self.plan.reject_most {
            let most = self.plan.reject_most;
            let words =
                format!("{rejected} rows are rejected, and {most} may be (reject_most): nothing is written");
            return Err(Failure::new("TOO_MANY_REJECTED", words));
        }
        Ok(())
    }

    /// Writes what was spooled, to be in force at one moment.
    fn at_once(&mut self, world: &World) -> Result<(), Failure> {
        let folder = &self.imports.0.folder;
        let rows = self.told.status().rows;
        let writing_ms = UnixMs::try_from(rows.saturating_mul(1_000) / SLOW_ROWS_A_SECOND).unwrap_or(0);
        let visible_at_ms = crate::now_ms() + VISIBLE_AHEAD_MS + writing_ms;
        self.told.0.lock().visible_at_ms = Some(visible_at_ms);
        folder.tell(&self.told.status()).map_err(disk)?;
        let mut spool = folder.reader(&self.plan.id, "spool").map_err(disk)?;
        let mut brought = self.cells("brought", false)?;
        let mut careful = Careful::open(world)?;
        while let Some(spool) = &mut spool {
            let cells = spool.next(BATCH_ROWS).map_err(disk)?;
            if cells.is_empty() {
                break;
            }
            let first = |record: &Record| record.subject;
            let (partitions, mut drafts): (Vec<i32>, Vec<Draft>) = cells
                .into_iter()
                .map(|(partition, record)| (partition, Draft { first: first(&record), record }))
                .unzip();
            careful.let_the_filter_come();
            let (fresh, known) = look(world, &mut drafts, Some(visible_at_ms))?;
            let mut batch = Batch { drafts, ..Batch::default() };
            count(&mut batch, &fresh);
            let mut records = Vec::with_capacity(batch.drafts.len());
            for ((draft, partition), fresh) in batch.drafts.iter().zip(partitions).zip(&fresh) {
                let value = record::encode(&draft.record);
                if *fresh {
                    brought.put(partition, &value).map_err(disk)?;
                }
                records.push(KeyedRecord::new(partition, record::key(&draft.record), value));
            }
            brought.flush().map_err(disk)?;
            let (reached, _) = careful.write(records, &known)?;
            settle(&self.told, &batch.settled, &reached);
            batch.settled.reasons.count(&world.metrics);
        }
        if crate::now_ms() > visible_at_ms {
            self.told.0.lock().visible_late = true;
        }
        Ok(())
    }

    fn cells(&self, ending: &'static str, anew: bool) -> Result<Cells, Failure> {
        self.imports.0.folder.writer(&self.plan.id, ending, anew).map_err(disk)
    }

    fn describe<R: Read>(&self, rows: &Rows<'_, R>) {
        let mut status = self.told.0.lock();
        status.format = Some(rows.reader.format().as_str().to_owned());
        status.layout = rows.header.as_ref().map(|header| header.layout.as_str().to_owned());
        status.encoding = rows.decoder.known().map(|encoding| encoding.as_str().to_owned());
    }

    /// Has whoever asks another process know how far it is.
    fn tell_sometimes<R: Read>(&mut self, rows: &Rows<'_, R>) {
        let now_ms = crate::now_ms();
        if now_ms - self.told_at_ms < TELL_EVERY_MS {
            return;
        }
        self.told_at_ms = now_ms;
        self.describe(rows);
        if let Err(error) = self.imports.0.folder.tell(&self.told.status()) {
            tracing::warn!(%error, "how far an import is could not be kept");
        }
    }
}

/// Counts a batch's rows as they were found.
fn count(batch: &mut Batch, fresh: &[bool]) {
    let new = fresh.iter().filter(|fresh| **fresh).count() as u64;
    (batch.settled.new, batch.settled.already) = (new, fresh.len() as u64 - new);
    for draft in &batch.drafts {
        batch.settled.reasons.add(draft.record.reason);
    }
}

fn keyed(draft: &Draft, world: &World) -> KeyedRecord {
    let partition = record::partition_of(&draft.first, world.recorder.partitions());
    KeyedRecord::new(partition, record::key(&draft.record), record::encode(&draft.record))
}

fn disk(error: std::io::Error) -> Failure {
    Failure::new("NOT_KEPT", format!("the folder of imports can't be used: {}", error.kind()))
}

/// Looks who is in force already; answers for each whether it is new, and where the filter was.
///
/// A record in force is written again as it stands, with the proof that another door brought, so that a lift that is on its way
/// does not win over a row that came after it. One that will be in force keeps the earlier of both moments: a row can only
/// add.
fn look(
    world: &World,
    drafts: &mut [Draft],
    visible_at_ms: Option<UnixMs>,
) -> Result<(Vec<bool>, Positions), Failure> {
    let now_ms = crate::now_ms();
    let mut fresh = Vec::with_capacity(drafts.len());
    let mut subjects = Vec::with_capacity(LOOK_MAX);
    let mut known: Option<Positions> = None;
    for drafts in drafts.chunks_mut(LOOK_MAX) {
        let looked = world.filter.hold_still(|view: &View| {
            // What comes after the first look is looked for from there on.
            known.get_or_insert_with(|| Positions::new(view.position().to_vec()));
            subjects.clear();
            subjects.extend(
                drafts.iter().map(|draft| view.key().advance(draft.record.subject, draft.record.scheme)),
            );
            for (drafts, subjects) in drafts.chunks_mut(FORESEEN).zip(subjects.chunks(FORESEEN)) {
                view.foresee(subjects.iter());
                for (Draft { record, .. }, subject) in drafts.iter_mut().zip(subjects) {
                    let found = view.record_of(subject, &record.scope, record.channel, record.reason)?;
                    fresh.push(weigh(record, found, now_ms, visible_at_ms));
                }
            }
            Ok::<_, tamis_suppression::Unreadable>(())
        });
        looked.map_err(|error| Failure::new("NOT_READY", format!("not known now: {error}")))?;
    }
    Ok((fresh, known.unwrap_or_else(|| world.filter.position())))
}

/// What is to be written of a record, by what is on record; `true` when it brings it into force.
fn weigh(record: &mut Record, found: Option<Found>, now_ms: UnixMs, visible_at_ms: Option<UnixMs>) -> bool {
    let over = |found: &Found| found.expires_at_ms != 0 && found.expires_at_ms < now_ms;
    match found.filter(|found| !over(found)) {
        None => record.effective_at_ms = visible_at_ms.unwrap_or(0),
        Some(found) if found.effective_at_ms > now_ms => {
            record.effective_at_ms = visible_at_ms.map_or(0, |at| at.min(found.effective_at_ms));
        }
        Some(found) => {
            record.effective_at_ms = 0;
            if found.expires_at_ms == 0 && found.source != Source::Import {
                (record.source, record.evidence) = (found.source, found.evidence);
            }
            return false;
        }
    }
    true
}

/// The rows of what is read, in batches.
struct Rows<'a, R> {
    reader: Reader<R>,
    decoder: Decoder,
    header: Option<Header>,
    /// A first row that is one of people.
    first: bool,
    row: Row,
    plan: &'a Plan,
    world: &'a World,
    next_line: u64,
}

impl<'a, R: Read> Rows<'a, R> {
    fn open(from: R, plan: &'a Plan, world: &'a World) -> Result<Self, Failure> {
        let opened = Reader::open(from, plan.hint).map_err(|_| broke_off())?;
        let mut reader = opened.map_err(|not| {
            let expected = match not {
                NotText::Utf16 => "UTF-8 or Windows-1252, not UTF-16: save it as CSV UTF-8",
                NotText::Binary => "text: CSV or NDJSON, not a spreadsheet or an archive",
            };
            Failure::from(Unfit::new("NOT_TEXT", 1, expected))
        })?;
        let mut decoder = Decoder::new(plan.hint.encoding);
        let mut row = Row::default();
        let mut header = None;
        if matches!(reader.format(), Format::Csv { .. }) {
            match reader.next(&mut row).map_err(broken)? {
                Next::Row => {}
                Next::TooLong | Next::TooManyColumns => {
                    return Err(Unfit::new(
                        "NO_HEADER",
                        row.line,
                        "a header: one line with the columns' names",
                    )
                    .into());
                }
                Next::End => return Err(Unfit::new("EMPTY", 1, "a header and rows").into()),
            }
            decoder.decode(&mut row).map_err(|_| {
                Failure::from(Unfit::new("NOT_TEXT", row.line, "a header in UTF-8 or Windows-1252"))
            })?;
            header = Some(Header::read(&row, plan)?);
        }
        let first = header.as_ref().is_some_and(|header| header.has_people);
        Ok(Self { reader, decoder, header, first, row, plan, world, next_line: plan.from_line.max(1) })
    }

    /// The next rows. Where they break off it has what came till then.
    fn batch(&mut self) -> Batch {
        let subjects = self.world.filter.doors();
        let maker = Maker {
            plan: self.plan,
            header: self.header.as_ref(),
            first: subjects.first(),
            subjects,
            evidence: format!("import:{}", self.plan.id).into(),
        };
        let mut batch = Batch { drafts: Vec::with_capacity(BATCH_ROWS), ..Batch::default() };
        while batch.settled.rows < BATCH_ROWS as u64 {
            let next =
                if std::mem::take(&mut self.first) { Ok(Next::Row) } else { self.reader.next(&mut self.row) };
            let made = match next {
                Err(broken_off) => {
                    batch.failed = Some(broken(broken_off));
                    break;
                }
                Ok(Next::End) => {
                    batch.ended = true;
                    break;
                }
                Ok(Next::TooLong) => Err(Code::LineTooLong),
                Ok(Next::TooManyColumns) => Err(Code::TooManyColumns),
                Ok(Next::Row) if maker.header.is_none() && self.row.all().trim_ascii().is_empty() => continue,
                Ok(Next::Row) => self.decoder.decode(&mut self.row),
            };
            let line = self.row.line;
            if line < self.plan.from_line {
                continue;
            }
            let made = made.and_then(|()| maker.draft(&self.row));
            // The first line of JSON says whether it is JSON at all.
            if made.as_ref().err() == Some(&Code::NotJson) && self.next_line <= 1 && maker.header.is_none() {
                let unfit = Unfit::new("NOT_NDJSON", line, "a JSON object a line, or format=csv");
                batch.failed = Some(unfit.into());
                break;
            }
            self.next_line = line + 1;
            batch.settled.rows += 1;
            match made {
                Ok(draft) => batch.drafts.push(draft),
                Err(code) => batch.settled.rejected.push((line, code)),
            }
        }
        batch.settled.next_line = self.next_line;
        batch
    }
}

fn broken(broken: Broken) -> Failure {
    match broken {
        Broken::Source(_) => broke_off(),
        Broken::UnclosedQuote { line } => {
            let failure = Failure::new("UNCLOSED_QUOTE", broken.to_string());
            Failure { line: Some(line), ..failure }
        }
    }
}

fn broke_off() -> Failure {
    Failure::new("BROKE_OFF", "the rows broke off: send them again from next_line on, which is safe")
}
