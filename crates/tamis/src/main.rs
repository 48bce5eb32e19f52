//! `tamis`: routes campaigns to their channels and honours opt-outs. See `tamis --help`.

mod cli;
mod commands;
mod context;
mod demo;
mod exit_code;
mod importing;
mod input;
mod job_json;
mod lines;
mod loaded;
mod local;
mod mask;
mod output;
mod policy_file;
mod private;
mod progress;
mod rotating;
mod sender;
mod service;
mod serving;
mod sink;
mod suppressing;
mod usage;

use clap::Parser as _;

/// See Cargo.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    private::close();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => usage::without_values(error).exit(),
    };
    match cli.run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            output::note(format!("error: {failure}"));
            std::process::ExitCode::from(failure.code())
        }
    }
}
