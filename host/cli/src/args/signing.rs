//! The command lines of keys and signatures.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stockade_policy::PublicKey;

use super::Output;
use crate::exit;

#[derive(Debug, Args)]
pub(crate) struct KeyArguments {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key: FILE has the private one, for this user alone, and FILE.pub the public one.
    New {
        /// Where the private key goes; a file that is there already is left as it is.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

/// What is signed, and with what.
#[derive(Debug, Args)]
pub(crate) struct SignCommand {
    /// A plugin's folder, a package, an index (as JSON), or a policy document.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// The private key, as `stockade key new` or OpenSSL makes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What is looked at, and who is to have signed it.
#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct VerifyCommand {
    /// A plugin's folder, a package, an index (as JSON), or a policy document.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// One of these has to have signed it, as ed25519:...; may be repeated [default: anybody].
    #[arg(long = "by", value_name = "KEY")]
    pub(crate) by: Vec<PublicKey>,
    #[command(flatten)]
    pub(crate) output: Output,
}
