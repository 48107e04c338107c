use stockade_policy::{Capability, Request, Scope, ScopeError};

use crate::document::Section;
use crate::manifest::MAX_DESCRIPTION;
use crate::{At, PackageError};

/// Longest resource: a path of Linux.
const MAX_RESOURCE: usize = stockade_policy::MAX_PATH;

/// Longest text that is looked at for the name of a capability.
const MAX_NAME: usize = 128;

const KEYS: &[&str] = &["capability", "resource", "reason", "schema", "default"];

/// One permission that a manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What it asks for; approved by nobody yet.
    pub request: Request,
    /// Why, in the author's words. Hostile text.
    pub reason: String,
    /// Where the manifest says so.
    pub at: At,
}

pub(crate) fn read(section: &Section<'_>) -> Result<Permission, PackageError> {
    section.knows(KEYS)?;
    let name = section.required("capability", MAX_NAME)?;
    let capability: Capability = name
        .value
        .parse()
        .map_err(|_| PackageError::Capability { at: name.at.clone(), name: name.value.to_owned() })?;
    let resource = section.optional("resource", MAX_RESOURCE)?;
    let scope =
        Scope::of(capability, resource.as_ref().map(|text| text.value)).map_err(|error| match error {
            ScopeError::Superfluous(_) => {
                let at = resource.as_ref().map_or_else(|| section.at(), |text| text.at.clone());
                PackageError::ResourceSuperfluous { at, capability }
            }
            ScopeError::Resource { resource: written, .. } => {
                let at = resource.as_ref().map_or_else(|| section.at(), |text| text.at.clone());
                PackageError::Resource { at, capability, resource: written }
            }
            ScopeError::Missing(_) | ScopeError::Capability(_) => {
                PackageError::ResourceMissing { at: section.at(), capability }
            }
        })?;
    let reason = section.required("reason", MAX_DESCRIPTION)?.value.to_owned();
    Ok(Permission { request: Request { scope, approved_by: None }, reason, at: name.at })
}
