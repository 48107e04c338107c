//! Measures, each figure beside its floor. The measuring itself is `tests/benches/figures.rs`: it uses the
//! host as any embedding program does.

use anyhow::{Context, Result, ensure};

use crate::{cargo, guests, programs, ui, workspace};

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fewer repetitions, under a minute in all.
    #[arg(long)]
    quick: bool,
    /// Only these figures: start, call, write, request, memory.
    #[arg(long, value_name = "KIND")]
    only: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Builds everything optimised and runs the benchmarks.
pub(crate) fn run(options: &Options) -> Result<()> {
    programs::build(true)?;
    ui::step("test guests", |progress| guests::test_guests(progress).map(drop))?;
    let mut command = cargo::command();
    command.args(["bench", "--quiet", "--package", "stockade-tests", "--bench", "figures", "--"]);
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    command.args(options.quick.then_some("--quick")).args(options.json.then_some("--json"));
    command.env("STOCKADE_DIST", workspace::dist()?).env("STOCKADE_GUESTS", workspace::guests()?);
    let status = command.status().context("cargo bench does not start")?;
    ensure!(status.success(), "the benchmarks failed");
    Ok(())
}
