//! Which versions fit together. The search is pubgrub's; what a version is, which ones can be had at all, and in which
//! order they are tried is said here.

mod explain;
mod known;
mod plan;
mod set;
mod solve;

use std::collections::BTreeMap;

use semver::Version;
use stockade_policy::stands;

use super::{Index, Lock, Need, Wanted};
use crate::{CONTRACTS, Explain, Package, Problem};

use plan::Chosen;
pub use plan::{Pick, Plan, Stay, Why};
use solve::{Unsolved, World};

/// Steps of one search: 4,096, where a step is a decision, a dependency that is looked at, or a plugin that is looked at again
/// after a conflict. A host with a hundred plugins takes some hundreds. That versions fit together is as hard to find out as any puzzle there is: without a bound, a few
/// dozen crafted plugins keep a reader busy for years.
pub const MAX_STEPS: u32 = 4096;

/// What is asked for, and onto what.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What there is.
    pub index: &'a Index,
    /// What is asked for.
    pub wanted: &'a [Wanted],
    /// What is there, by name: it stays, or is replaced by a later version. Only who asks for a plugin by its versions gets
    /// an earlier one.
    pub installed: Option<&'a BTreeMap<String, Installed>>,
    /// What was taken before: taken again where it fits.
    pub lock: Option<&'a Lock>,
    /// The host's version.
    pub host: &'a Version,
    /// The contracts that the host speaks.
    pub contracts: &'a [&'a str],
}

/// A plugin that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Which version.
    pub version: Version,
    /// The package's digest, where it is a package.
    pub digest: Option<String>,
    /// The plugins that it works with.
    pub dependencies: Vec<Need>,
}

impl From<&Package> for Installed {
    fn from(package: &Package) -> Installed {
        Installed {
            version: package.identity.version.clone(),
            digest: package.digest.clone(),
            dependencies: package.dependencies.iter().map(Need::from).collect(),
        }
    }
}

impl<'a> Question<'a> {
    /// What is asked for on a host of this version that has nothing yet.
    pub const fn new(index: &'a Index, wanted: &'a [Wanted], host: &'a Version) -> Question<'a> {
        Question { index, wanted, installed: None, lock: None, host, contracts: &CONTRACTS }
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Not `publisher/name`.
    #[error("{name:?} is not a plugin name")]
    Name {
        /// What stands there.
        name: String,
    },
    /// Not a range of versions.
    #[error("{versions:?} is no range of versions")]
    Versions {
        /// What stands there.
        versions: String,
        /// Why.
        #[source]
        source: semver::Error,
    },
    /// Longer than what anybody asks for.
    #[error("what is asked for is longer than {max} bytes")]
    TooLong {
        /// The cap.
        max: usize,
    },
    /// The index does not have it.
    #[error("the index has no {plugin}")]
    NotListed {
        /// Which plugin.
        plugin: String,
    },
    /// The index has another package for a version that is locked.
    #[error("{plugin} {version} is locked as {locked}, and the index has it as {listed}")]
    LockDrift {
        /// Which plugin.
        plugin: String,
        /// Which version.
        version: Version,
        /// The digest in the lock.
        locked: String,
        /// The digest in the index.
        listed: String,
    },
    /// The index has another package for a version that is installed.
    #[error("{plugin} {version} is installed as {installed}, and the index has it as {listed}")]
    InstalledDrift {
        /// Which plugin.
        plugin: String,
        /// Which version.
        version: Version,
        /// The digest of what is installed.
        installed: String,
        /// The digest in the index.
        listed: String,
    },
    /// No versions fit together.
    #[error("no versions fit together: {}", .facts.join("; "))]
    NoVersionFits {
        /// What was asked for.
        wanted: String,
        /// Who needs what, and what there is: a sentence each.
        facts: Vec<String>,
    },
    /// The search was given up.
    #[error("whether versions fit together was not found out in {MAX_STEPS} steps")]
    TooHard {
        /// What was asked for.
        wanted: String,
    },
}

impl Explain for ResolveError {
    fn problem(&self) -> Problem {
        let (code, next_step) = match self {
            Self::Name { .. } => {
                ("bad-name", "write publisher/name, each of a-z, 0-9 and -, not starting with -, up to 64")
            }
            Self::Versions { .. } | Self::TooLong { .. } => (
                "bad-version-range",
                "write publisher/name@RANGE, with a range as ^1.2 or a version as 1.2.3",
            ),
            Self::NotListed { .. } => {
                ("not-in-index", "correct the name (stockade search), or add the index that has it")
            }
            Self::LockDrift { .. } => (
                "lock-drift",
                "do not install it: a version was published anew with other contents. Ask its publisher why",
            ),
            Self::InstalledDrift { .. } => (
                "installed-drift",
                "ask its publisher why there are two packages of one version; if the installed one is your own, give it a version of its own",
            ),
            Self::NoVersionFits { .. } => {
                ("no-version-fits", "ask for other versions, or raise or remove what is in the way")
            }
            Self::TooHard { .. } => {
                ("resolution-too-hard", "ask for fewer plugins at once, or name exact versions")
            }
        };
        let field = match self {
            Self::Name { .. } | Self::Versions { .. } | Self::TooLong { .. } => "request".to_owned(),
            Self::NotListed { plugin } => plugin.clone(),
            Self::LockDrift { plugin, version, .. } | Self::InstalledDrift { plugin, version, .. } => {
                format!("{plugin} {version}")
            }
            Self::NoVersionFits { wanted, .. } | Self::TooHard { wanted } => wanted.clone(),
        };
        Problem::new(code, field, self.chain(), next_step)
    }
}

/// Looks for versions that fit together: one of each plugin, for everything that was asked for, is installed, or is needed
/// by those. The same question has the same answer.
///
/// # Errors
///
/// There are none, or none were found in [`MAX_STEPS`]; what is asked for is not in the index; or the index has another
/// package for a version that is locked, or installed and part of the answer.
pub fn resolve(question: &Question<'_>) -> Result<Plan, ResolveError> {
    lock_holds(question)?;
    for wanted in question.wanted {
        if !known::Known::of(question, &wanted.plugin).is_listed() {
            return Err(ResolveError::NotListed { plugin: wanted.plugin.clone() });
        }
    }
    let asked = || {
        let wanted: Vec<String> = question.wanted.iter().map(ToString::to_string).collect();
        wanted.join(" ")
    };
    let world = World::of(question);
    let chosen: Chosen<'_> = world.solve().map_err(|unsolved| match unsolved {
        Unsolved::Nothing(tree) => {
            ResolveError::NoVersionFits { wanted: asked(), facts: explain::explain(&world, tree) }
        }
        Unsolved::Endless => ResolveError::TooHard { wanted: asked() },
    })?;
    Plan::of(question, &chosen)
}

/// A version that was taken is that package for good, whoever publishes the index today.
fn lock_holds(question: &Question<'_>) -> Result<(), ResolveError> {
    for locked in question.lock.map_or(&[][..], Lock::plugins) {
        let listed = question.index.plugin(&locked.name).and_then(|listed| listed.version(&locked.version));
        if let Some(release) = listed
            && release.digest != locked.digest
            && stands("lock.digest")
        {
            return Err(ResolveError::LockDrift {
                plugin: locked.name.clone(),
                version: locked.version.clone(),
                locked: locked.digest.clone(),
                listed: release.digest.clone(),
            });
        }
    }
    Ok(())
}
