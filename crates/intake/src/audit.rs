//! One line in the log for each change: who, what, how many, on what evidence, and where it stands in the suppression log.
//!
//! It is at INFO under the target `audit`, so that `TAMIS_LOG=warn,audit=info` keeps these lines and no others of their level. No
//! address is ever in one, and nothing that could be one.

use tamis_bus::Positions;

use crate::access::Caller;
use crate::keys::Owner;

/// Positions in a line; a call touches as many partitions as the log has, at most.
const POSITIONS_MAX: usize = 32;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Opt-outs were recorded.
    Add,
    /// Opt-outs were lifted.
    Lift,
    /// Consents were recorded.
    GrantConsent,
    /// Consents were withdrawn.
    WithdrawConsent,
    /// A stream of opt-outs was recorded.
    Import,
    /// What an import brought is lifted.
    UndoImport,
    /// The identity key was rotated.
    RotateKey,
}

impl Change {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Lift => "lift",
            Self::GrantConsent => "grant_consent",
            Self::WithdrawConsent => "withdraw_consent",
            Self::Import => "import",
            Self::UndoImport => "undo_import",
            Self::RotateKey => "rotate_key",
        }
    }
}

/// What a line says besides who and what.
#[derive(Default)]
pub(crate) struct Of<'a> {
    /// Records written.
    pub(crate) count: usize,
    /// Rows that made none.
    pub(crate) rejected: usize,
    /// What they rest on, as the records have it.
    pub(crate) evidence: &'a str,
    /// How far the log has got where it was touched.
    pub(crate) reached: Option<&'a Positions>,
}

/// Writes the line. Called when the change is durable, never before.
pub(crate) fn changed(caller: &Caller, change: Change, of: &Of<'_>) {
    tracing::info!(
        target: "audit",
        key = caller.id,
        owner = kind(&caller.owner),
        change = change.as_str(),
        count = of.count,
        rejected = of.rejected,
        evidence = shown(of.evidence),
        position = of.reached.map(position),
        "changed"
    );
}

const fn kind(owner: &Owner) -> &'static str {
    match owner {
        Owner::Tenant(_) => "tenant",
        Owner::Gateway(_) => "gateway",
        Owner::Operator => "operator",
    }
}

/// Evidence is an opaque id, but its writer may not know that: what is no id, or only digits, could be a name or a number. It is in the
/// record all the same.
fn shown(evidence: &str) -> Option<&str> {
    let of_an_id = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    let is_id = evidence.bytes().all(of_an_id) && evidence.bytes().any(|b| b.is_ascii_alphabetic());
    is_id.then_some(evidence)
}

/// `partition:offset` for each that was touched.
fn position(reached: &Positions) -> String {
    let touched = reached.as_slice().iter().enumerate().filter(|(_, next)| **next >= 0);
    let told: Vec<String> =
        touched.clone().take(POSITIONS_MAX).map(|(partition, next)| format!("{partition}:{next}")).collect();
    let more = if touched.count() > POSITIONS_MAX { " …" } else { "" };
    format!("{}{more}", told.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{position, shown};
    use tamis_bus::Positions;

    /// Guarantees: evidence that could be somebody's number, address or name is not in a log.
    /// Fails when: evidence is logged as it came.
    #[test]
    fn only_an_id_is_shown() {
        for id in ["ticket-4711", "2f1d3c9e-71b0-4c6e-9a53-d52f0f9f7b1e", "imports:2026.11"] {
            assert_eq!(shown(id), Some(id));
        }
        for other in
            ["0612345678", "06-12-34-56-78", "+33612345678", "Ada Lovelace", "ada@example.org", "é1", ""]
        {
            assert_eq!(shown(other), None, "{other}");
        }
    }

    #[test]
    fn positions_are_of_the_partitions_touched_and_bounded() {
        assert_eq!(position(&Positions::new(vec![-1, 7, -1, 12])), "1:7 3:12");
        let all = position(&Positions::new((0..100).collect()));
        assert!(all.ends_with("31:31 …"), "{all}");
    }
}
