//! Makes a failing schedule small: fewer steps, fewer faults, as long as it still fails.

use crate::faults::Fault;
use crate::world::{Plan, Ran, run};

/// A failing schedule that is small.
#[derive(Debug)]
pub struct Shrunk {
    /// What to run.
    pub plan: Plan,
    /// What becomes of it, with its trace.
    pub ran: Ran,
}

/// Takes away what the failure does not need: kinds of faults first, then one fault after the other, then steps.
#[must_use]
pub fn shrink(failing: &Plan) -> Shrunk {
    let mut best = failing.clone();
    let mut ran = run(&best);
    for kind in Fault::ALL {
        let all: Vec<u32> = ran.struck.iter().filter(|(_, fault)| *fault == kind).map(|(n, _)| *n).collect();
        drop_faults(&mut best, &mut ran, &all);
    }
    for number in ran.struck.iter().map(|(number, _)| *number).collect::<Vec<_>>() {
        drop_faults(&mut best, &mut ran, &[number]);
    }
    let mut step = ran.steps / 2;
    while step > 0 {
        let plan = Plan { steps_max: Some(ran.steps - step.min(ran.steps)), ..best.clone() };
        let tried = run(&plan);
        if tried.violation.is_some() {
            (best, ran) = (plan, tried);
        } else {
            step /= 2;
        }
    }
    best.trace = true;
    let ran = run(&best);
    Shrunk { plan: best, ran }
}

/// Without these faults, if it fails then, too.
fn drop_faults(best: &mut Plan, ran: &mut Ran, numbers: &[u32]) {
    if numbers.is_empty() {
        return;
    }
    let mut plan = best.clone();
    plan.dropped.extend_from_slice(numbers);
    let tried = run(&plan);
    if tried.violation.is_some() {
        (*best, *ran) = (plan, tried);
    }
}
