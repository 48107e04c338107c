//! Measures, each figure beside its floor. The measuring itself is `tests/benches/figures.rs`: it uses the
//! host as any embedding program does.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::{cargo, guests, programs, ui, workspace};

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fewer repetitions, under a minute in all.
    #[arg(long)]
    quick: bool,
    /// Only these figures: start, call, isolation, load, write, request, files, memory, policy, install, serve.
    #[arg(long, value_name = "KIND")]
    only: Option<String>,
    /// Beside wasmtime's own program too, which is built the first time (minutes): the figures of files.
    #[arg(long)]
    peer: bool,
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
    command.env("STOCKADE_EXAMPLES", workspace::root().join("examples"));
    if options.peer {
        command.env("STOCKADE_WASMTIME", wasmtime()?);
    }
    let status = command.status().context("cargo bench does not start")?;
    ensure!(status.success(), "the benchmarks failed");
    Ok(())
}

/// The program of the engine that the worker has, of the same version.
fn wasmtime() -> Result<PathBuf> {
    let lock = fs::read_to_string(workspace::root().join("Cargo.lock")).context("Cargo.lock")?;
    let version = lock
        .split("[[package]]")
        .find_map(|package| {
            package.trim().strip_prefix("name = \"wasmtime\"\nversion = \"")?.split('"').next()
        })
        .context("Cargo.lock has no wasmtime")?;
    let place = workspace::target()?.join("peers").join(format!("wasmtime-{version}"));
    let program = place.join("bin/wasmtime");
    if !program.exists() {
        let mut command = cargo::command();
        command
            .args(["install", "--quiet", "--locked", "wasmtime-cli", "--version", version, "--root"])
            .arg(&place)
            .args(["--no-default-features", "--features", "run,compile,cranelift,component-model"])
            .env("CARGO_TARGET_DIR", place.join("build"));
        ui::step("wasmtime's own program", |_| {
            let status = command.status().context("cargo install does not start")?;
            ensure!(status.success(), "wasmtime-cli {version} was not built");
            fs::remove_dir_all(place.join("build")).context("the build folder")
        })?;
    }
    Ok(program)
}
