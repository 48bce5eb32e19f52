//! How far loading is, told while it lasts: whoever waits for it wants to know for how long.

use std::time::Duration;

use tamis_bus::Positions;

/// Between two lines in the log.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// Over how long the speed is measured, at least.
const SPEED_OVER: Duration = Duration::from_secs(1);

/// What was read so far. Times are since the beginning of loading.
pub(super) struct Progress {
    from: Positions,
    records: u64,
    /// Of the way; not known before the first is read.
    percent: Option<u64>,
    /// Records a second, as last measured.
    speed: Option<u64>,
    measured: (Duration, u64),
    logged: Duration,
}

impl Progress {
    /// Nothing read yet, standing at `from`.
    pub(super) fn new(from: Positions) -> Self {
        let measured = (Duration::ZERO, 0);
        Self { from, records: 0, percent: None, speed: None, measured, logged: Duration::ZERO }
    }

    /// So many more records were read by `now`; the filter stands at `position` on its way to `target`. Says so in the
    /// log, if the last time was long ago.
    pub(super) fn note(&mut self, records: u64, position: &Positions, target: &Positions, now: Duration) {
        self.records += records;
        self.percent = Some(percent(self.from.behind(target), position.behind(target)));
        let (since, before) = self.measured;
        let over = now.saturating_sub(since);
        if over >= SPEED_OVER {
            let a_second = u128::from(self.records - before) * 1_000 / over.as_millis();
            self.speed = u64::try_from(a_second).ok();
            self.measured = (now, self.records);
        }
        if now.saturating_sub(self.logged) >= LOG_EVERY {
            self.logged = now;
            let Self { records, percent, speed, .. } = self;
            tracing::info!(records, percent, records_a_second = speed, "filter is loading");
        }
    }

    /// The same in words, for `/readyz`.
    pub(super) fn text(&self) -> String {
        let percent = self.percent.map(|percent| format!(", {percent} %")).unwrap_or_default();
        let speed = self.speed.map(|speed| format!(", {speed} records a second")).unwrap_or_default();
        format!("loading: {} records{percent}{speed}", self.records)
    }
}

/// 100 only when nothing is left.
fn percent(way: u64, left: u64) -> u64 {
    if left == 0 { 100 } else { way.saturating_sub(left).saturating_mul(100) / way.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the way is counted from where the filter began, over all partitions; what is past the target counts for
    /// nothing, and 100 is said only at the target. The speed is that of the last second or so.
    #[test]
    fn it_says_how_far_it_is_and_how_fast() {
        let mut progress = Progress::new(Positions::new(vec![100, 0, 0]));
        assert_eq!(progress.text(), "loading: 0 records");
        let target = Positions::new(vec![200, 300, 0]);
        for (records, position, ms, text) in [
            (90, [190, 0, 0], 400, "loading: 90 records, 22 %"),
            (10, [200, 0, 0], 2_000, "loading: 100 records, 25 %, 50 records a second"),
            (298, [200, 299, 0], 2_500, "loading: 398 records, 99 %, 50 records a second"),
            (50, [240, 299, 9], 3_000, "loading: 448 records, 99 %, 348 records a second"),
            (0, [240, 299, 9], 4_000, "loading: 448 records, 99 %, 0 records a second"),
            (1, [240, 300, 9], 4_001, "loading: 449 records, 100 %, 0 records a second"),
        ] {
            let position = Positions::new(position.to_vec());
            progress.note(records, &position, &target, Duration::from_millis(ms));
            assert_eq!(progress.text(), text);
        }
        for (ms, logged_ms) in [(4_999, 0), (5_000, 5_000), (9_999, 5_000), (10_001, 10_001)] {
            progress.note(0, &target, &target, Duration::from_millis(ms));
            assert_eq!(
                progress.logged,
                Duration::from_millis(logged_ms),
                "a line in the log every five seconds"
            );
        }
        let mut empty = Progress::new(Positions::zero(3));
        empty.note(0, &Positions::zero(3), &Positions::zero(3), Duration::ZERO);
        assert_eq!(empty.text(), "loading: 0 records, 100 %");
    }
}
