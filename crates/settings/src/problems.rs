//! What is wrong with settings: file, line, key, and what to do.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, `None` when it comes from the environment.
    pub file: Option<PathBuf>,
    /// The line, from 1; 0 when the key is not in the file.
    pub line: usize,
    /// The key as `section.key`; empty for the whole file.
    pub key: String,
    /// What is wrong and what to do. Never a value of `bus.client`, which may be a secret.
    pub text: String,
    /// Whether the settings are refused for it.
    pub refuses: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), 0) => write!(f, "{}: ", file.display())?,
            (Some(file), line) => write!(f, "{}:{line}: ", file.display())?,
            (None, _) => f.write_str("environment: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// Why settings are refused: all of it, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Finding>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, finding) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
