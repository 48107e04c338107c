//! A host under everything at once, for as long as one likes: the test `chaos` at its full length.

use anyhow::{Context, Result};

use crate::{cargo, guests, programs, ui, workspace};

/// How long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Minutes of it.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
}

/// Runs it as this user; false if anything was wrong.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let dist = programs::build(false)?;
    ui::step("example plugins", |progress| guests::build_examples(progress))?;
    eprintln!("a host, 50 clients, and everything that can go wrong, for {} minutes", options.minutes);
    let status = cargo::command()
        .args(["test", "--quiet", "--package", "stockade-tests", "--test", "chaos", "--", "--nocapture"])
        .env("STOCKADE_DIST", dist)
        .env("STOCKADE_GUESTS", workspace::guests()?)
        .env("STOCKADE_EXAMPLES", workspace::root().join("examples"))
        .env("STOCKADE_CHAOS_SECONDS", (options.minutes * 60).to_string())
        .status()
        .context("cargo test does not start")?;
    Ok(status.success())
}
