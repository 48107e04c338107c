//! The program `stockade`: runs plugins that nobody trusts, checks the machine, reads the audit log.
#![forbid(unsafe_code)]

mod args;
mod attack;
mod audit;
mod doctor;
mod exit;
mod failure;
mod file;
mod home;
mod logging;
mod models;
mod output;
mod programs;
mod progress;
mod run;
mod setup;
mod tools;
mod value;

use std::process::ExitCode;

use args::{Arguments, Command};
use exit::Exit;
use failure::Failure;
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    // What hostile plugins say by the thousand would drown the table of what came of them.
    let attacks = matches!(&arguments.command, Command::Doctor(doctor) if doctor.attack);
    logging::start(if attacks { arguments.log.min(LevelFilter::ERROR) } else { arguments.log });
    let format = arguments.command.format();
    let done: Result<Exit, Failure> = match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Tools(arguments) => tools::run(arguments),
        Command::Doctor(arguments) if arguments.attack => attack::run(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Audit(arguments) => audit::run(arguments),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(format).into(),
    }
}
