//! An import taken back: exactly the opt-outs that it brought into force, where they are still in force by it.

use std::fs::File;

use tamis_bus::{KeyedRecord, Positions};
use tamis_campaign::{RecordReason, Source, UnixMs};
use tamis_pipeline::View;
use tamis_wire::record::{self, Record, State as InForce};

use super::folder::{UNDO_WINDOW, is_over};
use super::running::BATCH_ROWS;
use super::told::{Failure, State, Told, Undo};
use super::writing::Careful;
use super::{IMPORTS_MAX, Imports, NotBegun};
use crate::keys::Owner;

/// How far apart the clocks of this process and of the log's records may be, ms. What was recorded later than this after the
/// import's end is somebody else's, and stays.
const CLOCKS_APART_MS: UnixMs = 2_000;

/// An undo that has begun, and holds its import's lock.
pub struct Undoing {
    imports: Imports,
    id: String,
    told: Told,
    source: Source,
    lock: File,
}

impl Imports {
    /// Begins to take an import back, in the name of `owner`, by a door of `source`.
    ///
    /// # Errors
    /// When there is none, or it can't be taken back.
    pub fn undo(&self, id: &str, owner: &Owner, source: Source) -> Result<Undoing, NotBegun> {
        let mut running = self.0.running.lock();
        if running.contains_key(id) {
            return Err(NotBegun::Runs);
        }
        if running.len() >= IMPORTS_MAX {
            return Err(NotBegun::Busy);
        }
        let known = self.0.folder.status(id)?;
        let mut status =
            known.filter(|s| *owner == Owner::Operator || s.owner == *owner).ok_or(NotBegun::Unknown)?;
        let lock = self.0.folder.lock(id)?.ok_or(NotBegun::Runs)?;
        if status.undo.as_ref().is_some_and(|undo| undo.state == State::Done) {
            return Err(NotBegun::NotUndone("this import is undone already"));
        }
        if is_over(status.ended_at_ms.unwrap_or(status.began_at_ms), UNDO_WINDOW, crate::now_ms()) {
            return Err(NotBegun::NotUndone("the time in which this import could be undone is over"));
        }
        status.undo = Some(Undo { state: State::Running, lifted: 0, kept: 0 });
        self.0.folder.tell(&status)?;
        tracing::info!(import = id, "undo begun");
        let told = Told::new(status);
        running.insert(id.to_owned(), told.clone());
        Ok(Undoing { imports: self.clone(), id: id.to_owned(), told, source, lock })
    }
}

impl Undoing {
    /// Lifts, and ends. It blocks.
    ///
    /// # Errors
    /// What the status tells, too. It may be begun again then.
    pub fn run(self) -> Result<Undo, Failure> {
        let done = self.all();
        let mut status = self.told.status();
        let undo = status.undo.get_or_insert(Undo { state: State::Running, lifted: 0, kept: 0 });
        undo.state = if done.is_ok() { State::Done } else { State::Failed };
        let undo = undo.clone();
        let folder = &self.imports.0.folder;
        let kept = if done.is_ok() { folder.remove(&self.id, "brought") } else { Ok(()) };
        if let Err(error) = kept.and_then(|()| folder.tell(&status)) {
            tracing::warn!(%error, import = self.id, "what became of an undo could not be kept");
        }
        // Told to have ended only when another may begin.
        drop(self.lock);
        self.imports.0.running.lock().remove(&self.id);
        *self.told.0.lock() = status;
        let (lifted, kept) = (undo.lifted, undo.kept);
        match &done {
            Ok(()) => tracing::info!(import = self.id, lifted, kept, "undo done"),
            Err(failure) => {
                self.imports.0.world.metrics.error("intake", "import");
                tracing::warn!(import = self.id, lifted, kept, code = failure.code, "undo failed");
            }
        }
        done.map(|()| undo)
    }

    fn all(&self) -> Result<(), Failure> {
        let disk = |error: std::io::Error| Failure::new("NOT_KEPT", error.kind().to_string());
        let world = &self.imports.0.world;
        let mut brought = self.imports.0.folder.reader(&self.id, "brought").map_err(disk)?;
        let mut careful = Careful::open(world)?;
        while let Some(brought) = &mut brought {
            let cells = brought.next(BATCH_ROWS).map_err(disk)?;
            if cells.is_empty() {
                break;
            }
            let all = cells.len() as u64;
            careful.let_the_filter_come();
            let (records, known) = self.liftable(cells)?;
            let handed = records.len() as u64;
            let again = if records.is_empty() { 0 } else { careful.write(records, &known)?.1 };
            if let Some(undo) = &mut self.told.0.lock().undo {
                undo.lifted += handed - again;
                undo.kept += all - handed + again;
            }
        }
        Ok(())
    }

    /// The lifts of those whose record is still the import's.
    fn liftable(&self, cells: Vec<(i32, Record)>) -> Result<(Vec<KeyedRecord>, Positions), Failure> {
        let world = &self.imports.0.world;
        let status = self.told.status();
        let until_ms = status.ended_at_ms.map_or(UnixMs::MAX, |ended| ended + CLOCKS_APART_MS);
        let doors = world.filter.doors();
        let looked = world.filter.hold_still(|view: &View| {
            let known = view.position().to_vec();
            let mut lifts = Vec::with_capacity(cells.len());
            for (partition, record) in cells {
                // Erased and blocked ones are lifted by an operator with a reason in words (semantics, section 2).
                if matches!(record.reason, RecordReason::Erased | RecordReason::Blocked) {
                    continue;
                }
                let subject = view.key().advance(record.subject, record.scheme);
                let found = view.record_of(&subject, &record.scope, record.channel, record.reason)?;
                let is_ours = found.is_some_and(|found| {
                    found.source == Source::Import
                        && found.evidence == record.evidence
                        && found.recorded_at_ms <= until_ms
                });
                if is_ours {
                    lifts.push((partition, record));
                }
            }
            Ok::<_, tamis_suppression::Unreadable>((lifts, Positions::new(known)))
        });
        let (lifts, known) =
            looked.map_err(|error| Failure::new("NOT_READY", format!("not known now: {error}")))?;
        let lift = |(partition, record): (i32, Record)| {
            let record = Record {
                subject: doors.advance(record.subject, record.scheme),
                state: InForce::Lifted,
                effective_at_ms: 0,
                source: self.source,
                evidence: format!("import-undo:{}", self.id).into(),
                scheme: doors.scheme(),
                ..record
            };
            KeyedRecord::new(partition, record::key(&record), record::encode(&record))
        };
        Ok((lifts.into_iter().map(lift).collect(), known))
    }
}
