//! Faults of brokers, aimed at who leads and coordinates.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Bite, Nemesis, PAST_EVERY_TIMEOUT};
use crate::compass::{self, Of};
use crate::world::{PREFIX, PROCESSES, instance};

/// How long a broker may take to end when asked: it hands its partitions over first.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// How long a broker on a full disk is watched: it ends when it finds no place to write.
const FULL_LIMIT: Duration = Duration::from_secs(12);

impl Nemesis<'_> {
    /// Which broker, and why that one: any, or one that something depends on.
    fn aim(&mut self) -> (usize, String) {
        let brokers = self.world.brokers();
        let any = self.below(brokers.len());
        let asked = brokers[self.below(brokers.len())];
        let leader_of = |noun: &str| -> std::io::Result<i32> {
            let topic = tamis_bus::topic_name(PREFIX, noun);
            Ok(compass::partitions(asked, &[topic])?.first().map_or(0, |partition| partition.leader))
        };
        let (role, id) = match self.dice.roll(5) {
            0 => ("any", Ok(0)),
            1 => {
                let worker = self.below(PROCESSES);
                let name = format!("{PREFIX}-{}-0", instance(worker));
                ("transaction coordinator", compass::coordinator(asked, Of::Transaction, &name))
            }
            2 => ("group coordinator", compass::coordinator(asked, Of::Group, PREFIX)),
            3 => ("leader of suppressions", leader_of("suppressions")),
            _ => ("leader of send-jobs", leader_of("send-jobs")),
        };
        // Ids are counted from 1, places from 0; a question that found no answer aims at nobody.
        let found =
            id.ok().and_then(|id| usize::try_from(id - 1).ok()).filter(|place| *place < brokers.len());
        match found {
            Some(place) => (place, format!("broker {} ({role})", place + 1)),
            None => (any, format!("broker {} (any)", any + 1)),
        }
    }

    pub(super) fn kill_broker(&mut self) -> Result<Bite> {
        let (place, detail) = self.aim();
        self.world.cluster.node(place).kill();
        std::thread::sleep(self.between(500, 6_000));
        self.world.cluster.start_again(place).context("start a killed broker")?;
        Ok(Bite { detail, bites: 1 })
    }

    pub(super) fn pause_broker(&mut self) -> Result<Bite> {
        let (place, detail) = self.aim();
        self.world.cluster.node(place).pause().context("pause a broker")?;
        std::thread::sleep(PAST_EVERY_TIMEOUT + self.between(0, 3_000));
        self.world.cluster.node(place).resume().context("resume a broker")?;
        Ok(Bite { detail, bites: 1 })
    }

    pub(super) fn restart_broker(&mut self) -> Result<Bite> {
        let (place, detail) = self.aim();
        self.stop_and_start(place)?;
        Ok(Bite { detail, bites: 1 })
    }

    pub(super) fn roll(&mut self) -> Result<Bite> {
        let count = self.world.brokers().len();
        for place in 0..count {
            self.wait_until_in_step()?;
            self.stop_and_start(place)?;
        }
        Ok(Bite { detail: "all brokers, one by one".to_owned(), bites: count as u64 })
    }

    fn stop_and_start(&mut self, place: usize) -> Result<()> {
        self.world.cluster.node(place).stop(STOP_LIMIT).context("stop a broker")?;
        self.world.cluster.start_again(place).context("start a stopped broker")
    }

    pub(super) fn fill_disk(&mut self) -> Result<Bite> {
        let Some(place) = self.world.cluster.small_disk() else {
            return Ok(Bite { detail: "left out: mounting is not allowed here".to_owned(), bites: 0 });
        };
        let bytes = self.world.cluster.fill_disk().context("fill a disk")?;
        let gone = self.world.cluster.wait_until_gone(place, FULL_LIMIT);
        let gone = if gone { "it ended by itself" } else { "it stayed" };
        self.world.cluster.node(place).kill();
        self.world.cluster.free_disk().context("free a disk")?;
        self.world.cluster.start_again(place).context("start a broker whose disk was full")?;
        let detail = format!("broker {}: {} MiB of ballast, {gone}", place + 1, bytes >> 20);
        Ok(Bite { detail, bites: 1 })
    }
}
