use std::fmt;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value;
use stockade_ipc::bounds::PAYLOAD;
use stockade_policy::is_tool_name;

use crate::document::{Section, Text};
use crate::manifest::MAX_DESCRIPTION;
use crate::schema::{self, Budget};
use crate::{At, Explain, PackageError, Problem};

/// Longest schema text; the manifest's own cap is what counts.
pub(crate) const MAX_SCHEMA: usize = crate::manifest::MAX_MANIFEST as usize;

const KEYS: &[&str] = &["name", "description", "input", "output"];

/// Something that a plugin can do.
#[derive(Clone)]
pub struct Tool {
    /// What it is called by.
    pub name: String,
    /// What it does. Hostile text.
    pub description: String,
    /// JSON Schema 2020-12 of its arguments.
    pub input: Value,
    /// JSON Schema 2020-12 of its result, where the author gave one.
    pub output: Option<Value>,
    arguments: Arc<Validator>,
}

/// Why arguments do not fit a tool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentProblem {
    /// Not JSON.
    #[error("the arguments are not JSON: {message}")]
    NotJson {
        /// From 1; 0 where the text ended too early to say.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// JSON that the schema does not take.
    #[error("the arguments do not fit the tool: {expected}")]
    Mismatch {
        /// JSON pointer to the part at fault; empty for the whole.
        pointer: String,
        /// What the schema says of it. Does not repeat the value, which may be a secret.
        expected: String,
    },
    /// More than a call carries.
    #[error("the arguments are longer than {PAYLOAD} bytes")]
    TooLong,
}

impl Explain for ArgumentProblem {
    fn problem(&self) -> Problem {
        let (code, field, next_step) = match self {
            Self::NotJson { line, column, .. } => (
                "arguments-not-json",
                format!("arguments:{line}:{column}"),
                "give one JSON object, as {\"name\": \"value\"}",
            ),
            Self::Mismatch { pointer, .. } => (
                "bad-arguments",
                format!("arguments#{pointer}"),
                "give what the tool's input schema describes",
            ),
            Self::TooLong => ("arguments-too-long", "arguments".to_owned(), "give less at once"),
        };
        Problem { code, field, message: self.to_string(), next_step: next_step.to_owned() }
    }
}

impl Tool {
    /// A tool whose input schema is known to end: one that this crate wrote itself.
    pub(crate) fn derived(name: String, input: Value, output: Option<Value>) -> Result<Self, PackageError> {
        // A world's names are the only foreign part, and any text is a property name.
        let arguments = schema::build(&input).map_err(|_| PackageError::WorldTooLarge)?;
        Ok(Self { description: format!("The exported function {name}."), name, input, output, arguments })
    }

    /// Whether `arguments`, a JSON text, is what the tool takes.
    pub fn check_arguments(&self, arguments: &str) -> Result<(), ArgumentProblem> {
        if arguments.len() > PAYLOAD {
            return Err(ArgumentProblem::TooLong);
        }
        let value: Value = serde_json::from_str(arguments).map_err(|error| ArgumentProblem::NotJson {
            line: error.line(),
            column: error.column(),
            message: error.to_string(),
        })?;
        self.arguments.validate(&value).map_err(|error| ArgumentProblem::Mismatch {
            pointer: error.instance_path().as_str().to_owned(),
            expected: error.masked().to_string(),
        })
    }
}

impl PartialEq for Tool {
    fn eq(&self, other: &Self) -> bool {
        let key = |tool: &Self| (tool.name.clone(), tool.description.clone());
        key(self) == key(other) && self.input == other.input && self.output == other.output
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("name", &self.name)
            .field("description", &self.description)
            .field("input", &self.input)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

pub(crate) fn read(section: &Section<'_>, budget: &mut Budget) -> Result<(At, Tool), PackageError> {
    section.knows(KEYS)?;
    let name = section.required("name", MAX_DESCRIPTION)?;
    if !is_tool_name(name.value) {
        return Err(PackageError::ToolName { at: name.at, name: name.value.to_owned() });
    }
    let description = section.required("description", MAX_DESCRIPTION)?.value.to_owned();
    let (input, arguments) = read_schema(&section.required("input", MAX_SCHEMA)?, budget)?;
    let output = match section.optional("output", MAX_SCHEMA)? {
        Some(text) => Some(read_schema(&text, budget)?.0),
        None => None,
    };
    Ok((name.at, Tool { name: name.value.to_owned(), description, input, output, arguments }))
}

pub(crate) fn read_schema(
    text: &Text<'_>,
    budget: &mut Budget,
) -> Result<(Value, Arc<Validator>), PackageError> {
    let schema: Value = serde_json::from_str(text.value)
        .map_err(|source| PackageError::SchemaJson { at: text.at.clone(), source })?;
    let validator = schema::compile(&schema, &text.at, budget)?;
    Ok((schema, validator))
}
