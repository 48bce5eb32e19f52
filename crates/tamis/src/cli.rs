//! The command line: what there is, and where each command lives.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    deliveries, demo, explain, init, jobs, keys, links, run, scrub, snapshot, suppress, topics, validate,
};
use crate::exit_code::Outcome;

/// Routes marketing campaigns to their channels, exactly once, and honours every opt-out.
#[derive(Debug, Parser)]
#[command(
    name = "tamis",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Examples:\n  tamis demo                 see it work, with no broker and no settings\n  \
                  tamis init && tamis run    the service, on this machine's disk\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage, 3 settings or input refused,\n            \
                  4 a dependency can't be reached, 5 refused by a safety rule."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The settings file [default: $TAMIS_CONFIG, else ./tamis.toml].
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Validate(validate::Validate),
    Topics(topics::Topics),
    Run(run::Run),
    Jobs(jobs::Jobs),
    Deliveries(deliveries::Deliveries),
    Suppress(suppress::Suppress),
    Explain(explain::Explain),
    Scrub(scrub::Scrub),
    Keys(keys::Keys),
    Links(links::Links),
    Snapshot(snapshot::Snapshot),
    /// Print shell completions.
    #[command(after_help = "Example:\n  tamis completions bash > /etc/bash_completion.d/tamis")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self) -> Outcome {
        let global = &self.global;
        match self.command {
            Command::Demo(command) => command.run(global),
            Command::Init(command) => command.run(global),
            Command::Validate(command) => command.run(global),
            Command::Topics(command) => command.run(global),
            Command::Run(command) => command.run(global),
            Command::Jobs(command) => command.run(global),
            Command::Deliveries(command) => command.run(global),
            Command::Suppress(command) => command.run(global),
            Command::Explain(command) => command.run(global),
            Command::Scrub(command) => command.run(global),
            Command::Keys(command) => command.run(global),
            Command::Links(command) => command.run(global),
            Command::Snapshot(command) => command.run(global),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "tamis", &mut script);
                crate::output::line(String::from_utf8_lossy(&script).trim_end())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn look(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                if sub.has_subcommands() {
                    look(sub, &path);
                } else {
                    let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(help.contains(path.trim()), "{path} has no example");
                }
            }
        }
        look(&Cli::command(), "tamis");
    }
}
