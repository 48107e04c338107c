use std::{fmt, io};

use crate::bindings::exports::stockade::plugin::tool as wit;

/// Why a call has no result. The host shows the text to the caller: name the argument or the file
/// at fault, never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolError {
    /// The plugin knows no tool of this name.
    UnknownTool(String),
    /// The arguments are not what the tool takes.
    InvalidArguments(String),
    /// The tool needed something that its grants do not cover.
    Denied(String),
    /// The tool ran and could not do its work.
    Failed(String),
}

impl fmt::Display for ToolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTool(name) => write!(out, "no tool is named `{name}`"),
            Self::InvalidArguments(why) => write!(out, "invalid arguments: {why}"),
            Self::Denied(what) => write!(out, "denied: {what}"),
            Self::Failed(why) => out.write_str(why),
        }
    }
}

impl std::error::Error for ToolError {}

/// A refusal by the sandbox arrives as `PermissionDenied`; all else is the tool's own failure.
impl From<io::Error> for ToolError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<ToolError> for wit::ToolError {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::UnknownTool(name) => Self::UnknownTool(name),
            ToolError::InvalidArguments(why) => Self::InvalidArguments(why),
            ToolError::Denied(what) => Self::Denied(what),
            ToolError::Failed(why) => Self::Failed(why),
        }
    }
}
