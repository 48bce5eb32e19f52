//! Faults of what is between: answers that are lost or out of date, requests that come late or twice, links that are slow or
//! dead.

use std::time::Duration;

use anyhow::Result;

use super::{Bite, Nemesis};
use crate::proxy::Harm;

/// How long a fault waits for a frame that it fits.
const FRAME_LIMIT: Duration = Duration::from_secs(15);
/// Past the time-out of a request in a transaction (10 s less 100 ms).
const PAST_REQUEST_MS: u64 = 10_500;

impl Nemesis<'_> {
    /// Has `harm` done `times` times, one after the other, so that more than one worker may be hit.
    fn harm(&mut self, harm: Harm, times: u64, late_ms: u64) -> u64 {
        let enough = self.arm(harm, times, late_ms);
        self.wait_until_done(harm, enough, |_| Duration::from_millis(10));
        self.disarm(harm, enough - times)
    }

    /// Has `harm` done to the next `times` frames that fit; says how often it will have been done then.
    fn arm(&self, harm: Harm, times: u64, late_ms: u64) -> u64 {
        let before = self.world.faults.done(harm);
        for _ in 0..times {
            self.world.faults.arm(harm, Duration::from_millis(late_ms));
        }
        before + times
    }

    /// Does `step`, waits as long as it says, and again, until `harm` has been done often enough, or it took too long.
    fn wait_until_done(&mut self, harm: Harm, enough: u64, step: fn(&mut Self) -> Duration) {
        let limit = self.history.now() + u64::try_from(FRAME_LIMIT.as_micros()).unwrap_or(u64::MAX);
        while self.world.faults.done(harm) < enough && self.history.now() < limit {
            let pause = step(self);
            std::thread::sleep(pause);
        }
    }

    /// Nothing more is armed; says how often `harm` was done since it had been done `before` times.
    fn disarm(&self, harm: Harm, before: u64) -> u64 {
        self.world.faults.disarm();
        self.world.faults.done(harm) - before
    }

    pub(super) fn lose_answers(&mut self) -> Bite {
        let times = 1 + self.dice.roll(3);
        let (harm, of) = if self.dice.roll(3) == 0 {
            (Harm::DropOffsetsAnswer, "TxnOffsetCommit")
        } else {
            (Harm::DropEndTxnAnswer, "EndTxn")
        };
        Bite { bites: self.harm(harm, times, 0), detail: format!("answers to {of}") }
    }

    pub(super) fn delay_commits(&mut self) -> Bite {
        if self.dice.roll(2) == 0 {
            let late_ms = PAST_REQUEST_MS + self.dice.roll(3_000);
            let bites = self.harm(Harm::LateAfterTimeout, 1, late_ms);
            // It is on its way until then.
            std::thread::sleep(Duration::from_millis(late_ms + 500));
            return Bite { bites, detail: format!("{late_ms} ms, past its time-out") };
        }
        // The connection is lost, the client asks again at once and goes on: the late one meets the next transaction.
        let (times, late_ms) = (1 + self.dice.roll(3), 20 + self.dice.roll(1_500));
        let bites = self.harm(Harm::LateAfterCut, times, late_ms);
        std::thread::sleep(Duration::from_millis(late_ms + 500));
        Bite { bites, detail: format!("{late_ms} ms, into the next transaction") }
    }

    pub(super) fn double_commits(&mut self) -> Bite {
        let times = 1 + self.dice.roll(5);
        Bite { bites: self.harm(Harm::Duplicate, times, 0), detail: "right behind itself".to_owned() }
    }

    /// What a group coordinator does that has just moved. Workers ask when a transaction has failed, and for partitions that
    /// they are given.
    pub(super) fn age_offsets(&mut self) -> Result<Bite> {
        let times = 1 + self.dice.roll(4);
        let enough = self.arm(Harm::StaleOffsets, times, 0);
        let still: fn(&mut Self) -> Duration = |_| Duration::from_millis(10);
        let (detail, step) = match self.dice.roll(4) {
            0 => (format!("{} killed meanwhile", self.kill_worker()?.detail), still),
            1 => (format!("{} restarted meanwhile", self.restart_worker()?.detail), still),
            _ => ("connections cut meanwhile".to_owned(), Self::cut_somewhere as fn(&mut Self) -> Duration),
        };
        self.wait_until_done(Harm::StaleOffsets, enough, step);
        Ok(Bite { bites: self.disarm(Harm::StaleOffsets, enough - times), detail })
    }

    /// Cuts every connection of some broker; says how long to leave it at that.
    fn cut_somewhere(&mut self) -> Duration {
        let place = self.below(self.world.proxies.len());
        self.world.proxies[place].cut_all();
        self.between(200, 1_500)
    }

    pub(super) fn throttle(&mut self) -> Bite {
        let (delay, long) = (self.between(20, 400), self.between(3_000, 8_000));
        let place = self.below(self.world.proxies.len());
        let before = self.world.faults.done(Harm::Throttle);
        self.world.proxies[place].set_delay(delay);
        std::thread::sleep(long);
        self.world.heal_network();
        let bites = self.world.faults.done(Harm::Throttle) - before;
        let (broker, ms, s) = (place + 1, delay.as_millis(), long.as_secs_f64());
        Bite { bites, detail: format!("broker {broker}: {ms} ms a frame for {s:.1} s") }
    }

    pub(super) fn blackhole(&mut self) -> Bite {
        let long = self.between(2_000, 14_000);
        let place = self.below(self.world.proxies.len());
        self.world.proxies[place].set_blackhole(true);
        std::thread::sleep(long);
        self.world.heal_network();
        Bite { bites: 1, detail: format!("broker {} for {:.1} s", place + 1, long.as_secs_f64()) }
    }

    pub(super) fn cut(&mut self) -> Bite {
        let place = self.below(self.world.proxies.len());
        let mut bites = 0;
        for _ in 0..=self.dice.roll(4) {
            bites += self.world.proxies[place].cut_all();
            std::thread::sleep(self.between(10, 800));
        }
        Bite { bites, detail: format!("broker {}", place + 1) }
    }
}
