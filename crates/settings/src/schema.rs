//! Every key there is, with the kind of its value.

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Flag,
    /// A text such as `"24h"`.
    Duration,
    /// The same, or an empty text.
    DurationOrEmpty,
    /// A table of texts, for librdkafka.
    Properties,
    /// A table of lists of texts, by channel.
    Readers,
}

impl Kind {
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Number => "a whole number of at least 0",
            Self::Flag => "true or false",
            Self::Duration => "a duration in quotes, such as \"500ms\", \"15m\", \"24h\" or \"7d\"",
            Self::DurationOrEmpty => "a duration in quotes, such as \"15m\" or \"24h\", or \"\"",
            Self::Properties => {
                "a table of librdkafka properties, name and value in quotes: \"security.protocol\" = \"ssl\""
            }
            Self::Readers => "a table of lists of consumer groups by channel: { sms = [\"gateway-a\"] }",
        }
    }
}

/// Sections and their keys, in the order of the contract (section 5).
pub(crate) const SECTIONS: &[(&str, &[(&str, Kind)])] = &[
    (
        "bus",
        &[
            ("kind", Kind::Text),
            ("data_dir", Kind::Text),
            ("bootstrap_servers", Kind::Text),
            ("prefix", Kind::Text),
            ("group", Kind::Text),
            ("instance", Kind::Text),
            ("client", Kind::Properties),
        ],
    ),
    (
        "topics",
        &[
            ("partitions", Kind::Number),
            ("replication", Kind::Number),
            ("max_message_bytes", Kind::Number),
            ("retention", Kind::Duration),
        ],
    ),
    ("identity", &[("key_file", Kind::Text), ("default_region", Kind::Text)]),
    (
        "router",
        &[
            ("workers", Kind::Number),
            ("batch_ms_max", Kind::Number),
            ("batch_bytes_max", Kind::Number),
            ("freshness_max_ms", Kind::Number),
            ("dedupe_window", Kind::Duration),
            ("content_max_age", Kind::DurationOrEmpty),
        ],
    ),
    (
        "suppression",
        &[("snapshot_dir", Kind::Text), ("snapshot_every", Kind::Duration), ("skip_unreadable", Kind::Flag)],
    ),
    ("purge", &[("enabled", Kind::Flag), ("readers", Kind::Readers)]),
    (
        "http",
        &[
            ("public", Kind::Text),
            ("public_url", Kind::Text),
            ("link_days", Kind::Number),
            ("api", Kind::Text),
            ("admin", Kind::Text),
            ("keys_file", Kind::Text),
            ("auth", Kind::Text),
            ("rate_per_key", Kind::Number),
            ("tls_cert", Kind::Text),
            ("tls_key", Kind::Text),
            ("client_ca", Kind::Text),
        ],
    ),
    ("policy", &[("file", Kind::Text)]),
];

/// The kind of a key.
pub(crate) fn kind(section: &str, key: &str) -> Option<Kind> {
    let (_, keys) = SECTIONS.iter().find(|(name, _)| *name == section)?;
    keys.iter().find(|(name, _)| *name == key).map(|(_, kind)| *kind)
}

/// What was probably meant.
pub(crate) fn guess<'a>(meant: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(meant, name), name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .min()
        .map(|(_, name)| name)
}
