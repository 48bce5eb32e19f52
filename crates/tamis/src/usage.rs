//! Wrong usage, told without what was typed where an address may have been: it ends in terminals, histories of jobs and
//! mails of cron.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Stands for what was typed.
const HIDDEN: &str = "…";

/// The parser's error, less the values that were typed. Names of options stay, if they look like one.
pub(crate) fn without_values(mut error: clap::Error) -> clap::Error {
    let unknown = error.kind() == ErrorKind::UnknownArgument;
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidSubcommand, ContextKind::InvalidArg] {
        // What else is named as an argument is one of ours, as it is declared.
        let typed = kind != ContextKind::InvalidArg || unknown;
        if let Some(ContextValue::String(text)) = error.get(kind)
            && typed
            && !is_name(text)
        {
            error.insert(kind, ContextValue::String(HIDDEN.to_owned()));
            // Its advice repeats what was typed.
            error.remove(ContextKind::Suggested);
        }
    }
    error
}

/// Whether it can be an option or a command, and hardly an address.
fn is_name(text: &str) -> bool {
    let name = text.trim_start_matches('-');
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::without_values;
    use crate::cli::Cli;

    fn told(arguments: &[&str]) -> String {
        let arguments = ["tamis"].iter().chain(arguments);
        let error = Cli::try_parse_from(arguments).expect_err("wrong usage");
        without_values(error).to_string()
    }

    /// Guarantees: an address typed as an argument, a value, a command or an option is in no error.
    /// Fails when: the parser's error is printed as it is.
    #[test]
    fn what_was_typed_is_not_repeated() {
        let (phone, mail) = ("+33639981234", "camille@example.org");
        for person in [phone, mail, "-33639981234", "--to=camille@example.org", "--camille@example.org"] {
            for line in [
                &["suppress", "add", "--channel", "sms", "--reason", "stop_reply", "numbers.txt", person][..],
                &["suppress", "add", "--channel", person, "--reason", "stop_reply"],
                &["suppress", "add", "--tenant", person, "--channel", "sms", "--reason", "stop_reply"],
                &["suppress", "add", "--channel", "sms", "--reason", person],
                &["suppress", person],
                &["deliveries", "tail", "--channel", "sms", "--idle-exit", person],
                &["deliveries", "tail", "--channel", "sms", "--group", person],
                &["run", "--roles", person],
                &["explain", person],
                &[person],
            ] {
                let told = told(line);
                assert!(!told.contains("639981234") && !told.contains("camille"), "{line:?}: {told}");
                assert!(told.contains("Usage") || told.contains("--help"), "{told}");
            }
        }
    }

    #[test]
    fn a_misspelt_name_is_still_told_with_what_was_meant() {
        let told = told(&["suppress", "add", "--chanel", "sms"]);
        assert!(told.contains("--chanel") && told.contains("--channel"), "{told}");
        assert!(self::told(&["supress"]).contains("supress"));
        let told = self::told(&["deliveries", "tail", "--channel", "PIGEON"]);
        assert!(told.contains("must be one of sms") && !told.contains("PIGEON"), "{told}");
    }
}
