//! The embedded log of a running service, lent to commands on the same machine.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use tamis_bus::embedded::{Embedded, EmbeddedScheduler, EmbeddedTail};
use tamis_bus::{Blame, Bus as _, EndOffsets as _, Error, Scheduler as _, Tail as _, TailRecord, TailTopic};
use tamis_campaign::Channel;
use tamis_intake::{Local, LocalAsk, LocalRecord};
use tamis_pipeline::Filter;
use tamis_pipeline::rotate::Rotated;
use tamis_subject::{Region, Subjects};

use crate::exit_code::{ExitCode, OrExit as _, Outcome};
use crate::rotating::Rotation;

/// How long the disk may take to make a call's jobs durable.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
/// Readers that are kept open; past it they are opened again when they next read.
const TAILS_MAX: usize = 64;

/// How long this process may take to load its filter under a new key.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(600);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the filter may take to come to the end of its own log.
const CAUGHT_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an opt-out of this process may be on its way to its own log.
const SETTLE: Duration = Duration::from_secs(1);

/// Bytes of deliveries in an answer: past it what is left waits for the next. A delivery alone may be longer.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The log, and the readers that commands have opened.
pub(crate) struct LocalLog {
    bus: Arc<Embedded>,
    scheduler: EmbeddedScheduler,
    tails: Mutex<HashMap<Name, Arc<Mutex<Reader>>>>,
    job_bytes_max: usize,
    key: KeyOf,
}

/// Where the identity key is, and which region's national numbers are meant.
pub(crate) struct KeyOf {
    pub(crate) file: PathBuf,
    pub(crate) region: Region,
}

/// A reader's channel and group.
type Name = (Channel, String);

struct Reader {
    tail: EmbeddedTail,
    /// Whether something was handed on and not committed: then the next who reads begins at the committed place.
    loose: bool,
}

impl LocalLog {
    /// Lends `bus`, and takes jobs of `job_bytes_max` bytes at most, as a broker would.
    pub(crate) fn new(bus: Arc<Embedded>, job_bytes_max: usize, key: KeyOf) -> Result<Self, Error> {
        let scheduler = bus.scheduler()?;
        Ok(Self { bus, scheduler, tails: Mutex::default(), job_bytes_max, key })
    }

    fn open(&self, ask: &LocalAsk) -> Result<Reader, Error> {
        let tail = self.bus.tail(TailTopic::Deliveries(ask.channel), &ask.group, ask.from_beginning)?;
        Ok(Reader { tail, loose: false })
    }

    fn reader(&self, ask: &LocalAsk) -> Result<Arc<Mutex<Reader>>, Error> {
        let mut tails = self.tails.lock();
        let key = (ask.channel, ask.group.clone());
        if let Some(reader) = tails.get(&key) {
            return Ok(reader.clone());
        }
        if tails.len() >= TAILS_MAX {
            tails.clear();
        }
        let reader = Arc::new(Mutex::new(self.open(ask)?));
        tails.insert(key, reader.clone());
        Ok(reader)
    }
}

impl Local for LocalLog {
    fn submit_jobs(&self, jobs: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        if jobs.iter().any(|(_, value)| value.len() > self.job_bytes_max) {
            let detail =
                format!("a job has more than {} bytes (topics.max_message_bytes)", self.job_bytes_max);
            return Err(Error::new("write jobs", Blame::Configuration, detail));
        }
        let (told, answers) = mpsc::channel();
        let count = jobs.len();
        for (job_id, value) in jobs {
            let told = told.clone();
            // Nobody listens any more only after the time-out below.
            self.scheduler.submit(&job_id, value, Box::new(move |answer| drop(told.send(answer))));
        }
        for _ in 0..count {
            let answer = answers.recv_timeout(ACK_TIMEOUT);
            answer
                .map_err(|_| Error::new("write jobs", Blame::Unreachable, "the disk does not answer"))??;
        }
        Ok(())
    }

    fn poll(&self, ask: &LocalAsk) -> Result<Vec<LocalRecord>, Error> {
        let reader = self.reader(ask)?;
        let mut reader = reader.lock();
        if reader.loose {
            *reader = self.open(ask)?;
        }
        // Also when a later one of the reads below fails: what an earlier one brought is handed to nobody then.
        reader.loose = true;
        let (mut records, mut bytes, mut wait) = (Vec::new(), 0, ask.wait);
        // One by one, so that only one passes the limit.
        while records.len() < ask.max && bytes < ANSWER_BYTES_MAX {
            let came = reader.tail.poll(wait, 1, &mut |record| {
                bytes += record.value.len();
                records.push(owned(&record));
            })?;
            if came == 0 {
                break;
            }
            wait = Duration::ZERO;
        }
        reader.loose = !records.is_empty();
        Ok(records)
    }

    fn commit(&self, channel: Channel, group: &str) -> Result<(), Error> {
        let reader = self.tails.lock().get(&(channel, group.to_owned())).cloned();
        let Some(reader) = reader else { return Ok(()) };
        let mut reader = reader.lock();
        reader.tail.commit()?;
        reader.loose = false;
        Ok(())
    }

    fn rotate(&self, filter: &Filter) -> Result<Rotated, Error> {
        let recorder = self.bus.recorder()?;
        let rotation = Rotation {
            bus: &*self.bus,
            recorder: &recorder,
            key_file: &self.key.file,
            region: self.key.region,
            settle: SETTLE,
        };
        let begun = |scheme, anew| tracing::info!(scheme, anew, "identity key is rotated");
        let wait = |subjects: &Subjects| {
            let begun = Instant::now();
            while filter.newest() < subjects.newest() {
                if begun.elapsed() > TAKEN_TIMEOUT {
                    let detail = "the service does not take the new key file: see its log";
                    return Err(Error::new("rotate", Blame::Internal, detail));
                }
                std::thread::sleep(LOOK_EVERY);
            }
            Ok(())
        };
        Ok(rotation.run(begun, wait)?)
    }

    fn caught_up(&self, filter: &Filter) -> Result<(), Error> {
        let end = self.bus.end_offsets()?.ask(CAUGHT_UP_TIMEOUT)?;
        let begun = Instant::now();
        while !filter.position().reaches(&end) {
            if begun.elapsed() > CAUGHT_UP_TIMEOUT {
                let detail = "the filter does not come to the log's end";
                return Err(Error::new("follow suppressions", Blame::Unreachable, detail));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

fn owned(record: &TailRecord<'_>) -> LocalRecord {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = record.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
    LocalRecord {
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: text(record.key),
        value: record.value.to_vec(),
        headers: headers.collect(),
    }
}

/// A token of 256 random bits, for commands on this machine.
pub(crate) fn token() -> Outcome<String> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .or_exit(ExitCode::Failed, "get random bytes for a token")?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_bus::embedded::Config;
    use tamis_bus::{Ledger as _, OutRecord, OutTopic, Outgoing};

    /// A log that takes jobs of 100 bytes.
    fn lent(bus: Arc<Embedded>) -> LocalLog {
        let region = Region::parse("FR").expect("a region");
        LocalLog::new(bus, 100, KeyOf { file: PathBuf::new(), region }).expect("lent")
    }

    fn ask(max: usize) -> LocalAsk {
        let wait = Duration::from_millis(10);
        LocalAsk { channel: Channel::Sms, group: "g".to_owned(), from_beginning: true, max, wait }
    }

    /// Guarantees: a job is taken up to the greatest message, and one byte more is refused, as a broker refuses it.
    /// Fails when: the size is not looked at.
    #[test]
    fn a_job_past_the_greatest_message_is_not_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = lent(Embedded::open(dir.path(), Config::default()).expect("a log"));
        let send = |size: usize| log.submit_jobs(vec![("j".to_owned(), vec![0; size])]);
        assert!(send(100).is_ok());
        let refused = send(101).expect_err("it is too long");
        assert!(matches!(refused.blame(), Blame::Configuration) && refused.to_string().contains("100 bytes"));
    }

    /// Guarantees: an answer ends after the delivery that passes its limit, however many were asked for, and the next one
    /// goes on behind it.
    /// Fails when: as many as were asked for are read at once: a thousand deliveries of 16 MiB.
    #[test]
    fn an_answer_holds_some_deliveries_not_all_of_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let bus = Embedded::open(dir.path(), Config::default()).expect("a log");
        deliver(&bus, 7, 10 << 20);
        let log = lent(bus);
        let offsets = |records: Vec<LocalRecord>| records.iter().map(|one| one.offset).collect::<Vec<_>>();
        assert_eq!(offsets(log.poll(&ask(100)).expect("read")), [0, 1, 2, 3]);
        assert_eq!(offsets(log.poll(&ask(2)).expect("read")), [0, 1], "nothing was committed");
        log.commit(Channel::Sms, "g").expect("committed");
        assert_eq!(offsets(log.poll(&ask(100)).expect("read")), [2, 3, 4, 5]);
    }

    /// Writes deliveries as the line does.
    fn deliver(bus: &Arc<Embedded>, count: usize, size: usize) {
        let mut outgoing = Outgoing::default();
        outgoing.arena.resize(size, 0);
        for offset in 0..count {
            outgoing.records.push(OutRecord {
                topic: OutTopic::Deliveries(Channel::Sms),
                partition: 0,
                offset: offset as i64,
                part: 0,
                key: 0..1,
                value: 0..size,
                traceparent: 0..0,
                tracestate: 0..0,
            });
        }
        let (_jobs, mut ledger) = bus.join(0).expect("a worker");
        ledger.replace(ACK_TIMEOUT).expect("a writer");
        ledger.append(&outgoing).expect("taken");
        ledger.commit(ACK_TIMEOUT).expect("committed");
    }
}
