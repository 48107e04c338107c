use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the log cannot be opened, written or read.
///
/// An error of [`Log::append`](crate::Log::append) means that the record is not in the log: whatever it
/// was about must not happen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The directory cannot be made or opened.
    #[error("cannot open the audit directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The log file, or one beside it, cannot be opened or read.
    #[error("cannot {step} {}", path.display())]
    File {
        /// What failed: open, read, stat, lock.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory or file is such that others could change it.
    #[error("{} {problem}", path.display())]
    Exposed {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Another process writes this log.
    #[error("{} is being written by another process{}", path.display(), named(*pid))]
    Locked {
        /// The log file.
        path: PathBuf,
        /// Its process id, where the kernel shows it.
        pid: Option<u32>,
    },
    /// The log as found does not verify, so nothing may be appended to it.
    #[error("{} does not verify at record {seq}: {problem}", path.display())]
    Unsound {
        /// The log file.
        path: PathBuf,
        /// The first record that is wrong.
        seq: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A torn tail cannot be set aside.
    #[error("cannot set the torn end of the log aside as {}", path.display())]
    Aside {
        /// Where it was to go.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel did not take the whole record. What it took was cut off again.
    #[error("cannot write the audit record")]
    Write(#[source] io::Error),
    /// The record was written but may not reach the disk.
    #[error("cannot make the audit log durable")]
    Sync(#[source] io::Error),
    /// The file is not the one that was opened, or not as long as this process made it.
    #[error("{} was {change} by someone else", path.display())]
    Replaced {
        /// Where the log was.
        path: PathBuf,
        /// What happened to it.
        change: &'static str,
    },
    /// The log was opened before this process was forked off; the other process is the writer.
    #[error("this process is a fork of the one that opened the audit log")]
    Forked,
    /// Layer `log` is for what the log says of itself.
    #[error("records of layer log are written by the log alone")]
    Reserved,
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
    /// A thread panicked while it wrote; what the log knows of itself is not to be trusted.
    #[error("a panic interrupted the writing of the audit log")]
    Poisoned,
    /// The system has no randomness to name a new log with.
    #[error("cannot draw a random id for the log: {0}")]
    Random(String),
    /// A head is not of the form `SEQ:HASH`.
    #[error("`{0}` is not SEQ:HASH with 64 hex digits of hash")]
    Head(String),
    /// The key that checkpoints are signed with cannot be read or made.
    #[error("cannot use the signing key {}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The log cannot go on in a new file, or do something else with its files.
    #[error("cannot {step} {}", path.display())]
    Segment {
        /// What failed: rotate, compress, remove.
        step: &'static str,
        /// The segment.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start a thread of the audit log")]
    Thread(#[source] io::Error),
    /// A proof cannot be made, or does not hold.
    #[error("{problem}")]
    Proof {
        /// Why.
        problem: String,
    },
    /// A checkpoint that somebody kept is none.
    #[error("the checkpoint to compare with cannot be used: {problem}")]
    Kept {
        /// Why.
        problem: String,
    },
    /// A text is not a signed note, or not a checkpoint.
    #[error("it is not a signed checkpoint: {problem}")]
    Note {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A text is not a public key as C2SP writes them.
    #[error("`{text}` is not a verifier key: {problem}")]
    VerifierKey {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl AuditError {
    /// What the operator can do about it.
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Directory { .. } | Self::File { .. } => "name a directory that this user can write",
            Self::Exposed { .. } => "make it a directory of this user with mode 0700, its file 0600",
            Self::Locked { .. } => "stop the other process, or give this one an audit directory of its own",
            Self::Unsound { .. } => {
                "keep the file as evidence, run `stockade audit verify` on it, and start a new directory"
            }
            Self::Aside { .. } | Self::Write(_) => "make room on the disk under the audit directory",
            Self::Sync(_) => "check the disk under the audit directory",
            Self::Replaced { .. } => "find out who touched it; the log is only ever changed by its writer",
            Self::Forked | Self::Reserved | Self::Closed | Self::Poisoned => "report this; it is a bug",
            Self::Random(_) => "check that getrandom(2) is allowed",
            Self::Head(_) => "give the head as verify printed it",
            Self::Key { .. } => "make it a file of this user, mode 0600, with the 32 bytes that were in it",
            Self::Segment { .. } => "see that the audit directory is writable and has room",
            Self::Thread(_) => "raise the limit of processes and threads",
            Self::Proof { .. } => {
                "make a proof anew from the whole log, and verify the log if that does not hold"
            }
            Self::Note { .. } | Self::Kept { .. } => {
                "give one note of the file `checkpoints`, or what a sink was handed"
            }
            Self::VerifierKey { .. } => "give the line of `audit.vkey`, as it was copied from beside the log",
        }
    }
}

fn named(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", pid {pid}"))
}
