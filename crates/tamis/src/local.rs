//! The embedded log of a running service, lent to commands on the same machine.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use tamis_bus::embedded::{Embedded, EmbeddedScheduler, EmbeddedTail};
use tamis_bus::{Blame, Bus as _, Error, Scheduler as _, Tail as _, TailTopic};
use tamis_campaign::Channel;
use tamis_intake::{Local, LocalAsk, LocalRecord};

use crate::exit_code::{ExitCode, OrExit as _, Outcome};

/// How long the disk may take to make a call's jobs durable.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);
/// Readers that are kept open; past it they are opened again when they next read.
const TAILS_MAX: usize = 64;

/// The log, and the readers that commands have opened.
pub(crate) struct LocalLog {
    bus: Arc<Embedded>,
    scheduler: EmbeddedScheduler,
    tails: Mutex<HashMap<Name, Arc<Mutex<Reader>>>>,
}

/// A reader's channel and group.
type Name = (Channel, String);

struct Reader {
    tail: EmbeddedTail,
    /// Whether something was handed on and not committed: then the next who reads begins at the committed place.
    loose: bool,
}

impl LocalLog {
    /// Lends `bus`.
    pub(crate) fn new(bus: Arc<Embedded>) -> Result<Self, Error> {
        let scheduler = bus.scheduler()?;
        Ok(Self { bus, scheduler, tails: Mutex::default() })
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
        let mut records = Vec::new();
        reader.tail.poll(ask.wait, ask.max, &mut |record| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            records.push(LocalRecord {
                partition: record.partition,
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                key: text(record.key),
                value: record.value.to_vec(),
                headers: record
                    .headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), text(value)))
                    .collect(),
            });
        })?;
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
}

/// A token of 256 random bits, for commands on this machine.
pub(crate) fn token() -> Outcome<String> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .or_exit(ExitCode::Failed, "get random bytes for a token")?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
