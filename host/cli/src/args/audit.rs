//! The command lines of the audit log.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Asking, Output, Places};

#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// A question to the log, as the program `stockade-audit` has it.
#[derive(Debug, Args)]
pub(crate) struct Reading<T: Args> {
    #[command(flatten)]
    pub(crate) of: T,
    /// The state folder [default: /var/lib/stockade for root, otherwise stockade in $XDG_STATE_HOME].
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show the last records, and those that come.
    Tail(Box<Reading<stockade_auditor::Tail>>),
    /// Show the records that fit.
    Query(Box<Reading<stockade_auditor::Query>>),
    /// Show one record with everything that it says.
    Show(Box<Reading<stockade_auditor::One>>),
    /// Tell the story of one record in plain words: who, what, which rule, and what would allow it.
    Explain(Box<Reading<stockade_auditor::One>>),
    /// Count records by plugin, layer, operation and decision; floods exactly.
    Stats(Box<Reading<stockade_auditor::Count>>),
    /// Write records for another program.
    Export(Box<Reading<stockade_auditor::Export>>),
    /// Say how far the index is, and whether it is one of this log.
    Index(Box<Reading<stockade_auditor::IndexArgs>>),
    /// Sign the log with a new key from here on, which the one before vouches for; a running host does it itself.
    ChangeKey {
        #[command(flatten)]
        asking: Asking,
        #[command(flatten)]
        output: Output,
    },
    /// Check every record and the chain; say what is wrong, and where.
    Verify {
        /// A head that was kept elsewhere: shows that the log was cut off or exchanged for an older copy.
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<String>,
        #[command(flatten)]
        places: Places,
        #[command(flatten)]
        output: Output,
    },
}
