use serde::Serialize;

use super::{CODES, Check};
use crate::{At, Explain, MANIFEST_FILE, PackageError, Problem};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; nothing is to be done.
    Note,
    /// It can be installed; somebody should look at it.
    Warning,
    /// It cannot be installed.
    Error,
}

impl Severity {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Something that a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// How much it matters.
    pub severity: Severity,
    /// The file in the plugin's folder that it is in, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'static str>,
    /// The line there, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What it is.
    #[serde(flatten)]
    pub problem: Problem,
}

impl Finding {
    /// A finding that is in no file, or of which nobody knows where.
    pub fn new(check: Check, severity: Severity, problem: Problem) -> Finding {
        debug_assert!(
            CODES.contains(&(problem.code, check)),
            "{} of {check:?} is not documented",
            problem.code
        );
        Finding { check, severity, file: None, line: None, column: None, problem }
    }

    /// Where in the manifest it is.
    #[must_use]
    pub fn at(self, at: &At) -> Finding {
        let mut field = at.key.clone();
        // A place within a schema follows the place of the schema.
        if let Some((_, pointer)) = self.problem.field.split_once('#') {
            field = format!("{field}#{pointer}");
        }
        let problem = Problem { field, ..self.problem };
        Finding { file: Some(MANIFEST_FILE), line: Some(at.line), column: Some(at.column), problem, ..self }
    }
}

impl From<&PackageError> for Finding {
    fn from(error: &PackageError) -> Finding {
        let finding = Finding::new(error.check(), Severity::Error, error.problem());
        match error.at() {
            Some(at) => finding.at(at),
            None => finding,
        }
    }
}
