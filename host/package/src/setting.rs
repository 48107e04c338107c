use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value;

use crate::document::Section;
use crate::schema::Budget;
use crate::tool::{MAX_SCHEMA, read_schema};
use crate::{Explain, PackageError, Problem};

/// A configuration value that a manifest describes.
#[derive(Clone)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// JSON Schema 2020-12 of its value.
    pub schema: Value,
    /// What it is where the operator sets none: a JSON text.
    pub default: Option<String>,
    validator: Arc<Validator>,
}

/// A configuration value that is not what the plugin's manifest says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration value {key:?} does not fit: {expected}")]
pub struct SettingProblem {
    /// Which.
    pub key: String,
    /// JSON pointer to the part at fault; empty for the whole.
    pub pointer: String,
    /// What the schema says of it. Does not repeat the value.
    pub expected: String,
}

impl Explain for SettingProblem {
    fn problem(&self) -> Problem {
        Problem {
            code: "config-mismatch",
            field: format!("config {}#{}", self.key, self.pointer),
            message: self.to_string(),
            next_step: "give what the schema in the plugin's manifest describes".to_owned(),
        }
    }
}

impl Setting {
    /// What a permission says of the value that it asks for, if it says anything.
    pub(crate) fn read(
        section: &Section<'_>,
        key: Option<&str>,
        budget: &mut Budget,
    ) -> Result<Option<Self>, PackageError> {
        let schema = section.optional("schema", MAX_SCHEMA)?;
        let default = section.optional("default", MAX_SCHEMA)?;
        let (schema, key) = match (schema, key, &default) {
            (Some(schema), Some(key), _) => (schema, key),
            (None, _, None) => return Ok(None),
            (Some(text), None, _) => return Err(PackageError::SettingMisplaced { at: text.at }),
            (None, _, Some(text)) => return Err(PackageError::SettingMisplaced { at: text.at.clone() }),
        };
        let (schema, validator) = read_schema(&schema, budget)?;
        let mut setting = Self { key: key.to_owned(), schema, default: None, validator };
        if let Some(text) = default {
            setting
                .check(text.value)
                .map_err(|problem| PackageError::Default { at: text.at, why: problem.expected })?;
            setting.default = Some(text.value.to_owned());
        }
        Ok(Some(setting))
    }

    /// Whether a JSON text is a value of it.
    pub fn check(&self, json: &str) -> Result<(), SettingProblem> {
        let wrong = |pointer: &str, expected: String| SettingProblem {
            key: self.key.clone(),
            pointer: pointer.to_owned(),
            expected,
        };
        let value: Value =
            serde_json::from_str(json).map_err(|error| wrong("", format!("it is not JSON: {error}")))?;
        let checked = self.validator.validate(&value);
        checked.map_err(|error| wrong(error.instance_path().as_str(), error.masked().to_string()))
    }
}

/// The values that an operator set, checked, and the defaults of those that are not set.
pub(crate) fn settle(
    settings: &[Setting],
    given: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SettingProblem> {
    let mut values = given;
    for setting in settings {
        match (values.get(&setting.key), &setting.default) {
            (Some(json), _) => setting.check(json)?,
            (None, Some(default)) => drop(values.insert(setting.key.clone(), default.clone())),
            (None, None) => {}
        }
    }
    Ok(values)
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        (&self.key, &self.schema, &self.default) == (&other.key, &other.schema, &other.default)
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting")
            .field("key", &self.key)
            .field("schema", &self.schema)
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}
