//! Measures, each figure beside its floor. The measuring itself is `tests/benches/figures.rs`: it uses the
//! host as any embedding program does.

mod beside;

use anyhow::{Context, Result, ensure};

use beside::Others;

use crate::{cargo, guests, programs, ui, workspace};

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fewer repetitions, under a minute in all.
    #[arg(long)]
    quick: bool,
    /// Only these figures: start, call, isolation, load, write, request, large, memory, policy, compile, install, serve;
    /// with --peers, files or beside.
    #[arg(long, value_name = "KIND")]
    only: Option<String>,
    /// So many workers at once, for their memory.
    #[arg(long, value_name = "COUNT")]
    workers: Option<u32>,
    /// Instead, the same beside programs of others, which are fetched or built the first time (minutes): wasmtime's own,
    /// the component in-process, go-plugin, bubblewrap.
    #[arg(long)]
    peers: bool,
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
    if let Some(workers) = options.workers {
        command.args(["--workers", &workers.to_string()]);
    }
    command.args(options.quick.then_some("--quick")).args(options.json.then_some("--json"));
    command.env("STOCKADE_DIST", workspace::dist()?).env("STOCKADE_GUESTS", workspace::guests()?);
    command.env("STOCKADE_EXAMPLES", workspace::root().join("examples"));
    if options.peers {
        let others = Others::find();
        command.arg("--peers").envs(others.found);
        for what in &others.skipped {
            command.args(["--skipped", what]);
        }
    }
    let status = command.status().context("cargo bench does not start")?;
    ensure!(status.success(), "the benchmarks failed");
    Ok(())
}
