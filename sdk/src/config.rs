//! Values that the operator gave this plugin. In a test on the author's machine there are none.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{ToolError, bindings::stockade::plugin::config as wit};

/// Why a configuration value could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The plugin's grants do not cover the key.
    Denied(String),
    /// The operator set a value that is not of the asked type.
    Invalid {
        /// The key.
        key: String,
        /// Where in the value, and what is wrong with it.
        why: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) => write!(out, "{why}"),
            Self::Invalid { key, why } => write!(out, "configuration `{key}`: {why}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for ToolError {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Denied(why) => Self::Denied(why),
            invalid @ ConfigError::Invalid { .. } => Self::Failed(invalid.to_string()),
        }
    }
}

/// The value of `key`; `None` where the operator set none.
///
/// # Errors
/// [`ConfigError::Denied`] without a `config` grant for `key`, [`ConfigError::Invalid`] where the
/// value is no `T`.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, ConfigError> {
    if !cfg!(target_family = "wasm") {
        return Ok(None);
    }
    let Some(text) = wit::get(key).map_err(|wit::ConfigError::Denied(why)| ConfigError::Denied(why))? else {
        return Ok(None);
    };
    let invalid = |why: String| ConfigError::Invalid { key: key.to_owned(), why };
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text))
        .map(Some)
        .map_err(|error| invalid(error.to_string()))
}
