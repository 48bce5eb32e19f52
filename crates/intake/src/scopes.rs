//! What a key may do: a closed set of names, and which of them each kind of owner may have.

use serde::{Deserialize, Serialize};

use crate::keys::Owner;

/// One thing that a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyScope {
    /// Record opt-outs.
    #[serde(rename = "suppressions:write")]
    WriteSuppressions,
    /// Lift opt-outs.
    #[serde(rename = "suppressions:lift")]
    LiftSuppressions,
    /// Look opt-outs up.
    #[serde(rename = "suppressions:read")]
    ReadSuppressions,
    /// Bring in files of opt-outs, and ask how far they are.
    #[serde(rename = "import")]
    Import,
    /// Make unsubscribe links.
    #[serde(rename = "links")]
    Links,
    /// Record and withdraw consents.
    #[serde(rename = "consents")]
    Consents,
    /// Hand in replies, bounces and complaints.
    #[serde(rename = "inbound")]
    Inbound,
    /// Use `/v1/local`: the embedded log, snapshots, the rotation of the identity key.
    #[serde(rename = "operate")]
    Operate,
}

impl KeyScope {
    /// Every scope.
    pub const ALL: &'static [Self] = &[
        Self::WriteSuppressions,
        Self::LiftSuppressions,
        Self::ReadSuppressions,
        Self::Import,
        Self::Links,
        Self::Consents,
        Self::Inbound,
        Self::Operate,
    ];

    /// Its name, as in the keys file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WriteSuppressions => "suppressions:write",
            Self::LiftSuppressions => "suppressions:lift",
            Self::ReadSuppressions => "suppressions:read",
            Self::Import => "import",
            Self::Links => "links",
            Self::Consents => "consents",
            Self::Inbound => "inbound",
            Self::Operate => "operate",
        }
    }

    /// The scope of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == name)
    }

    /// What an owner's kind may do at most; a key for which nothing was chosen may do all of it.
    #[must_use]
    pub const fn of(owner: &Owner) -> &'static [Self] {
        match owner {
            Owner::Tenant(_) => &[
                Self::WriteSuppressions,
                Self::LiftSuppressions,
                Self::ReadSuppressions,
                Self::Import,
                Self::Links,
                Self::Consents,
            ],
            Owner::Gateway(_) => &[Self::Inbound],
            Owner::Operator => Self::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeyScope;

    #[test]
    fn a_scope_has_one_name_here_and_in_the_file() {
        for scope in KeyScope::ALL {
            assert_eq!(KeyScope::from_name(scope.as_str()), Some(*scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
        assert_eq!(KeyScope::from_name("suppressions"), None);
    }
}
