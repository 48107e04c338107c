//! The command lines of what is told about the program itself.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::Output;

#[derive(Debug, Args)]
pub(crate) struct CompletionsCommand {
    /// The shell that is to complete command lines.
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManCommand {
    /// The folder for the pages, made where there is none. Pages that are there already are exchanged.
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}
