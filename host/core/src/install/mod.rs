//! Installed plugins: which package of each is there, what the operator gives it, whether it runs; and the changes of that.
//!
//! A change goes through phases, each written down before anything of it is done. It takes hold in one commit at its end, so
//! whatever fails, and whenever the process is killed, what was installed before is what is installed. Nobody has to undo
//! anything: what a change had laid aside is swept away by the next one (docs/decisions/0033).

mod change;
mod course;
mod error;
mod examine;
mod index;
mod inventory;
mod origin;
mod packages;
mod turn;

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use semver::Version;
use serde::{Deserialize, Serialize};
use stockade_package::{Package, Problem};
use stockade_policy::{Person, PublicKey};

use crate::load::LoadRequest;

pub(crate) use change::recover;
pub use error::{Failed, InstallError, Waits};
pub use examine::{Examination, Judge};
pub use index::{IndexAt, Indexes, plan};
pub use inventory::{Began, Dependency, Generation, Happened, Installed, Inventory, Loaded, Offer};
pub use origin::Origin;
pub use turn::Turn;

/// What is done to what is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A plugin that was not there.
    Install,
    /// Another package of one that is.
    Update,
    /// Back to the package before, with what the operator gave that.
    Rollback,
    /// It is to be gone.
    Uninstall,
    /// From here on a host runs it.
    Enable,
    /// No host does.
    Disable,
}

/// A part of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Getting the package.
    Download,
    /// Whether it is what was asked for, whose it is, and whether it can run here: all that preflight looks at.
    Verify,
    /// What it needs is there, in versions that will do; it is put where it stays.
    DependencyPrepare,
    /// It is brought up beside what runs, with what it is granted.
    Activate,
    /// Whether an instance of it can be made. Then it takes over.
    HealthCheck,
}

impl Change {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Update => "update",
            Self::Rollback => "rollback",
            Self::Uninstall => "uninstall",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }

    /// What is being done, for people: `Installing`.
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Install => "Installing",
            Self::Update => "Updating",
            Self::Rollback => "Rolling back",
            Self::Uninstall => "Uninstalling",
            Self::Enable => "Enabling",
            Self::Disable => "Disabling",
        }
    }

    /// What has been done, in records: `installed`.
    pub const fn done(self) -> &'static str {
        match self {
            Self::Install => "installed",
            Self::Update => "updated",
            Self::Rollback => "rolled-back",
            Self::Uninstall => "uninstalled",
            Self::Enable => "enabled",
            Self::Disable => "disabled",
        }
    }

    /// What it goes through.
    pub const fn phases(self) -> &'static [Phase] {
        use Phase::{Activate, DependencyPrepare, Download, HealthCheck, Verify};
        match self {
            Self::Install | Self::Update => &[Download, Verify, DependencyPrepare, Activate, HealthCheck],
            Self::Rollback => &[Verify, DependencyPrepare, Activate, HealthCheck],
            Self::Enable => &[Verify, Activate, HealthCheck],
            Self::Uninstall => &[DependencyPrepare],
            Self::Disable => &[Activate],
        }
    }
}

impl Phase {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Verify => "verify",
            Self::DependencyPrepare => "dependency-prepare",
            Self::Activate => "activate",
            Self::HealthCheck => "health-check",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far a change is, for whoever waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Somebody else changes what is installed.
    Waiting {
        /// Who.
        holder: String,
    },
    /// A version that is taken was withdrawn by its publisher.
    Yanked {
        /// `publisher/name`.
        plugin: String,
        /// Which version.
        version: String,
        /// Why, in the index's words. Hostile text.
        why: String,
    },
    /// A phase begins.
    Phase {
        /// Of what.
        change: Change,
        /// Which of them, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// Which it is.
        phase: Phase,
        /// The plugin and its version, where they are known by then. Hostile text.
        what: Option<(String, String)>,
    },
}

/// What the operator has an install do besides, and let pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// A package that nobody has signed.
    pub unsigned: bool,
    /// One that is older than what was installed, or another package of a version that was.
    pub downgrade: bool,
    /// One that none of those has signed who signed what is installed.
    pub other_signer: bool,
    /// A registry or a server without TLS.
    pub plain_http: bool,
    /// Uninstalls what others need.
    pub needed: bool,
}

/// Who changes what is installed, and how.
pub struct Changing<'a> {
    /// In whose name.
    pub by: Person,
    /// What they let pass.
    pub allow: Allow,
    /// How long somebody else's change is waited for.
    pub patience: Duration,
    /// The turn, where it was taken before: a host has its audit log to itself, so that whoever builds one for a change takes
    /// the turn first.
    pub turn: Option<&'a Turn>,
    /// From a package and what is written down of what it gets, to what a host is asked to load.
    pub request: &'a dyn Fn(Package, &str) -> Result<LoadRequest, Problem>,
    /// Is told how far it is.
    pub tell: &'a dyn Fn(&Step),
}

impl fmt::Debug for Changing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changing").field("by", &self.by).field("allow", &self.allow).finish_non_exhaustive()
    }
}

/// A package that is to be installed.
#[derive(Debug)]
pub struct Wish {
    /// Whether it is a plugin that was not there, or another package of one that is.
    pub change: Change,
    /// The plugin that it has to be; any if not said.
    pub plugin: Option<String>,
    /// The version that it has to have; any if not said.
    pub version: Option<Version>,
    /// From where.
    pub origin: Origin,
    /// The digest that it has to have; any if not said.
    pub digest: Option<String>,
    /// What the operator gives it. For an update: what the installed version gets, if not said.
    pub setup: Option<String>,
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The number under which everything of it is found.
    pub id: String,
    /// What was done.
    pub change: Change,
    /// `publisher/name`.
    pub plugin: String,
    /// The version before, where there was one.
    pub before: Option<String>,
    /// What is installed now; none where nothing is.
    pub installed: Option<Installed>,
}

/// Reads the package of an installed plugin: the one that was installed, and no other.
///
/// # Errors
///
/// It is gone, or is another one, or cannot be read.
pub fn open_installed(state: &Path, generation: &Generation) -> Result<Package, InstallError> {
    packages::open(state, generation)
}

/// Whether none of those has signed it now who signed it before, where anybody had.
fn is_somebody_elses(before: &[PublicKey], now: &[PublicKey]) -> bool {
    !before.is_empty() && !before.iter().any(|key| now.contains(key))
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
