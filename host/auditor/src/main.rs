//! `stockade-audit`: for whoever is to judge a Stockade audit log. It needs no host and no configuration.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stockade_auditor::verify;

#[derive(Parser)]
#[command(name = "stockade-audit", version, about, long_about = None)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks every record, the chain, the tree and the signed checkpoints of a log
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Verify(arguments) => verify::run(&arguments),
    }
}
