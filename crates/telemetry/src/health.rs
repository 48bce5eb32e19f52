//! Whether this process may be relied on: the checks behind `/readyz`.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

/// What must hold for the service to be ready (contract, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The filter is loaded.
    Filter,
    /// The filter is fresh: its log answers and nothing holds (G5).
    Freshness,
    /// The worker group has settled; a spare without partitions has.
    Group,
    /// Stores can be written.
    Store,
    /// What holds content back from the purge. It is told here and never fails: a gateway that stands still is no
    /// reason to stop routing to the others, and would not go on for it.
    Purge,
    /// Whether what gateways write to `inbound` is read here. It is told and never fails: jobs are routed and the doors by
    /// HTTP are open without it.
    Inbound,
}

impl Check {
    /// Every check, in the order of the answer.
    pub const ALL: &'static [Self] =
        &[Self::Filter, Self::Freshness, Self::Group, Self::Store, Self::Purge, Self::Inbound];

    /// The name in the answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Freshness => "freshness",
            Self::Group => "group",
            Self::Store => "store",
            Self::Purge => "purge",
            Self::Inbound => "inbound",
        }
    }
}

/// What is said of a check: words of ours, and names that the operator chose.
type Detail = Cow<'static, str>;

#[derive(Debug, Clone)]
struct State {
    ok: bool,
    detail: Detail,
}

#[derive(Serialize)]
struct Line<'a> {
    check: &'static str,
    ok: bool,
    detail: &'a str,
}

/// The state of every check; clones share it. Nothing is ready until every check was set to be.
#[derive(Debug, Clone)]
pub struct Health(Arc<Mutex<[State; Check::ALL.len()]>>);

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Every check failing with "starting", but for `inbound`, which most processes do not read.
    #[must_use]
    pub fn new() -> Self {
        let state = |at: usize| match Check::ALL[at] {
            Check::Inbound => State { ok: true, detail: Detail::Borrowed("not this process's") },
            Check::Filter | Check::Freshness | Check::Group | Check::Store | Check::Purge => {
                State { ok: false, detail: Detail::Borrowed("starting") }
            }
        };
        Self(Arc::new(Mutex::new(std::array::from_fn(state))))
    }

    /// Sets `check`; `detail` says in a few words why.
    pub fn set(&self, check: Check, ok: bool, detail: impl Into<Cow<'static, str>>) {
        self.0.lock()[check as usize] = State { ok, detail: detail.into() };
    }

    /// Whether every check holds.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.lock().iter().all(|state| state.ok)
    }

    /// One JSON object a line: `{"check","ok","detail"}`, in the order of [`Check::ALL`].
    #[must_use]
    pub fn json_lines(&self) -> String {
        self.answer().1
    }

    /// [`Health::is_ready`] and [`Health::json_lines`] of the same moment.
    #[must_use]
    pub fn answer(&self) -> (bool, String) {
        let states = self.0.lock().clone();
        let mut text = String::new();
        for (check, state) in Check::ALL.iter().zip(&states) {
            let line = Line { check: check.as_str(), ok: state.ok, detail: &state.detail };
            text.push_str(&serde_json::to_string(&line).expect("three plain fields always serialise"));
            text.push('\n');
        }
        (states.iter().all(|state| state.ok), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_every_check_was_set_to_hold() {
        let health = Health::new();
        for &check in Check::ALL.iter().filter(|check| **check != Check::Inbound) {
            assert!(!health.is_ready());
            health.set(check, true, "good");
        }
        assert!(health.is_ready(), "most processes do not read inbound");
        health.clone().set(Check::Freshness, false, "behind");
        assert!(!health.is_ready());
        assert_eq!(
            health.json_lines().lines().nth(1),
            Some(r#"{"check":"freshness","ok":false,"detail":"behind"}"#)
        );
        assert_eq!(health.json_lines().lines().count(), Check::ALL.len());
    }
}
