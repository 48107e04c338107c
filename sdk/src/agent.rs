//! Tools of other plugins, for plugins of type `agent`. Each runs under the grants of its own plugin.
//!
//! It takes a permission `tool` for each. In a test on the author's machine there are none.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ToolError;

/// A tool that this plugin may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// `publisher/plugin#tool`.
    pub name: String,
    /// What it does, in its plugin's words.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub arguments: String,
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The plugin's grants do not cover the tool.
    Denied(String),
    /// There is no call left: of the running call's, or of the day's.
    Exhausted(String),
    /// Its plugin is not there, was ended, waits for this one, or would make the chain of calls too long.
    Unavailable(String),
    /// The arguments are not what the tool takes.
    InvalidArguments(String),
    /// The tool could not do its work; its own words.
    Failed(String),
    /// The arguments have no form in JSON, or the result is no value of the asked type.
    Mismatch(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) => write!(out, "{why}"),
            Self::Exhausted(of) => write!(out, "the budget has not enough left: {of}"),
            Self::Unavailable(why) => write!(out, "the tool is not to be had: {why}"),
            Self::InvalidArguments(why) => write!(out, "the arguments are not what the tool takes: {why}"),
            Self::Failed(why) => write!(out, "{why}"),
            Self::Mismatch(why) => write!(out, "the tool's arguments or its result: {why}"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for ToolError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Denied(why) => Self::Denied(why),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The granted tools whose plugins are there.
pub fn tools() -> Vec<Tool> {
    back::tools()
}

/// Calls a tool.
///
/// # Errors
/// See [`CallError`].
pub fn call<T: DeserializeOwned>(name: &str, arguments: &(impl Serialize + ?Sized)) -> Result<T, CallError> {
    let arguments = serde_json::to_string(arguments).map_err(|error| CallError::Mismatch(error.to_string()))?;
    let result = call_raw(name, &arguments)?;
    serde_json::from_str(&result).map_err(|error| CallError::Mismatch(error.to_string()))
}

/// Likewise, with one JSON text in and one out.
///
/// # Errors
/// See [`CallError`].
pub fn call_raw(name: &str, arguments: &str) -> Result<String, CallError> {
    back::call(name, arguments)
}

/// How many calls more this plugin can make now.
pub fn left() -> u64 {
    back::left()
}

#[cfg(target_family = "wasm")]
mod back {
    use super::{CallError, Tool};
    use crate::delegating::stockade::plugin::tools;

    pub(super) fn tools() -> Vec<Tool> {
        let tool = |tools::Tool { name, description, arguments }| Tool { name, description, arguments };
        tools::list().into_iter().map(tool).collect()
    }

    pub(super) fn call(name: &str, arguments: &str) -> Result<String, CallError> {
        tools::call(name, arguments).map_err(|error| match error {
            tools::CallError::Denied(why) => CallError::Denied(why),
            tools::CallError::Exhausted(of) => CallError::Exhausted(of),
            tools::CallError::Unavailable(why) => CallError::Unavailable(why),
            tools::CallError::InvalidArguments(why) => CallError::InvalidArguments(why),
            tools::CallError::Failed(why) => CallError::Failed(why),
        })
    }

    pub(super) fn left() -> u64 {
        tools::left()
    }
}

#[cfg(not(target_family = "wasm"))]
mod back {
    use super::{CallError, Tool};

    pub(super) fn tools() -> Vec<Tool> {
        Vec::new()
    }

    pub(super) fn call(_: &str, _: &str) -> Result<String, CallError> {
        Err(CallError::Unavailable("there is no host".to_owned()))
    }

    pub(super) fn left() -> u64 {
        0
    }
}
