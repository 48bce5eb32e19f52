//! Records on their way to the log: some batches in flight at once, settled in their order when the log has them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tamis_bus::{Error, Follower, KeyedRecord, Positions, Recorder};
use tamis_campaign::{RecordReason, Source};
use tamis_telemetry::Metrics;
use tamis_wire::record::{self, Entry};

use super::World;
use super::rows::Code;
use super::told::{Failure, Told};

/// Batches that are handed over and not acknowledged yet. With those of [`super::running::BATCH_ROWS`] rows it bounds the
/// memory of an import, and is what the embedded log syncs together.
pub(super) const FLYING_MAX: usize = 16;
/// How long the log may take to answer for a batch.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(60);
/// Records read back together.
const READ_BACK: usize = 10_000;
/// How often, a millisecond apart, it is looked whether the filter has what was read back: it is some milliseconds behind.
const FILTER_LOOKS: usize = 200;

/// Why the writing stopped; nothing may be assumed of what was not settled.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("the log refuses: {0}")]
    Log(#[from] Error),
    #[error("the log does not answer")]
    NoAnswer,
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        // Its text names operations and topics, never a record's key or value.
        Self::new("NOT_DURABLE", format!("{stopped}: send the rows again from next_line on, which is safe"))
    }
}

/// What became of a batch's rows, to be told once they are durable.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) rows: u64,
    pub(super) new: u64,
    pub(super) already: u64,
    pub(super) rejected: Vec<(u64, Code)>,
    /// The line after the batch's last row.
    pub(super) next_line: u64,
    pub(super) reasons: Reasons,
}

/// Rows by reason.
#[derive(Default)]
pub(super) struct Reasons([u64; RecordReason::ALL.len()]);

impl Reasons {
    pub(super) fn add(&mut self, reason: RecordReason) {
        if let Some(at) = RecordReason::ALL.iter().position(|known| *known == reason) {
            self.0[at] += 1;
        }
    }

    pub(super) fn count(&self, metrics: &Metrics) {
        for (reason, count) in RecordReason::ALL.iter().zip(self.0).filter(|(_, count)| *count > 0) {
            metrics.suppression_records(*reason, Source::Import, count);
        }
    }
}

/// Batches in flight.
pub(super) struct Window {
    recorder: Arc<dyn Recorder>,
    ack_timeout: Duration,
    shared: Arc<Shared>,
}

struct Shared {
    told: Told,
    metrics: Metrics,
    flying: Mutex<Flying>,
    moved: Condvar,
}

#[derive(Default)]
struct Flying {
    /// The number of the first that waits.
    first: u64,
    /// In the order of the file; with a position once it is durable.
    waiting: VecDeque<(Settled, Option<Positions>)>,
    failed: Option<Error>,
}

impl Window {
    pub(super) fn new(world: &World, told: &Told) -> Self {
        let shared = Shared {
            told: told.clone(),
            metrics: world.metrics.clone(),
            flying: Mutex::default(),
            moved: Condvar::new(),
        };
        Self { recorder: world.recorder.clone(), ack_timeout: world.ack_timeout, shared: Arc::new(shared) }
    }

    /// Hands a batch over, once there is room for one more.
    pub(super) fn hand(&self, records: Vec<KeyedRecord>, settled: Settled) -> Result<(), Stopped> {
        let number = {
            let mut flying = self.room(FLYING_MAX - 1)?;
            flying.waiting.push_back((settled, None));
            flying.first + flying.waiting.len() as u64 - 1
        };
        if records.is_empty() {
            self.shared.answer(number, Ok(Positions::default()));
            return Ok(());
        }
        let shared = self.shared.clone();
        self.recorder.submit(records, Box::new(move |acked| shared.answer(number, acked)));
        Ok(())
    }

    /// Waits until everything handed over is durable.
    pub(super) fn all(&self) -> Result<(), Stopped> {
        self.room(0).map(drop)
    }

    fn room(&self, most: usize) -> Result<parking_lot::MutexGuard<'_, Flying>, Stopped> {
        let mut flying = self.shared.flying.lock();
        loop {
            if let Some(error) = &flying.failed {
                return Err(error.clone().into());
            }
            if flying.waiting.len() <= most {
                return Ok(flying);
            }
            if self.shared.moved.wait_for(&mut flying, self.ack_timeout).timed_out() {
                return Err(Stopped::NoAnswer);
            }
        }
    }
}

impl Shared {
    /// Notes one answer, and settles what is durable without a gap before it.
    fn answer(&self, number: u64, acked: Result<Positions, Error>) {
        let mut flying = self.flying.lock();
        match acked {
            Ok(reached) => {
                let at = usize::try_from(number - flying.first).unwrap_or(usize::MAX);
                if let Some(waiting) = flying.waiting.get_mut(at) {
                    waiting.1 = Some(reached);
                }
            }
            Err(error) => flying.failed = flying.failed.take().or(Some(error)),
        }
        while let Some((settled, Some(reached))) = flying.waiting.front() {
            settle(&self.told, settled, reached);
            settled.reasons.count(&self.metrics);
            flying.waiting.pop_front();
            flying.first += 1;
        }
        self.moved.notify_all();
    }
}

/// Tells of rows that are settled.
pub(super) fn settle(told: &Told, settled: &Settled, reached: &Positions) {
    let mut status = told.0.lock();
    status.rows += settled.rows;
    status.accepted += settled.new + settled.already;
    status.new += settled.new;
    status.already += settled.already;
    for (line, code) in &settled.rejected {
        status.reject(*line, *code);
    }
    status.next_line = status.next_line.max(settled.next_line);
    status.reach(reached);
}

/// Writes batches one by one, and looks what others said meanwhile.
///
/// What is written must not undo what somebody else said of the same cell after it was looked at: a moment in the future would
/// put off an opt-out that is acknowledged, and a lift would take it away. So each record is written under the condition that
/// nothing came between, which the embedded log keeps; Kafka can't, and there what came between is read back and said again as
/// it was.
pub(super) struct Careful<'a> {
    world: &'a World,
    follower: Box<dyn Follower>,
    /// Where it stands.
    read: Positions,
}

/// What was heard of a cell after it was looked at.
#[derive(Default)]
struct Heard {
    /// Our own record.
    ours: bool,
    /// Somebody else's opt-out before ours, with its partition: the last word until ours.
    before: Option<(i32, Vec<u8>)>,
    /// Somebody else's lift, where ours has not come.
    lifted: Option<i32>,
}

impl<'a> Careful<'a> {
    pub(super) fn open(world: &'a World) -> Result<Self, Stopped> {
        let read = world.filter.position();
        let follower = (world.follow)(&read)?;
        Ok(Self { world, follower, read })
    }

    /// Waits a moment for the filter to have what was read here: who looks before that has it read again.
    pub(super) fn let_the_filter_come(&self) {
        for _ in 0..FILTER_LOOKS {
            if self.world.filter.position().reaches(&self.read) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes `records`, decided when the filter stood at `known`. Answers where the log is, and how many opt-outs of others
    /// stand in their place.
    pub(super) fn write(
        &mut self,
        mut records: Vec<KeyedRecord>,
        known: &Positions,
    ) -> Result<(Positions, u64), Stopped> {
        for record in &mut records {
            let at = usize::try_from(record.partition).unwrap_or(usize::MAX);
            record.unless_after = known.as_slice().get(at).map(|next| next - 1);
        }
        let ours: HashMap<Vec<u8>, Vec<u8>> = records
            .iter()
            .map(|record| (record.key.clone(), record.value.clone().unwrap_or_default()))
            .collect();
        if !known.reaches(&self.read) {
            // What came after `known` was read with an earlier batch, before the filter had it.
            (self.follower, self.read) = ((self.world.follow)(known)?, known.clone());
        }
        let reached = self.acked(records)?;
        let (mut again, mut others) = (Vec::new(), 0);
        for (key, heard) in self.heard(&ours, known, &reached)? {
            match heard {
                Heard { before: Some((partition, value)), ours, .. } => {
                    others += 1;
                    if ours {
                        again.push(KeyedRecord::new(partition, key, value));
                    }
                }
                // A row that came after a lift counts.
                Heard { ours: false, lifted: Some(partition), .. } => {
                    let value = ours.get(&key).cloned().unwrap_or_default();
                    if is_in_force(&key, &value) {
                        again.push(KeyedRecord::new(partition, key, value));
                    }
                }
                Heard { .. } => {}
            }
        }
        if !again.is_empty() {
            self.acked(again)?;
        }
        Ok((reached, others))
    }

    fn acked(&self, records: Vec<KeyedRecord>) -> Result<Positions, Stopped> {
        let (tell, told) = std::sync::mpsc::channel();
        // Nobody listens any more only after the time-out below.
        self.world.recorder.submit(records, Box::new(move |acked| drop(tell.send(acked))));
        Ok(told.recv_timeout(self.world.ack_timeout).map_err(|_| Stopped::NoAnswer)??)
    }

    /// What was said of our cells between `known` and `reached`.
    fn heard(
        &mut self,
        ours: &HashMap<Vec<u8>, Vec<u8>>,
        known: &Positions,
        reached: &Positions,
    ) -> Result<HashMap<Vec<u8>, Heard>, Stopped> {
        let Self { follower, read, .. } = self;
        let known = known.as_slice();
        let mut heard: HashMap<Vec<u8>, Heard> = HashMap::new();
        let behind =
            |read: &Positions| read.as_slice().iter().zip(reached.as_slice()).any(|(at, end)| at < end);
        let begun = crate::now_ms();
        while behind(read) {
            follower.poll(Duration::from_millis(100), READ_BACK, &mut |log| {
                let at = usize::try_from(log.partition).unwrap_or(usize::MAX);
                let (Some(next), Some(known)) = (read.as_mut_slice().get_mut(at), known.get(at)) else {
                    return;
                };
                *next = (*next).max(log.offset + 1);
                if log.offset < *known {
                    return;
                }
                let (Some(mine), Some(value)) = (ours.get(log.key), log.value) else { return };
                let heard = heard.entry(log.key.to_vec()).or_default();
                if mine == value {
                    (heard.ours, heard.lifted) = (true, None);
                } else if !is_in_force(log.key, value) {
                    (heard.before, heard.lifted) = (None, (!heard.ours).then_some(log.partition));
                } else {
                    (heard.before, heard.lifted) =
                        ((!heard.ours).then(|| (log.partition, value.to_vec())), None);
                }
            })?;
            let patience = i64::try_from(self.world.ack_timeout.as_millis()).unwrap_or(i64::MAX);
            if crate::now_ms() - begun > patience {
                return Err(Stopped::NoAnswer);
            }
        }
        Ok(heard)
    }
}

fn is_in_force(key: &[u8], value: &[u8]) -> bool {
    matches!(
        record::decode(key, value),
        Ok(Entry::Record(record) | Entry::Copy { record, .. }) if record.state == record::State::InForce
    )
}

#[cfg(test)]
mod tests;
