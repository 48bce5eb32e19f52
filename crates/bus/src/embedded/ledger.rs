//! Writing results and offsets in one transaction, which also deletes the jobs (G4).

use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Topic, Write, fault, now_ms, place};
use super::record::Fill;
use crate::{Blame, Error, Fault, Ledger, OutRecord, OutTopic, Outgoing};

/// Bytes of a result before key, trace context and value.
const RESULT_HEAD_BYTES: usize = 8 + 8 + 4 + 8 + 4 + 3 * 4;

/// The transactional writer of one worker.
pub struct EmbeddedLedger {
    core: Arc<Core>,
    worker: u16,
    /// 0 until the first `replace`.
    epoch: u64,
    pending: Outgoing,
    begun: bool,
}

impl EmbeddedLedger {
    pub(super) fn new(core: Arc<Core>, worker: u16) -> Self {
        Self { core, worker, epoch: 0, pending: Outgoing::default(), begun: false }
    }

    fn refuse(&self) -> Option<Fault> {
        if self.epoch == 0 {
            let error = Error::new("append", Blame::Internal, "the ledger was not opened by replace");
            return Some(Fault::Replace(error));
        }
        (self.epoch != self.core.epoch(self.worker)).then(|| {
            Fault::Replace(Error::new("append", Blame::Fenced, "another ledger was opened for this worker"))
        })
    }

    fn clear(&mut self) {
        self.pending.clear();
        self.begun = false;
    }
}

impl Ledger for EmbeddedLedger {
    fn append(&mut self, outgoing: &Outgoing) -> Result<(), Fault> {
        if let Some(fault) = self.refuse() {
            return Err(fault);
        }
        if self.begun {
            let error = Error::new("append", Blame::Internal, "the last transaction was not ended");
            return Err(Fault::Abort(error));
        }
        self.pending.arena.clone_from(&outgoing.arena);
        self.pending.records.clone_from(&outgoing.records);
        self.pending.offsets.clone_from(&outgoing.offsets);
        self.pending.decided_at_ms = outgoing.decided_at_ms;
        self.begun = true;
        Ok(())
    }

    /// The disk sets the time: `timeout` is not looked at, since a commit that was begun can't be called back.
    fn commit(&mut self, _timeout: Duration) -> Result<(), Fault> {
        if !self.begun {
            return Err(Fault::Abort(Error::new("commit", Blame::Internal, "no transaction was begun")));
        }
        let done = self.core.write(|write| {
            // Asked where no one else writes: a fenced ledger can't slip in between.
            self.refuse().map_or(Ok(()), |fault| Err(Refused(fault)))?;
            commit_offsets(write, &self.pending.offsets)?;
            append_results(write, &self.pending, self.core.config.partitions)?;
            Ok::<_, Refused>(())
        });
        self.clear();
        done.map_err(|Refused(fault)| fault)
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.clear();
        Ok(())
    }

    fn replace(&mut self, _timeout: Duration) -> Result<(), Error> {
        self.clear();
        self.epoch = self.core.fence(self.worker);
        Ok(())
    }
}

/// A fault inside of a write; the store's own errors leave it unknown whether it was committed.
struct Refused(Fault);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(Fault::Replace(error))
    }
}

/// Moves the offsets on and deletes the jobs before them. An offset that does not move on would write results
/// a second time, one beyond the end would skip jobs that are yet to come: neither is ever written.
fn commit_offsets(write: &Write, offsets: &[(i32, i64)]) -> Result<(), Refused> {
    for &(partition, offset) in offsets {
        let (partition, offset) = (partition as u32, offset as u64);
        let (committed, end) = (write.committed(partition)?, write.end(Topic::Jobs, partition));
        if offset <= committed || offset > end {
            let detail =
                format!("offset {offset} of partition {partition}: committed {committed}, end {end}");
            return Err(Error::new("commit offsets", Blame::Fenced, detail).into());
        }
        write.commit_offset(partition, offset)?;
        write.delete_before(Topic::Jobs, partition, offset)?;
    }
    Ok(())
}

fn topic_of(record: &OutRecord) -> Topic {
    match record.topic {
        OutTopic::Deliveries(channel) => Topic::Deliveries(channel),
        OutTopic::Outcomes => Topic::Outcomes,
        OutTopic::DeadLetters => Topic::DeadLetters,
    }
}

fn append_results(write: &mut Write, outgoing: &Outgoing, partitions: u32) -> Result<(), Error> {
    let timestamp_ms = now_ms();
    for topic in Topic::ALL {
        if !outgoing.records.iter().any(|record| topic_of(record) == topic) {
            continue;
        }
        let of_topic = outgoing.records.iter().filter(|record| topic_of(record) == topic);
        let placed: Vec<_> = of_topic
            .map(|record| {
                let partition = record.partition as u32 % partitions;
                (place(partition, write.take(topic, partition)), record)
            })
            .collect();
        let mut table = write.transaction.open_table(topic.records()).map_err(|e| fault("append", e))?;
        for (at, record) in placed {
            let length = RESULT_HEAD_BYTES
                + record.key.len()
                + record.traceparent.len()
                + record.tracestate.len()
                + record.value.len();
            let mut stored = table.insert_reserve(at, length).map_err(|e| fault("append", e))?;
            Fill::new(stored.as_mut())
                .put(&timestamp_ms.to_le_bytes())
                .put(&outgoing.decided_at_ms.to_le_bytes())
                .put(&record.partition.to_le_bytes())
                .put(&record.offset.to_le_bytes())
                .put(&record.part.to_le_bytes())
                .length(record.key.len())
                .length(record.traceparent.len())
                .length(record.tracestate.len())
                .put(&outgoing.arena[record.key.clone()])
                .put(&outgoing.arena[record.traceparent.clone()])
                .put(&outgoing.arena[record.tracestate.clone()])
                .put(&outgoing.arena[record.value.clone()]);
        }
    }
    Ok(())
}
