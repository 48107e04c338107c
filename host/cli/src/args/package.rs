//! The command lines of packages.

use std::path::PathBuf;

use clap::Args;

use super::{Namespaces, Output, Places};

/// How a component is looked at: the confined compiler says what it imports and exports.
#[derive(Debug, Args)]
pub(crate) struct Looking {
    #[command(flatten)]
    pub(crate) places: Places,
    /// Which namespaces the compiler gets.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) namespaces: Namespaces,
    /// Where stockade-worker and stockade-compiler are [default: beside this program].
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PackCommand {
    /// The plugin's folder, with its plugin.toml.
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Where the package goes [default: PUBLISHER-NAME-VERSION.stockade.tar in this folder].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) looking: Looking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct UnpackCommand {
    /// The package.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only say what is in it.
    #[arg(long, conflicts_with = "to", required_unless_present = "to")]
    pub(crate) list: bool,
    /// The folder to put it into, which must not be there yet.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct InspectCommand {
    /// A package; a folder with a plugin.toml; or a component file, which needs --type.
    #[arg(value_name = "PLUGIN")]
    pub(crate) plugin: PathBuf,
    /// The type of a bare component: node, integration, agent, quality_gate.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) plugin_type: Option<String>,
    #[command(flatten)]
    pub(crate) looking: Looking,
    #[command(flatten)]
    pub(crate) output: Output,
}
