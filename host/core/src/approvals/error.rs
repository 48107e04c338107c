use std::io;
use std::path::PathBuf;

use stockade_audit::AuditError;
use stockade_package::{Explain, Problem};

/// Why something was not approved, denied or revoked, or the book not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// The file cannot be read or written.
    #[error("the book of approvals {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else has written in it.
    #[error("the book of approvals {path} is not sound at line {line}: {why}")]
    Unsound {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong there.
        why: String,
    },
    /// The audit log has seen more of it.
    #[error(
        "the book of approvals has {found} lines, and the audit log has seen {seen}, or others: an older copy is in its place"
    )]
    RolledBack {
        /// How many there are.
        found: u64,
        /// How many there were.
        seen: u64,
    },
    /// The audit log did not take the record.
    #[error("the audit log did not take the record")]
    Unrecorded(#[from] AuditError),
    /// This user may not approve.
    #[error("{person} may not approve: the policy names others")]
    NotAllowed {
        /// Who.
        person: String,
    },
    /// No such approval, or one that has ended.
    #[error("there is no approval {number} that holds or waits")]
    Unknown {
        /// Its number.
        number: u64,
    },
    /// The same person twice.
    #[error("{person} has approved it already, and it takes another")]
    Twice {
        /// Who.
        person: String,
    },
    /// Nothing to approve, too much, or no reason.
    #[error("{what}")]
    Wish {
        /// The part at fault.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// What was looked at is not what is there.
    #[error("what is asked for has the digest {found}, and {expected} was to be approved")]
    Changed {
        /// What is there.
        found: String,
        /// What was looked at.
        expected: String,
    },
}

impl Explain for BookError {
    fn problem(&self) -> Problem {
        let (code, field, next_step) = match self {
            Self::File { .. } => {
                ("approvals-file", "approvals.jsonl", "see that this user can write to the state folder")
            }
            Self::Unsound { .. } => (
                "approvals-unsound",
                "approvals.jsonl",
                "find out who wrote there; then put a copy back, or move the file away: nothing is approved then",
            ),
            Self::RolledBack { .. } => (
                "approvals-rolled-back",
                "approvals.jsonl",
                "put the newest copy back; what was approved or revoked since the older one is in the audit log",
            ),
            Self::Unrecorded(_) => {
                ("audit-log", "audit", "see why the audit log cannot be written, and try again")
            }
            Self::NotAllowed { .. } => (
                "not-an-approver",
                "approvals.people",
                "have one of the people approve whom the policy names",
            ),
            Self::Unknown { .. } => {
                ("unknown-approval", "NUMBER", "`stockade approvals list` shows them all")
            }
            Self::Twice { .. } => {
                ("approved-already", "approvals.needed", "have somebody else approve it too")
            }
            Self::Wish { field, .. } => ("bad-approval", *field, "say what is to be approved, and why"),
            Self::Changed { .. } => (
                "grants-changed",
                "--expect",
                "look at what is asked for again (stockade grants show), and approve that",
            ),
        };
        Problem::new(code, field, self.chain(), next_step)
    }
}
