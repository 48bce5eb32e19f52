//! The loop: poll, decode, record and wait for the ack, commit.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tamis_bus::{
    Batch, Blame, EndOffsets, Error, Fault, JobRecord, Jobs, KeyedRecord, Ledger, Outgoing, Partition,
    Polled, ReadLimits,
};
use tamis_campaign::UnixMs;
use tamis_pipeline::{View, bury};
use tamis_policy::Policy;
use tamis_subject::Subjects;
use tamis_telemetry::Check;
use tamis_wire::Unreadable;
use tamis_wire::inbound::{InboundEvent, Wrong};
use tamis_wire::record::Record;

use super::said::{Said, Writing};
use super::{Parts, RETRY};
use crate::now_ms;
use crate::replies::{Made, records};

/// How much makes a batch. A short code may be shared by as many tenants as the policy has, and each event then makes a record for each:
/// with a thousand of them these are some 50 MB.
const LIMITS: ReadLimits = ReadLimits {
    wait: Duration::from_millis(50),
    fill: Duration::from_millis(5),
    bytes_max: 4 << 20,
    records_max: 256,
};
/// How long the log may take to make a batch's records durable: as at the other doors.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a commit, and opening the writer, may take: the broker's own time-out for transactions.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a writer may have rested when it is used: brokers close connections that are idle for ten minutes, what is between them and
/// us sooner, and after a lost connection a writer wants to be replaced anyway. Replies are rare where they are few.
const WRITER_GOOD_FOR: Duration = Duration::from_secs(60);
/// How long reading the committed offsets may take.
const REWIND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the suppression log may take to say where it ends, and the filter to come there.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How old a look at what is in force may be when a start is handed over that rests on it: a process that stood still for longer may
/// have been put out of its group, and whoever came after it has written since. Half of the shortest session that brokers take by
/// default (6 s).
const LOOK_GOOD_FOR: Duration = Duration::from_secs(3);
/// Between two looks whether the filter has come to the log's end.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// The reader, with what it has of its group.
pub(super) struct Reader<'a, J, L, E> {
    jobs: J,
    ledger: L,
    ends: E,
    parts: Parts,
    stop: &'a AtomicBool,
    partitions: usize,
    /// Whether the writer is open, with no transaction.
    open: bool,
    /// When it was opened, or has committed.
    used: Instant,
    /// Whether the positions follow from what is committed.
    settled: bool,
    paused: bool,
    told: &'static str,
}

impl<'a, J: Jobs, L: Ledger, E: EndOffsets> Reader<'a, J, L, E> {
    pub(super) fn new(jobs: J, ledger: L, ends: E, parts: Parts, stop: &'a AtomicBool) -> Self {
        Self {
            jobs,
            ledger,
            ends,
            parts,
            stop,
            partitions: 0,
            open: false,
            used: Instant::now(),
            settled: false,
            paused: false,
            told: "",
        }
    }

    /// Reads until told to stop.
    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.step() {
                self.failed(&error);
            }
        }
    }

    /// One poll, and what it brings.
    fn step(&mut self) -> Result<(), Error> {
        // The group is served in any case.
        let ready = self.make_ready();
        let reads = ready.is_ok() && self.open && self.settled && !self.parts.filter.is_outdated();
        self.pause(!reads)?;
        if ready.is_ok() {
            self.tell(reads);
        }
        match self.poll(reads)? {
            // Until it is committed, the positions are ahead of what is.
            Polled::Batch(taken) => {
                self.settled = false;
                if let Some(taken) = taken {
                    self.note_lag();
                    self.write(taken)?;
                    self.settled = true;
                }
            }
            Polled::Idle => self.note_lag(),
            Polled::Assigned(partitions) => {
                tracing::info!(partitions = partitions.len(), "partitions of inbound assigned");
                self.jobs.assign(&partitions)?;
                self.partitions = partitions.len();
                // They begin at their committed offsets. These are read once more when the writer has settled what it may have left open.
                self.settled = false;
            }
            Polled::Revoked => {
                tracing::info!("partitions of inbound given back");
                self.jobs.unassign()?;
                self.partitions = 0;
            }
        }
        ready
    }

    /// A batch is taken apart at once, and its buffers given back. Records that come although none are wanted (a pause takes a moment)
    /// are not used.
    fn poll(&self, reads: bool) -> Result<Polled<Option<Taken>>, Error> {
        Ok(match self.jobs.poll(&LIMITS)? {
            Polled::Batch(batch) => Polled::Batch(reads.then(|| Taken::of(batch.records(), &self.parts))),
            Polled::Idle => Polled::Idle,
            Polled::Assigned(partitions) => Polled::Assigned(partitions),
            Polled::Revoked => Polled::Revoked,
        })
    }

    /// Opens the writer and goes back to what is committed, where that is due.
    fn make_ready(&mut self) -> Result<(), Error> {
        if self.partitions == 0 {
            return Ok(());
        }
        if !self.open {
            self.open_writer()?;
        }
        if !self.settled {
            self.jobs.rewind(REWIND_TIMEOUT)?;
            self.settled = true;
        }
        Ok(())
    }

    /// Opens the writer anew, which settles whatever it has left open.
    fn open_writer(&mut self) -> Result<(), Error> {
        self.open = false;
        self.ledger.replace(COMMIT_TIMEOUT)?;
        (self.open, self.used) = (true, Instant::now());
        Ok(())
    }

    /// Records first; what is acked is committed.
    fn write(&mut self, taken: Taken) -> Result<(), Error> {
        let Taken { said, outgoing, codes } = taken;
        let looked = said.lifts().then(Instant::now);
        let writing = self.settle(said)?;
        if writing.passed_over > 0 {
            tracing::info!(starts = writing.passed_over, "starts change nothing: nothing older is in force");
        }
        self.record(writing.records, looked)?;
        if self.used.elapsed() > WRITER_GOOD_FOR {
            self.open_writer()?;
        }
        let commit = self.ledger.append(&outgoing).and_then(|()| self.ledger.commit(COMMIT_TIMEOUT));
        if let Err(fault) = commit {
            let (Fault::Abort(error) | Fault::Replace(error)) = &fault;
            let good = matches!(fault, Fault::Abort(_)) && self.ledger.abort().is_ok();
            self.open = good;
            return Err(error.clone());
        }
        self.used = Instant::now();
        // Counted now, so that what is read twice counts once.
        let mut counts = BTreeMap::new();
        writing.counted.iter().for_each(|what| *counts.entry(what).or_insert(0) += 1);
        for ((reason, source), count) in counts {
            self.parts.metrics.suppression_records(*reason, *source, count);
        }
        codes.into_iter().for_each(|code| self.parts.metrics.dead_letter(code));
        Ok(())
    }

    /// What is to be written, in its order. Starts are judged by a view that knows all that was acked before it was asked for.
    fn settle(&mut self, said: Said) -> Result<Writing, Error> {
        const VERB: &str = "look up what a start lifts";
        let partitions = self.parts.recorder.partitions();
        if !said.lifts() {
            // Nobody waits for a look that is not needed.
            let Ok(writing) = said.settle(partitions, |_| Ok::<_, Infallible>(None));
            return Ok(writing);
        }
        let end = self.ends.ask(LOOK_TIMEOUT)?;
        let since = Instant::now();
        while !self.parts.filter.position().reaches(&end) {
            if since.elapsed() > LOOK_TIMEOUT {
                return Err(Error::new(VERB, Blame::Unreachable, "the filter is behind its log"));
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        let now = now_ms();
        let found =
            self.parts.filter.hold_still(|view| said.settle(partitions, |r| recorded_at(view, r, now)));
        found.map_err(|error| Error::new(VERB, Blame::Internal, error.to_string()))
    }

    /// Hands the records over and waits until all are durable.
    fn record(&self, records: Vec<KeyedRecord>, looked: Option<Instant>) -> Result<(), Error> {
        const VERB: &str = "record what came in";
        if records.is_empty() {
            return Ok(());
        }
        if looked.is_some_and(|at| at.elapsed() > LOOK_GOOD_FOR) {
            return Err(Error::new(VERB, Blame::Unreachable, "this process stood still; read again"));
        }
        let (tell, acked) = mpsc::channel();
        // Nobody listens any more only after the time-out.
        self.parts.recorder.submit(records, Box::new(move |answer| drop(tell.send(answer.map(drop)))));
        match acked.recv_timeout(ACK_TIMEOUT) {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(VERB, Blame::Unreachable, "not durable in time; read again")),
        }
    }

    fn pause(&mut self, pause: bool) -> Result<(), Error> {
        if pause != self.paused {
            if pause {
                self.jobs.pause()?
            } else {
                self.jobs.resume()?
            }
            self.paused = pause;
        }
        Ok(())
    }

    fn note_lag(&self) {
        if let Some(records) = self.jobs.lag_records() {
            self.parts.metrics.inbound_lag_records(records);
        }
    }

    fn tell(&mut self, reads: bool) {
        let detail = match (self.partitions, reads) {
            (0, _) => "no partition is this process's now",
            (_, true) => "reads",
            (_, false) => "holds: the new identity key is not here yet",
        };
        self.say(detail);
    }

    fn say(&mut self, detail: &'static str) {
        if self.told != detail {
            self.told = detail;
            self.parts.health.set(Check::Inbound, true, detail);
        }
    }

    /// Told once for each time that it begins; nothing is lost by it.
    fn failed(&mut self, error: &Error) {
        const DETAIL: &str = "holds: the log refuses or does not answer; trying again";
        self.parts.metrics.error("inbound", if error.retry() { "unreachable" } else { "refused" });
        if self.told == DETAIL {
            tracing::debug!(%error, "inbound waits");
        } else {
            tracing::warn!(%error, "inbound waits; what was read and not committed is read again");
        }
        self.say(DETAIL);
        std::thread::sleep(RETRY);
    }
}

/// A batch taken apart: of the events nothing is left but what they do.
struct Taken {
    said: Said,
    outgoing: Outgoing,
    codes: Vec<&'static str>,
}

impl Taken {
    fn of<'r>(batch: impl Iterator<Item = JobRecord<'r>>, parts: &Parts) -> Self {
        let (now, policy) = (now_ms(), parts.policy.load());
        let subjects = parts.filter.doors();
        let mut taken = Self { said: Said::default(), outgoing: Outgoing::default(), codes: Vec::new() };
        taken.outgoing.decided_at_ms = now;
        let mut next = BTreeMap::<Partition, i64>::new();
        for record in batch {
            next.insert(record.partition, record.offset + 1);
            match read(&record, parts, &policy, &subjects, now) {
                Ok((received_at_ms, records)) => {
                    taken.said.take(record.partition, record.timestamp_ms, received_at_ms, records);
                }
                Err(why) => {
                    bury(&record, why, &parts.topic, now, &mut taken.outgoing);
                    taken.codes.push(why.code.as_str());
                }
            }
        }
        taken.outgoing.offsets = next.into_iter().collect();
        taken
    }
}

/// When its gateway had one event, and what it does.
fn read(
    record: &JobRecord<'_>,
    parts: &Parts,
    policy: &Policy,
    subjects: &Subjects,
    now: UnixMs,
) -> Result<(UnixMs, Vec<Made>), Unreadable> {
    let event = InboundEvent::decode(record.value.unwrap_or_default())?;
    // Asked only where it would tell something.
    let job = event.job_id.as_deref().filter(|_| event.tenant.is_none());
    let tenant = job.and_then(|job| parts.tenants.of(job));
    let effect = records(&event, policy, tenant.as_deref(), subjects, now);
    effect.map(|effect| (event.received_at_ms, effect.records)).map_err(|Wrong { code, field }| Unreadable {
        code,
        field,
        byte: 0,
    })
}

/// When the log took what is in force under the record's key.
fn recorded_at(
    view: &View,
    record: &Record,
    now: UnixMs,
) -> Result<Option<UnixMs>, tamis_suppression::Unreadable> {
    let subject = view.key().advance(record.subject, record.scheme);
    let found = view.in_force(record.scope.names().0, &subject, now)?;
    let same = |f: &&tamis_suppression::Found| {
        (&f.scope, f.channel, f.reason) == (&record.scope, record.channel, record.reason)
    };
    Ok(found.iter().find(same).map(|found| found.recorded_at_ms))
}

#[cfg(test)]
mod tests;
