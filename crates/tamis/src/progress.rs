//! How far long work is, for the person at the terminal; nothing where there is none.

use std::io::Read;

use indicatif::{ProgressBar, ProgressStyle};

/// A line on stderr that says how far it is.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of `whole` parts, if that is known; not `shown` where what is written is on the terminal already.
    pub(crate) fn new(whole: Option<u64>, shown: bool) -> Self {
        let bar = match whole {
            _ if !shown => ProgressBar::hidden(),
            Some(whole) => ProgressBar::new(whole).with_style(
                ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}  {eta} left")
                    .expect("the template is sound"),
            ),
            None => ProgressBar::new_spinner(),
        };
        Self(bar)
    }

    /// It has come so far.
    pub(crate) fn at(&self, part: u64, text: String) {
        self.0.set_position(part);
        self.0.set_message(text);
    }

    /// A reader whose bytes are the parts.
    pub(crate) fn reading<R: Read>(&self, from: R) -> impl Read {
        self.0.wrap_read(from)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
