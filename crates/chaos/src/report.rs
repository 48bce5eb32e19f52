//! What a soak has to say.

use std::fmt;
use std::time::Duration;

use crate::checker::{Sums, Violation};
use crate::history::Micros;
use crate::nemesis::{Fault, Kind};
use crate::watch::Hold;

/// Violations beyond these are counted, not listed.
const LISTED_MOST: usize = 20;

/// Everything that is told in the end.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How long faults were done.
    pub lasted: Duration,
    /// The faults, in their order.
    pub faults: Vec<Fault>,
    /// What the checker went through.
    pub sums: Sums,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// Every stretch in which a process held.
    pub holds: Vec<Hold>,
    /// What late commits were answered with.
    pub late_errors: Vec<i16>,
}

impl Report {
    /// Whether every promise was kept, and every fault that was done bit.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// The fault that had begun last at that moment.
    fn near(&self, at: Micros) -> Option<&Fault> {
        self.faults.iter().rev().find(|fault| fault.at <= at)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| fault.kind == kind)
    }
}

/// Seconds with one digit.
struct Seconds(Micros);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 / 100_000;
        f.pad(&format!("{}.{} s", tenths / 10, tenths % 10))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, detail, bites, at, healed_at, recovered_at } = self;
        write!(f, "{:>8}  {kind}: {detail}; bit {bites} times, ", Seconds(*at))?;
        match recovered_at {
            Some(recovered_at) => write!(f, "went on {} after its end", Seconds(recovered_at - healed_at)),
            None => f.write_str("did NOT go on"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "soak of {} s, seed {}", self.lasted.as_secs(), self.seed)?;
        writeln!(f, "\n{:<20}{:>7}{:>7}{:>16}", "fault", "times", "bites", "worst recovery")?;
        for kind in Kind::ALL {
            let (times, bites) = (self.of(kind).count(), self.of(kind).map(|fault| fault.bites).sum::<u64>());
            let worst = self.of(kind).filter_map(|fault| Some(fault.recovered_at? - fault.healed_at)).max();
            let worst = worst.map_or("-".to_owned(), |worst| Seconds(worst).to_string());
            writeln!(f, "{kind:<20}{times:>7}{bites:>7}{worst:>16}")?;
        }
        writeln!(f, "{:<20}{:>7}", "together", self.faults.len())?;
        let Sums { jobs_acked, jobs_unknown, opt_outs_acked, opt_outs_unknown, .. } = self.sums;
        let Sums { delivered, withheld, withheld_by_promise, .. } = self.sums;
        writeln!(f, "\njobs: {jobs_acked} acked, {jobs_unknown} not answered")?;
        writeln!(f, "opt-outs: {opt_outs_acked} acked, {opt_outs_unknown} not answered")?;
        writeln!(
            f,
            "recipients: {delivered} delivered, {withheld} withheld ({withheld_by_promise} had to be)"
        )?;
        if let Some(hold) = self.holds.iter().max_by_key(|hold| hold.long) {
            let (process, near) =
                (hold.process + 1, self.near(hold.since).map_or("the start", |f| f.kind.as_str()));
            writeln!(
                f,
                "worst hold: {} by process {process}, after {near}; {} holds",
                Seconds(hold.long),
                self.holds.len()
            )?;
        } else {
            writeln!(f, "worst hold: none")?;
        }
        let fenced = self.late_errors.iter().filter(|error| **error != 0).count();
        writeln!(
            f,
            "late EndTxns: {} arrived, {fenced} of them refused by the broker",
            self.late_errors.len()
        )?;
        for (number, violation) in self.violations.iter().enumerate() {
            if number == LISTED_MOST {
                writeln!(f, "  and {} more", self.violations.len() - LISTED_MOST)?;
                break;
            }
            let near =
                self.near(violation.at).map_or_else(String::new, |fault| format!(", near {}", fault.kind));
            writeln!(f, "  {}: {} (at {}{near})", violation.kind, violation.what, Seconds(violation.at))?;
        }
        write!(f, "violations: {}", self.violations.len())
    }
}
