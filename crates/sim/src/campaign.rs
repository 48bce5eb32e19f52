//! Many schedules from one seed, and what came of them.

use crate::faults::Fault;
use crate::mutant::Mutant;
use crate::shrink::{Shrunk, shrink};
use crate::world::{Plan, run, seed};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// What to run.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Each schedule's seed hangs on it.
    pub seed: u64,
    /// How long.
    pub limit: Duration,
    /// A deliberate break.
    pub mutant: Option<Mutant>,
    /// Run the one schedule of this seed instead.
    pub replay: Option<u64>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// The campaign.
    pub seed: u64,
    /// Schedules run, the failing one included.
    pub schedules: u64,
    /// Jobs written in all of them.
    pub jobs: u64,
    /// How long it took.
    pub took: Duration,
    /// Faults that struck, by kind.
    pub struck: [u64; Fault::COUNT],
    /// The seed of the schedule that failed, and the same made small.
    pub failed: Option<(u64, Shrunk)>,
}

impl Campaign {
    /// A random seed and a minute, but for what `SIM_SEED` and `SIM_SECONDS` say.
    ///
    /// # Errors
    /// When one of them is no number.
    pub fn from_environment() -> Result<Self, String> {
        let number = |name: &str| match std::env::var_os(name) {
            None => Ok(None),
            Some(text) => text
                .to_str()
                .and_then(|text| text.parse::<u64>().ok())
                .map(Some)
                .ok_or_else(|| format!("{name} is no number")),
        };
        Ok(Self {
            seed: RandomState::new().hash_one(0),
            limit: Duration::from_secs(number("SIM_SECONDS")?.unwrap_or(60)),
            mutant: None,
            replay: number("SIM_SEED")?,
        })
    }

    /// Runs until the time is up or a promise breaks.
    #[must_use]
    pub fn run(&self) -> Report {
        let begun = Instant::now();
        let mut report = Report {
            seed: self.seed,
            schedules: 0,
            jobs: 0,
            took: Duration::ZERO,
            struck: [0; Fault::COUNT],
            failed: None,
        };
        loop {
            let seed = self.replay.unwrap_or_else(|| seed(self.seed, report.schedules));
            let plan = Plan { seed, mutant: self.mutant, ..Plan::default() };
            let ran = run(&plan);
            report.schedules += 1;
            report.jobs += ran.jobs as u64;
            for (_, fault) in &ran.struck {
                report.struck[*fault as usize] += 1;
            }
            report.took = begun.elapsed();
            if ran.violation.is_some() {
                report.failed = Some((seed, shrink(&plan)));
            }
            if report.failed.is_some() || self.replay.is_some() || report.took >= self.limit {
                return report;
            }
        }
    }
}

impl Report {
    /// Schedules in a minute, at this pace.
    #[must_use]
    pub fn a_minute(&self) -> u64 {
        let seconds = self.took.as_secs_f64().max(1e-6);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "a figure to read"
        )]
        let pace = (self.schedules as f64 * 60.0 / seconds) as u64;
        pace
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(
            f,
            "{} schedules with {} jobs in {:.1} s: {} a minute",
            self.schedules,
            self.jobs,
            self.took.as_secs_f64(),
            self.a_minute()
        )?;
        for fault in Fault::ALL {
            writeln!(f, "{:>9}  {}", self.struck[fault as usize], fault.text())?;
        }
        if let Some((seed, Shrunk { ran, .. })) = &self.failed {
            for line in &ran.lines {
                writeln!(f, "{line}")?;
            }
            if let Some(violation) = &ran.violation {
                writeln!(f, "BROKEN {}: {}", violation.promise, violation.text)?;
            }
            let faults: Vec<&str> = ran.struck.iter().map(|(_, fault)| fault.text()).collect();
            writeln!(
                f,
                "faults it needs: {}",
                if faults.is_empty() { "none".to_owned() } else { faults.join(", ") }
            )?;
            writeln!(f, "replay with SIM_SEED={seed}")?;
        }
        Ok(())
    }
}
