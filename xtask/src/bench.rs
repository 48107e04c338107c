//! Measures, each figure beside its floor.

use anyhow::{Result, bail};

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fewer repetitions, under a minute in all.
    #[arg(long)]
    quick: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the benchmarks.
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { quick: _, json: _ } = options;
    bail!("there are no benchmarks yet")
}
