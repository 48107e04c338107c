use semver::VersionReq;
use stockade_policy::is_plugin_name;

use crate::document::Section;
use crate::manifest::{MAX_DESCRIPTION, MAX_SHORT};
use crate::{At, PackageError};

/// Dependencies of one plugin: 64.
pub(crate) const MAX_DEPENDENCIES: usize = 64;

const KEYS: &[&str] = &["plugin", "version", "optional", "reason"];

/// Another plugin that a plugin works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// `publisher/name`.
    pub plugin: String,
    /// The versions of it that will do.
    pub versions: VersionReq,
    /// Whether the plugin works without it.
    pub optional: bool,
    /// What for, in the author's words. Hostile text.
    pub reason: String,
    /// Where the manifest says so.
    pub at: At,
}

/// Reads one of the dependencies of the plugin of this name.
pub(crate) fn read(section: &Section<'_>, own: &str) -> Result<Dependency, PackageError> {
    section.knows(KEYS)?;
    let name = section.required("plugin", MAX_SHORT)?;
    if !is_plugin_name(name.value) {
        return Err(PackageError::Name { at: name.at, name: name.value.to_owned() });
    }
    if name.value == own {
        return Err(PackageError::DependsOnItself { at: name.at });
    }
    let versions = section.versions("version")?;
    let (at, versions) =
        versions.ok_or_else(|| PackageError::MissingKey { at: section.at(), key: "version" })?;
    let optional = section.boolean("optional")?.unwrap_or_default();
    let reason = section.required("reason", MAX_DESCRIPTION)?.value.to_owned();
    Ok(Dependency { plugin: name.value.to_owned(), versions, optional, reason, at })
}
