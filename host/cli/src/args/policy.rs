//! The command lines of grants, of the policy that they follow, and of approvals.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Asking, Output, Setup};
use crate::exit;

/// A plugin, and the documents that it is weighed by.
#[derive(Debug, Args)]
pub(crate) struct Weighing {
    #[command(flatten)]
    pub(crate) setup: Setup,
    /// The organisation's policy [default: policy.toml in the state folder; without one the profiles hold as they are].
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyArguments {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a policy document; say what is wrong with it, and where.
    Check {
        /// The document.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Run the cases of a file: this plugin asking for this gets that. 1 where one comes out otherwise.
    #[command(after_help = exit::TABLE)]
    Test {
        /// The cases.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Say what would happen if the plugin tried something, and by which rule. Runs nothing. 3 where it would be refused.
    #[command(after_help = exit::TABLE)]
    Explain {
        #[command(flatten)]
        weighing: Box<Weighing>,
        /// What it tries: fs.read, http, secret, kv, config, tool, model, ...
        #[arg(value_name = "OPERATION")]
        operation: String,
        /// At what: a path, `METHOD URL`, `NAME@METHOD URL`, a key or a name.
        #[arg(value_name = "RESOURCE", default_value = "")]
        resource: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GrantsArguments {
    #[command(subcommand)]
    pub(crate) command: GrantsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    /// Show what a plugin may do and which document says so, and what it asks for and does not get. PLUGIN may be the
    /// name of one that a running host has.
    Show {
        #[command(flatten)]
        weighing: Box<Weighing>,
    },
    /// Show what one plugin may do and another may not: two versions, or two files about one plugin. 1 where they differ.
    Diff {
        /// A folder, a component file or a TOML file about one; or the name of a plugin that a running host has.
        #[arg(value_name = "A")]
        one: PathBuf,
        /// Likewise.
        #[arg(value_name = "B")]
        other: PathBuf,
        /// As for `grants show`.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        #[command(flatten)]
        asking: Asking,
        #[command(flatten)]
        output: Output,
    },
    /// Turn the denials of a plugin in the audit log into the smallest grants that would have allowed them. Grants nothing.
    Suggest {
        /// The plugin's name, as PUBLISHER/NAME.
        #[arg(value_name = "PLUGIN")]
        plugin: String,
        /// Only what was denied while somebody looked for it: `run --observe`, or a rule with `observe`.
        #[arg(long)]
        observed: bool,
        #[command(flatten)]
        asking: Asking,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ApprovalsArguments {
    #[command(subcommand)]
    pub(crate) command: ApprovalsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List the approvals, and the plugins of a running host that wait for one.
    List {
        /// Also those that have ended.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        asking: Asking,
        #[command(flatten)]
        output: Output,
    },
    /// Show one approval: for what, by whom, until when, and what became of it.
    Show {
        /// Its number.
        #[arg(value_name = "NUMBER")]
        number: u64,
        #[command(flatten)]
        asking: Asking,
        #[command(flatten)]
        output: Output,
    },
    /// Say yes to what a plugin asks for: exactly what is shown, and no more. It is in the audit log.
    #[command(after_help = exit::TABLE)]
    Approve {
        #[command(flatten)]
        deciding: Box<Deciding>,
        /// For how long, as 30d or 12h [default: for good, or as long as the policy lets it].
        #[arg(long = "for", value_name = "TIME")]
        period: Option<String>,
        /// For every component that says to be of one of these versions, as '>=1.2, <2' [default: for these bytes alone].
        #[arg(long, value_name = "RANGE")]
        versions: Option<String>,
        /// Only if what is approved has this digest, as `grants show` tells it: nothing else was looked at.
        #[arg(long, value_name = "SHA256")]
        expect: Option<String>,
        /// Does not ask on a terminal.
        #[arg(long, short)]
        yes: bool,
    },
    /// Say no: it is in the audit log, and an approval that waits for another person ends.
    Deny {
        #[command(flatten)]
        deciding: Box<Deciding>,
    },
    /// Take an approval back. Plugins that run by it are ended at once.
    Revoke {
        /// Its number.
        #[arg(value_name = "NUMBER")]
        number: u64,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        why: String,
        #[command(flatten)]
        asking: Asking,
        #[command(flatten)]
        output: Output,
    },
}

/// A plugin, and which of what it asks for is meant.
#[derive(Debug, Args)]
pub(crate) struct Deciding {
    #[command(flatten)]
    pub(crate) weighing: Weighing,
    /// Only this of what it asks for, as http:api.example.org; may be repeated [default: all of it].
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// Why, for whoever reads the audit log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) weighing: Weighing,
    /// How much the plugin could do: a number from 0 to 10, what it is made of, and what would make it less.
    #[arg(long)]
    pub(crate) exposure: bool,
    /// A grant that was not used for so long is told as unused.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub(crate) unused_for: String,
}
