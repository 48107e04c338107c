use std::error::Error;

use serde::Serialize;
use stockade_policy::PolicyError;

/// What an operator reads of an error: what happened, where, and what to do now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable, kebab-case, for programs: `unknown-import`.
    pub code: &'static str,
    /// The file, key or argument at fault; empty where there is none. May hold hostile text.
    pub field: String,
    /// What happened and why, with every cause. May hold hostile text.
    pub message: String,
    /// What to do now.
    pub next_step: String,
}

impl Problem {
    /// A problem of these four parts.
    pub fn new(
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Problem {
        Problem { code, field: field.into(), message: message.into(), next_step: next_step.into() }
    }
}

/// An error that an operator can act on. Every error of every host crate is one.
pub trait Explain: Error {
    /// The error as the operator reads it.
    fn problem(&self) -> Problem;

    /// The error and its causes in one line.
    fn chain(&self) -> String
    where
        Self: Sized,
    {
        chain(self)
    }
}

impl Explain for PolicyError {
    fn problem(&self) -> Problem {
        let place = format!("line {}, column {}", self.line, self.column);
        Problem::new(self.fault.code(), place, self.chain(), self.fault.next_step())
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
