use std::fmt::Display;

use serde::Serialize;

/// What was tried, and what came of it.
#[derive(Serialize)]
pub(crate) struct Attempt {
    tried: String,
    outcome: Outcome,
    /// The refusal's text, or what was had.
    detail: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Refused,
    Succeeded,
}

impl Attempt {
    pub(crate) fn new<T: Display, E: Display>(tried: impl Into<String>, result: Result<T, E>) -> Self {
        let (outcome, detail) = match result {
            Ok(had) => (Outcome::Succeeded, had.to_string()),
            Err(refusal) => (Outcome::Refused, refusal.to_string()),
        };
        Self { tried: tried.into(), outcome, detail }
    }

    /// Of several ways to one end, one that succeeded; else all refusals.
    pub(crate) fn any(tried: impl Into<String>, ways: Vec<(String, Result<String, String>)>) -> Self {
        let mut refusals = Vec::new();
        for (way, result) in ways {
            match result {
                Ok(had) => return Self::new(tried, Ok::<_, String>(format!("{way}: {had}"))),
                Err(refusal) => refusals.push(format!("{way}: {refusal}")),
            }
        }
        Self::new(tried, Err::<String, _>(refusals.join("; ")))
    }
}
