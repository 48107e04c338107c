use std::io;

use stockade_audit::AuditError;
use stockade_host::HostError;
use stockade_package::{Explain, Problem};

/// Why the suite was not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum AttackError {
    /// A host with the programs that are there does not start, or cannot start a worker.
    #[error("no plugin can be run here, so none can be attacked")]
    Host(#[source] Box<HostError>),
    /// A temporary folder, a socket, or a process could not be made.
    #[error("{step} failed")]
    Os {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The probe does not say what it has.
    #[error("stockade-probe does not list its attacks: {problem}")]
    Catalogue {
        /// What is wrong with what it says.
        problem: String,
    },
    /// The records of the suite's own hosts cannot be read.
    #[error("the records of the attacks cannot be read")]
    Audit(#[source] AuditError),
    /// No case has this number or name.
    #[error("there is no attack case {wanted:?}")]
    UnknownCase {
        /// What was asked for.
        wanted: String,
        /// The numbers of all cases.
        known: Vec<String>,
    },
}

impl AttackError {
    pub(crate) fn os(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Os { step, source }
    }
}

impl From<HostError> for AttackError {
    fn from(error: HostError) -> Self {
        Self::Host(Box::new(error))
    }
}

impl Explain for AttackError {
    fn problem(&self) -> Problem {
        let (code, field, next_step) = match self {
            Self::Host(error) => return error.problem(),
            Self::Os { .. } => (
                "attack-fixtures",
                "temporary folder",
                "name a folder in TMPDIR that this user can write to, and run it again".to_owned(),
            ),
            Self::Catalogue { .. } => (
                "attack-catalogue",
                "stockade-probe",
                "install all programs of one build: cargo xtask build".to_owned(),
            ),
            Self::Audit(_) => ("audit-log", "audit", "run it again; if it stays, report a bug".to_owned()),
            Self::UnknownCase { known, .. } => {
                ("unknown-case", "--case", format!("use one of: {}", known.join(", ")))
            }
        };
        Problem { code, field: field.to_owned(), message: self.chain(), next_step }
    }
}
