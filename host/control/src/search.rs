//! What an index has, as somebody asks for it.

use semver::Version;
use serde::{Deserialize, Serialize};
use stockade_host::install::{Allow, IndexAt};
use stockade_package::index::{Index, Listed};

/// What is looked for, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The index. A path is absolute: a host stands elsewhere.
    pub at: IndexAt,
    /// What is let pass.
    pub allow: Allow,
    /// All of them have to be in a plugin's name or description.
    pub words: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What the index calls itself.
    pub index: String,
    /// Which one of its time it is.
    pub version: u64,
    /// From when on it is not believed any more: seconds since 1970.
    pub expires: u64,
    /// The plugins, those that fit best first.
    pub plugins: Vec<FoundPlugin>,
}

/// A plugin that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPlugin {
    /// `publisher/name`.
    pub plugin: String,
    /// What it does. Hostile text.
    pub description: String,
    /// Its versions, oldest first.
    pub versions: Vec<FoundVersion>,
}

/// A version of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundVersion {
    /// Which one.
    pub version: Version,
    /// The plugin's type.
    #[serde(rename = "type")]
    pub plugin_type: String,
    /// The package's digest: `sha256:` and 64 digits.
    pub digest: String,
    /// How large the package is.
    pub bytes: u64,
    /// Why nobody should install it any more. Hostile text.
    pub yanked: Option<String>,
}

impl Found {
    /// What an index has with these words.
    pub fn in_index(index: &Index, words: &[String]) -> Found {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Found {
            index: index.name().to_owned(),
            version: index.version(),
            expires: index.expires(),
            plugins: index.search(&words).into_iter().map(FoundPlugin::from).collect(),
        }
    }
}

impl From<&Listed> for FoundPlugin {
    fn from(listed: &Listed) -> Self {
        let versions = listed.versions.iter().map(|release| FoundVersion {
            version: release.version.clone(),
            plugin_type: release.plugin_type.as_str().to_owned(),
            digest: release.digest.clone(),
            bytes: release.bytes,
            yanked: release.yanked.clone(),
        });
        Self {
            plugin: listed.name.clone(),
            description: listed.description.clone(),
            versions: versions.collect(),
        }
    }
}
