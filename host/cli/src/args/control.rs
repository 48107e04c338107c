//! The command lines of a running host, and of what goes to it.

use std::path::PathBuf;

use clap::Args;

use super::{Output, Places};

/// Which running host is meant.
#[derive(Debug, Args)]
pub(crate) struct Asking {
    /// Its control socket [default: that of the host which runs on the state folder].
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) places: Places,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The host's TOML file, or a folder with one TOML file for each plugin. Plugins run only where their files say
    /// `enabled = true`.
    #[arg(value_name = "CONFIG")]
    pub(crate) path: PathBuf,
    /// Where stockade-worker and stockade-compiler are [default: beside this program].
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct CallCommand {
    /// The plugin's name, as PUBLISHER/NAME.
    #[arg(value_name = "PLUGIN")]
    pub(crate) plugin: String,
    /// The tool to run.
    #[arg(value_name = "TOOL")]
    pub(crate) tool: String,
    /// Its arguments: a JSON text, - for standard input, or @FILE.
    #[arg(long = "args", value_name = "JSON", default_value = "{}")]
    pub(crate) arguments: String,
    /// How long the call may take, waiting included, as 5s or 500ms [default: the plugin's].
    #[arg(long, value_name = "TIME")]
    pub(crate) deadline: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Emit {
    /// The event's name.
    #[arg(value_name = "EVENT")]
    pub(crate) event: String,
    /// What is told with it: a JSON text, - for standard input, or @FILE.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) payload: String,
    /// One plugin after the other, up to the first that fails.
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// How long each plugin may take.
    #[arg(long, value_name = "TIME")]
    pub(crate) deadline: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Only this plugin.
    #[arg(value_name = "PLUGIN")]
    pub(crate) plugin: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Ends after so many tables.
    #[arg(short = 'n', long = "number", value_name = "N")]
    pub(crate) number: Option<u32>,
    /// Between two of them.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(crate) interval: String,
    /// Shows at most so many plugins.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) rows: usize,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Steering {
    /// The plugin's name.
    #[arg(value_name = "PLUGIN")]
    pub(crate) plugin: String,
    /// How long its running calls have to end [default: 10s].
    #[arg(long, value_name = "TIME")]
    pub(crate) grace: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Only of this plugin.
    #[arg(value_name = "PLUGIN")]
    pub(crate) plugin: Option<String>,
    /// And every new line, until the host ends.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// So many of the last lines first; a host keeps 2,000.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) lines: u32,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The plugin's name.
    #[arg(value_name = "PLUGIN")]
    pub(crate) plugin: String,
    /// How far back: steps of 10 s are kept for an hour, of a minute for a day, of an hour for 30 days.
    #[arg(long, value_name = "TIME", default_value = "60m")]
    pub(crate) since: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct HealthCommand {
    /// Only whether it lives.
    #[arg(long)]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Plain {
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct LogLevel {
    /// off, error, warn, info, debug or trace.
    #[arg(value_name = "LEVEL")]
    pub(crate) level: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct MetricsCommand {
    #[command(flatten)]
    pub(crate) asking: Asking,
}
