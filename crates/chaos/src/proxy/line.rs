//! One connection through the proxy: two threads, requests one way, answers the other.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::faults::Fate;
use super::{CONNECT_LIMIT, Shared};
use crate::frame::{self, Head};
use std::sync::atomic::Ordering;

/// How long the answer to a request that came late is waited for.
const LATE_ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What is to be done with an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Pass,
    /// Passed on; offsets of this version's layout may be made older.
    Age(i16),
    /// Thrown away, and the connection cut.
    DropAndCut(super::Harm),
    /// Thrown away: it is the second to one request.
    Swallow,
}

/// Answers that are awaited, in the order of their requests: Kafka answers a connection in order.
type Awaited = Mutex<VecDeque<(i32, Answer)>>;

pub(super) struct Line {
    shared: Arc<Shared>,
    number: u64,
    awaited: Awaited,
}

impl Line {
    /// Passes everything on until one end closes.
    pub(super) fn run(shared: &Arc<Shared>, client: TcpStream, broker: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.open().insert(number, [client.try_clone()?, broker.try_clone()?]);
        let line = Line { shared: Arc::clone(shared), number, awaited: Mutex::default() };
        std::thread::scope(|scope| {
            let (from_broker, to_client) = (broker.try_clone(), client.try_clone());
            let line = &line;
            scope.spawn(move || {
                if let (Ok(from), Ok(to)) = (from_broker, to_client) {
                    let _ = line.answers(from, to);
                }
                line.shared.cut(line.number);
            });
            let _ = line.requests(client, broker);
            line.shared.cut(line.number);
        });
        Ok(())
    }

    fn awaited(&self) -> MutexGuard<'_, VecDeque<(i32, Answer)>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self, mut client: TcpStream, mut broker: TcpStream) -> io::Result<()> {
        loop {
            let request = frame::read(&mut client)?;
            if !self.shared.gate() {
                return Ok(());
            }
            let head = frame::head(&request)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no header"))?;
            let expect = |answer| self.awaited().push_back((head.correlation, answer));
            match self.shared.faults.fate(head, &request) {
                Fate::Pass => expect(Answer::Pass),
                Fate::AgeAnswer => expect(Answer::Age(head.version)),
                Fate::DropAnswer(harm) => expect(Answer::DropAndCut(harm)),
                Fate::Twice => {
                    expect(Answer::Pass);
                    expect(Answer::Swallow);
                    broker.write_all(&request)?;
                }
                Fate::Late { after, cut } => {
                    self.deliver_late(head, request, after);
                    if cut {
                        return Ok(());
                    }
                    continue;
                }
            }
            broker.write_all(&request)?;
        }
    }

    fn answers(&self, mut broker: TcpStream, mut client: TcpStream) -> io::Result<()> {
        loop {
            let mut answer = frame::read(&mut broker)?;
            if !self.shared.gate() {
                return Ok(());
            }
            let correlation = frame::correlation(&answer);
            let what = {
                let mut awaited = self.awaited();
                let place = awaited.iter().position(|(asked, _)| Some(*asked) == correlation);
                place.and_then(|place| awaited.remove(place)).map_or(Answer::Pass, |(_, what)| what)
            };
            match what {
                Answer::Pass => client.write_all(&answer)?,
                Answer::Age(version) => {
                    self.shared.faults.age(version, &mut answer);
                    client.write_all(&answer)?;
                }
                Answer::Swallow => {}
                Answer::DropAndCut(harm) => {
                    self.shared.faults.count(harm);
                    return Ok(());
                }
            }
        }
    }

    /// A request that the network kept back arrives after all, on a connection of its own.
    fn deliver_late(&self, head: Head, request: Vec<u8>, after: Duration) {
        let shared = Arc::clone(&self.shared);
        let late = move || -> io::Result<()> {
            std::thread::sleep(after);
            let mut broker = TcpStream::connect_timeout(&shared.broker, CONNECT_LIMIT)?;
            broker.set_read_timeout(Some(LATE_ANSWER_LIMIT))?;
            broker.write_all(&request)?;
            let answer = frame::read(&mut broker)?;
            if let Some(error) = frame::end_txn_error(head.version, &answer) {
                shared.faults.late_answered(error);
            }
            Ok(())
        };
        // Without a thread, or with the broker gone meanwhile, it is lost: that happens to requests, too.
        let _ = std::thread::Builder::new().name("proxy-late".to_owned()).spawn(move || drop(late()));
    }
}
