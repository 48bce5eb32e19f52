//! Breaks one thing at a time, heals it, and waits until the world has gone on by itself.

mod brokers;
mod network;
mod workers;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tamis_tests::people::Dice;

use crate::checker;
use crate::compass;
use crate::history::{History, Micros};
use crate::watch::Watch;
use crate::world::{PREFIX, World, instance};

/// How long it may take to go on by itself after a fault has ended: sessions (6 s), transactions (10 s), a broker's start,
/// on a machine that all of it shares.
const RECOVERY_LIMIT: Duration = Duration::from_secs(90);
/// How long the brokers may take to have every replica in step again.
const CLUSTER_LIMIT: Duration = Duration::from_secs(120);
/// Nothing is broken for this long after each fault.
const CALM: Duration = Duration::from_millis(1_500);
/// Past the transaction's time-out (10 s), the member's session (6 s) and the broker's (3 s).
const PAST_EVERY_TIMEOUT: Duration = Duration::from_secs(12);

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A broker is killed (SIGKILL) and started again.
    BrokerKilled,
    /// A broker stands still past every time-out.
    BrokerPaused,
    /// A broker is asked to end (SIGTERM) and started again.
    BrokerRestarted,
    /// All three, one after the other.
    RollingRestart,
    /// A broker's disk is full.
    DiskFull,
    /// A process is killed and started again.
    WorkerKilled,
    /// A process stands still past every time-out.
    WorkerPaused,
    /// A process is asked to end and started again.
    WorkerRestarted,
    /// The answer to an `EndTxn` or a `TxnOffsetCommit` that was carried out is lost.
    AnswerLost,
    /// An `EndTxn` comes late: after its time-out, or into the next transaction.
    EndTxnLate,
    /// An `EndTxn` comes twice.
    EndTxnTwice,
    /// Workers that ask for their offsets are told older ones than they committed.
    OffsetsStale,
    /// Every frame of a broker's is held up.
    Throttled,
    /// Nothing passes to or from a broker.
    Blackholed,
    /// Every connection of a broker's is cut.
    ConnectionsCut,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BrokerKilled,
        Self::BrokerPaused,
        Self::BrokerRestarted,
        Self::RollingRestart,
        Self::DiskFull,
        Self::WorkerKilled,
        Self::WorkerPaused,
        Self::WorkerRestarted,
        Self::AnswerLost,
        Self::EndTxnLate,
        Self::EndTxnTwice,
        Self::OffsetsStale,
        Self::Throttled,
        Self::Blackholed,
        Self::ConnectionsCut,
    ];

    /// As reports name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BrokerKilled => "broker killed",
            Self::BrokerPaused => "broker paused",
            Self::BrokerRestarted => "broker restarted",
            Self::RollingRestart => "rolling restart",
            Self::DiskFull => "disk full",
            Self::WorkerKilled => "worker killed",
            Self::WorkerPaused => "worker paused",
            Self::WorkerRestarted => "worker restarted",
            Self::AnswerLost => "answer lost",
            Self::EndTxnLate => "EndTxn late",
            Self::EndTxnTwice => "EndTxn twice",
            Self::OffsetsStale => "offsets stale",
            Self::Throttled => "throttled",
            Self::Blackholed => "blackholed",
            Self::ConnectionsCut => "connections cut",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A fault that was done, and what came after.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// To whom, and how.
    pub detail: String,
    /// How often it bit: processes signalled, frames harmed. 0 when it could not be done.
    pub bites: u64,
    /// When it began.
    pub at: Micros,
    /// When it had ended.
    pub healed_at: Micros,
    /// When everything had gone on by itself.
    pub recovered_at: Option<Micros>,
}

/// What a fault was done to, and how often it bit.
struct Bite {
    detail: String,
    bites: u64,
}

/// Breaks things by dice.
pub(crate) struct Nemesis<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) watch: &'a Watch,
    pub(crate) history: Arc<History>,
    pub(crate) dice: Dice,
    pub(crate) violations: Vec<checker::Violation>,
    kinds: Vec<Kind>,
    deck: Vec<Kind>,
}

impl<'a> Nemesis<'a> {
    pub(crate) fn new(world: &'a mut World, watch: &'a Watch, history: &Arc<History>, seed: u64) -> Self {
        let (history, dice) = (Arc::clone(history), Dice::new(seed));
        Self {
            world,
            watch,
            history,
            dice,
            violations: Vec::new(),
            kinds: Kind::ALL.to_vec(),
            deck: Vec::new(),
        }
    }

    /// Only this kind, again and again.
    pub(crate) fn only(&mut self, kind: Kind) {
        self.kinds = vec![kind];
    }

    /// The next fault of a shuffled deck: each kind comes before one comes again.
    pub(crate) fn draw(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.deck = self.kinds.clone();
            for place in (1..self.deck.len()).rev() {
                let other = self.below(place + 1);
                self.deck.swap(place, other);
            }
        }
        self.deck.pop().expect("it was filled")
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.dice.roll(most as u64)).unwrap_or(0)
    }

    fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(least_ms + self.dice.roll(most_ms - least_ms))
    }

    /// Breaks it, heals it, waits for the world to go on.
    ///
    /// # Errors
    /// When the brokers themselves do not come back: then nothing can be said of tamis.
    pub(crate) fn strike(&mut self, kind: Kind) -> Result<Fault> {
        let at = self.history.now();
        let bite = match kind {
            Kind::BrokerKilled => self.kill_broker()?,
            Kind::BrokerPaused => self.pause_broker()?,
            Kind::BrokerRestarted => self.restart_broker()?,
            Kind::RollingRestart => self.roll()?,
            Kind::DiskFull => self.fill_disk()?,
            Kind::WorkerKilled => self.kill_worker()?,
            Kind::WorkerPaused => self.pause_worker(),
            Kind::WorkerRestarted => self.restart_worker()?,
            Kind::AnswerLost => self.lose_answers(),
            Kind::EndTxnLate => self.delay_commits(),
            Kind::EndTxnTwice => self.double_commits(),
            Kind::OffsetsStale => self.age_offsets()?,
            Kind::Throttled => self.throttle(),
            Kind::Blackholed => self.blackhole(),
            Kind::ConnectionsCut => self.cut(),
        };
        let healed_at = self.history.now();
        let recovered_at = self.wait_until_recovered(kind, healed_at)?;
        self.wait_until_in_step()?;
        std::thread::sleep(CALM);
        Ok(Fault { kind, detail: bite.detail, bites: bite.bites, at, healed_at, recovered_at })
    }

    /// Until every process is ready and every job from before the end of the fault is decided, and one from after it.
    fn wait_until_recovered(&mut self, kind: Kind, healed_at: Micros) -> Result<Option<Micros>> {
        let limit = healed_at + u64::try_from(RECOVERY_LIMIT.as_micros()).unwrap_or(u64::MAX);
        loop {
            self.tell_the_dead(kind)?;
            let now = self.history.now();
            if self.watch.all_ready() && self.history.book().is_past(healed_at) {
                return Ok(Some(now));
            }
            if now > limit {
                let undecided = self.history.book().undecided();
                let ready = self.watch.all_ready();
                let what =
                    format!("{kind}: after 90 s all ready: {ready}, {undecided} jobs without an outcome");
                self.tell(checker::Kind::Stuck, what);
                self.world.describe(&format!("stuck-{}", self.violations.len()))?;
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A process that ended by itself is a violation, and is started again.
    fn tell_the_dead(&mut self, kind: Kind) -> Result<()> {
        for place in 0..self.world.processes.len() {
            if !self.world.processes[place].service.is_running() {
                self.tell(checker::Kind::Died, format!("{kind}: {} ended by itself", instance(place)));
                self.world.start_again(place)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, kind: checker::Kind, what: String) {
        let at = self.history.now();
        self.violations.push(checker::Violation { kind, what, at });
    }

    /// Until every replica of every partition is in step: so that the next fault takes one broker from three, never one
    /// from two.
    fn wait_until_in_step(&self) -> Result<()> {
        let begun = self.history.now();
        let limit = u64::try_from(CLUSTER_LIMIT.as_micros()).unwrap_or(u64::MAX);
        let mut topics: Vec<String> = ["send-jobs", "suppressions", "outcomes", "dead-letters"]
            .iter()
            .map(|noun| tamis_bus::topic_name(PREFIX, noun))
            .collect();
        for channel in tamis_campaign::Channel::ALL {
            topics.push(tamis_bus::topic_name(PREFIX, tamis_bus::deliveries_noun(*channel)));
        }
        topics.extend(["__consumer_offsets", "__transaction_state"].map(str::to_owned));
        let brokers = self.world.brokers();
        while self.history.now() < begun + limit {
            // As every broker sees it: one that was away may not know yet what it missed.
            let in_step = brokers.iter().all(|broker| {
                compass::partitions(*broker, &topics).is_ok_and(|found| {
                    !found.is_empty() && found.iter().all(|p| p.leader > 0 && p.in_sync == p.replicas)
                })
            });
            if in_step {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        bail!("the brokers' replicas did not come into step again")
    }
}
