//! A wrapper that keeps a value out of logs.

use std::fmt;

/// What every type with personal data prints in `Debug`.
pub(crate) const REDACTED: &str = "<redacted>";

/// A value that must not be printed: `Debug` says `<redacted>` and there is no `Display`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Redacted<T>(pub T);

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}
