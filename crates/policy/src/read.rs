//! A policy file's text, read key by key, so that everything wrong is said at once, each with its line.

use std::collections::BTreeMap;
use std::fmt;

use tamis_campaign::{Channel, is_identifier};
use toml::de::{DeTable, DeValue};

use crate::colour::{Colour, Unfit};
use crate::{Policy, Tenant, date};

type Spanned<'i> = toml::Spanned<DeValue<'i>>;

/// As a job's `sender`.
const SENDER_MOST: usize = 128;
/// Of a name on a page.
const NAME_MOST: usize = 80;
/// Of a stop or start word; an SMS has 160 characters.
const WORD_MOST: usize = 32;
/// Problems that are told; finding the line of each takes a pass over the file.
const PROBLEMS_MOST: usize = 100;
/// Keys of the contract that this version does not enforce.
const NOT_ENFORCED: [&str; 4] = ["gateways", "residency", "third_countries", "time_zone"];

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its line, from 1.
    pub line: usize,
    /// The key, as in `tenant.senders`; empty for the whole file.
    pub key: String,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, text } = self;
        if key.is_empty() {
            write!(f, "line {line}: {text}")
        } else {
            write!(f, "line {line}: {key}: {text}")
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

pub(crate) fn read(text: &str) -> Result<Policy, Vec<Problem>> {
    let mut reader = Reader { text, problems: Vec::new() };
    let policy = reader.policy();
    if reader.problems.is_empty() { Ok(policy) } else { Err(reader.problems) }
}

impl Reader<'_> {
    fn wrong(&mut self, at: usize, key: impl Into<String>, text: impl Into<String>) {
        if self.problems.len() >= PROBLEMS_MOST {
            return;
        }
        let line = 1 + self.text[..at.min(self.text.len())].matches('\n').count();
        self.problems.push(Problem { line, key: key.into(), text: text.into() });
    }

    fn policy(&mut self) -> Policy {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table,
            Err(error) => {
                // The parser's own words quote nothing of the file.
                let text = format!("not TOML: {}", error.message());
                self.wrong(error.span().map_or(0, |span| span.start), "", text);
                return Policy::default();
            }
        };
        let (mut version, mut tenants) = (None, BTreeMap::new());
        for (key, value) in table.get_ref() {
            let at = key.span().start;
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("version", DeValue::String(text)) if is_identifier(text.as_bytes(), 64) => {
                    version = Some(Box::from(text.as_ref()));
                }
                ("version", _) => self.wrong(at, "version", "must be 1 to 64 characters of [A-Za-z0-9._:-]"),
                ("tenant", DeValue::Array(items)) => {
                    for item in items.iter() {
                        self.tenant(item, &mut tenants);
                    }
                }
                ("tenant", _) => self.wrong(at, "tenant", "write each tenant as a table: [[tenant]]"),
                ("gateway", _) => self.wrong(at, "gateway", not_enforced()),
                (other, _) => self.wrong(at, plain(other), "unknown key; there are version and [[tenant]]"),
            }
        }
        let Some(version) = version else {
            self.wrong(0, "version", "missing: it is what every delivery's stamp names");
            return Policy::default();
        };
        Policy::of(version, tenants)
    }

    fn tenant(&mut self, item: &Spanned<'_>, tenants: &mut BTreeMap<Box<str>, Tenant>) {
        let at = item.span().start;
        let DeValue::Table(table) = item.get_ref() else {
            return self.wrong(at, "tenant", "write each tenant as a table: [[tenant]]");
        };
        let mut tenant = Tenant::default();
        for (key, value) in table {
            self.key(&mut tenant, key.get_ref(), key.span().start, value);
        }
        if tenant.id.is_empty() {
            return self.wrong(at, "tenant.id", "missing, or not 1 to 64 characters of [A-Za-z0-9._:-]");
        }
        if let Some(twice) = tenants.insert(tenant.id.clone(), tenant) {
            self.wrong(at, "tenant.id", format!("the tenant {} stands twice", twice.id));
        }
    }

    fn key(&mut self, tenant: &mut Tenant, key: &str, at: usize, value: &Spanned<'_>) {
        let name = format!("tenant.{}", plain(key));
        match (key, value.get_ref()) {
            // What is no identifier stays empty, which is told by the caller.
            ("id", DeValue::String(text)) if is_identifier(text.as_bytes(), 64) => {
                tenant.id = text.as_ref().into()
            }
            ("id", _) => {}
            ("channels", _) => tenant.channels = self.channels(name, value),
            ("consent_required", _) => {
                tenant.consent_required = self.channels(name, value).unwrap_or_default()
            }
            ("senders", _) => tenant.senders = self.texts(name, value, SENDER_MOST),
            ("stop_words", _) => tenant.stop_words = self.words(name, value),
            ("start_words", _) => tenant.start_words = self.words(name, value),
            ("suspended", DeValue::Boolean(flag)) => tenant.suspended = *flag,
            ("unsubscribe_tokens", DeValue::Boolean(flag)) => tenant.unsubscribe_tokens = *flag,
            ("suspended" | "unsubscribe_tokens", _) => self.wrong(at, name, "expected true or false"),
            ("contract_until", DeValue::String(text)) if date::days(text).is_some() => {
                tenant.contract_until = date::days(text);
            }
            ("contract_until", _) => self.wrong(at, name, "expected a day in quotes, such as \"2028-01-01\""),
            ("display_name", DeValue::String(text)) if is_name(text) => {
                tenant.display_name = Some(text.as_ref().into());
            }
            ("display_name", _) => {
                self.wrong(at, name, format!("expected 1 to {NAME_MOST} printable characters in quotes"));
            }
            ("accent", DeValue::String(text)) => match Colour::parse(text) {
                Ok(colour) => tenant.accent = Some(colour),
                Err(Unfit::Malformed) => self.wrong(at, name, "expected a colour such as \"#0055aa\""),
                Err(Unfit::TooLight) => {
                    self.wrong(
                        at,
                        name,
                        "white text can't be read on this colour (WCAG wants 4.5:1): take a darker one",
                    );
                }
            },
            ("accent", _) => self.wrong(at, name, "expected a colour such as \"#0055aa\""),
            ("rules", DeValue::String(text)) if text == "none" => {}
            ("rules", _) => self.wrong(at, name, "no calendar is enforced by this version: write \"none\""),
            (other, _) if NOT_ENFORCED.contains(&other) => self.wrong(at, name, not_enforced()),
            (_, _) => self.wrong(at, name, "unknown key"),
        }
    }

    /// The texts of an array, each of 1 to `most` octets without control characters.
    fn texts(&mut self, name: String, value: &Spanned<'_>, most: usize) -> Vec<Box<str>> {
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(value.span().start, name, "expected a list of texts in quotes");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text)
                    if (1..=most).contains(&text.len()) && !text.chars().any(char::is_control) =>
                {
                    texts.push(text.as_ref().into());
                }
                _ => self.wrong(
                    item.span().start,
                    name.clone(),
                    format!("expected a text of 1 to {most} octets"),
                ),
            }
        }
        texts
    }

    fn words(&mut self, name: String, value: &Spanned<'_>) -> Vec<Box<str>> {
        let words = self.texts(name.clone(), value, WORD_MOST);
        if words
            .iter()
            .any(|word| word.contains(char::is_whitespace) || !word.contains(char::is_alphanumeric))
        {
            self.wrong(value.span().start, name, "each must be one word");
        }
        words
    }

    fn channels(&mut self, name: String, value: &Spanned<'_>) -> Option<Vec<Channel>> {
        let texts = self.texts(name.clone(), value, WORD_MOST);
        let channels: Option<Vec<_>> = texts.iter().map(|text| Channel::from_name(text)).collect();
        if channels.is_none() {
            let names: Vec<_> = Channel::ALL.iter().map(|channel| channel.as_str()).collect();
            self.wrong(value.span().start, name, format!("expected some of {}", names.join(", ")));
        }
        channels
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MOST).contains(&text.chars().count())
        && !text.chars().any(char::is_control)
        && !text.trim().is_empty()
}

fn not_enforced() -> &'static str {
    "not enforced by this version, and a rule that is ignored is worse than none: take it out"
}

/// A key's name if it looks like one: what else stands there is not repeated.
fn plain(key: &str) -> &str {
    if is_identifier(key.as_bytes(), 32) { key } else { "…" }
}
