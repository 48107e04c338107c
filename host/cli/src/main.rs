//! The program `stockade`: runs plugins that nobody trusts, checks the machine, reads the audit log.
#![forbid(unsafe_code)]

mod approvals;
mod args;
mod attack;
mod audit;
mod control;
mod doctor;
mod exit;
mod failure;
mod file;
mod grants;
mod home;
mod index;
mod install;
mod logging;
mod manual;
mod models;
mod otel;
mod output;
mod package;
mod policy;
mod preflight;
mod programs;
mod progress;
mod registry;
mod run;
mod serve;
mod setup;
mod signing;
mod table;
mod tools;
mod value;

use std::process::ExitCode;

use args::{Arguments, Command};
use exit::Exit;
use failure::Failure;
use stockade_control::Request;
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    // What hostile plugins say by the thousand would drown the table of what came of them.
    let attacks = matches!(&arguments.command, Command::Doctor(doctor) if doctor.attack);
    let serves = matches!(&arguments.command, Command::Serve(_));
    // A host that runs for long has its own way to tell.
    if !serves {
        logging::start(if attacks { arguments.log.min(LevelFilter::ERROR) } else { arguments.log });
    }
    let format = arguments.command.format();
    let done: Result<Exit, Failure> = match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Tools(arguments) => tools::run(arguments),
        Command::Serve(command) => serve::run(command, arguments.log),
        Command::Call(command) => control::call(command),
        Command::Emit(command) => control::emit(command),
        Command::Ps(command) => control::ps(command),
        Command::Top(command) => control::top::run(command),
        Command::Stop(command) => {
            control::steer(command, |plugin, grace_ms| Request::Stop { plugin, grace_ms }, "stopped")
        }
        Command::Start(command) => control::steer(command, |plugin, _| Request::Start { plugin }, "started"),
        Command::Restart(command) => {
            control::steer(command, |plugin, grace_ms| Request::Restart { plugin, grace_ms }, "restarted")
        }
        Command::Logs(command) => control::logs::run(command),
        Command::History(command) => control::history(command),
        Command::Health(command) => control::health(command),
        Command::Reload(command) => control::reload(&command.asking, command.output.format),
        Command::LogLevel(command) => control::level(&command.asking, command.level, command.output.format),
        Command::Metrics(command) => control::metrics(&command.asking),
        Command::Doctor(arguments) if arguments.attack => attack::run(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Audit(arguments) => audit::run(arguments),
        Command::Show(arguments) => grants::exposure::show(&arguments),
        Command::Grants(arguments) => grants::run(arguments),
        Command::Approvals(arguments) => approvals::run(arguments),
        Command::Policy(arguments) => policy::run(arguments),
        Command::Pack(command) => package::pack(&command),
        Command::Unpack(command) => package::unpack(&command),
        Command::Inspect(command) => package::inspect(&command),
        Command::Push(command) => registry::push(&command),
        Command::Pull(command) => registry::pull(&command),
        Command::Preflight(command) => preflight::run(&command),
        Command::Search(command) => index::search(&command),
        Command::Index(arguments) => index::make(&arguments),
        Command::Install(command) => install::install(&command),
        Command::Update(command) => install::update(&command),
        Command::Rollback(command) => install::rollback(&command),
        Command::Uninstall(command) => install::uninstall(&command),
        Command::Enable(command) => install::enable(&command, true),
        Command::Disable(command) => install::enable(&command, false),
        Command::List(command) => install::list(&command),
        Command::Changes(command) => install::changes(&command),
        Command::Ledger(command) => install::ledger(&command),
        Command::Capabilities(command) => install::capabilities(&command),
        Command::Backup(command) => install::back_up(&command),
        Command::Key(arguments) => signing::key(&arguments),
        Command::Sign(command) => signing::sign(&command),
        Command::Verify(command) => signing::verify(&command),
        Command::Completions(command) => manual::completions(&command),
        Command::Man(command) => manual::man(&command),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(format).into(),
    }
}
