//! What this process shows of its memory to others: nothing. In it are messages, addresses and the key.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tamis_subject::Subjects;

use crate::output;

/// Before anything else: no core dumps, and panics without values.
///
/// Two locks on one door: the limit of 0 keeps the kernel from writing a core file; not being dumpable also keeps it from
/// handing the memory to a collector (`core_pattern` with a pipe, which the limit does not stop), and keeps other
/// processes of the same user from reading it (ptrace, `/proc/<pid>/mem`).
pub(crate) fn close() {
    tamis_telemetry::keep_panics_wordless();
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        output::note(format!("warning: core files cannot be switched off: {error}"));
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        output::note(format!("warning: memory dumps cannot be switched off: {error}"));
    }
}

/// Keeps the key out of swap, where the system allows it. A refusal is told and is no error.
pub(crate) fn lock_key(subjects: &Subjects) {
    if let Err(error) = subjects.keep_in_memory() {
        tracing::warn!(%error, "key cannot be locked in memory; it may be swapped to a disk");
    }
}
