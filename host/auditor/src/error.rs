use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::exit::Exit;

/// Why a question about a log has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditorError {
    /// A file of the log cannot be opened or read.
    #[error("cannot {step} {}", path.display())]
    File {
        /// What failed: open, list, read.
        step: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing that begins like a log.
    #[error("there is no audit log at {}", path.display())]
    NoLog {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Nobody said where the log is, and there is no usual place.
    #[error("there is neither HOME nor XDG_STATE_HOME, so there is no usual place for the log")]
    NoHome,
    /// The log has no such record.
    #[error("the log has no record {0}")]
    NoRecord(u64),
    /// The file that is followed became shorter: it was cut off or written anew.
    #[error("{} was cut off after record {last} while it was followed", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// The last record that was seen.
        last: u64,
    },
    /// A value on the command line is not what it should be.
    #[error("{value:?} is not {expected}")]
    Value {
        /// Which option.
        field: &'static str,
        /// What it was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Usage(&'static str),
    /// The index cannot be read or written.
    #[error("the index {} cannot be used", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The index file cannot be made.
    #[error("cannot {step} the index {}", path.display())]
    IndexFile {
        /// What failed.
        step: &'static str,
        /// The index.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The index names places where no such record stands.
    #[error("the index {} does not fit the log: {problem}", path.display())]
    IndexUnsound {
        /// The index, which has been removed.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// What was asked for cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// The file for the output cannot be made.
    #[error("cannot make {}", path.display())]
    OutputFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The command that is to read along cannot be started or waited for.
    #[error("cannot {step} {program}")]
    Command {
        /// What failed.
        step: &'static str,
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The local journal does not take the record.
    #[error("the journal at {} does not take record {seq}", path.display())]
    Journal {
        /// Its socket.
        path: PathBuf,
        /// Which record.
        seq: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl AuditorError {
    /// A stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "audit-log",
            Self::NoLog { .. } => "no-audit-log",
            Self::NoHome => "no-home",
            Self::NoRecord(_) => "no-such-record",
            Self::CutOff { .. } => "audit-cut-off",
            Self::Value { .. } => "bad-value",
            Self::Usage(_) => "bad-options",
            Self::Index { .. } | Self::IndexFile { .. } => "audit-index",
            Self::IndexUnsound { .. } => "audit-index-unsound",
            Self::Output(_) | Self::OutputFile { .. } => "output",
            Self::Command { .. } => "command",
            Self::Journal { .. } => "journal",
        }
    }

    /// The option at fault.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::NoLog { .. } | Self::NoHome | Self::CutOff { .. } => "--audit",
            Self::NoRecord(_) => "SEQ",
            Self::Value { field, .. } => field,
            Self::Usage(_) => "",
            Self::Index { .. } | Self::IndexFile { .. } | Self::IndexUnsound { .. } => "--index",
            Self::Output(_) | Self::OutputFile { .. } => "--output",
            Self::Command { .. } => "--command",
            Self::Journal { .. } => "--socket",
        }
    }

    /// What to do about it.
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::File { .. } => "ask the operator for the right to read the log's folder and its files",
            Self::NoLog { .. } | Self::NoHome => "name the log's folder or its file with --audit",
            Self::NoRecord(_) => "stockade-audit tail shows the last numbers",
            Self::CutOff { .. } => {
                "keep the file as evidence, and run stockade-audit verify on it with a head that was kept elsewhere"
            }
            Self::Value { .. } | Self::Usage(_) => "stockade-audit help shows what each command takes",
            Self::Index { .. } | Self::IndexFile { .. } => {
                "name another place with --index, or do without by --no-index"
            }
            Self::IndexUnsound { .. } => {
                "ask again: the index was removed and will be built anew from the log; --no-index does without"
            }
            Self::Output(_) | Self::OutputFile { .. } => {
                "name a file that this user can write, with room for it"
            }
            Self::Command { .. } => "name a program that this user can start; it is not given to a shell",
            Self::Journal { .. } => "name the journal's socket, or write the export format to a file",
        }
    }

    /// How a program ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoRecord(_) | Self::CutOff { .. } | Self::IndexUnsound { .. } => Exit::FINDINGS,
            _ => Exit::USAGE,
        }
    }

    /// Whether whoever reads the output has gone: no error, but nothing more is to be done.
    pub(crate) fn is_hung_up(&self) -> bool {
        matches!(self, Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
