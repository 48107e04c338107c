//! Builds, tests, measures and demonstrates Stockade: `cargo xtask help`.
#![forbid(unsafe_code)]

mod bench;
mod cargo;
mod chaos;
mod check;
mod demo;
mod escape;
mod fuzz;
mod guests;
mod peers;
mod programs;
mod protections;
mod suite;
mod tamper;
mod ui;
mod workspace;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Builds, tests and demonstrates Stockade")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the programs and put them together in target/dist.
    Build {
        /// Build the host's programs optimised too; the confined ones always are.
        #[arg(long)]
        release: bool,
    },
    /// Build the example plugins and the test guests.
    Guests,
    /// Run all tests: as you and, where you are root, as an unprivileged user too.
    Test(suite::Options),
    /// Show what Stockade does: plugins at work, plugins refused, and the log of it.
    Demo,
    /// Try to get out: all attack cases, and the suite itself with each protection taken out.
    Escape(escape::Options),
    /// Change, kill and cut off audit logs, at full size.
    Tamper,
    /// Throw made-up bytes at what hostile bytes reach, guided by what they cover.
    Fuzz(fuzz::Options),
    /// Run a host under everything at once, for half an hour if not said.
    Chaos(chaos::Options),
    /// Measure, each figure beside its floor.
    Bench(bench::Options),
    /// Format, lints, licences, bans, links in the documents.
    Check(check::Options),
}

fn main() -> ExitCode {
    let began = Instant::now();
    let done = match Args::parse().task {
        Task::Build { release } => programs::build(release).map(|_| true),
        Task::Guests => ui::step("plugins and guests", |progress| {
            guests::build_examples(progress)?;
            guests::build_test_guests(&mut |line| eprintln!("  {line}"))
        })
        .map(|()| true),
        Task::Test(options) => suite::run(&options),
        Task::Demo => demo::run(),
        Task::Escape(options) => escape::run(&options),
        Task::Tamper => tamper::run(),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Chaos(options) => chaos::run(&options),
        Task::Bench(options) => bench::run(&options).map(|()| true),
        Task::Check(options) => check::run(&options),
    };
    let code = match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    };
    eprintln!("total {}", ui::seconds(began.elapsed()));
    code
}

/// Builds the plugins of `examples/` and the guests of `tests/guests/`; says which guests this machine
/// cannot build, as lines that are counted as skipped.
fn build_guests() -> anyhow::Result<Vec<String>> {
    ui::step("example plugins", |progress| guests::build_examples(progress))?;
    let report = ui::step("test guests", |progress| guests::test_guests(progress))?;
    for guest in report.built.iter().filter(|guest| guest.rebuilt) {
        eprintln!("     {}: {}", guest.name, guest.toolchain);
    }
    Ok(report.skipped.iter().map(|guest| format!("SKIPPED: guest {}: {}", guest.name, guest.why)).collect())
}
