//! `stockade-audit`: for whoever is to judge a Stockade audit log. It needs the log and nothing else of Stockade.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stockade_auditor::{Format, Read, failure, prove, usual_log, verify};

#[derive(Parser)]
#[command(name = "stockade-audit", version, about = "Read and judge a Stockade audit log", after_help = EXITS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks every record, the chain, the tree and the signed checkpoints of a log
    Verify(verify::Arguments),
    /// Prints a proof that a record is in the log, or that the log continues what it once was
    Prove(prove::Prove),
    /// Checks such a proof, with the public key and without the log
    CheckProof(prove::CheckProof),
    #[command(flatten)]
    Read(Box<Read>),
}

const EXITS: &str = "\
Exit codes:
  0  it worked; the log is sound
  1  it worked, and something is not as it should be: the log, no such record, a line that is none, a wrong index
  2  the command line, or what it names, is wrong; the log or the index cannot be read";

fn main() -> ExitCode {
    let read = match Arguments::parse().command {
        Command::Verify(arguments) => return verify::run(&arguments),
        Command::Prove(arguments) => return arguments.run(),
        Command::CheckProof(arguments) => return arguments.run(),
        Command::Read(read) => *read,
    };
    let format = read.format();
    match read.run(usual_log().as_deref()) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let text = failure(&error, format);
            match format {
                Format::Text => eprintln!("{text}"),
                Format::Json => println!("{text}"),
            }
            error.exit().into()
        }
    }
}
