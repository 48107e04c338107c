use stockade_policy::is_name;

use crate::document::Section;
use crate::{At, PackageError};

/// Longest name of an event: 128 bytes.
const MAX_EVENT: usize = 128;
/// Hooks of one plugin: 64.
pub(crate) const MAX_HOOKS: usize = 64;

const KEYS: &[&str] = &["event", "tool"];

/// An event that a plugin wants to be told of, and the tool that is called then, with the event's payload as its
/// arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What the event is called: letters, digits, `-`, `_` and `.`.
    pub event: String,
    /// One of the plugin's tools.
    pub tool: String,
}

/// Reads one of the manifest's hooks.
pub(crate) fn read(section: &Section<'_>) -> Result<(At, Hook), PackageError> {
    section.knows(KEYS)?;
    let event = section.required("event", MAX_EVENT)?;
    if !is_name(event.value) {
        return Err(PackageError::Event { at: event.at, event: event.value.to_owned() });
    }
    let tool = section.required("tool", MAX_EVENT)?;
    Ok((tool.at, Hook { event: event.value.to_owned(), tool: tool.value.to_owned() }))
}
