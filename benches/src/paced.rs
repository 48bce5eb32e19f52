//! Calls at a steady rate, whoever is slow: each is due at its moment, and how long it took is counted from there. So a call that had
//! to wait for its turn says so, and what stood still shows as often as it was due (no coordinated omission).

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::setting::PATIENCE;

/// When calls are due.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// When the first is due.
    pub begun: Instant,
    /// Between two.
    pub every: Duration,
    /// How many.
    pub calls: usize,
}

impl Pace {
    /// Has `callers` threads make all calls, each the next one that is due; `open` makes what a thread calls with, which is given the
    /// number of the call. Answers how long each took from when it was due, in the order of their numbers.
    ///
    /// # Errors
    /// The first error of a call.
    pub fn run<C>(self, callers: usize, open: impl Fn() -> Result<C> + Sync) -> Result<Vec<Duration>>
    where
        C: FnMut(usize) -> Result<()>,
    {
        let next = AtomicUsize::new(0);
        let call = || -> Result<Vec<(usize, Duration)>> {
            let (mut caller, mut took) = (open()?, Vec::new());
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= self.calls {
                    return Ok(took);
                }
                let due = self.begun + self.every * u32::try_from(at)?;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                caller(at)?;
                took.push((at, due.elapsed()));
            }
        };
        let mut all = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..callers).map(|_| scope.spawn(call)).collect();
            let took =
                threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a caller panicked"))?);
            took.collect::<Result<Vec<_>>>().map(|took| took.concat())
        })?;
        all.sort_unstable_by_key(|(at, _)| *at);
        Ok(all.into_iter().map(|(_, took)| took).collect())
    }
}

/// The figures of a table: median, p90, p99, p99.9 and the longest, in milliseconds.
#[must_use]
pub fn quantiles(took: &[Duration]) -> [f64; 5] {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let at = |per_mille: usize| sorted.get(sorted.len().saturating_sub(1) * per_mille / 1_000);
    [500, 900, 990, 999, 1_000]
        .map(|per_mille| at(per_mille).map_or(0.0, |took| (took.as_secs_f64() * 1e6).round() / 1e3))
}

/// A connection of HTTP/1.1 that is kept.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens it.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn open(at: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(at)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Makes a call, whole as it is sent, and reads all of its answer. Answers the status.
    ///
    /// # Errors
    /// When there is no answer, or none with a length.
    pub fn call(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let mut most = None;
        while most.is_none_or(|most| self.buffer.len() < most) {
            let mut piece = [0; 8 << 10];
            let read = self.stream.read(&mut piece)?;
            ensure!(read > 0, "the connection was closed");
            self.buffer.extend_from_slice(&piece[..read]);
            most = most.or(whole(&self.buffer)?);
        }
        let status = self.buffer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        status.and_then(|digits| digits.parse().ok()).context("an answer without a status")
    }
}

/// How long the answer that begins with `text` is; `None` until its head is here.
fn whole(text: &[u8]) -> Result<Option<usize>> {
    let Some(head) = text.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    for line in std::str::from_utf8(&text[..head])?.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(Some(head + 4 + value.trim().parse::<usize>()?));
        }
    }
    bail!("an answer without a length")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: who stands still is late for each call that was due meanwhile, not for one.
    #[test]
    fn a_call_that_had_to_wait_for_its_turn_counts_from_when_it_was_due() {
        let pace = Pace { begun: Instant::now(), every: Duration::from_millis(1), calls: 50 };
        let took = pace.run(1, || {
            Ok(|at| {
                std::thread::sleep(Duration::from_millis(if at == 0 { 100 } else { 0 }));
                Ok(())
            })
        });
        let took = took.unwrap();
        assert_eq!(took.len(), 50);
        // The last was due 51 ms before the first had ended.
        assert!(took.iter().all(|took| *took >= Duration::from_millis(50)), "{took:?}");
    }

    #[test]
    fn quantiles_are_of_all() {
        let took: Vec<_> = (1..=1_001).rev().map(Duration::from_millis).collect();
        assert_eq!(quantiles(&took), [501.0, 901.0, 991.0, 1_000.0, 1_001.0]);
        assert_eq!(quantiles(&[]), [0.0; 5]);
    }

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\ncontent-len").unwrap(), None);
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{").unwrap(), Some(41));
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
