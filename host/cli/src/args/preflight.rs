//! The command line of preflight.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Looking;
use crate::output::Format;

#[derive(Debug, Args)]
pub(crate) struct PreflightCommand {
    /// A package; a folder with a plugin.toml, or that file; a component file, which needs --type; or a folder with
    /// plugins somewhere below it.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Only plugins of which a file differs from this revision of git, and those that depend on them. `REV...` is where
    /// the branch has left REV.
    #[arg(long, value_name = "REV")]
    pub(crate) changed_since: Option<String>,
    /// Other plugins that these may depend on: as PATH.
    #[arg(long, value_name = "PATH")]
    pub(crate) available: Vec<PathBuf>,
    /// The type of a bare component: node, integration, agent, quality_gate.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) plugin_type: Option<String>,
    /// The organisation's policy [default: policy.toml in the state folder; without one the profiles hold as they are].
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Warnings count as errors.
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) looking: Looking,
    /// For people; one JSON document; SARIF 2.1.0, for code scanning; or annotations of GitHub's workflows.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,
}

/// For whom a report is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// Workflow commands of GitHub.
    Github,
}

impl ReportFormat {
    /// How it is told that there is no report.
    pub(crate) const fn for_failures(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::Text | Self::Sarif | Self::Github => Format::Text,
        }
    }
}
