//! Settings as written: the file's table with its lines, the environment over it, every key and kind checked.

use std::collections::HashMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::problems::Finding;
use crate::schema::{self, Kind, SECTIONS};

/// What variables of ours begin with.
const PREFIX: &str = "TAMIS_";

/// Values by section and key, where each stands, and what is wrong so far.
pub(crate) struct Raw {
    values: HashMap<(&'static str, &'static str), Value>,
    lines: HashMap<(String, String), usize>,
    from_environment: Vec<(&'static str, &'static str)>,
    file: std::path::PathBuf,
    pub(crate) findings: Vec<Finding>,
}

impl Raw {
    /// Reads `text`, the content of `file`, and lays the environment over it.
    pub(crate) fn read(text: &str, file: &Path, environment: impl Iterator<Item = (String, String)>) -> Self {
        let mut raw = Self {
            values: HashMap::new(),
            lines: HashMap::new(),
            from_environment: Vec::new(),
            file: file.to_owned(),
            findings: Vec::new(),
        };
        raw.read_lines(text);
        // What is unknown was found before; what is known is still taken, so that everything wrong is said at once.
        if let Ok(table) = text.parse::<Table>() {
            raw.read_values(table);
        }
        raw.read_environment(environment);
        raw
    }

    /// The value of a key that the schema has.
    pub(crate) fn value(&self, section: &'static str, key: &'static str) -> Option<&Value> {
        self.values.get(&(section, key))
    }

    /// Notes that a key's value is wrong.
    pub(crate) fn refuse(&mut self, section: &'static str, key: &'static str, text: impl Into<String>) {
        self.note(section, key, text.into(), true);
    }

    /// Notes something worth knowing about a key.
    pub(crate) fn remark(&mut self, section: &'static str, key: &'static str, text: impl Into<String>) {
        self.note(section, key, text.into(), false);
    }

    fn note(&mut self, section: &'static str, key: &'static str, text: String, refuses: bool) {
        let file = (!self.from_environment.contains(&(section, key))).then(|| self.file.clone());
        let line = self.lines.get(&(section.to_owned(), key.to_owned())).copied().unwrap_or(0);
        self.findings.push(Finding { file, line, key: format!("{section}.{key}"), text, refuses });
    }

    fn wrong(&mut self, line: usize, key: String, text: String) {
        self.findings.push(Finding { file: Some(self.file.clone()), line, key, text, refuses: true });
    }

    /// First pass: where everything stands, and what is not known.
    fn read_lines(&mut self, text: &str) {
        let line_of = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(0, |span| line_of(span.start));
                // The parser's own words quote nothing of the file.
                self.wrong(line, String::new(), format!("not TOML: {}", error.message()));
                return;
            }
        };
        for (section, value) in table.get_ref() {
            let name = section.get_ref().as_ref();
            let line = line_of(section.span().start);
            let Some((_, keys)) = SECTIONS.iter().find(|(known, _)| *known == name) else {
                let guess = schema::guess(name, SECTIONS.iter().map(|(known, _)| *known));
                self.wrong(line, name.to_owned(), unknown("section", guess));
                continue;
            };
            let DeValue::Table(inner) = value.get_ref() else {
                self.wrong(line, name.to_owned(), format!("expected a section: write [{name}]"));
                continue;
            };
            for key in inner.keys() {
                let line = line_of(key.span().start);
                let key = key.get_ref().as_ref();
                self.lines.insert((name.to_owned(), key.to_owned()), line);
                if schema::kind(name, key).is_none() {
                    let guess = schema::guess(key, keys.iter().map(|(known, _)| *known));
                    self.wrong(line, format!("{name}.{key}"), unknown("key", guess));
                }
            }
        }
    }

    /// Second pass: the values, if they are of their kind.
    fn read_values(&mut self, mut table: Table) {
        for (section, keys) in SECTIONS {
            let Some(Value::Table(mut inner)) = table.remove(*section) else { continue };
            for (key, kind) in *keys {
                if let Some(value) = inner.remove(*key) {
                    self.take(section, key, *kind, value);
                }
            }
        }
    }

    /// `TAMIS_<SECTION>__<KEY>`; for librdkafka's properties `TAMIS_BUS__CLIENT__SECURITY_PROTOCOL` is
    /// `security.protocol`.
    fn read_environment(&mut self, environment: impl Iterator<Item = (String, String)>) {
        for (name, text) in environment {
            if !is_setting(&name) {
                continue;
            }
            let path = name[PREFIX.len()..].to_lowercase();
            if let Some(property) = path.strip_prefix("bus__client__") {
                let entry =
                    self.values.entry(("bus", "client")).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(table) = entry {
                    table.insert(property.replace('_', "."), Value::String(text));
                }
                continue;
            }
            let known = SECTIONS.iter().find_map(|(section, keys)| {
                let key = path.strip_prefix(section)?.strip_prefix("__")?;
                keys.iter().find(|(known, _)| *known == key).map(|(key, kind)| (*section, *key, *kind))
            });
            let Some((section, key, kind)) = known else {
                let names =
                    SECTIONS.iter().flat_map(|(s, keys)| keys.iter().map(move |(k, _)| format!("{s}__{k}")));
                let names: Vec<String> = names.collect();
                let guess = schema::guess(&path, names.iter().map(String::as_str)).map(str::to_uppercase);
                let text = unknown("variable", guess.map(|g| format!("TAMIS_{g}")).as_deref());
                self.findings.push(Finding { file: None, line: 0, key: name, text, refuses: true });
                continue;
            };
            let value = match kind {
                Kind::Text | Kind::Duration | Kind::DurationOrEmpty => Value::String(text),
                Kind::Number | Kind::Flag | Kind::Properties | Kind::Readers => format!("value = {text}")
                    .parse::<Table>()
                    .ok()
                    .and_then(|mut table| table.remove("value"))
                    .unwrap_or(Value::String(text)),
            };
            self.from_environment.push((section, key));
            self.take(section, key, kind, value);
        }
    }

    fn take(&mut self, section: &'static str, key: &'static str, kind: Kind, value: Value) {
        let fits = match (kind, &value) {
            (Kind::Text, Value::String(_)) | (Kind::Flag, Value::Boolean(_)) => true,
            (Kind::Number, Value::Integer(number)) => *number >= 0,
            (Kind::Duration, Value::String(text)) => crate::duration::parse(text).is_some(),
            (Kind::DurationOrEmpty, Value::String(text)) => {
                text.is_empty() || crate::duration::parse(text).is_some()
            }
            (Kind::Properties, Value::Table(table)) => table.values().all(Value::is_str),
            (Kind::Readers, Value::Table(table)) => {
                table.values().all(|v| v.as_array().is_some_and(|groups| groups.iter().all(Value::is_str)))
            }
            _ => false,
        };
        if fits {
            self.values.insert((section, key), value);
        } else {
            self.refuse(section, key, format!("expected {}", kind.expected()));
        }
    }
}

/// Whether a variable of this name is meant as a setting; `TAMIS_LOG` and `TAMIS_CONFIG` are not.
pub(crate) fn is_setting(variable: &str) -> bool {
    variable.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("__"))
}

fn unknown(what: &str, guess: Option<&str>) -> String {
    guess.map_or_else(|| format!("unknown {what}"), |guess| format!("unknown {what}; did you mean {guess}?"))
}
