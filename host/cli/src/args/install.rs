//! The command lines of what is installed.

use std::path::PathBuf;

use clap::Args;

use super::{Looking, Output, Places, Setup};

/// Whom an operator believes besides.
#[derive(Debug, Args)]
pub(crate) struct Believing {
    /// Takes a package, or an index, that nobody has signed.
    #[arg(long)]
    pub(crate) allow_unsigned: bool,
    /// Takes a package, or an index, that none of those has signed who signed the one before; and another index than was
    /// there before.
    #[arg(long)]
    pub(crate) allow_other_signer: bool,
    /// Speaks with registries and servers without TLS.
    #[arg(long)]
    pub(crate) plain_http: bool,
}

/// What an operator lets pass.
#[derive(Debug, Args)]
pub(crate) struct Letting {
    #[command(flatten)]
    pub(crate) believing: Believing,
    /// Takes an older version than what was installed, or another package of a version that was.
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
}

/// Where plugins are looked up by their names, and what holds them to what was taken before.
#[derive(Debug, Args)]
pub(crate) struct Indexed {
    /// The index that plugins are looked up in: a file, or https://...
    #[arg(long, value_name = "PLACE", env = "STOCKADE_INDEX")]
    pub(crate) index: Option<String>,
    /// Takes the packages that are in this file again, and writes down there which were taken.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Takes only packages that are in the file of --lock, and leaves that as it is.
    #[arg(long, requires = "lock")]
    pub(crate) locked: bool,
}

/// How a change is made.
#[derive(Debug, Args)]
pub(crate) struct ChangingHow {
    /// How long another change is waited for.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) wait: String,
    /// The control socket of the host that is to do it [default: that of the host on the state folder, where one runs].
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// The organisation's policy [default: policy.toml in the state folder; without one the profiles hold as they are].
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Language models that agents may be granted, each by its name: a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) models: Option<PathBuf>,
    /// Trusts the certificate authorities in this PEM file, besides the system's.
    #[arg(long = "trust", value_name = "FILE")]
    pub(crate) trust: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) looking: Looking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct InstallCommand {
    #[command(flatten)]
    pub(crate) setup: Setup,
    #[command(flatten)]
    pub(crate) indexed: Indexed,
    /// The digest that the package has to have, as sha256:...
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<String>,
    /// Enables it as well.
    #[arg(long)]
    pub(crate) enable: bool,
    #[command(flatten)]
    pub(crate) letting: Letting,
    #[command(flatten)]
    pub(crate) how: ChangingHow,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateCommand {
    /// The installed plugin.
    #[arg(value_name = "NAME")]
    pub(crate) plugin: String,
    /// The new package, as for install. Without it the version takes over that waits for an approval; where none waits, the
    /// newest one of the index.
    #[arg(value_name = "PLUGIN")]
    pub(crate) source: Option<String>,
    /// What it gets from here on: a TOML file as for install [default: what it gets now].
    #[arg(long, value_name = "FILE", requires = "source")]
    pub(crate) setup: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) indexed: Indexed,
    /// The digest that the package has to have, as sha256:...
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<String>,
    #[command(flatten)]
    pub(crate) letting: Letting,
    #[command(flatten)]
    pub(crate) how: ChangingHow,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackCommand {
    /// The installed plugin.
    #[arg(value_name = "NAME")]
    pub(crate) plugin: String,
    /// The version to go back to, of the last three [default: the one before].
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) how: ChangingHow,
}

#[derive(Debug, Args)]
pub(crate) struct UninstallCommand {
    /// The installed plugin.
    #[arg(value_name = "NAME")]
    pub(crate) plugin: String,
    /// Even if others need it.
    #[arg(long)]
    pub(crate) even_if_needed: bool,
    #[command(flatten)]
    pub(crate) how: ChangingHow,
}

#[derive(Debug, Args)]
pub(crate) struct EnableCommand {
    /// The installed plugin.
    #[arg(value_name = "NAME")]
    pub(crate) plugin: String,
    #[command(flatten)]
    pub(crate) how: ChangingHow,
}

#[derive(Debug, Args)]
pub(crate) struct ListCommand {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ChangesCommand {
    /// Only of this plugin.
    #[arg(value_name = "NAME")]
    pub(crate) plugin: Option<String>,
    /// So many of the last.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) lines: u32,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct BackupCommand {
    /// The new file.
    #[arg(value_name = "FILE")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) output: Output,
}
