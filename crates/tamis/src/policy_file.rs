//! The policy's file: read at start, and again when it changes.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use tamis_policy::Policy;

use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};

/// Largest policy file, bytes: some ten thousand tenants.
const FILE_MAX: u64 = 4 << 20;

/// The policy of `file`; without a file the one that forbids nothing.
///
/// # Errors
/// Exit code 3 for a file that does not check, with everything that is wrong and its lines.
pub(crate) fn read(file: Option<&Path>) -> Outcome<Policy> {
    let Some(path) = file.filter(|path| path.exists()) else { return Ok(Policy::default()) };
    let name = path.display();
    let refuse = |text: String| Failure::say(ExitCode::Refused, format!("{name}: {text}"));
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .or_exit(ExitCode::Refused, format!("read {name}"))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(refuse(format!("more than {FILE_MAX} bytes, which no policy has")));
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse("not UTF-8".to_owned()))?;
    Policy::parse(&text).map_err(|problems| {
        let told: Vec<_> =
            problems.iter().map(|p| format!("  {name}:{}: {}: {}", p.line, p.key, p.text)).collect();
        Failure::say(ExitCode::Refused, format!("the policy is refused:\n{}", told.join("\n")))
    })
}
