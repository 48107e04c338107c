use serde_json::{Value, json};
use stockade_package::{Explain, Problem};

use crate::exit::Exit;
use crate::output::{self, Format, SCHEMA, safe};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What to tell.
    pub(crate) problem: Problem,
    /// What the JSON document says besides.
    pub(crate) extra: Vec<(&'static str, Value)>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, problem: Problem) -> Self {
        Self { exit, problem, extra: Vec::new() }
    }

    /// Something on the command line is wrong.
    pub(crate) fn usage(code: &'static str, field: &str, message: String, next_step: &str) -> Self {
        Self::new(Exit::Usage, Problem::new(code, field, message, next_step))
    }

    /// An error of a host crate; its code says how the program ends.
    pub(crate) fn of(error: &impl Explain) -> Self {
        let problem = error.problem();
        Self::new(Exit::of_code(problem.code), problem)
    }

    /// What is wrong is wrong in this file; none where the path is empty.
    pub(crate) fn of_file(mut self, path: &std::path::Path) -> Self {
        let path = path.display().to_string();
        if !path.is_empty() && !self.problem.message.starts_with(&path) {
            self.problem.message = format!("{path}: {}", self.problem.message);
        }
        self
    }

    /// Tells it, and says how the program ends.
    pub(crate) fn report(self, format: Format) -> Exit {
        match format {
            // What was asked for is so already.
            Format::Text if self.exit == Exit::Ok => {
                let Problem { message, next_step, .. } = &self.problem;
                output::note(&format!("note: {}: {}", safe(message), safe(next_step)));
            }
            Format::Text => output::note(&text("error", &self.problem)),
            Format::Json => {
                let mut document = serde_json::Map::new();
                document.insert("schema".to_owned(), json!(SCHEMA));
                document.insert("error".to_owned(), json!(self.problem));
                document.extend(self.extra.into_iter().map(|(key, value)| (key.to_owned(), value)));
                output::document(&Value::Object(document));
            }
        }
        self.exit
    }
}

/// A problem for people, with how much it matters.
pub(crate) fn text(severity: &str, problem: &Problem) -> String {
    let mut text = format!("{severity}[{}]: {}", problem.code, safe(&problem.message));
    if !problem.field.is_empty() {
        text.push_str(&format!("\n  at: {}", safe(&problem.field)));
    }
    if !problem.next_step.is_empty() {
        text.push_str(&format!("\n  next: {}", safe(&problem.next_step)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_message_does_not_reach_the_terminal_as_it_is() {
        let problem = Problem {
            code: "unknown-import",
            field: "a\u{1b}]0;b".to_owned(),
            message: "one\ntwo".to_owned(),
            next_step: String::new(),
        };
        assert_eq!(text("error", &problem), "error[unknown-import]: one\\u{a}two\n  at: a\\u{1b}]0;b");
    }
}
