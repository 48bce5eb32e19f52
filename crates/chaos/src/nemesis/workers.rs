//! Faults of tamis's own processes.

use std::time::Duration;

use anyhow::Result;

use super::{Bite, Nemesis, PAST_EVERY_TIMEOUT};
use crate::checker;
use crate::world::{PROCESSES, instance};

/// The contract, section 9 (Stop), and a little for a machine that is busy with eight other processes.
const DRAIN_LIMIT: Duration = Duration::from_secs(17);

impl Nemesis<'_> {
    pub(super) fn kill_worker(&mut self) -> Result<Bite> {
        let place = self.below(PROCESSES);
        self.world.processes[place].service.kill();
        std::thread::sleep(self.between(0, 3_000));
        self.world.start_again(place)?;
        Ok(Bite { detail: instance(place), bites: 1 })
    }

    pub(super) fn pause_worker(&mut self) -> Bite {
        let place = self.below(PROCESSES);
        self.world.processes[place].service.signal("STOP");
        std::thread::sleep(PAST_EVERY_TIMEOUT + self.between(0, 3_000));
        self.world.processes[place].service.signal("CONT");
        Bite { detail: instance(place), bites: 1 }
    }

    pub(super) fn restart_worker(&mut self) -> Result<Bite> {
        let place = self.below(PROCESSES);
        self.drain(place);
        std::thread::sleep(self.between(0, 1_000));
        self.world.start_again(place)?;
        Ok(Bite { detail: instance(place), bites: 1 })
    }

    /// Asks a process to end; that it does so in time, and well, is part of the contract.
    pub(crate) fn drain(&mut self, place: usize) {
        let since = self.history.now();
        let ended = self.world.processes[place].service.stop_within(DRAIN_LIMIT);
        let took = Duration::from_micros(self.history.now() - since).as_secs_f64();
        let what = match ended {
            Some(status) if status.success() => return,
            Some(status) => format!("{} drained with {status} after {took:.1} s", instance(place)),
            None => format!("{} had not drained after {took:.1} s", instance(place)),
        };
        self.tell(checker::Kind::Died, what);
    }
}
