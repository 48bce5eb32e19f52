//! A proxy between tamis and one broker, which knows Kafka's frames and can be told to do harm.
//!
//! Each broker has a listener whose advertised port is its proxy's, so nothing in an answer has to be rewritten: what
//! passes is passed byte for byte. Only what a network and two ends can really do is done to it: an answer that never
//! arrives comes with a lost connection, a request that arrives late comes on a connection of its own after the first was
//! lost or given up, and a request that arrives twice comes right behind itself. One answer is changed: offsets are made
//! older, as Kafka 4.3's group coordinator answers for some 100 ms after it has moved to another broker, without an error.

mod faults;
mod line;
mod offsets;
#[cfg(test)]
mod tests;

pub use faults::{Faults, Harm};

use line::Line;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a connection to the broker may take to open.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// What the threads of one proxy share.
pub(crate) struct Shared {
    broker: SocketAddr,
    faults: Arc<Faults>,
    blackhole: AtomicBool,
    delay_ms: AtomicU64,
    stop: AtomicBool,
    next: AtomicU64,
    /// Both ends of each connection, to cut it.
    open: Mutex<BTreeMap<u64, [TcpStream; 2]>>,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, [TcpStream; 2]>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while nothing may pass; then as long as the throttle says. Says whether to go on.
    fn gate(&self) -> bool {
        const STEP: Duration = Duration::from_millis(20);
        while self.blackhole.load(Ordering::Acquire) && !self.stop.load(Ordering::Acquire) {
            std::thread::sleep(STEP);
        }
        let delay = self.delay_ms.load(Ordering::Acquire);
        if delay > 0 {
            self.faults.count(Harm::Throttle);
            std::thread::sleep(Duration::from_millis(delay));
        }
        !self.stop.load(Ordering::Acquire)
    }

    fn cut(&self, line: u64) {
        for end in self.open().remove(&line).into_iter().flatten() {
            // It may be gone already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// A proxy for one broker. Dropping it cuts everything.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port and passes on to `broker`, which need not be there yet.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(broker: SocketAddr, faults: &Arc<Faults>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            broker,
            faults: Arc::clone(faults),
            blackhole: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let its = Arc::clone(&shared);
        let accepting =
            std::thread::Builder::new().name("proxy".to_owned()).spawn(move || accept(&listener, &its))?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where clients come to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing pass in either direction, or again; connections stay open. What waited meanwhile goes on.
    pub fn set_blackhole(&self, on: bool) {
        self.shared.blackhole.store(on, Ordering::Release);
    }

    /// Holds every frame up by this much; 0 for none.
    pub fn set_delay(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.shared.delay_ms.store(ms, Ordering::Release);
    }

    /// Cuts every connection; says how many.
    pub fn cut_all(&self) -> u64 {
        let lines: Vec<u64> = self.shared.open().keys().copied().collect();
        for line in &lines {
            self.shared.cut(*line);
            self.shared.faults.count(Harm::Cut);
        }
        lines.len() as u64
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Wakes the listener, which then sees that it is over.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        let lines: Vec<u64> = self.shared.open().keys().copied().collect();
        lines.into_iter().for_each(|line| self.shared.cut(line));
    }
}

/// Takes connections until told to stop. Each has two threads, which end with it.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        // Without a thread the client finds its connection closed, and comes again.
        let _ = std::thread::Builder::new().name("proxy-line".to_owned()).spawn(move || {
            if shared.gate()
                && let Ok(broker) = TcpStream::connect_timeout(&shared.broker, CONNECT_LIMIT)
            {
                // A broker that is down refuses; so does its proxy, by closing.
                let _ = Line::run(&shared, client, broker);
            }
        });
    }
}
