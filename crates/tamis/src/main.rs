//! `tamis`: routes campaigns to their channels and honours opt-outs. See `tamis --help`.

mod cli;
mod commands;
mod context;
mod demo;
mod exit_code;
mod job_json;
mod loaded;
mod local;
mod mask;
mod output;
mod private;
mod sender;
mod service;
mod serving;
mod suppressing;

use clap::Parser as _;

/// See Cargo.toml.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    private::close();
    let cli = cli::Cli::parse();
    match cli.run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            output::note(format!("error: {failure}"));
            std::process::ExitCode::from(failure.code())
        }
    }
}
