//! What a panic says: where it was, and words that were in the source. Never a value, since a value may hold input.

use std::borrow::Cow;
use std::io::Write as _;
use std::panic::PanicHookInfo;

/// Makes every panic of this process tell its thread, its place, and its text only if that is a literal: `expect` and
/// `panic!("{value}")` print what they were given, which may be an address or a message.
pub fn keep_panics_wordless() {
    std::panic::set_hook(Box::new(|panic| {
        // One write, so that two threads do not mix; that nobody reads it is no error, here less than anywhere.
        let _ = std::io::stderr().lock().write_all(text(panic).as_bytes());
    }));
}

fn text(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    // Names of threads are ours.
    let thread = thread.name().unwrap_or("unnamed");
    let place = panic.location().map_or(Cow::Borrowed("nowhere"), |place| {
        Cow::Owned(format!("{}:{}:{}", place.file(), place.line(), place.column()))
    });
    // A text with a value in it is a `String`; what lives for ever was compiled in.
    let words = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(text withheld)");
    format!("thread {thread} panicked at {place}: {words}\n")
}
