//! How long things took, lately.

use std::time::Duration;

/// How many are kept: enough for a steady p99, little enough to sort four times a second.
const KEPT: usize = 8192;

/// The latest durations, for percentiles.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    micros: Vec<u32>,
    next: usize,
}

impl Latencies {
    /// Takes one in, in place of the oldest when it is full.
    pub(crate) fn push(&mut self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if self.micros.len() < KEPT {
            self.micros.push(micros);
        } else {
            self.micros[self.next] = micros;
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// The median and the 99th percentile, in milliseconds; `None` before the first.
    pub(crate) fn p50_p99_ms(&self) -> Option<(f64, f64)> {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1)).copied();
        (!sorted.is_empty()).then(|| {
            let ms = |micros: Option<u32>| f64::from(micros.unwrap_or(0)) / 1000.0;
            (ms(at(50)), ms(at(99)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_latest() {
        let mut all = Latencies::default();
        assert_eq!(all.p50_p99_ms(), None);
        for _ in 0..KEPT {
            all.push(Duration::from_secs(9));
        }
        for ms in 0..KEPT as u64 {
            all.push(Duration::from_millis(ms));
        }
        assert_eq!(all.p50_p99_ms(), Some((4096.0, 8110.0)));
    }
}
