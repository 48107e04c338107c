//! The command lines of indexes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::install::Believing;
use super::{Output, Places};

#[derive(Debug, Args)]
pub(crate) struct SearchCommand {
    /// Words that all have to be in the name or the description [default: every plugin].
    #[arg(value_name = "WORD")]
    pub(crate) words: Vec<String>,
    /// The index: a file, or https://...
    #[arg(long, value_name = "PLACE", env = "STOCKADE_INDEX")]
    pub(crate) index: Option<String>,
    /// The control socket of the host that is to read it [default: that of the host on the state folder, where one runs].
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// The organisation's policy [default: policy.toml in the state folder].
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Trusts the certificate authorities in this PEM file, besides the system's.
    #[arg(long = "trust", value_name = "FILE")]
    pub(crate) trust: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) believing: Believing,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct IndexArguments {
    #[command(subcommand)]
    pub(crate) command: IndexCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IndexCommand {
    /// Make an index of packages, or the next version of one. It is to be signed then: stockade sign FILE --key KEY.
    Make(IndexMakeCommand),
}

#[derive(Debug, Args)]
pub(crate) struct IndexMakeCommand {
    /// The index. Where it is there already, its plugins stay in it, and it is the next version of it.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Packages that it is to have besides, as stockade pack makes them.
    #[arg(value_name = "PACKAGE")]
    pub(crate) packages: Vec<PathBuf>,
    /// What a new one calls itself, as example.org/plugins: readers remember it by that.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// For how long it is believed: make the next one before that.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub(crate) expires: String,
    /// Where the package will be: oci://HOST/REPOSITORY@sha256:... or https://... [default: where it is, below the index's
    /// folder].
    #[arg(long, value_name = "PLACE")]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}
