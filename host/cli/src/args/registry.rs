//! The command lines of registries.

use std::path::PathBuf;

use clap::Args;

use super::Output;

/// How a registry is reached. Who we are to it stands in Docker's configuration (`docker login`), in $DOCKER_CONFIG or
/// ~/.docker.
#[derive(Debug, Args)]
pub(crate) struct Reaching {
    /// Speaks without TLS: for a registry on this machine.
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Trusts the certificate authorities in this PEM file, besides the system's.
    #[arg(long = "trust", value_name = "FILE")]
    pub(crate) trust: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PushCommand {
    /// The package.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where it goes: oci://REGISTRY/REPOSITORY:TAG.
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: String,
    #[command(flatten)]
    pub(crate) reaching: Reaching,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct PullCommand {
    /// Which package: oci://REGISTRY/REPOSITORY:TAG, or oci://REGISTRY/REPOSITORY@sha256:DIGEST.
    #[arg(value_name = "REFERENCE")]
    pub(crate) reference: String,
    /// Where it goes [default: PUBLISHER-NAME-VERSION.stockade.tar in this folder].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reaching: Reaching,
    #[command(flatten)]
    pub(crate) output: Output,
}
