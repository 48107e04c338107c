use semver::Version;
use serde::{Deserialize, Serialize};
use stockade_package::Problem;
use stockade_policy::PublicKey;

use crate::install::now;

/// A package that was installed, and what an operator gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Counts all generations of all plugins.
    pub number: i64,
    /// `publisher/name`.
    pub plugin: String,
    /// Its version.
    pub version: Version,
    /// Its type, and so its profile.
    pub plugin_type: String,
    /// The digest of its package, `sha256:` and 64 digits.
    pub package: String,
    /// SHA-256 of its component, in hexadecimal.
    pub component: String,
    /// The size of its package.
    pub bytes: u64,
    /// Where it came from, in the operator's words.
    pub origin: String,
    /// What the operator gives it, as whoever installs wrote it down.
    #[serde(skip)]
    pub setup: String,
    /// The keys that have signed it.
    pub signed_by: Vec<PublicKey>,
    /// The plugins that it works with.
    pub dependencies: Vec<Dependency>,
    /// When it was installed, in seconds since 1970.
    pub made: u64,
    /// The generation that it took the place of.
    pub replaces: Option<i64>,
}

/// Another plugin that one works with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenDependency")]
pub struct Dependency {
    /// `publisher/name`.
    pub plugin: String,
    /// The versions that will do, as a range.
    pub versions: String,
    /// It works without.
    pub optional: bool,
}

impl Dependency {
    pub(super) fn of(declared: &stockade_package::Dependency) -> Dependency {
        let (plugin, versions) = (declared.plugin.clone(), declared.versions.to_string());
        Dependency { plugin, versions, optional: declared.optional }
    }
}

/// As it is in a list: one that an earlier host wrote has pairs, of what is needed.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum WrittenDependency {
    Now { plugin: String, versions: String, optional: bool },
    Before(String, String),
}

impl From<WrittenDependency> for Dependency {
    fn from(written: WrittenDependency) -> Dependency {
        match written {
            WrittenDependency::Now { plugin, versions, optional } => {
                Dependency { plugin, versions, optional }
            }
            WrittenDependency::Before(plugin, versions) => Dependency { plugin, versions, optional: false },
        }
    }
}

/// A plugin that is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// What is installed of it.
    #[serde(flatten)]
    pub generation: Generation,
    /// Whether a host that runs for long runs it.
    pub enabled: bool,
    /// A version that waits for an approval.
    pub next: Option<Box<Generation>>,
    /// The latest version that was ever installed.
    pub highest: Version,
}

/// A change that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Its number, which records have too.
    pub id: String,
    /// `publisher/name`, where that was known.
    pub plugin: Option<String>,
    /// What was to be done.
    pub change: String,
    /// `open`, `done`, `failed`, `waits`, or `interrupted`: the process ended, and nothing was changed.
    pub state: String,
    /// How far it came.
    pub phase: String,
    /// Every phase that it began, and when.
    pub phases: Vec<Began>,
    /// When, in seconds since 1970.
    pub began: u64,
    /// Likewise.
    pub ended: Option<u64>,
    /// Whose process did it.
    pub uid: u32,
    /// What that user was called then.
    pub user: Option<String>,
    /// Where the package came from.
    pub origin: String,
    /// The version before.
    pub before: Option<String>,
    /// The version after.
    pub after: Option<String>,
    /// Why it failed.
    pub code: Option<String>,
    /// Likewise, in words.
    pub message: Option<String>,
    /// What to do about it.
    pub next_step: Option<String>,
}

/// A phase of a change that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// Which.
    pub phase: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// That a plugin was loaded, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// When, in seconds since 1970.
    pub at: u64,
    /// `publisher/name`.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The digest of its package, where it came as one.
    pub package: Option<String>,
    /// `loaded` or `error`.
    pub state: String,
    /// Why not.
    pub code: Option<String>,
    /// Likewise, in words.
    pub reason: Option<String>,
}

impl Loaded {
    /// That it was loaded now, or why not.
    pub fn now(plugin: &str, version: &str, package: Option<&str>, problem: Option<&Problem>) -> Loaded {
        Loaded {
            at: now(),
            plugin: plugin.to_owned(),
            version: version.to_owned(),
            package: package.map(str::to_owned),
            state: if problem.is_some() { "error" } else { "loaded" }.to_owned(),
            code: problem.map(|problem| problem.code.to_owned()),
            reason: problem.map(|problem| problem.message.clone()),
        }
    }
}

/// Something that an installed plugin offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// `publisher/name`.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Whether a host runs it.
    pub enabled: bool,
    /// `tool` or `hook`.
    pub kind: String,
    /// What it is called by; the event, for a hook.
    pub name: String,
    /// What it does, or the tool that is called. Hostile text.
    pub what: String,
}
