//! The `headwater` command.

use clap::Parser;

fn main() -> std::process::ExitCode {
    api::cli::main(api::cli::Cli::parse())
}
